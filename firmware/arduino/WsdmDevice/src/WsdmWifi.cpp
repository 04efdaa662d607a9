// Others have no Wi-Fi that is known here.
#if defined(ARDUINO_ARCH_ESP32) || defined(ARDUINO_ARCH_ESP8266)

#include "WsdmWifi.h"

#include <string.h>

#include "WsdmOutputLimits.h"
#include "WsdmReset.h"
#include "WsdmStore.h"

// As the firmware in Rust calls itself.
#define NAME "wsdm-device"
#define VERSION "0.1.0"

// A connection to the network that came to nothing is begun anew, whatever the core believes of it.
static const uint16_t JOIN_AGAIN_MS = 30000;
// How long a network that Improv gives may take, and how long one that says no may change its mind.
static const uint16_t JOIN_MS = 20000;
static const uint16_t JOIN_REFUSED_MS = 5000;

char wsdmMacText[13] = "";

// A report has no room for who it is of, and a chip has one Wi-Fi.
static WsdmWifi* theOne = nullptr;

static const char* chip() {
#if defined(ARDUINO_ARCH_ESP8266)
  return "ESP8266";
#else
  return ESP.getChipModel();
#endif
}

static void findMac() {
  uint8_t mac[6];
#if defined(ARDUINO_ARCH_ESP8266)
  WiFi.macAddress(mac);
#else
  // WiFi.macAddress is all zeros before the interface is up, in some versions of the core.
  const uint64_t bytes = ESP.getEfuseMac();
  memcpy(mac, &bytes, sizeof(mac));
#endif
  for (uint8_t i = 0; i < sizeof(mac); i++) {
    static const char DIGITS[] = "0123456789abcdef";
    wsdmMacText[2 * i] = DIGITS[mac[i] >> 4];
    wsdmMacText[2 * i + 1] = DIGITS[mac[i] & 15];
  }
}

static bool isOnNetwork() { return WiFi.status() == WL_CONNECTED; }

// The network has said no, or is not there.
static bool isRefused() {
  const int status = WiFi.status();
#if defined(ARDUINO_ARCH_ESP8266)
  if (status == WL_WRONG_PASSWORD) return true;
#endif
  return status == WL_NO_SSID_AVAIL || status == WL_CONNECT_FAILED;
}

static bool isOpen(int network) {
#if defined(ARDUINO_ARCH_ESP8266)
  return WiFi.encryptionType(network) == ENC_TYPE_NONE;
#else
  return WiFi.encryptionType(network) == WIFI_AUTH_OPEN;
#endif
}

WsdmWifi::WsdmWifi(WsdmProtocol& protocol, const char* identifier, Stream& port, const WsdmBuiltIn& builtIn)
    : _protocol(protocol),
      _identifier(identifier),
      _port(port),
      _builtIn(builtIn),
      _gateway(_client, protocol),
      _console(port, _draft, _builtIn, identifier, wsdmMacText),
      _improv(port),
      _ota(_gateway, protocol, port) {}

const char* WsdmWifi::identifier() const {
  const char* const set = _running.get(WsdmKey::Identifier);
  return *set ? set : _identifier;
}

const char* WsdmWifi::address() const {
  const char* const set = _running.get(WsdmKey::Address);
  return *set ? set : wsdmMacText;
}

void WsdmWifi::begin() {
  theOne = this;
  _gateway.onReport(report);
  // First of all, so that outputs are off while everything else takes its time.
  _gateway.begin(nullptr, 0, "", "");
  _gateway.network(false);
  findMac();
  _port.print(F("\r\n" NAME " " VERSION " on "));
  _port.println(chip());
  if (const __FlashStringHelper* const reset = wsdmResetReason()) {
    _port.print(F("started by "));
    _port.println(reset);
  }
  const bool isComplete = _running.takeBuiltIn(_builtIn, _port);
  switch (wsdmLoad(_running)) {
    case WsdmLoaded::SAVED:
      _port.println(F("settings: as saved"));
      break;
    case WsdmLoaded::NOTHING:
      _port.println(F("settings: as built in, none are saved"));
      if (isComplete) break;
      _port.println(F("no network is joined until settings are saved: set what is left out, save, restart"));
      _isUnset = true;
      break;
    case WsdmLoaded::DAMAGED:
      _port.println(F("settings: those that were saved are damaged, and limits may have been among them. No network is joined: "
                      "set all that you want, save, restart"));
      _isUnset = true;
      break;
  }
  _draft = _running;
  if (_isUnset) _running.set(WsdmKey::Ssid, "");
  const char* const token = _running.get(WsdmKey::Token);
  _gateway.identity(identifier(), address(), *token ? token : nullptr);
  _gateway.watchdog(_running.silenceMs());
  secure();
  limitOutputs();
  if (!_running.isLookedUp()) {
    _running.gateway(_host, _hostPort);
    _gateway.server(_host, _hostPort, _running.path());
  }
  // What joins a network is here, not where the core keeps it.
  WiFi.persistent(false);
  WiFi.mode(WIFI_STA);
  // Dozing between beacons costs up to 300 ms a command.
  WiFi.setSleep(false);
  _troubles.begin();
  if (*_running.get(WsdmKey::Ssid)) {
    join(_running.get(WsdmKey::Ssid), _running.get(WsdmKey::Password), millis());
  } else if (!_isUnset) {
    _port.println(F("no network is set: set ssid NAME, set password WORDS, save, restart; or use Improv"));
  }
}

