// A TCode device with an output of your own making, on a board with a serial or USB port: a valve that is open or
// closed, and a motor. Which pins they are on by themselves depends on the chip: see WsdmPins.h, or put numbers here.
//
// A board whose chip has USB itself (ESP32-S2, S3, C3, C6) wants "USB CDC On Boot" enabled in the IDE's menu "Tools".

#include <WsdmDevice.h>

#define VALVE_PIN WSDM_VALVE_PIN
#define MOTOR_PIN WSDM_MOTOR_PIN

// Whatever can be set to a value can be an output.
class Valve final : public WsdmOutput {
 public:
  void begin() override { pinMode(VALVE_PIN, OUTPUT); }
  void set(uint16_t value) override { digitalWrite(VALVE_PIN, value > WSDM_FULL / 2 ? HIGH : LOW); }
};

Valve valve;
WsdmPwm motor(MOTOR_PIN);
WsdmAxis axes[] = {
    WsdmAxis("V0", motor),
    WsdmAxis("A0", valve),
};
WsdmTcode device(axes);
// With a stop button: WsdmButton button(WSDM_BUTTON_PIN, device); and here button instead of device.
WsdmSerial gateway(Serial, device);

void setup() {
  Serial.begin(115200);
  gateway.begin("TCodeDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
}
