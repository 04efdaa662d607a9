// Stand-in for the ESP8266's WiFi library, in QEMU's simulator: always joined to a network. A client is a pair of
// pipes, whose other ends lead to the gateway.
#pragma once

#include <Arduino.h>

#include "Client.h"

enum WiFiMode_t { WIFI_OFF = 0, WIFI_STA = 1 };
enum wl_status_t { WL_IDLE_STATUS = 0, WL_CONNECTED = 3 };

class WiFiClient : public Client {
 public:
  ~WiFiClient() { WiFiClient::stop(); }
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
  operator bool() override { return _up >= 0; }
  void setNoDelay(bool) {}

 private:
  // Fetches what has come, if nothing of it is left.
  void fetch();

  int _up = -1, _down = -1;
  bool _ended = false;
  uint8_t _bytes[128];
  size_t _next = 0, _end = 0;
};

class ESP8266WiFiClass {
 public:
  bool mode(WiFiMode_t) { return true; }
  bool setSleep(bool) { return true; }
  wl_status_t begin(const char*, const char* = nullptr) { return WL_CONNECTED; }
  wl_status_t status() { return WL_CONNECTED; }
  uint8_t* macAddress(uint8_t* mac);
};
extern ESP8266WiFiClass WiFi;
