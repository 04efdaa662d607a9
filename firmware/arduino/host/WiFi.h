// Stand-in for the ESP32's WiFi library, on the host: always connected, a client is a TCP socket.
#pragma once

#include "Client.h"

#define WIFI_STA 1
#define WL_CONNECTED 3

class WiFiClient : public Client {
 public:
  ~WiFiClient() { stop(); }
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char* host, uint16_t port) override;
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override;
  int available() override;
  int read() override;
  int read(uint8_t* bytes, size_t size) override;
  int peek() override;
  void flush() override {}
  void stop() override;
  uint8_t connected() override;
  operator bool() override { return _socket >= 0; }

 private:
  int _socket = -1;
};

class HostWiFi {
 public:
  void mode(int) {}
  void setSleep(bool) {}
  void begin(const char*, const char*) {}
  int status() { return WL_CONNECTED; }
  uint8_t* macAddress(uint8_t* mac);
};
extern HostWiFi WiFi;
