// A stroking machine on its USB cable: a stepper on a linear rail, with a driver for step and direction, and a limit switch.
// It speaks TCode v0.3. WsdmPins.h has the pins; on an Uno or a Nano they are those of a CNC shield's X axis.
//
// Before anything else: a switch in the motor's supply that you can reach. This machine is as strong as its motor, whatever
// the firmware does. Measure the travel with the motor switched off, and begin with a low speed.
//
// The first command moves it slowly to the limit switch, and nothing else; from then on it follows. What it does until then
// and what it does wrong, the board's LED says: it blinks slowly before homing, is steady after it, and flickers if homing
// failed: then restart the board once the switch and its wires are right.

#include <WsdmDevice.h>

// The motor is held while ENABLE_PIN is low. From LIMIT_PIN a switch leads to ground, and closes at the home end.
#define STEP_PIN WSDM_STEP_PIN
#define DIRECTION_PIN WSDM_DIRECTION_PIN
#define ENABLE_PIN WSDM_ENABLE_PIN
#define LIMIT_PIN WSDM_LIMIT_PIN
// The way between both ends, in steps, less some millimetres: 200 mm at 20 steps each.
#define TRAVEL 4000

WsdmStepper stepper(STEP_PIN, DIRECTION_PIN, TRAVEL);
WsdmAxis axes[] = {
    // Its whole travel, and never faster than one and a half of it a second.
    WsdmAxis("L0", stepper, 0, WSDM_FULL, 150),
};
WsdmTcode device(axes);
// With a stop button: WsdmButton button(WSDM_BUTTON_PIN, device); and here button instead of device.
WsdmSerial gateway(Serial, device);

void setup() {
  // 6,000 steps a second, reached within an eighth of a second.
  stepper.limits(6000, 48000);
  stepper.enable(ENABLE_PIN, LOW);
  stepper.limitSwitch(LIMIT_PIN, LOW);
  // 400 steps a second, half a minute at most, and a home that is 2 mm away from the switch.
  stepper.homing(400, 30000, 40);
#ifdef LED_BUILTIN
  pinMode(LED_BUILTIN, OUTPUT);
#endif
  Serial.begin(115200);
  gateway.begin("TCodeDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
#ifdef LED_BUILTIN
  const unsigned long now = millis();
  digitalWrite(LED_BUILTIN, stepper.fault() != WsdmFaultReason::NONE ? now / 50 % 2 : stepper.isHomed() || now / 500 % 2);
#endif
}
