#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

#include "WsdmFingerprint.h"
#include "WsdmLimits.h"
#include "WsdmOutputLimits.h"

static const char SCHEME[] = "ws://";
static const char SECURE_SCHEME[] = "wss://";
#if defined(WSDM_HAS_TLS)
#define GATEWAYS "; mdns, HOST, HOST:PORT, ws://HOST:PORT/ and wss://HOST:PORT/ are taken"
#else
#define GATEWAYS "; mdns, HOST, HOST:PORT and ws://HOST:PORT/ are taken"
#endif

// The numbers of keys in a record. They never change.
static const struct {
  const char* name;
  uint8_t number;
  uint8_t max;
} KEYS[WSDM_KEYS] = {
    {"ssid", 1, 32},       {"password", 2, 63}, {"gateway", 3, WSDM_VALUE_MAX}, {"token", 4, WSDM_VALUE_MAX},
    {"identifier", 5, 64}, {"address", 11, 64}, {"silence_ms", 9, 5},      {"limits", 12, 64},    {"ota_password", 13, 63},
#if defined(WSDM_HAS_TLS)
    {"fingerprint", 14, 64},
#endif
};

const __FlashStringHelper* WsdmSettings::name(WsdmKey key) {
  return reinterpret_cast<const __FlashStringHelper*>(KEYS[static_cast<uint8_t>(key)].name);
}

bool WsdmSettings::find(const char* text, size_t length, WsdmKey& key) {
  for (uint8_t i = 0; i < WSDM_KEYS; i++) {
    if (strlen(KEYS[i].name) == length && memcmp(KEYS[i].name, text, length) == 0) {
      key = static_cast<WsdmKey>(i);
      return true;
    }
  }
  return false;
}

char* WsdmSettings::text(WsdmKey key) {
  switch (key) {
    case WsdmKey::Ssid: return _ssid;
    case WsdmKey::Password: return _password;
    case WsdmKey::Gateway: return _gateway;
    case WsdmKey::Token: return _token;
    case WsdmKey::Identifier: return _identifier;
    case WsdmKey::Address: return _address;
    case WsdmKey::SilenceMs: return _silenceMs;
    case WsdmKey::Limits: return _limits;
#if defined(WSDM_HAS_TLS)
    case WsdmKey::Fingerprint: return _fingerprint;
#endif
    default: return _otaPassword;
  }
}

void WsdmSettings::clear() {
  _ssid[0] = _password[0] = _token[0] = _identifier[0] = _address[0] = _limits[0] = _otaPassword[0] = 0;
#if defined(WSDM_HAS_TLS)
  _fingerprint[0] = 0;
#endif
  strcpy(_gateway, "mdns");
  utoa(WSDM_WATCHDOG_MS, _silenceMs, 10);
}

bool WsdmSettings::takeBuiltIn(const WsdmBuiltIn& builtIn, Print& complaints) {
  clear();
  // What is too long is so with its first bytes, too.
  char gateway[WSDM_VALUE_MAX + 1 + sizeof(":65535")] = "";
  if (builtIn.host) {
    strncpy(gateway, builtIn.host, WSDM_VALUE_MAX + 1);
    // Behind the host, before a path.
    const char* const scheme = strstr(gateway, "://");
    char* const host = gateway + (scheme ? scheme + 3 - gateway : 0);
    char* const path = host + strcspn(host, "/");
    if (*host && builtIn.port != 0 && !memchr(host, ':', path - host) && strlen(gateway) <= WSDM_VALUE_MAX) {
      char port[1 + 5 + 1] = ":";
      utoa(builtIn.port, port + 1, 10);
      memmove(path + strlen(port), path, strlen(path) + 1);
      memcpy(path, port, strlen(port));
    }
  }
  const struct {
    WsdmKey key;
    const char* value;
  } given[] = {{WsdmKey::Ssid, builtIn.ssid},
               {WsdmKey::Password, builtIn.password},
               {WsdmKey::Gateway, gateway},
#if defined(WSDM_HAS_TLS)
               {WsdmKey::Fingerprint, builtIn.fingerprint},
#endif
               {WsdmKey::Token, builtIn.token}};
  bool isComplete = true;
  for (const auto& one : given) {
    if (!one.value || !*one.value) continue;
    const __FlashStringHelper* const wrong = set(one.key, one.value);
    if (!wrong) continue;
    isComplete = false;
    complaints.print(F("this build's "));
    complaints.print(name(one.key));
    complaints.print(F(" is left out: "));
    complaints.println(wrong);
  }
  return isComplete;
}

// Whether a control character is in it, those between U+0080 and U+009F included.
static bool hasControl(const char* value) {
  for (; *value; value++) {
    const uint8_t byte = *value, next = value[1];
    if (byte < ' ' || byte == 127 || (byte == 0xC2 && next >= 0x80 && next < 0xA0)) return true;
  }
  return false;
}

