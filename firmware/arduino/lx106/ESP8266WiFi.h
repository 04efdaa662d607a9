// Stand-in for the ESP8266's WiFi library, in QEMU's simulator: every network is there, whatever its password. A client
// is a pair of pipes, whose other ends lead to the gateway.
#pragma once

#include <Arduino.h>

#include "Client.h"
#include "WString.h"

enum WiFiMode_t { WIFI_OFF = 0, WIFI_STA = 1 };
enum wl_status_t {
  WL_IDLE_STATUS = 0,
  WL_NO_SSID_AVAIL = 1,
  WL_CONNECTED = 3,
  WL_CONNECT_FAILED = 4,
  WL_CONNECTION_LOST = 5,
  WL_WRONG_PASSWORD = 6,
  WL_DISCONNECTED = 7,
};
enum wl_enc_type { ENC_TYPE_CCMP = 4, ENC_TYPE_NONE = 7 };
#define WIFI_SCAN_RUNNING (-1)
#define WIFI_SCAN_FAILED (-2)

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
  void persistent(bool) {}
  bool mode(WiFiMode_t) { return true; }
  bool setSleep(bool) { return true; }
  wl_status_t begin(const char*, const char* = nullptr) { return _status = WL_CONNECTED; }
  bool disconnect() {
    _status = WL_DISCONNECTED;
    return true;
  }
  wl_status_t status() { return _status; }
  uint8_t* macAddress(uint8_t* mac);
  // None is seen.
  int8_t scanNetworks(bool) { return 0; }
  int8_t scanComplete() { return 0; }
  void scanDelete() {}
  String SSID(uint8_t) { return String(); }
  int32_t RSSI(uint8_t) { return 0; }
  uint8_t encryptionType(uint8_t) { return ENC_TYPE_CCMP; }

 private:
  wl_status_t _status = WL_DISCONNECTED;
};
extern ESP8266WiFiClass WiFi;

class EspClass {
 public:
  // Ends the program: memory is as an image has it only once.
  void restart();
};
extern EspClass ESP;
