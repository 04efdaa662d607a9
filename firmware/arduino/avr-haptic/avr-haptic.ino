// A vibrator whose motor is behind a haptic driver on I2C: compiled for an Uno to see that it does, and what it needs.

#include <Wire.h>

#include <WsdmDevice.h>
#include <WsdmDrv2605.h>

WsdmDrv2605 motor(Wire);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
WsdmSerial gateway(Serial, vibrator);

void setup() {
  Serial.begin(115200);
  Wire.begin();
  gateway.begin("LVSDevice");
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
}
