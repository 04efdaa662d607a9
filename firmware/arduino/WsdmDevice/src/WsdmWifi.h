// A device on Wi-Fi that a person sets up without a compiler: on an ESP32 of any kind, or an ESP8266.
//
//   serial port --> WsdmImprov (a web page), WsdmConsole (a person) --> WsdmSettings <--> WsdmStore (flash)
//   Wi-Fi --> WsdmSearch (where the gateway is) --> WsdmWebsocket --> protocol --> outputs
//   Wi-Fi --> WsdmOta (a new sketch, if a password for that is set)
//
// Outputs are off while anything is done that takes its time: joining a network, scanning, searching, saving,
// an update.

#ifndef WSDM_WIFI_H
#define WSDM_WIFI_H

#include "WsdmDevice.h"
#include "WsdmSettings.h"

#ifndef WSDM_HAS_SETTINGS
#error "WsdmWifi.h is for ESP32 and ESP8266. With another network, use WsdmWebsocket and its Client."
#else

#include "WsdmConnection.h"
#include "WsdmConsole.h"
#include "WsdmImprov.h"
#include "WsdmOta.h"
#include "WsdmSearch.h"
#include "WsdmTrouble.h"

// A build may bring settings with it, any of them: what is saved on the board counts instead. The names are those of
// many sketches, so each can be set alone.
#ifndef WIFI_SSID
#define WIFI_SSID ""
#endif
#ifndef WIFI_PASSWORD
#define WIFI_PASSWORD ""
#endif
#ifndef GATEWAY_HOST
#define GATEWAY_HOST ""  // to be looked up on the network
#endif
#ifndef GATEWAY_PORT
#define GATEWAY_PORT WSDM_GATEWAY_PORT
#endif
#ifndef GATEWAY_TOKEN
#define GATEWAY_TOKEN nullptr
#endif
#ifndef GATEWAY_FINGERPRINT
#define GATEWAY_FINGERPRINT nullptr
#elif !defined(WSDM_HAS_TLS)
#error "An ESP8266 has no TLS for a GATEWAY_FINGERPRINT: build without it, and the gateway has to have tls = \"also\"."
#endif

// The chip's own MAC address, in lower-case hexadecimal without colons: which device this is. Filled in by
// WsdmWifi::begin().
extern char wsdmMacText[13];

class WsdmWifi final {
 public:
  // `identifier` says what the device is unless it is set on the board, as the gateway's UDCF names it; kept by reference.
  // `port` is where a person or a web page sets the board up, such as Serial.
  WsdmWifi(WsdmProtocol& protocol, const char* identifier, Stream& port,
           const WsdmBuiltIn& builtIn = {WIFI_SSID, WIFI_PASSWORD, GATEWAY_HOST, static_cast<uint16_t>(GATEWAY_PORT),
                                         GATEWAY_TOKEN, GATEWAY_FINGERPRINT});

  // Sets the outputs up, takes the settings, and starts the radio.
  void begin();
  // To be called as often as possible.
  void loop();
  // Called besides the line that the serial port gets.
  void onReport(WsdmReportHandler handler) { _handler = handler; }
  bool isConnected() const { return _gateway.isConnected(); }

 private:
  // What is being done with the radio beside being connected.
  enum Task : uint8_t { NOTHING, SCAN, LEAVE, JOIN };

  void secure();
  void limitOutputs();
  void readPort(uint32_t now);
  void improv(WsdmImprov::Taken taken);
  void command();
  bool given();
  void obey(WsdmAction action);
  void finish();
  void join(const char* ssid, const char* password, uint32_t now);
  void joinGiven(uint32_t now);
  void take(WsdmSettings& settings);
  void joined();
  void notJoined(uint32_t now);
  void scan(uint32_t now);
  void tellNetworks(int count);
  void doTask(uint32_t now);
  void keepNetwork(uint32_t now);
  void search(uint32_t now);
  void listen();
  void restart();
  void tellState();
  void tellInformation();
  const char* identifier() const;
  const char* address() const;
  static void report(WsdmReport report, uint16_t code, const char* reason);

  WsdmProtocol& _protocol;
  const char* _identifier;
  Stream& _port;
  WsdmBuiltIn _builtIn;
  WsdmConnection _client;
  WsdmWebsocket _gateway;
  // Those that it works with, and those that are being changed.
  WsdmSettings _running, _draft;
  WsdmConsole _console;
  WsdmImprov _improv;
  WsdmSearch _search;
  WsdmOta _ota;
  WsdmReportHandler _handler = nullptr;

  // What was asked for and waits until everything stands still.
  WsdmAction _pending = WsdmAction::NOTHING;
  Task _task = NOTHING;
  // Since when it does that; and since when it has had no network, or tried to join one last.
  uint32_t _since = 0, _without = 0;
  bool _isUp = false;
  WsdmTroubles _troubles;
  // The stop button holds everything, and that is said.
  bool _isHeld = false;
  bool _isRestarting = false;
  // Those that were saved, or one that was built in, cannot be used: nothing is obeyed before somebody has set the board up.
  // A gateway, limits or a fingerprint may be missing.
  bool _isUnset = false;
  // Where the gateway is, or was when it was looked up.
  char _host[WSDM_VALUE_MAX + 1];
  uint16_t _hostPort = 0;
  // What Improv gave, until it is known to be good.
  char _ssid[32 + 1];
  char _password[63 + 1];
};

#endif

#endif
