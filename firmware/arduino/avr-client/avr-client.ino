// The websocket device with a Client that leads nowhere: compiled for an Uno to see that it does, and what it needs.
// A real one adds its own, for example that of an Ethernet shield.

#include <WsdmDevice.h>

class Nowhere final : public Client {
 public:
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char*, uint16_t) override { return 0; }
  using Print::write;
  size_t write(uint8_t) override { return 0; }
  size_t write(const uint8_t*, size_t) override { return 0; }
  int available() override { return 0; }
  int read() override { return -1; }
  int read(uint8_t*, size_t) override { return -1; }
  int peek() override { return -1; }
  void flush() override {}
  void stop() override {}
  uint8_t connected() override { return 0; }
  operator bool() override { return false; }
};

Nowhere client;
WsdmPwm motor(9);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
WsdmWebsocket gateway(client, vibrator);

void report(WsdmReport what, uint16_t code, const char* reason) {
  wsdmPrintReport(Serial, what, code, reason);
}

void setup() {
  Serial.begin(115200);
  gateway.onReport(report);
  gateway.begin("192.168.1.20", 54817, "LVSDevice", "uno");
}

void loop() {
  wsdmWatchdog(gateway.isConnected());
  gateway.loop();
}
