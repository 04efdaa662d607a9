// A vibrator on an ESP32 (classic, S2, S3, C3, C6) or an ESP8266, over Wi-Fi. Apps see a Lovense Hush.
//
// There is nothing to fill in. After the upload, give the board its Wi-Fi: from a web page that speaks Improv, or in the
// serial monitor at 115,200 baud, where "help" lists the words. It finds the gateway by itself.
//
// Motor driver or transistor on MOTOR_PIN, a diode across the motor, and a supply of its own for it.

#include <WsdmWifi.h>

#ifndef IDENTIFIER
#define IDENTIFIER "LVSDevice"
#endif
// By chip; see WsdmPins.h, or put numbers here.
#define MOTOR_PIN WSDM_MOTOR_PIN
#define BUTTON_PIN WSDM_BUTTON_PIN

WsdmPwm motor(MOTOR_PIN);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors, 'Z', wsdmMacText);
// BOOT or FLASH on the board: pressed, it stops everything, until the app has stopped too.
WsdmButton button(BUTTON_PIN, vibrator);
WsdmWifi gateway(button, IDENTIFIER, Serial);

void setup() {
  Serial.begin(115200);
  gateway.begin();
}

void loop() {
  gateway.loop();
}
