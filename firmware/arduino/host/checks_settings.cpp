// What the board's settings and its console do, checked on this machine: the same tables as the tests of the firmware in
// Rust have, and bytes at random under the sanitizers. The flash, Improv, the search for a gateway and Wi-Fi have files of
// their own.

#include "checks_settings.h"

static std::string set(WsdmSettings& settings, WsdmKey key, const std::string& value) {
  return inFlash(settings.set(key, value.c_str()));
}

static void values() {
#if defined(WSDM_HAS_TLS)
  const std::string taken = "mdns, HOST, HOST:PORT, ws://HOST:PORT/ and wss://HOST:PORT/ are taken";
  const std::string digits = DIGITS, end = "|";
  const std::string fingerprint = "a fingerprint has 64 hexadecimal digits; the gateway's log has it, or none";
  std::string colons = digits.substr(0, 2);
  for (size_t at = 2; at < digits.size(); at += 2) colons += ":" + digits.substr(at, 2);
  std::string capitals = colons;
  for (char& digit : capitals) digit = toupper(digit);
#else
  const std::string taken = "mdns, HOST, HOST:PORT and ws://HOST:PORT/ are taken", end = "";
#endif
  const std::string port = "a port is a number from 1 to 65535; " + taken, host = "the gateway's URL has no usable host; " + taken;
  const std::string path = "the path of the gateway's URL has a space or a control character; " + taken;
  const std::string query = "leave out the ? and what follows, since show prints it: the token is a setting of its own, set token WORDS";
  const std::string ipv6 = "boards have no IPv6: give the gateway's IPv4 address, or a name";
  const struct {
    WsdmKey key;
    std::string value, wrong, kept;
  } cases[] = {
      {WsdmKey::Ssid, "A b ", "", "A b "},
      {WsdmKey::Ssid, std::string(32, 'x'), "", std::string(32, 'x')},
      {WsdmKey::Ssid, std::string(33, 'x'), "at most 32 bytes are taken", ""},
      {WsdmKey::Ssid, "a\x07", "a control character is in it", ""},
      {WsdmKey::Ssid, "a\xC2\x85", "a control character is in it", ""},
      {WsdmKey::Ssid, "Caf\xC3\xA9", "", "Caf\xC3\xA9"},
      {WsdmKey::Password, "short", "a password of Wi-Fi has 8 to 63 characters, or none", ""},
      {WsdmKey::Password, std::string(63, 'x'), "", std::string(63, 'x')},
      {WsdmKey::Password, std::string(64, 'x'), "a password of Wi-Fi has 8 to 63 characters, or none", ""},
      {WsdmKey::Gateway, "10.0.0.2", "", "ws://10.0.0.2"},
      {WsdmKey::Gateway, "gw.local:8080", "", "ws://gw.local:8080"},
      {WsdmKey::Gateway, "ws://gw:1/", "", "ws://gw:1/"},
      {WsdmKey::Gateway, "mdns", "", "mdns"},
      {WsdmKey::Gateway, "", host, "mdns"},
      {WsdmKey::Gateway, ":80", host, "mdns"},
      {WsdmKey::Gateway, "a b", host, "mdns"},
      {WsdmKey::Gateway, "gw/a/path/", "", "ws://gw/a/path/"},
      {WsdmKey::Gateway, "ws://gw:80/:0", "", "ws://gw:80/:0"},
      {WsdmKey::Gateway, "gw:0/path", port, "mdns"},
      {WsdmKey::Gateway, "gw:/path", port, "mdns"},
      {WsdmKey::Gateway, "/path", host, "mdns"},
      {WsdmKey::Gateway, "gw/a b", path, "mdns"},
      {WsdmKey::Gateway, "gw/\xC3\xA4", path, "mdns"},
      {WsdmKey::Gateway, "gw?token=geheim-1", query, "mdns"},
      {WsdmKey::Gateway, "ws://gw:80/?token=geheim-1", query, "mdns"},
      {WsdmKey::Gateway, "?", query, "mdns"},
      {WsdmKey::Gateway, "[::1]:80", ipv6, "mdns"},
      {WsdmKey::Gateway, "::1", ipv6, "mdns"},
      {WsdmKey::Gateway, "ws://fe80::1/", ipv6, "mdns"},
      {WsdmKey::Gateway, "fe80::1%eth0", ipv6, "mdns"},
      {WsdmKey::Gateway, "::ffff:10.0.0.2", ipv6, "mdns"},
      {WsdmKey::Gateway, "2001:db8:0:0:0:0:0:1", ipv6, "mdns"},
      {WsdmKey::Gateway, "10.0.0.2:80:90", host, "mdns"},
      {WsdmKey::Gateway, "gw::80", host, "mdns"},
      {WsdmKey::Gateway, "gw%eth0", host, "mdns"},
      {WsdmKey::Gateway, "a b:0", host, "mdns"},
      {WsdmKey::Gateway, ":0", port, "mdns"},
#if defined(WSDM_HAS_TLS)
      {WsdmKey::Gateway, "wss://gw", "", "wss://gw"},
      {WsdmKey::Gateway, "wss://gw.local:8080/", "", "wss://gw.local:8080/"},
      {WsdmKey::Gateway, "wss://gw/a/path", "", "wss://gw/a/path"},
      {WsdmKey::Gateway, "wss://gw/?token=geheim-1", query, "mdns"},
      {WsdmKey::Gateway, "wss://[::1]", ipv6, "mdns"},
      {WsdmKey::Gateway, "wss://", host, "mdns"},
      {WsdmKey::Gateway, "wss://gw:0", port, "mdns"},
      {WsdmKey::Gateway, "wss://" + std::string(122, 'x'), "", "wss://" + std::string(122, 'x')},
      {WsdmKey::Gateway, "wss://" + std::string(123, 'x'), "at most 128 bytes are taken", "mdns"},
      {WsdmKey::Fingerprint, digits, "", digits},
      {WsdmKey::Fingerprint, capitals, "", digits},
      {WsdmKey::Fingerprint, " " + colons + " ", "", digits},
      {WsdmKey::Fingerprint, "none", "", ""},
      {WsdmKey::Fingerprint, " none ", "", ""},
      {WsdmKey::Fingerprint, "", "", ""},
      {WsdmKey::Fingerprint, "None", fingerprint, ""},
      {WsdmKey::Fingerprint, "none none", fingerprint, ""},
      {WsdmKey::Fingerprint, "?", fingerprint, ""},
      {WsdmKey::Fingerprint, ":", fingerprint, ""},
      {WsdmKey::Fingerprint, digits.substr(1), fingerprint, ""},
      {WsdmKey::Fingerprint, digits + "0", fingerprint, ""},
      {WsdmKey::Fingerprint, digits + std::string(64, '0'), fingerprint, ""},
      {WsdmKey::Fingerprint, digits.substr(0, 32) + " " + digits.substr(32), fingerprint, ""},
      {WsdmKey::Fingerprint, digits.substr(1) + "g", fingerprint, ""},
#else
      {WsdmKey::Gateway, "wss://gw",
       "an ESP8266 has no TLS for this: set gateway without wss://, and the gateway lets it in with tls = \"also\"", "mdns"},
#endif
      {WsdmKey::Gateway, "gw:", port, "mdns"},
      {WsdmKey::Gateway, "gw:0", port, "mdns"},
      {WsdmKey::Gateway, "gw:65536", port, "mdns"},
      {WsdmKey::Gateway, "gw:99999999999999999999", port, "mdns"},
      {WsdmKey::Gateway, std::string(123, 'x'), "", "ws://" + std::string(123, 'x')},
      {WsdmKey::Gateway, std::string(124, 'x'), "at most 128 bytes are taken", "mdns"},
      {WsdmKey::Token, std::string(129, 'x'), "at most 128 bytes are taken", ""},
      {WsdmKey::Identifier, std::string(65, 'x'), "at most 64 bytes are taken", ""},
      {WsdmKey::Address, "bedroom", "", "bedroom"},
      {WsdmKey::SilenceMs, "500", "", "500"},
      {WsdmKey::SilenceMs, "499", "silence_ms is a number from 500 to 10000", "1000"},
      {WsdmKey::SilenceMs, "10001", "silence_ms is a number from 500 to 10000", "1000"},
      {WsdmKey::SilenceMs, "-1", "silence_ms is a number from 500 to 10000", "1000"},
      {WsdmKey::SilenceMs, "1 s", "silence_ms is a number from 500 to 10000", "1000"},
      {WsdmKey::SilenceMs, "", "silence_ms is a number from 500 to 10000", "1000"},
      {WsdmKey::Limits, " V0=60 l0=10-90  R2=0 A2=100", "", "V0=60 L0=10-90 R2=0 A2=100"},
      {WsdmKey::Limits, "L0=10-100 L1=10-100 L2=10-100 R0=100 R1=100 V0=100", "", "L0=10-100 L1=10-100 L2=10-100 R0=100 R1=100 V0=100"},
      {WsdmKey::Limits, " none ", "", ""},
      {WsdmKey::Limits, "none V0=1", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V0=1 none", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V00=1", "a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2", ""},
      {WsdmKey::Limits, "", "", ""},
      {WsdmKey::Limits, "V0", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V0=", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V0=6x", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "L0=10-", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V4=1", "a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2", ""},
      {WsdmKey::Limits, "X0=1", "a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2", ""},
      {WsdmKey::Limits, "V0=10-20", "V0 has one maximum, such as V0=60", ""},
      {WsdmKey::Limits, "v3=x-", "V3 has one maximum, such as V3=60", ""},
      {WsdmKey::Limits, "R1=-5", "R1 has one maximum, such as R1=60", ""},
      {WsdmKey::Limits, "V0=5 A2=300-", "A2 has one maximum, such as A2=60", ""},
      {WsdmKey::Limits, "L0=10", "L0 has a range, such as L0=10-90", ""},
      {WsdmKey::Limits, "l2=", "L2 has a range, such as L2=10-90", ""},
      {WsdmKey::Limits, "L0=10-20-30", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "L0=101-x", "a limit is from 0 to 100, and a range goes up", ""},
      {WsdmKey::Limits, "L0=x-101", "limits are written V0=60 L0=10-90, in percent, or none", ""},
      {WsdmKey::Limits, "V0=101", "a limit is from 0 to 100, and a range goes up", ""},
      {WsdmKey::Limits, "V0=4294967297", "a limit is from 0 to 100, and a range goes up", ""},
      {WsdmKey::Limits, "L0=90-10", "a limit is from 0 to 100, and a range goes up", ""},
      {WsdmKey::Limits, "V0=1 V0=2", "an output has two limits", ""},
      {WsdmKey::Limits, "V0=1 V1=1 V2=1 V3=1 A0=1 A1=1 A2=1", "6 limits at most", ""},
      {WsdmKey::Limits, "V0=1 V1=1 V2=1 V3=1 A0=1 A1=1 A1=1", "an output has two limits", ""},
      {WsdmKey::OtaPassword, "1234567", "a password for updates has 8 to 63 characters, or none", ""},
      {WsdmKey::OtaPassword, "12345678", "", "12345678"},
      {WsdmKey::OtaPassword, std::string(64, 'x'), "a password for updates has 8 to 63 characters, or none", ""},
      {WsdmKey::OtaPassword, "", "", ""},
  };
  for (const auto& c : cases) {
    WsdmSettings settings;
    expect(c.value, set(settings, c.key, c.value), c.wrong);
    expect(c.value, settings.get(c.key), c.kept);
    // What is kept is taken again, and stays as it is.
    expect(c.value, set(settings, c.key, std::string(settings.get(c.key))), "");
    expect(c.value, settings.get(c.key), c.kept);
  }
  WsdmSettings settings;
  char name[WSDM_VALUE_MAX + 1];
  uint16_t number = 0;
  expect("looked up", settings.isLookedUp(), 1);
  settings.set(WsdmKey::Gateway, "10.0.0.2");
  settings.gateway(name, number);
  expect("a gateway", std::string(name) + " " + std::to_string(number) + settings.path(), "10.0.0.2 54817/");
  settings.set(WsdmKey::Gateway, "gw:65535");
  settings.gateway(name, number);
  expect("a gateway", std::string(name) + " " + std::to_string(number) + settings.path(), "gw 65535/");
  settings.set(WsdmKey::Gateway, "gw:80/a/path");
  settings.gateway(name, number);
  expect("a gateway behind a proxy", std::string(name) + " " + std::to_string(number) + settings.path(), "gw 80/a/path");
  settings.set(WsdmKey::Gateway, "gw/:1");
  settings.gateway(name, number);
  expect("a port is none in a path", std::string(name) + " " + std::to_string(number) + settings.path(), "gw 54817/:1");
  settings.set(WsdmKey::Gateway, "mdns");
  expect("one that is looked up has no path", settings.path(), "/");
#if defined(WSDM_HAS_TLS)
  expect("without TLS", settings.isTls() || settings.check(), 0);
  settings.set(WsdmKey::Gateway, "wss://10.0.0.2:80/a");
  settings.gateway(name, number);
  expect("a gateway with TLS", std::string(name) + " " + std::to_string(number) + settings.path(), "10.0.0.2 80/a");
  expect("is one", settings.isTls(), 1);
  expect("and needs a fingerprint", inFlash(settings.check()),
         "wss:// needs the gateway's fingerprint, which its log has: set fingerprint; or set gateway without wss://");
  settings.set(WsdmKey::Fingerprint, DIGITS);
  expect("with which it can be used", settings.check() == nullptr, 1);
#endif
  Port port_;
  expect("not all", settings.takeBuiltIn({"net", "short", "gw", 80, nullptr, nullptr}, port_), 0);
  expect("what was built in", all(settings), "net||ws://gw:80||||1000|||" + end);
  expect("and cannot be used", port_.said(),
         "this build's password is left out: a password of Wi-Fi has 8 to 63 characters, or none\r\n");
  WsdmBuiltIn behind = {};
  behind.port = 80;
  for (const char* host : {"gw/a/path", "ws://gw/a/path"}) {
    behind.host = host;
    expect("all", settings.takeBuiltIn(behind, port_), 1);
    expect("a port before a path", settings.get(WsdmKey::Gateway) + port_.said(), "ws://gw:80/a/path");
  }
  behind.host = "ws://gw:81/a/path";
  expect("all", settings.takeBuiltIn(behind, port_), 1);
  expect("no other port than the one that it has", settings.get(WsdmKey::Gateway) + port_.said(), "ws://gw:81/a/path");
  const std::string longest = std::string(WSDM_VALUE_MAX - strlen("ws://:80"), 'x'), longer = std::string(WSDM_VALUE_MAX, 'x');
  behind.host = longest.c_str();
  expect("all", settings.takeBuiltIn(behind, port_), 1);
  expect("the longest", settings.get(WsdmKey::Gateway) + port_.said(), "ws://" + longest + ":80");
  for (const std::string& host : {longest + "x", longer, longer + "x", longer + longer}) {
    behind.host = host.c_str();
    expect("not all", settings.takeBuiltIn(behind, port_), 0);
    expect("one that is too long", settings.get(WsdmKey::Gateway) + (": " + port_.said()),
           "mdns: this build's gateway is left out: at most 128 bytes are taken\r\n");
  }
  settings.takeBuiltIn({nullptr, nullptr, nullptr, 0, nullptr, nullptr}, port_);
  expect("nothing was built in", all(settings) + port_.said(), "||mdns||||1000|||" + end);
#if defined(WSDM_HAS_TLS)
  settings.takeBuiltIn({nullptr, nullptr, "wss://gw", 80, nullptr, capitals.c_str()}, port_);
  expect("a fingerprint was", all(settings) + port_.said(), "||wss://gw:80||||1000|||" + digits + "|");
  expect("not all", settings.takeBuiltIn({"net", nullptr, "gw", 80, nullptr, "yes"}, port_), 0);
  expect("one that is none", port_.said(), "this build's fingerprint is left out: " + fingerprint + "\r\n");
#endif
}

static void records() {
  uint8_t bytes[WsdmSettings::RECORD_MAX];
  const WsdmSettings settings = filled();
  const size_t length = settings.encode(bytes);
  WsdmSettings found;
  expect("a record", found.decode(bytes, length), 1);
  expect("as it was", all(found), all(settings));
  WsdmSettings longest;
  const uint8_t longestOf[] = {32, 63, 123, 128, 64, 64};
  for (uint8_t i = 0; i < sizeof(longestOf); i++) {
    longest.set(static_cast<WsdmKey>(i), std::string(longestOf[i], 'x').c_str());
  }
  longest.set(WsdmKey::SilenceMs, "10000");
  longest.set(WsdmKey::Limits, "L0=10-90 L1=10-90 L2=10-90 R0=100 R1=100 V0=100");
  longest.set(WsdmKey::OtaPassword, std::string(63, 'x').c_str());
#if defined(WSDM_HAS_TLS)
  longest.set(WsdmKey::Fingerprint, DIGITS);
#endif
  expect("the longest fits", longest.encode(bytes) <= WsdmSettings::RECORD_MAX, 1);
  expect("and is read", found.decode(bytes, longest.encode(bytes)), 1);
  expect("as it was", all(found), all(longest));
  // Its head, and two values: an older sketch takes no key that it does not know.
  expect("what is not set is left out", WsdmSettings().encode(bytes), 16 + 2 + 4 + 2 + 4);
  settings.encode(bytes);
  // Whatever happened to it, it is not taken, and nothing of it.
  for (size_t i = 0; i < length; i++) {
    for (uint8_t bit = 0; bit < 8; bit++) {
      bytes[i] ^= 1 << bit;
      found = WsdmSettings();
      if (found.decode(bytes, length) && i != 5 && i / 4 != 2) expect("a record with a wrong bit", i, -1);
      if (all(found) != all(WsdmSettings()) && all(found) != all(settings)) expect("half a record", i, -1);
      bytes[i] ^= 1 << bit;
    }
    found = WsdmSettings();
    expect("a record cut short", found.decode(bytes, i), 0);
  }
}

// Somebody at a terminal.
struct Terminal {
  Port port;
  WsdmSettings settings;
  WsdmBuiltIn builtIn = {"built in", nullptr, nullptr, 0, nullptr, nullptr};
  WsdmConsole console{port, settings, builtIn, "LVSDevice", "aabbccddeeff"};
  WsdmAction action = WsdmAction::NOTHING;

  // What it answers to a line, without the echo.
  std::string line(const std::string& line) {
    typed(line);
    action = console.type('\r');
    const std::string said = port.said();
    expect("a line ends", said.substr(0, 2), "\r\n");
    return said.substr(2);
  }
  // What is echoed.
  std::string typed(const std::string& bytes) {
    for (char byte : bytes) action = console.type(byte);
    return port.said();
  }
};

static void console() {
  {
    Terminal t;
    expect("a secret", t.line("set password correct horse "), "password = ********\r\nsave keeps it, restart uses it\r\n");
    expect("spaces are a part of it", t.settings.get(WsdmKey::Password), "correct horse ");
    t.line("set ssid My Network");
    const std::string shown = t.line("show");
    expect("shown", shown,
           "ssid = My Network\r\npassword = ********\r\ngateway = mdns\r\ntoken = \r\nidentifier = LVSDevice\r\n"
           "address = aabbccddeeff\r\nsilence_ms = 1000\r\nlimits = \r\nota_password = \r\n" +
               std::string(WSDM_KEYS == 10 ? "fingerprint = none\r\n" : "") + "not saved yet\r\n");
    t.line("save");
    expect("to be saved", static_cast<long>(t.action), static_cast<long>(WsdmAction::SAVE));
    t.console.saved();
    expect("saved", t.line("show").find("not saved"), std::string::npos);
    t.line(" restart ");
    expect("to begin anew", static_cast<long>(t.action), static_cast<long>(WsdmAction::RESTART));
    expect("what was built in", t.line("defaults").substr(0, 17), "ssid = built in\r\n");
    expect("and nothing else", t.settings.get(WsdmKey::Password), "");
    for (uint8_t i = 0; i < WSDM_KEYS; i++) {
      const std::string name = inFlash(WsdmSettings::name(static_cast<WsdmKey>(i)));
      expect(name, t.line("help").find(name) != std::string::npos, 1);
    }
  }
  const struct {
    const char *line, *answer;
  } cases[] = {
      {"hello", "that is no command; help shows what is\r\n"},
      {"save now", "that is no command; help shows what is\r\n"},
      {"settle", "that is no command; help shows what is\r\n"},
      {"set", "that is no setting; help shows which there are\r\n"},
      {"set ota_password short", "ota_password stays: a password for updates has 8 to 63 characters, or none\r\n"},
      {"set colour red", "that is no setting; help shows which there are\r\n"},
      {"set ssi x", "that is no setting; help shows which there are\r\n"},
      {"set pins V0=18", "pins stays: in an Arduino sketch it is a part of the sketch\r\n"},
      {"set button 9 opens", "button stays: in an Arduino sketch it is a part of the sketch\r\n"},
      {"set silence_ms 1", "silence_ms stays: silence_ms is a number from 500 to 10000\r\n"},
#if defined(WSDM_HAS_TLS)
      {"set fingerprint 12", "fingerprint stays: a fingerprint has 64 hexadecimal digits; the gateway's log has it, or none\r\n"},
#else
      {"set fingerprint 12", "fingerprint stays: an ESP8266 has no TLS for this, and the gateway lets it in with tls = \"also\"\r\n"},
#endif
      {"set ssid \xC3(", "that is not text\r\n"},
      {"\xED\xA0\x80", "that is not text\r\n"},
      {"", ""},
  };
  for (const auto& c : cases) {
    Terminal t;
    expect(c.line, t.line(c.line), c.answer);
    expect("nothing is to be done", static_cast<long>(t.action), 0);
    expect("nothing changed", all(t.settings), all(WsdmSettings()));
  }
  {
    Terminal t;
    for (const char* spaced : {" set password ", "set  password ", "  set   token "}) {
      expect("secrets are not echoed behind spaces", t.typed(std::string(spaced) + "geheim-1"), std::string(spaced) + "********");
      t.typed("\x03");
    }
    expect("secrets are not echoed", t.typed("set password p w\xC3\xA4"), "set password ****");
    t.typed("\x03");
    expect("given up", t.line("set token t"), "token = ********\r\nsave keeps it, restart uses it\r\n");
    expect("nor is this", t.typed("set ota_password abcdefgh"), "set ota_password ********");
    expect("nor shown", t.line(""), "ota_password = ********\r\nsave keeps it, restart uses it\r\n");
    expect("but it is kept", t.settings.get(WsdmKey::OtaPassword), "abcdefgh");
    expect("another is", t.typed("set ssid x"), "set ssid x");
    t.typed("y\x7f\x08" "ab\xC3\xA4\x7f");
    t.line("c");
    expect("characters can be taken back", t.settings.get(WsdmKey::Ssid), "abc");
    t.typed(std::string(1000, '\x7f'));
    expect("not more than there are", t.line("set ssid \xC3\xA4\x7f\xC3\xBC"), "ssid = \xC3\xBC\r\nsave keeps it, restart uses it\r\n");
    expect("a line that is too long is cut", t.line("set token " + std::string(500, 'x')),
           "token stays: at most 128 bytes are taken\r\n");
    t.typed("set ssid one\nset ssid two\r\nset ssid three\r");
    expect("lines end in any way", t.settings.get(WsdmKey::Ssid), "three");
    t.line("set ssid");
    expect("a value may be nothing", t.settings.get(WsdmKey::Ssid), "");
  }
  srand(3);
  Terminal t;
  static const char* const WORDS[] = {"set ", "ssid ", "password ", "gateway ", "token ", "silence_ms ", "identifier ",
                                      "mdns", "show\r", "defaults\n", "\x7f", "\x03", "\r\n", "ws://", ":80", "1000"};
  for (long i = 0; i < 200000 / CHECKS_DIVISOR; i++) {
    t.typed(rand() % 3 ? WORDS[rand() % (sizeof(WORDS) / sizeof(*WORDS))] : std::string(1, static_cast<char>(rand())));
  }
}

void settings() {
  values();
  records();
  console();
}