// A number from `least` to `most` and nothing else up to `end`, if that is there; -1 otherwise.
static int32_t number(const char* text, int32_t least, int32_t most, char end = 0) {
  int32_t number = 0;
  if (!*text || *text == end) return -1;
  for (; *text && *text != end; text++) {
    if (*text < '0' || *text > '9' || number > most) return -1;
    number = number * 10 + (*text - '0');
  }
  return number >= least && number <= most ? number : -1;
}

// Whether an IPv6 address stands there, in brackets or without.
static bool isIpv6(const char* at, const char* end) {
  if (*at == '[') return true;
  uint8_t colons = 0;
  bool isShort = false;
  // What follows a % says on which network it is.
  for (; at < end && *at != '%'; at++) {
    if (*at == ':') {
      colons++;
      isShort |= at[1] == ':';
    } else if (!isxdigit(static_cast<uint8_t>(*at)) && *at != '.') {
      return false;
    }
  }
  return isShort || colons == 7;
}

// Null, or why a URL cannot be used behind its scheme: HOST or HOST:PORT, and a path, since a proxy may want one. Of several
// reasons the one that the firmware in Rust gives.
static const __FlashStringHelper* wrongGateway(const char* host) {
  if (strchr(host, '?')) {
    return F("leave out the ? and what follows, since show prints it: the token is a setting of its own, set token WORDS");
  }
  const char* const path = host + strcspn(host, "/");
  if (isIpv6(host, path)) return F("boards have no IPv6: give the gateway's IPv4 address, or a name");
  const char* end = host;
  while (isalnum(static_cast<uint8_t>(*end)) || *end == '.' || *end == '-' || *end == '_') end++;
  const bool hasPort = *end == ':';
  bool fits = end == path || hasPort;
  for (const char* at = end + 1; at < path; at++) fits &= *at != ':';
  if (fits && hasPort && number(end + 1, 1, 65535, '/') < 0) return F("a port is a number from 1 to 65535" GATEWAYS);
  if (!fits || end == host) return F("the gateway's URL has no usable host" GATEWAYS);
  for (const char* at = path; *at; at++) {
    if (*at <= ' ' || *at > '~') return F("the path of the gateway's URL has a space or a control character" GATEWAYS);
  }
  return nullptr;
}

// What a person types for a gateway, with its scheme or without, into `url`, which has room for any value.
static const __FlashStringHelper* parseGateway(const char* value, char* url) {
  const bool isSecure = strncmp(value, SECURE_SCHEME, strlen(SECURE_SCHEME)) == 0;
#if !defined(WSDM_HAS_TLS)
  if (isSecure) {
    return F("an ESP8266 has no TLS for this: set gateway without wss://, and the gateway lets it in with tls = \"also\"");
  }
#endif
  const char* const scheme = isSecure ? SECURE_SCHEME : SCHEME;
  const size_t schemeLength = strlen(scheme);
  if (strncmp(value, scheme, schemeLength) == 0) value += schemeLength;
  if (schemeLength + strlen(value) > WSDM_VALUE_MAX) return F("at most 128 bytes are taken");
  strcpy(url, scheme);
  strcat(url, value);
  return wrongGateway(url + schemeLength);
}

#if defined(WSDM_HAS_TLS)
// Whether a value is "none", or nothing, between spaces.
static bool isNone(const char* value) {
  while (*value == ' ') value++;
  if (strncmp(value, "none", 4) == 0) value += 4;
  while (*value == ' ') value++;
  return *value == 0;
}
#endif

static const __FlashStringHelper* tooLong(uint8_t max) {
  return max == 32 ? F("at most 32 bytes are taken") : max == 64 ? F("at most 64 bytes are taken") : F("at most 128 bytes are taken");
}

const __FlashStringHelper* WsdmSettings::set(WsdmKey key, const char* value) {
  if (hasControl(value)) return F("a control character is in it");
  const size_t length = strlen(value);
  char url[WSDM_VALUE_MAX + 1];
  switch (key) {
    case WsdmKey::Password:
      if (length > 63 || (length > 0 && length < 8)) return F("a password of Wi-Fi has 8 to 63 characters, or none");
      break;
    case WsdmKey::OtaPassword:
      if (length > 63 || (length > 0 && length < 8)) return F("a password for updates has 8 to 63 characters, or none");
      break;
    case WsdmKey::Gateway:
      if (strcmp(value, "mdns") == 0) break;
      if (const __FlashStringHelper* const wrong = parseGateway(value, url)) return wrong;
      strcpy(_gateway, url);
      return nullptr;
    case WsdmKey::SilenceMs:
      if (number(value, WSDM_SILENCE_MIN_MS, WSDM_SILENCE_MAX_MS) < 0) return F("silence_ms is a number from 500 to 10000");
      utoa(atoi(value), _silenceMs, 10);
      return nullptr;
    case WsdmKey::Limits: {
      WsdmOutputLimit limits[WSDM_OUTPUT_LIMITS];
      uint8_t count;
      if (const __FlashStringHelper* const wrong = wsdmParseLimits(value, limits, count)) return wrong;
      wsdmWriteLimits(limits, count, _limits);
      return nullptr;
    }
#if defined(WSDM_HAS_TLS)
    case WsdmKey::Fingerprint: {
      uint8_t bytes[WSDM_FINGERPRINT_BYTES];
      if (isNone(value)) {
        _fingerprint[0] = 0;
      } else if (wsdmParseFingerprint(value, bytes)) {
        wsdmWriteFingerprint(bytes, _fingerprint);
      } else {
        return F("a fingerprint has 64 hexadecimal digits; the gateway's log has it, or none");
      }
      return nullptr;
    }
#endif
    default: {
      const uint8_t max = KEYS[static_cast<uint8_t>(key)].max;
      if (length > max) return tooLong(max);
    }
  }
  // It may be a part of what is there.
  memmove(text(key), value, length + 1);
  return nullptr;
}

