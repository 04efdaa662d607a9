// A stroker on an Arduino Uno or Nano (ATmega328P), on its USB cable: a servo for the stroke, one for the twist, and
// a motor for vibration. It speaks TCode v0.3.
//
// Install the library WsdmDevice first: Sketch > Include Library > Add .ZIP Library, with the folder
// firmware/arduino/WsdmDevice zipped. Then choose the board and its port, and upload.
//
// Servos: signal to pins 9 and 10, a supply of their own (5 to 6 V, an ampere each and more), its ground joined to the
// board's. A servo gets no pulse before its first command; then nobody knows where it stands: it goes to its middle at
// its own speed, and on from there softly. Keep clear of it.
// Motor: as in lovense.ino, on pin 3.

#include <WsdmDevice.h>

// Pulses of 1000 to 2000 microseconds; see WsdmServo for more.
WsdmServo stroke(9);
WsdmServo twist(10);
WsdmPwm motor(3);
WsdmAxis axes[] = {
    // Name, output, the ends of its way in parts of 10,000, and its highest speed in hundredths of the way a second.
    WsdmAxis("L0", stroke, 1000, 9000, 300),
    WsdmAxis("R0", twist, 0, WSDM_FULL, 300),
    WsdmAxis("V0", motor),
};
WsdmTcode device(axes);
// With a stop button from pin 12 to ground: WsdmButton button(12, device); and here button instead of device.
WsdmSerial gateway(Serial, device);

void setup() {
  Serial.begin(115200);
  gateway.begin("TCodeDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
}
