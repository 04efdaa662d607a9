// A vibrator on an Arduino Uno or Nano (ATmega328P), on its USB cable. Apps see a Lovense Hush.
//
// Install the library WsdmDevice first: Sketch > Include Library > Add .ZIP Library, with the folder
// firmware/arduino/WsdmDevice zipped. Then choose the board and its port, and upload.
//
// Motor: from the supply's plus through the motor to the drain of a logic-level MOSFET (IRLZ44N), its source to ground,
// its gate by 220 ohm to pin 9 and by 10 kohm to ground; a diode (1N4001) across the motor, its ring towards plus. A
// motor on the board's own pins ends the board.

#include <WsdmDevice.h>

#define MOTOR_PIN 9
// The weakest duty, of 255, at which your motor still turns.
#define MOTOR_LEAST 0

WsdmPwm motor(MOTOR_PIN, MOTOR_LEAST);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
// With a stop button from pin 12 to ground: WsdmButton button(12, vibrator); and here button instead of vibrator.
WsdmSerial gateway(Serial, vibrator);

void setup() {
  Serial.begin(115200);
  gateway.begin("LVSDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
}
