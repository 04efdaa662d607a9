// A vibrator on an ESP32 (classic, S2, S3, C3, C6), over Wi-Fi. Apps see a Lovense Hush.
//
// Motor driver or transistor on MOTOR_PIN, a diode across the motor, and a supply of its own for it.

#include <WiFi.h>
#include <WsdmDevice.h>

// Yours. A build may set them too.
#ifndef WIFI_SSID
#define WIFI_SSID "my network"
#define WIFI_PASSWORD "its password"
#endif
#ifndef GATEWAY_HOST
#define GATEWAY_HOST "192.168.1.20"  // run it with --device-listen 0.0.0.0:54817
#define GATEWAY_PORT 54817
#define GATEWAY_TOKEN nullptr  // or "...", as its configuration says
#endif
#ifndef IDENTIFIER
#define IDENTIFIER "LVSDevice"
#endif
// By chip; see WsdmPins.h, or put a number here.
#define MOTOR_PIN WSDM_MOTOR_PIN

WiFiClient client;
WsdmPwm motor(MOTOR_PIN);
WsdmOutput* const motors[] = {&motor};
// Filled in before it is read.
char address[13] = "";
WsdmLovense vibrator(motors, 'Z', address);
WsdmWebsocket gateway(client, vibrator);

void report(WsdmReport what, uint16_t code, const char* reason) {
  wsdmPrintReport(Serial, what, code, reason);
}

void setup() {
  // First of all, so that the outputs are off while the radio starts; it connects in loop().
  gateway.onReport(report);
  gateway.begin(GATEWAY_HOST, GATEWAY_PORT, IDENTIFIER, address, GATEWAY_TOKEN);
  Serial.begin(115200);
  WiFi.mode(WIFI_STA);
  // Dozing between beacons costs up to 300 ms a command.
  WiFi.setSleep(false);
  WiFi.begin(WIFI_SSID, WIFI_PASSWORD);
  uint8_t mac[6];
  WiFi.macAddress(mac);
  snprintf(address, sizeof(address), "%02X%02X%02X%02X%02X%02X", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void loop() {
  // Outputs are on only then; to look a name up may take longer than the watchdog waits.
  wsdmWatchdog(gateway.isConnected());
  gateway.loop();
}
