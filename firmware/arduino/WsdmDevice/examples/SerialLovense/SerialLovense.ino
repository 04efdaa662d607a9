// A vibrator with two motors on any board with a serial or USB port. Apps see a Lovense Edge, and its battery.
//
// Transistors on the motors' pins, a diode across each motor; the battery's voltage, halved, on BATTERY_PIN.

#include <WsdmDevice.h>

#define MOTOR_1_PIN 9
#define MOTOR_2_PIN 10
#define BATTERY_PIN A0
// What analogRead says for an empty battery and for a full one: 3.3 V and 4.2 V, halved, of 5 V in 1024 steps.
#define BATTERY_EMPTY 338
#define BATTERY_FULL 430

WsdmPwm motor1(MOTOR_1_PIN);
WsdmPwm motor2(MOTOR_2_PIN);
WsdmOutput* const motors[] = {&motor1, &motor2};
WsdmLovense vibrator(motors, 'P');
WsdmSerial gateway(Serial, vibrator);

void setup() {
  Serial.begin(115200);
  gateway.begin("LVSDevice");
}

void loop() {
  wsdmWatchdog(true);
  static unsigned long measured = 0;
  if (millis() - measured >= 1000) {
    measured = millis();
    const int level = constrain(analogRead(BATTERY_PIN), BATTERY_EMPTY, BATTERY_FULL);
    vibrator.battery((level - BATTERY_EMPTY) * 100L / (BATTERY_FULL - BATTERY_EMPTY));
  }
  gateway.loop();
}
