// A vibrator with two motors on a board with a serial or USB port. Apps see a Lovense Edge, and its battery.
//
// Transistors on the motors' pins, a diode across each motor; the battery's voltage, halved by two resistors of 100 kohm,
// on BATTERY_PIN. Which pins these are by themselves depends on the chip: see WsdmPins.h, or put numbers here.
//
// A board whose chip has USB itself (ESP32-S2, S3, C3, C6) wants "USB CDC On Boot" enabled in the IDE's menu "Tools".

#include <WsdmDevice.h>

#define MOTOR_1_PIN WSDM_MOTOR_PIN
#define MOTOR_2_PIN WSDM_MOTOR_2_PIN
#define BATTERY_PIN WSDM_BATTERY_PIN
// Of a lithium cell, in millivolts.
#define BATTERY_EMPTY 3300
#define BATTERY_FULL 4200

WsdmPwm motor1(MOTOR_1_PIN);
WsdmPwm motor2(MOTOR_2_PIN);
WsdmOutput* const motors[] = {&motor1, &motor2};
WsdmLovense vibrator(motors, 'P');
// With a stop button: WsdmButton button(WSDM_BUTTON_PIN, vibrator); and here button instead of vibrator.
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
    vibrator.battery(wsdmBatteryPercent(2 * wsdmMillivolts(BATTERY_PIN), BATTERY_EMPTY, BATTERY_FULL));
  }
  gateway.loop();
}
