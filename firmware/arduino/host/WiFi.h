// Stand-in for the WiFi library of an ESP32 and an ESP8266, on the host: a client is a TCP socket. The networks that are
// there are those of WSDM_HOST_WIFI, one a line: its name, a tab, its password, a tab, its strength in dBm. Without it
// every network is there, whatever its password.
#pragma once

#include "Client.h"
#include "WString.h"

#define WIFI_STA 1
#define WIFI_SCAN_RUNNING (-1)
#define WIFI_SCAN_FAILED (-2)

enum wl_status_t {
  WL_IDLE_STATUS = 0,
  WL_NO_SSID_AVAIL = 1,
  WL_CONNECTED = 3,
  WL_CONNECT_FAILED = 4,
  WL_CONNECTION_LOST = 5,
#if defined(ARDUINO_ARCH_ESP8266)
  WL_WRONG_PASSWORD = 6,
  WL_DISCONNECTED = 7,
#else
  WL_DISCONNECTED = 6,
#endif
};

#if defined(ARDUINO_ARCH_ESP8266)
#define ENC_TYPE_NONE 7
#define ENC_TYPE_CCMP 4
#else
#define WIFI_AUTH_OPEN 0
#define WIFI_AUTH_WPA2_PSK 3
#endif

#if !defined(ARDUINO_ARCH_ESP8266)
// Why the connection to the access point ended, as the core tells it.
enum arduino_event_id_t { ARDUINO_EVENT_WIFI_STA_DISCONNECTED = 5 };
union arduino_event_info_t {
  struct {
    uint8_t reason;
  } wifi_sta_disconnected;
};
#endif

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
  operator bool() override { return _socket >= 0; }
  // For the checks: whether the connection that was made last has Nagle's algorithm.
  static bool hostHasNagle;
  // Off until it is set, as the real one has it.
  int setNoDelay(bool isOn);

 protected:
  int _socket = -1;
};

class HostWiFi {
 public:
  void persistent(bool) {}
  bool mode(int) { return true; }
  bool setSleep(bool) { return true; }
  wl_status_t begin(const char* ssid, const char* password = nullptr);
  // It takes a moment, as on an ESP32.
  bool disconnect();
  wl_status_t status();
  uint8_t* macAddress(uint8_t* mac);
  int scanNetworks(bool isAsync);
  int scanComplete();
  void scanDelete() { _scan = NO_SCAN; }
  String SSID(int network);
  int RSSI(int network);
  int encryptionType(int network);

#if !defined(ARDUINO_ARCH_ESP8266)
  void onEvent(void (*handler)(arduino_event_id_t, arduino_event_info_t), arduino_event_id_t) { _handler = handler; }
#endif

  // For the checks: what ends it has such a reason of ESP-IDF's, which an ESP8266 does not tell.
  void hostReason(uint8_t reason);
  // For the checks: it is lost for a reason after which the core does not begin again.
  void hostLose(wl_status_t status);
  // How often it was begun, and with which network last.
  int hostBegun = 0;
  String hostSsid;

 private:
  enum Scan { NO_SCAN, SCANNING, FAILED };
#if !defined(ARDUINO_ARCH_ESP8266)
  void (*_handler)(arduino_event_id_t, arduino_event_info_t) = nullptr;
#endif
  wl_status_t _status = WL_DISCONNECTED;
  // What it will be, and when.
  wl_status_t _next = WL_DISCONNECTED;
  uint32_t _since = 0;
  bool _isChanging = false;
  Scan _scan = NO_SCAN;
  uint32_t _scanned = 0;
};
extern HostWiFi WiFi;

class HostEsp {
 public:
  const char* getChipModel() { return "a computer"; }
  uint64_t getEfuseMac();
  // The program begins anew, with its environment and its standard input and output.
  void restart();
  // For the checks: it does not, and how often it would have.
  bool hostStays = false;
  int hostRestarted = 0;
};
extern HostEsp ESP;
