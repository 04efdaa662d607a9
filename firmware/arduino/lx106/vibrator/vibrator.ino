// A vibrator on an ESP8266, over Wi-Fi: the least that makes a device of one, for the tests.

#include <ESP8266WiFi.h>
#include <WsdmDevice.h>

WiFiClient client;
WsdmPwm motor(4);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
WsdmWebsocket gateway(client, vibrator);

void report(WsdmReport what, uint16_t code, const char* reason) {
  wsdmPrintReport(Serial, what, code, reason);
}

void setup() {
  gateway.onReport(report);
  gateway.begin("192.168.1.20", 54817, "LVSDevice", "esp8266");
  Serial.begin(115200);
  WiFi.mode(WIFI_STA);
  WiFi.begin("my network", "its password");
}

void loop() {
  wsdmWatchdog(gateway.isConnected());
  gateway.loop();
}
