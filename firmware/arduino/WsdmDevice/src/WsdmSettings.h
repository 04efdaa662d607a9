// What can be set on the board: a few texts, each checked when it is set, so that what is kept can be used. The same
// settings as in the firmware in Rust, as far as they do not stand in the sketch.

#ifndef WSDM_SETTINGS_H
#define WSDM_SETTINGS_H

#include <Arduino.h>

// Boards with Wi-Fi of their own have settings, others have their sketch.
#if defined(ARDUINO_ARCH_ESP32) || defined(ARDUINO_ARCH_ESP8266)
#define WSDM_HAS_SETTINGS
// An ESP8266 can compare the SHA-1 of a certificate at most, and has hardly the memory.
#if defined(ARDUINO_ARCH_ESP32)
#define WSDM_HAS_TLS
#endif

static const uint16_t WSDM_GATEWAY_PORT = 54817;
// The longest value of any setting.
static const uint8_t WSDM_VALUE_MAX = 128;
// What can be set as the watchdog's patience. Under a few pings it would stop for nothing; a motor that nobody commands
// must not turn for longer.
static const uint16_t WSDM_SILENCE_MIN_MS = 500;
static const uint16_t WSDM_SILENCE_MAX_MS = 10000;

// Not in capitals: sketches define such words.
enum class WsdmKey : uint8_t { Ssid, Password, Gateway, Token, Identifier, Address, SilenceMs, Limits, OtaPassword,
#if defined(WSDM_HAS_TLS)
                               Fingerprint };
static const uint8_t WSDM_KEYS = 10;
#else
};
static const uint8_t WSDM_KEYS = 9;
#endif

// What the build was given. Null is nothing.
struct WsdmBuiltIn {
  const char* ssid;
  const char* password;
  const char* host;
  uint16_t port;
  const char* token;
  // An ESP8266 has none.
  const char* fingerprint;
};

class WsdmSettings {
 public:
  // The longest record; see encode().
  static const size_t RECORD_MAX = 768;

  WsdmSettings() { clear(); }
  // No network, any gateway.
  void clear();
  // As built in; what cannot be used of that is reported, and left out. Whether all of it is in.
  bool takeBuiltIn(const WsdmBuiltIn& builtIn, Print& complaints);

  // Null, or why it cannot have this value; then it keeps the one that it had.
  const __FlashStringHelper* set(WsdmKey key, const char* value);
  // As set() takes it.
  const char* get(WsdmKey key) const { return const_cast<WsdmSettings*>(this)->text(key); }

  // Whether the gateway is to be looked up on the network.
  bool isLookedUp() const { return strcmp(_gateway, "mdns") == 0; }
  // Where it is otherwise. `host` has room for WSDM_VALUE_MAX characters and a zero.
  void gateway(char* host, uint16_t& port) const;
  // What its URL has behind these, "/" if nothing.
  const char* path() const;
  uint16_t silenceMs() const { return atoi(_silenceMs); }
#if defined(WSDM_HAS_TLS)
  // Whether the gateway is to be one with TLS; a fingerprint demands that too.
  bool isTls() const { return strncmp(_gateway, "wss:", 4) == 0; }
  // Null, or why they do not go together; each was checked when it was set.
  const __FlashStringHelper* check() const;
#else
  const __FlashStringHelper* check() const { return nullptr; }
#endif

  // The settings as bytes, with a checksum; how many. `bytes` has room for RECORD_MAX.
  size_t encode(uint8_t* bytes) const;
  // Takes them, all or none.
  bool decode(const uint8_t* bytes, size_t length);

  static const __FlashStringHelper* name(WsdmKey key);
  // Whether `text`, up to `length`, names one.
  static bool find(const char* text, size_t length, WsdmKey& key);
  // Whether nobody should read its value over a shoulder.
  static bool isSecret(WsdmKey key) {
    return key == WsdmKey::Password || key == WsdmKey::Token || key == WsdmKey::OtaPassword;
  }

 private:
  char* text(WsdmKey key);

  char _ssid[32 + 1];
  char _password[63 + 1];
  // "mdns", or "ws://HOST" with ":PORT" and a path or without; on an ESP32 also "wss://HOST".
  char _gateway[WSDM_VALUE_MAX + 1];
  char _token[WSDM_VALUE_MAX + 1];
  char _identifier[64 + 1];
  char _address[64 + 1];
  char _silenceMs[5 + 1];
  // As wsdmWriteLimits() writes them.
  char _limits[64 + 1];
  // Without it nothing listens for a new sketch.
  char _otaPassword[63 + 1];
#if defined(WSDM_HAS_TLS)
  // As wsdmWriteFingerprint() writes it.
  char _fingerprint[64 + 1];
#endif
};

#endif

#endif