void WsdmWifi::secure() {
#if defined(WSDM_HAS_TLS)
  _gateway.onFailure([] { return theOne->_client.fault(); });
  if (_client.expect(_running.get(WsdmKey::Fingerprint), _running.isTls())) _gateway.overhead(WSDM_TLS_OVERHEAD);
#endif
}

void WsdmWifi::limitOutputs() {
  WsdmOutputLimit limits[WSDM_OUTPUT_LIMITS];
  uint8_t count;
  // What cannot be read cannot have been set.
  if (wsdmParseLimits(_running.get(WsdmKey::Limits), limits, count)) return;
  for (uint8_t i = 0; i < count; i++) {
    if (_protocol.limit(limits[i].letter, limits[i].digit, limits[i].from(), limits[i].to())) continue;
    _port.print(F("a limit limits nothing: this device has no "));
    _port.print(limits[i].letter);
    _port.println(limits[i].digit);
  }
}

void WsdmWifi::loop() {
  // Some chips take a moment.
  if (_isRestarting) return;
  const uint32_t now = millis();
  finish();
  doTask(now);
  keepNetwork(now);
  if (_running.isLookedUp()) search(now);
  // Outputs are on only then; to look a name up, or a handshake after that, may take longer than the watchdog waits.
  wsdmWatchdog(_gateway.isConnected());
  _gateway.loop();
  if (_isUp && _ota.loop()) return restart();
  // Last: an answer takes its time, and begins what the next loop goes on with.
  // What is typed behind a save waits for it.
  if (_pending == WsdmAction::NOTHING) readPort(millis());
  if (_protocol.isHeld() == _isHeld) return;
  _isHeld = !_isHeld;
  _port.println(_isHeld ? F("stopped by the button, until the app has stopped too") : F("the button's stop is over"));
}

void WsdmWifi::report(WsdmReport report, uint16_t code, const char* reason) {
  wsdmPrintReport(theOne->_port, report, code, reason);
  // The next connection may lead elsewhere.
  const bool isEnd = report == WsdmReport::CLOSED || report == WsdmReport::LOST;
  if (isEnd && theOne->_running.isLookedUp()) theOne->_gateway.server(nullptr, 0);
  if (report == WsdmReport::CONNECTED && theOne->_ota.reached()) theOne->listen();
  if (theOne->_handler) theOne->_handler(report, code, reason);
}

// The serial port.

void WsdmWifi::readPort(uint32_t now) {
  // Not for ever: somebody who types without an end must not keep the outputs from being stopped. Nor must answers: at
  // 115,200 baud the longest takes 50 ms.
  bool isAnswered = false;
  for (uint8_t i = 0; i < 64 && !isAnswered && _port.available() > 0; i++) {
    const uint8_t byte = _port.read();
    const WsdmImprov::Taken taken = _improv.take(byte, now);
    improv(taken);
    const bool isLine = taken == WsdmImprov::TEXT && (byte == '\r' || byte == '\n');
    isAnswered = isLine || taken == WsdmImprov::COMMAND || taken == WsdmImprov::BROKEN;
  }
  improv(_improv.tick(now));
}

void WsdmWifi::improv(WsdmImprov::Taken taken) {
  if (taken == WsdmImprov::COMMAND) command();
  if (taken != WsdmImprov::TEXT) return;
  for (uint8_t i = 0; i < _improv.textLength(); i++) obey(_console.type(_improv.text()[i]));
}

void WsdmWifi::obey(WsdmAction action) {
  if (action == WsdmAction::NOTHING) return;
  const __FlashStringHelper* const wrong = action == WsdmAction::SAVE ? _draft.check() : nullptr;
  if (wrong) {
    _port.print(F("not saved: "));
    _port.println(wrong);
    return;
  }
  _gateway.disconnect(action == WsdmAction::SAVE ? "settings are saved" : "a restart");
  _pending = action;
}

