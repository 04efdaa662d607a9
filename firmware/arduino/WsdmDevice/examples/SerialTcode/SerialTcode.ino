// A TCode device with an output of your own making, on any board with a serial or USB port: a valve that is open or
// closed, and a motor.

#include <WsdmDevice.h>

#define VALVE_PIN 7
#define MOTOR_PIN 9

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
WsdmSerial gateway(Serial, device);

void setup() {
  Serial.begin(115200);
  gateway.begin("TCodeDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
}
