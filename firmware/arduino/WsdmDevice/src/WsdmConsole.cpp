#include "WsdmConsole.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

#if defined(WSDM_HAS_TLS)
#define MORE_KEYS ", fingerprint"
#define MORE_GATEWAYS "; wss:// with a fingerprint"
#define MORE_HELP "  fingerprint 64 digits from the gateway's log, for TLS with it and nothing else; none\r\n"
#else
#define MORE_KEYS ""
#define MORE_GATEWAYS ""
#define MORE_HELP ""
#endif

static const uint8_t INTERRUPT = 0x03, BACKSPACE = 0x08, DELETE = 0x7F;

// Whether a byte is not the first of its character in UTF-8.
static bool isInside(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Whether it is UTF-8: the gateway takes nothing else.
static bool isText(const char* text) {
  while (*text) {
    const uint8_t first = *text++;
    if (first < 0x80) continue;
    const uint8_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4) return false;
    const uint8_t second = *text;
    // Longer than need be, halves of a pair, or beyond the last character.
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F)) {
      return false;
    }
    for (uint8_t i = 0; i < more; i++) {
      if (!isInside(*text++)) return false;
    }
  }
  return true;
}

WsdmAction WsdmConsole::type(uint8_t byte) {
  // Terminals end a line in three ways.
  const bool isSecond = _afterReturn && byte == '\n';
  _afterReturn = byte == '\r';
  if (isSecond) return WsdmAction::NOTHING;
  if (byte == '\r' || byte == '\n') {
    _out.println();
    _line[_length] = 0;
    const WsdmAction action = line();
    // It may have been a secret.
    memset(_line, 0, sizeof(_line));
    _length = 0;
    return action;
  }
  if (byte == BACKSPACE || byte == DELETE) {
    rubout();
  } else if (byte == INTERRUPT) {
    memset(_line, 0, sizeof(_line));
    _length = 0;
    _out.println(F("^C"));
  } else if (byte >= ' ' && _length < sizeof(_line) - 1) {
    echo(byte);
  }
  return WsdmAction::NOTHING;
}

void WsdmConsole::echo(uint8_t byte) {
  const bool secret = isSecret();
  _line[_length++] = byte;
  if (!secret) {
    _out.write(byte);
  } else if (!isInside(byte)) {
    // One star a character, not a byte.
    _out.print('*');
  }
}

void WsdmConsole::rubout() {
  if (_length == 0) return;
  while (_length > 1 && isInside(_line[_length - 1])) _length--;
  _length--;
  _out.print(F("\b \b"));
}

// Whether a secret is being typed.
bool WsdmConsole::isSecret() const {
  // As it will be read: with spaces before either word.
  const char* at = _line;
  const char* const end = _line + _length;
  while (at < end && *at == ' ') at++;
  if (end - at < 4 || memcmp(at, "set ", 4) != 0) return false;
  for (at += 4; at < end && *at == ' '; at++) {
  }
  const char* const space = static_cast<const char*>(memchr(at, ' ', end - at));
  WsdmKey key;
  return space && WsdmSettings::find(at, space - at, key) && WsdmSettings::isSecret(key);
}

// Whether a line is this word and nothing else.
static bool isWord(const char* line, const char* word) {
  const size_t length = strlen(word);
  if (strncmp(line, word, length) != 0) return false;
  for (line += length; *line == ' '; line++) {
  }
  return *line == 0;
}

WsdmAction WsdmConsole::line() {
  const char* line = _line;
  while (*line == ' ') line++;
  if (!isText(line)) {
    _out.println(F("that is not text"));
  } else if (*line == 0) {
  } else if (isWord(line, "help") || isWord(line, "?")) {
    _out.print(F("show              the settings; secrets are not shown\r\n"
                 "set KEY VALUE     change one, until the next restart unless it is saved\r\n"
                 "save              keep them over a restart\r\n"
                 "defaults          back to what was built in, until it is saved\r\n"
                 "restart           begin anew, with the settings that are saved\r\n"
                 "help              this\r\n"
                 "Keys: ssid, password, gateway, token, identifier, address, silence_ms, limits, ota_password" MORE_KEYS "\r\n"
                 "  gateway     mdns, HOST, HOST:PORT or ws://HOST:PORT/" MORE_GATEWAYS "\r\n"
                 "  limits      V0=60 at most so many percent, L0=10-90 between them; R0=50 so far round the middle; none\r\n"
                 "  ota_password  8 characters or more: whoever knows it can send a new sketch over Wi-Fi\r\n" MORE_HELP));
  } else if (isWord(line, "show")) {
    show();
  } else if (isWord(line, "save")) {
    return WsdmAction::SAVE;
  } else if (isWord(line, "restart")) {
    return WsdmAction::RESTART;
  } else if (isWord(line, "defaults")) {
    _settings.takeBuiltIn(_builtIn, _out);
    _isUnsaved = true;
    show();
  } else if (strncmp(line, "set ", 4) == 0 || strcmp(line, "set") == 0) {
    for (line += 3; *line == ' '; line++) {
    }
    set(line);
  } else {
    _out.println(F("that is no command; help shows what is"));
  }
  return WsdmAction::NOTHING;
}

void WsdmConsole::set(const char* rest) {
  // Spaces belong to a value, behind the one before it: an SSID may end in one.
  const char* const space = strchr(rest, ' ');
  const size_t length = space ? space - rest : strlen(rest);
  WsdmKey key;
  if (!WsdmSettings::find(rest, length, key)) {
    static const char* const SKETCH[] = {"device", "pins", "led", "button", "battery"};
    for (const char* sketch : SKETCH) {
      if (strlen(sketch) != length || memcmp(sketch, rest, length) != 0) continue;
      _out.print(sketch);
      _out.println(F(" stays: in an Arduino sketch it is a part of the sketch"));
      return;
    }
#if !defined(WSDM_HAS_TLS)
    if (length == 11 && memcmp(rest, "fingerprint", 11) == 0) {
      _out.println(F("fingerprint stays: an ESP8266 has no TLS for this, and the gateway lets it in with tls = \"also\""));
      return;
    }
#endif
    _out.println(F("that is no setting; help shows which there are"));
    return;
  }
  const __FlashStringHelper* const wrong = _settings.set(key, space ? space + 1 : "");
  if (wrong) {
    _out.print(WsdmSettings::name(key));
    _out.print(F(" stays: "));
    _out.println(wrong);
    return;
  }
  _isUnsaved = true;
  show(key);
  _out.println(F("save keeps it, restart uses it"));
}

void WsdmConsole::show() {
  for (uint8_t i = 0; i < WSDM_KEYS; i++) show(static_cast<WsdmKey>(i));
  if (_isUnsaved) _out.println(F("not saved yet"));
}

void WsdmConsole::show(WsdmKey key) {
  const char* value = _settings.get(key);
  _out.print(WsdmSettings::name(key));
  _out.print(F(" = "));
  if (WsdmSettings::isSecret(key)) {
    if (*value) _out.print(F("********"));
    _out.println();
    return;
  }
  if (key == WsdmKey::Identifier && !*value) value = _identifier;
  if (key == WsdmKey::Address && !*value) value = _address;
#if defined(WSDM_HAS_TLS)
  if (key == WsdmKey::Fingerprint && !*value) value = "none";
#endif
  _out.println(value);
}

#endif