// A stepper that slows down while the flash is written, or the board begins anew, loses steps: then it no longer stands
// where it believes to.
void WsdmWifi::finish() {
  if (_pending == WsdmAction::NOTHING || !_protocol.isAtRest()) return;
  const WsdmAction action = _pending;
  _pending = WsdmAction::NOTHING;
  if (action == WsdmAction::RESTART) {
    _port.println(F("restarting"));
    return restart();
  }
  if (wsdmSave(_draft)) {
    _console.saved();
    _port.println(F("saved; restart uses it"));
  } else {
    _port.println(F("not saved: the flash cannot be written"));
  }
}

void WsdmWifi::restart() {
  _isRestarting = true;
  _port.flush();
  ESP.restart();
}

void WsdmWifi::command() {
  switch (_improv.command()) {
    case WsdmImprov::WIFI:
      // It would save a network without what is missing.
      if (_isUnset) return _improv.error(WsdmImprov::UNABLE_TO_CONNECT);
      if (!given()) return _improv.error(WsdmImprov::INVALID);
      _improv.error(WsdmImprov::NONE);
      return joinGiven(millis());
    case WsdmImprov::STATE:
      _improv.error(WsdmImprov::NONE);
      tellState();
      // Nothing on the board is a web page.
      if (_isUp) _improv.result(WsdmImprov::STATE, nullptr, 0);
      return;
    case WsdmImprov::INFO:
      _improv.error(WsdmImprov::NONE);
      return tellInformation();
    case WsdmImprov::NETWORKS:
      _improv.error(WsdmImprov::NONE);
      return scan(millis());
    case WsdmImprov::NETWORK_STATE: {
      // Bit 0: it is online. Bit 1: it has Wi-Fi.
      const char* const flags = _isUp ? "3" : "2";
      _improv.error(WsdmImprov::NONE);
      return _improv.result(WsdmImprov::NETWORK_STATE, &flags, 1);
    }
    default:
      _improv.error(WsdmImprov::UNKNOWN_COMMAND);
  }
}

// Takes the network that Improv gives, if it can be set. One that cannot changes nothing about one that is being joined.
bool WsdmWifi::given() {
  char ssid[sizeof(_ssid)], password[sizeof(_password)];
  if (!_improv.wifi(ssid, password)) return false;
  WsdmSettings tried;
  if (tried.set(WsdmKey::Ssid, ssid) || tried.set(WsdmKey::Password, password)) return false;
  strcpy(_ssid, ssid);
  strcpy(_password, password);
  return true;
}

void WsdmWifi::tellState() {
  const bool isJoining = _task == LEAVE || _task == JOIN;
  _improv.state(isJoining ? WsdmImprov::PROVISIONING : _isUp ? WsdmImprov::PROVISIONED : WsdmImprov::READY);
}

void WsdmWifi::tellInformation() {
  char name[64 + 1 + 64 + 1];
  strcpy(name, identifier());
  strcat(name, " ");
  strcat(name, address());
  const char* const texts[] = {NAME, VERSION, chip(), name};
  _improv.result(WsdmImprov::INFO, texts, 4);
}

// The network.

void WsdmWifi::join(const char* ssid, const char* password, uint32_t now) {
  _without = now;
  _troubles.forget();
  WiFi.begin(ssid, *password ? password : nullptr);
}

// Tries what Improv gave. The old network is left first, so that it is not taken for the new one.
void WsdmWifi::joinGiven(uint32_t now) {
  _gateway.disconnect("another network is tried");
  if (_task == SCAN) WiFi.scanDelete();
  _task = LEAVE;
  _since = now;
  WiFi.disconnect();
  tellState();
}

void WsdmWifi::doTask(uint32_t now) {
  switch (_task) {
    case NOTHING:
      return;
    case SCAN: {
      const int count = WiFi.scanComplete();
      if (count == WIFI_SCAN_RUNNING) return;
      _task = NOTHING;
      tellNetworks(count);
      WiFi.scanDelete();
      if (!isOnNetwork() && *_running.get(WsdmKey::Ssid)) {
        join(_running.get(WsdmKey::Ssid), _running.get(WsdmKey::Password), now);
      }
      return;
    }
    case LEAVE:
      if (isOnNetwork() && now - _since < 1000) return;
      _task = JOIN;
      _since = now;
      return join(_ssid, _password, now);
    case JOIN:
      if (isOnNetwork()) {
        // To save it waits as well.
        if (_protocol.isAtRest()) joined();
        return;
      }
      if (now - _since >= JOIN_MS || (isRefused() && now - _since >= JOIN_REFUSED_MS)) notJoined(now);
  }
}

void WsdmWifi::take(WsdmSettings& settings) {
  settings.set(WsdmKey::Ssid, _ssid);
  settings.set(WsdmKey::Password, _password);
}