#if defined(WSDM_HAS_TLS)
const __FlashStringHelper* WsdmSettings::check() const {
  if (!isTls() || *_fingerprint) return nullptr;
  return F("wss:// needs the gateway's fingerprint, which its log has: set fingerprint; or set gateway without wss://");
}
#endif

void WsdmSettings::gateway(char* host, uint16_t& port) const {
  const char* const scheme = strstr(_gateway, "://");
  strcpy(host, scheme ? scheme + 3 : "");
  port = WSDM_GATEWAY_PORT;
  host[strcspn(host, "/")] = 0;
  if (char* const colon = strchr(host, ':')) {
    *colon = 0;
    port = strtoul(colon + 1, nullptr, 10);
  }
}

const char* WsdmSettings::path() const {
  const char* const scheme = strstr(_gateway, "://");
  const char* const path = scheme ? strchr(scheme + 3, '/') : nullptr;
  return path ? path : "/";
}

// A record:
//
//   "WSDM"  version  0  length  0  CRC-32 | key  length  value | key  length  value | ...
//     4        1     1     2    4    4    |  1     1           |
//
// Numbers are little-endian. Length is that of everything behind the checksum, which covers all but itself. A value is
// the text that a person would type, and is checked like it: what other software wrote must not make a board do what its
// console would refuse.
static const size_t HEADER_BYTES = 16, CHECKSUM_AT = 12;
static const uint8_t VERSION = 1;

static uint32_t checksum(uint32_t crc, const uint8_t* bytes, size_t length) {
  crc = ~crc;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (uint8_t bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  }
  return ~crc;
}

static uint32_t checksumOf(const uint8_t* record, size_t length) {
  return checksum(checksum(0, record, CHECKSUM_AT), record + HEADER_BYTES, length - HEADER_BYTES);
}

size_t WsdmSettings::encode(uint8_t* bytes) const {
  memset(bytes, 0, HEADER_BYTES);
  memcpy(bytes, "WSDM", 4);
  bytes[4] = VERSION;
  size_t length = HEADER_BYTES;
  for (uint8_t i = 0; i < WSDM_KEYS; i++) {
    const char* const value = get(static_cast<WsdmKey>(i));
    const size_t size = strlen(value);
    // So that an older sketch, which does not know a key that is not set, takes the record.
    if (size == 0) continue;
    bytes[length++] = KEYS[i].number;
    bytes[length++] = size;
    memcpy(bytes + length, value, size);
    length += size;
  }
  bytes[6] = (length - HEADER_BYTES) & 0xFF;
  bytes[7] = (length - HEADER_BYTES) >> 8;
  const uint32_t sum = checksumOf(bytes, length);
  for (uint8_t i = 0; i < 4; i++) bytes[CHECKSUM_AT + i] = sum >> (8 * i);
  return length;
}

bool WsdmSettings::decode(const uint8_t* bytes, size_t length) {
  if (length < HEADER_BYTES || length > RECORD_MAX || memcmp(bytes, "WSDM", 4) != 0 || bytes[4] != VERSION) return false;
  if (length != HEADER_BYTES + (bytes[6] | static_cast<size_t>(bytes[7]) << 8)) return false;
  uint32_t sum = 0;
  for (uint8_t i = 0; i < 4; i++) sum |= static_cast<uint32_t>(bytes[CHECKSUM_AT + i]) << (8 * i);
  if (sum != checksumOf(bytes, length)) return false;
  // Nothing is taken before all of it is known to be good.
  WsdmSettings found;
  for (size_t at = HEADER_BYTES; at < length;) {
    if (length - at < 2) return false;
    const uint8_t number = bytes[at], size = bytes[at + 1];
    at += 2;
    char value[WSDM_VALUE_MAX + 1];
    if (size > WSDM_VALUE_MAX || length - at < size) return false;
    memcpy(value, bytes + at, size);
    value[size] = 0;
    at += size;
    uint8_t key = 0;
    while (key < WSDM_KEYS && KEYS[key].number != number) key++;
    if (key == WSDM_KEYS || strlen(value) != size || found.set(static_cast<WsdmKey>(key), value)) return false;
  }
  *this = found;
  return true;
}

#endif
