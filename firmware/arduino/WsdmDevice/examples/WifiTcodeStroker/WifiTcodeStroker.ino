// A stroker on an ESP32 (classic, S2, S3, C3, C6) or an ESP8266, over Wi-Fi: a servo for the stroke, a motor for
// vibration. It speaks TCode v0.3.
//
// There is nothing to fill in. After the upload, give the board its Wi-Fi: from a web page that speaks Improv, or in the
// serial monitor at 115,200 baud, where "help" lists the words. It finds the gateway by itself.
//
// The servo has a supply of its own, with its ground joined to the board's. It gets no pulse before the first command;
// then nobody knows where it stands: it goes to its middle at its own speed, and on from there softly. Keep clear of it.

#include <WsdmWifi.h>

#ifndef IDENTIFIER
#define IDENTIFIER "TCodeDevice"
#endif
// By chip; see WsdmPins.h, or put numbers here.
#define SERVO_PIN WSDM_SERVO_PIN
#define MOTOR_PIN WSDM_MOTOR_PIN
#define BUTTON_PIN WSDM_BUTTON_PIN

WsdmServo servo(SERVO_PIN);
WsdmPwm motor(MOTOR_PIN);
WsdmAxis axes[] = {
    // Not the last tenth at either end, and never faster than three strokes' length a second.
    WsdmAxis("L0", servo, 1000, 9000, 300),
    WsdmAxis("V0", motor),
};
WsdmTcode stroker(axes);
// BOOT or FLASH on the board: pressed, it stops everything, until the app has stopped too.
WsdmButton button(BUTTON_PIN, stroker);
WsdmWifi gateway(button, IDENTIFIER, Serial);

void setup() {
  Serial.begin(115200);
  gateway.begin();
}

void loop() {
  gateway.loop();
}