void WsdmWifi::joined() {
  _task = NOTHING;
  take(_running);
  take(_draft);
  // Of the other settings, those that are saved stay so, whatever is being changed.
  WsdmSettings kept = _running;
  wsdmLoad(kept);
  take(kept);
  const bool isSaved = wsdmSave(kept);
  _port.println(isSaved ? F("Wi-Fi: joined, and saved") : F("Wi-Fi: joined, and not saved: the flash cannot be written"));
  if (!isSaved) return _improv.error(WsdmImprov::UNKNOWN);
  _improv.state(WsdmImprov::PROVISIONED);
  _improv.result(WsdmImprov::WIFI, nullptr, 0);
}

void WsdmWifi::notJoined(uint32_t now) {
  _task = NOTHING;
  _port.println(F("Wi-Fi: that network was not joined"));
  _improv.error(WsdmImprov::UNABLE_TO_CONNECT);
  _improv.state(WsdmImprov::READY);
  WiFi.disconnect();
  if (*_running.get(WsdmKey::Ssid)) join(_running.get(WsdmKey::Ssid), _running.get(WsdmKey::Password), now);
}

void WsdmWifi::scan(uint32_t now) {
  // One answer does for both.
  if (_task == SCAN) return;
  // A radio that listens elsewhere does not hear the gateway.
  _gateway.disconnect("networks are looked for");
  // A radio that is joining cannot.
  if (!isOnNetwork()) WiFi.disconnect();
  _task = SCAN;
  _since = now;
  WiFi.scanNetworks(true);
}

// Each network once, as its strongest access point has it.
void WsdmWifi::tellNetworks(int count) {
  if (count < 0) return _improv.error(WsdmImprov::UNKNOWN);
  for (int i = 0; i < count; i++) {
    const int strength = WiFi.RSSI(i);
    bool isBest = WiFi.SSID(i).length() > 0;
    for (int other = 0; other < count && isBest; other++) {
      if (other == i || WiFi.SSID(other) != WiFi.SSID(i)) continue;
      isBest = WiFi.RSSI(other) < strength || (WiFi.RSSI(other) == strength && i < other);
    }
    if (!isBest) continue;
    char ssid[32 + 1], number[12];
    strncpy(ssid, WiFi.SSID(i).c_str(), sizeof(ssid) - 1);
    ssid[sizeof(ssid) - 1] = 0;
    number[0] = '-';
    utoa(strength < 0 ? -strength : strength, number + (strength < 0 ? 1 : 0), 10);
    const char* const texts[] = {ssid, number, isOpen(i) ? "NO" : "YES"};
    _improv.result(WsdmImprov::NETWORKS, texts, 3);
  }
  _improv.result(WsdmImprov::NETWORKS, nullptr, 0);
}

void WsdmWifi::listen() { _ota.listen(wsdmMacText, _running.get(WsdmKey::OtaPassword)); }

void WsdmWifi::keepNetwork(uint32_t now) {
  const bool isUp = isOnNetwork();
  const bool isFree = isUp && _task == NOTHING && _pending == WsdmAction::NOTHING;
  // Before anything is said about it: that takes its time.
  _gateway.network(isFree);
  if (!isFree) _search.end();
  if (isUp != _isUp) {
    _isUp = isUp;
    _without = now;
    if (isUp) _troubles.connected();
    _port.println(isUp ? F("Wi-Fi: connected") : F("Wi-Fi: not connected"));
    if (isUp) listen();
    if (_improv.isSpoken() && _task == NOTHING) tellState();
  }
  const WsdmTrouble trouble = isUp || _task != NOTHING ? WsdmTrouble::NONE : _troubles.news();
  if (trouble != WsdmTrouble::NONE) {
    _port.print(F("Wi-Fi: "));
    _port.println(wsdmTroubleText(trouble));
  }
  if (isUp || _task != NOTHING || !*_running.get(WsdmKey::Ssid) || now - _without < JOIN_AGAIN_MS) return;
  _port.print(F("Wi-Fi: not connected, beginning again"));
  // Each time: a console may have been opened after the reason came.
  const WsdmTrouble why = _troubles.current();
  if (why != WsdmTrouble::NONE) {
    _port.print(F(": "));
    _port.print(wsdmTroubleText(why));
  }
  _port.println();
  WiFi.disconnect();
  join(_running.get(WsdmKey::Ssid), _running.get(WsdmKey::Password), now);
}

// Looks up where the gateway is, before each connection.
void WsdmWifi::search(uint32_t now) {
  if (!_gateway.isDue()) return;
  if (!_search.find(now, _host, _hostPort)) {
    if (_search.takeUnanswered()) report(WsdmReport::LOST, 0, "no gateway answers the search");
    return;
  }
  _port.print(F("found a gateway at "));
  _port.print(_host);
  _port.print(':');
  _port.println(_hostPort);
  _gateway.server(_host, _hostPort);
}

#endif
