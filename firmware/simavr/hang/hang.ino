// A vibrator with a fault: half a second after its motor was switched on it hangs. For the test of the chip's watchdog.

#include <WsdmDevice.h>

WsdmPwm motor(9);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
WsdmSerial gateway(Serial, vibrator);

void setup() {
  Serial.begin(115200);
  gateway.begin("LVSDevice");
  // As setups do that have something to wait for.
  delay(100);
}

void loop() {
  wsdmWatchdog(true);
  gateway.loop();
  static uint32_t since = 0;
  if (!vibrator.isOn()) {
    since = millis();
  } else if (millis() - since > 500) {
    for (;;) {
    }
  }
}
