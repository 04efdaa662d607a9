// What the board's settings, its console, Improv and the search for a gateway do, checked on this machine: the same
// tables as the tests of the firmware in Rust have, and bytes at random under the sanitizers.

#include <Arduino.h>
#include <WsdmWifi.h>

#include <string>
#include <vector>

#include "HostFlash.h"
#include "WsdmStore.h"

static int failures = 0;

static void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

static void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

// A port whose far end the checks are.
class Port final : public Stream {
 public:
  int available() override { return in.size(); }
  int read() override {
    if (in.empty()) return -1;
    const uint8_t byte = in[0];
    in.erase(0, 1);
    return byte;
  }
  int peek() override { return in.empty() ? -1 : static_cast<uint8_t>(in[0]); }
  size_t write(uint8_t byte) override {
    out += static_cast<char>(byte);
    return 1;
  }
  using Print::write;
  std::string said() {
    std::string said;
    said.swap(out);
    return said;
  }
  std::string in, out;
};

static std::string set(WsdmSettings& settings, WsdmKey key, const std::string& value) {
  const __FlashStringHelper* const wrong = settings.set(key, value.c_str());
  return wrong ? reinterpret_cast<const char*>(wrong) : "";
}

static WsdmSettings filled() {
  WsdmSettings settings;
  settings.set(WsdmKey::Ssid, "My Network ");
  settings.set(WsdmKey::Password, "correct horse ");
  settings.set(WsdmKey::Gateway, "10.0.0.2:8080");
  settings.set(WsdmKey::Token, "geheim-1");
  settings.set(WsdmKey::Identifier, "Stroker");
  settings.set(WsdmKey::SilenceMs, "1500");
  return settings;
}

static std::string all(const WsdmSettings& settings) {
  std::string text;
  for (uint8_t i = 0; i < WSDM_KEYS; i++) text += std::string(settings.get(static_cast<WsdmKey>(i))) + "|";
  return text;
}

static void values() {
  const std::string taken = "mdns, HOST, HOST:PORT and ws://HOST:PORT/ are taken";
  const std::string port = "a port is a number from 1 to 65535; " + taken, host = "that is no host; " + taken;
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
      {WsdmKey::Gateway, "ws://gw:1/", "", "ws://gw:1"},
      {WsdmKey::Gateway, "mdns", "", "mdns"},
      {WsdmKey::Gateway, "", host, "mdns"},
      {WsdmKey::Gateway, ":80", host, "mdns"},
      {WsdmKey::Gateway, "a b", host, "mdns"},
      {WsdmKey::Gateway, "gw/path", host, "mdns"},
      {WsdmKey::Gateway, "wss://gw", port, "mdns"},
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
  expect("a gateway", std::string(name) + " " + std::to_string(number), "10.0.0.2 54817");
  settings.set(WsdmKey::Gateway, "gw:65535");
  settings.gateway(name, number);
  expect("a gateway", std::string(name) + " " + std::to_string(number), "gw 65535");
  Port port_;
  settings.takeBuiltIn({"net", "short", "gw", 80, nullptr}, port_);
  expect("what was built in", all(settings), "net||ws://gw:80||||1000|");
  expect("and cannot be used", port_.said(),
         "this build's password is left out: a password of Wi-Fi has 8 to 63 characters, or none\r\n");
  settings.takeBuiltIn({nullptr, nullptr, nullptr, 0, nullptr}, port_);
  expect("nothing was built in", all(settings) + port_.said(), "||mdns||||1000|");
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
  expect("the longest fits", longest.encode(bytes) <= WsdmSettings::RECORD_MAX, 1);
  expect("and is read", found.decode(bytes, longest.encode(bytes)), 1);
  expect("as it was", all(found), all(longest));
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

static void flash() {
  WsdmSettings before = filled(), after = filled(), found;
  expect("nothing is there", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::NOTHING));
  after.set(WsdmKey::Ssid, "Another Network");
  // The power fails after each byte in turn.
  long kept = 0, replaced = 0;
  for (size_t left = 0; left < 300; left++) {
    hostFlashLeft = SIZE_MAX;
    expect("saved", wsdmSave(before), 1);
    hostFlashLeft = left;
    const bool isSaved = wsdmSave(after);
    found = WsdmSettings();
    expect("there is always one", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::SAVED));
    expect("and it is whole", all(found), all(isSaved ? after : before));
    (isSaved ? replaced : kept)++;
  }
  expect("both were seen", kept > 50 && replaced > 50, 1);
  hostFlashLeft = SIZE_MAX;
#if defined(ARDUINO_ARCH_ESP8266)
  const char* const record = "/wsdm";
#else
  const char* const record = "settings";
#endif
  for (const auto& damaged : {std::string(), std::string("x"), std::string(5000, 'W')}) {
    hostFlashWrite(record, reinterpret_cast<const uint8_t*>(damaged.data()), damaged.size());
    found = filled();
    const WsdmLoaded wanted = damaged.empty() && record[0] != '/' ? WsdmLoaded::NOTHING : WsdmLoaded::DAMAGED;
    expect("a damaged record", static_cast<long>(wsdmLoad(found)), static_cast<long>(wanted));
    expect("changes nothing", all(found), all(filled()));
  }
  expect("and is replaced", wsdmSave(before), 1);
  expect("by a good one", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::SAVED));
}

// Somebody at a terminal.
struct Terminal {
  Port port;
  WsdmSettings settings;
  WsdmBuiltIn builtIn = {"built in", nullptr, nullptr, 0, nullptr};
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
           "address = aabbccddeeff\r\nsilence_ms = 1000\r\nnot saved yet\r\n");
    t.line("save");
    expect("to be saved", static_cast<long>(t.action), static_cast<long>(WsdmAction::SAVE));
    t.console.saved();
    expect("saved", t.line("show").find("not saved"), std::string::npos);
    t.line(" restart ");
    expect("to begin anew", static_cast<long>(t.action), static_cast<long>(WsdmAction::RESTART));
    expect("what was built in", t.line("defaults").substr(0, 17), "ssid = built in\r\n");
    expect("and nothing else", t.settings.get(WsdmKey::Password), "");
    for (uint8_t i = 0; i < WSDM_KEYS; i++) {
      const char* const name = reinterpret_cast<const char*>(WsdmSettings::name(static_cast<WsdmKey>(i)));
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
      {"set colour red", "that is no setting; help shows which there are\r\n"},
      {"set ssi x", "that is no setting; help shows which there are\r\n"},
      {"set pins V0=18", "pins stays: in an Arduino sketch it is a part of the sketch\r\n"},
      {"set silence_ms 1", "silence_ms stays: silence_ms is a number from 500 to 10000\r\n"},
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
    expect("secrets are not echoed", t.typed("set password p w\xC3\xA4"), "set password ****");
    t.typed("\x03");
    expect("given up", t.line("set token t"), "token = ********\r\nsave keeps it, restart uses it\r\n");
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
  for (long i = 0; i < 200000; i++) {
    t.typed(rand() % 3 ? WORDS[rand() % (sizeof(WORDS) / sizeof(*WORDS))] : std::string(1, static_cast<char>(rand())));
  }
}

static std::string frame(uint8_t type, const std::string& data) {
  std::string frame = std::string("IMPROV\x01") + static_cast<char>(type) + static_cast<char>(data.size()) + data;
  uint8_t sum = 0;
  for (char byte : frame) sum += byte;
  return frame + static_cast<char>(sum);
}

static std::string rpc(uint8_t command, const std::string& data) {
  return frame(3, std::string{static_cast<char>(command), static_cast<char>(data.size())} + data);
}

static std::string wifi(const std::string& ssid, const std::string& password) {
  return rpc(1, static_cast<char>(ssid.size()) + ssid + static_cast<char>(password.size()) + password);
}

// What a WsdmImprov makes of bytes: texts between apostrophes, commands by number, '!' for what is broken.
struct Listener {
  Port port;
  WsdmImprov improv{port};
  uint32_t now = 0;

  std::string hear(const std::string& bytes) {
    std::string heard;
    for (char byte : bytes) note(improv.take(byte, now), heard);
    return heard;
  }
  std::string wait(uint32_t milliseconds) {
    std::string heard;
    now += milliseconds;
    note(improv.tick(now), heard);
    return heard;
  }

 private:
  void note(WsdmImprov::Taken taken, std::string& heard) {
    if (taken == WsdmImprov::TEXT) heard.append(improv.text(), improv.textLength());
    if (taken == WsdmImprov::COMMAND) heard += "<" + std::to_string(improv.command()) + ">";
    if (taken == WsdmImprov::BROKEN) heard += "!";
  }
};

static void improv() {
  const std::string broken = rpc(2, "").substr(0, 11) + "x";
  const struct {
    std::string bytes, heard;
  } cases[] = {
      {rpc(2, ""), "<2>"},
      {rpc(2, "") + "\n" + rpc(3, "") + "\n", "<2><3>"},
      {"show\r" + rpc(2, "") + "\nshow\r", "show\r<2>show\r"},
      {"set ss" + rpc(4, "") + "\nid x\r", "set ss<4>id x\r"},
      {"IMPROV\r", "IMPROV\r"},
      {"IIMPRO\nIMPRIMPROV", "IIMPRO\nIMPR"},
      {"I" + rpc(2, ""), "I<2>"},
      {"IMPROV" + rpc(2, ""), "IMPROV<2>"},
      {"IMPROV\x02\x03", "IMPROV\x02\x03"},
      {broken + "\nok\r", "!ok\r"},
      // What it sent itself, where a terminal echoes.
      {frame(1, "\x02") + "\n" + rpc(2, ""), "<2>"},
      {frame(3, ""), "!"},
      {frame(3, "\x02"), "!"},
      {frame(3, std::string("\x02\x01", 2)), "!"},
      {frame(3, std::string("\x02\x00x", 3)), "!"},
      {rpc(1, std::string(200, 'x')) + rpc(2, ""), "!<2>"},
      {rpc(4, "x"), "!"},
      {std::string("\0\0\xff", 3) + rpc(2, ""), std::string("\0\0\xff", 3) + "<2>"},
  };
  for (const auto& c : cases) {
    Listener listener;
    expect(c.bytes, listener.hear(c.bytes), c.heard);
    const bool isBroken = c.heard.find('!') != std::string::npos;
    expect("what is broken is answered", listener.port.said(),
           isBroken ? "\n" + frame(2, "\x01") + "\n" : "");
  }
  {
    Listener l;
    expect("it may begin a packet", l.hear("IMP"), "");
    expect("for a while", l.wait(999), "");
    expect("and no longer", l.wait(1), "IMP");
    expect("half a packet", l.hear(rpc(2, "").substr(0, 9)), "");
    expect("is given up", l.wait(1000), "");
    expect("and in nobody's way", l.hear("show\r"), "show\r");
  }
  const struct {
    std::string data;
    bool isGood;
  } given[] = {
      {std::string("\x01" "a\x00", 3), true},
      {"\x03" "abc\x08" "12345678", true},
      {"\x20" + std::string(32, 's') + "\x3f" + std::string(63, 'p'), true},
      {"", false},
      {std::string("\x00\x01p", 3), false},
      {"\x03" "abc", false},
      {"\x04" "abc", false},
      {std::string("\x03" "abc\x00x", 6), false},
      {"\x03" "abc\x09" "12345678", false},
      {std::string("\x03" "a\x00" "c\x00", 5), false},
      {"\x21" + std::string(33, 's') + "\x01" "p", false},
  };
  for (const auto& g : given) {
    Listener l;
    char ssid[33], password[64];
    l.hear(rpc(1, g.data));
    expect("a network: " + g.data, l.improv.wifi(ssid, password), g.isGood);
    if (g.isGood) {
      expect("its name", ssid, g.data.substr(1, static_cast<uint8_t>(g.data[0])));
      expect("its password", password, g.data.substr(2 + strlen(ssid)));
    }
  }
  {
    Listener l;
    l.improv.state(WsdmImprov::PROVISIONED);
    expect("a state", l.port.said(), "\n" + frame(1, "\x04") + "\n");
    const char* const texts[] = {"a", "", "bcd"};
    l.improv.result(3, texts, 3);
    expect("a result", l.port.said(), "\n" + frame(4, std::string("\x03\x07\x01" "a\x00\x03" "bcd", 9)) + "\n");
    l.improv.result(4, nullptr, 0);
    expect("none", l.port.said(), "\n" + frame(4, std::string("\x04\x00", 2)) + "\n");
  }
  srand(4);
  Listener l;
  for (long i = 0; i < 300000; i++) {
    std::string bytes;
    switch (rand() % 4) {
      case 0: bytes = frame(rand() % 5, std::string(rand() % 256, static_cast<char>(rand()))); break;
      case 1: bytes = std::string("IMPROV\x01\x03\x02\x02").substr(0, rand() % 11); break;
      default: bytes.assign(1, static_cast<char>(rand()));
    }
    l.hear(bytes);
    char ssid[33], password[64];
    l.improv.wifi(ssid, password);
    l.wait(rand() % 2000);
    l.port.out.clear();
  }
}

static std::string number(uint32_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  return text;
}

static std::string name(const std::vector<std::string>& labels) {
  std::string text;
  for (const auto& label : labels) text += static_cast<char>(label.size()) + label;
  return text + '\0';
}

static std::string record(const std::string& name, uint16_t type, uint16_t theClass, uint32_t ttl, const std::string& data) {
  return name + number(type, 2) + number(theClass, 2) + number(ttl, 4) + number(data.size(), 2) + data;
}

static const std::vector<std::string> INSTANCE = {"Gateway on pc", "_wsdm", "_tcp", "local"};

static std::string service(const std::vector<std::string>& instance, uint16_t port, const std::string& host) {
  return record(name(instance), 33, 0x8001, 120, number(0, 4) + number(port, 2) + host);
}

static std::string address(const std::string& host, const std::string& address) {
  return record(host, 1, 0x8001, 120, address);
}

static std::string packet(const std::vector<std::string>& records) {
  std::string packet = number(0, 2) + number(0x8400, 2) + number(0, 2) + number(records.size(), 2) + number(0, 4);
  for (const auto& record : records) packet += record;
  return packet;
}

// Where a packet from 10.0.0.7 says that a gateway is.
static std::string found(const std::string& packet) {
  // A copy of just its size, whose end the sanitizer watches.
  const std::vector<uint8_t> bytes(packet.begin(), packet.end());
  const uint8_t from[4] = {10, 0, 0, 7};
  uint8_t address[4];
  uint16_t port = 0;
  if (!wsdmFindGateway(bytes.data(), bytes.size(), from, address, port)) return "";
  std::string text;
  for (uint8_t part : address) text += std::to_string(part) + ".";
  text.back() = ':';
  return text + std::to_string(port);
}

static void search() {
  const std::string host = name({"pc", "local"});
  expect("a gateway",
         found(packet({record(name({"_wsdm", "_tcp", "local"}), 12, 1, 4500, name(INSTANCE)),
                       record(name(INSTANCE), 16, 0x8001, 4500, std::string(1, '\0')), service(INSTANCE, 54817, host),
                       address(name({"PC", "Local"}), std::string("\x0a\0\0\x03", 4))})),
         "10.0.0.3:54817");
  expect("of several addresses the one that answered counts",
         found(packet({address(host, "\xac\x11\x01\x01"), address(host, std::string("\x0a\0\0\x07", 4)),
                       service(INSTANCE, 1, host)})),
         "10.0.0.7:1");
  expect("and where there is none",
         found(packet({service(INSTANCE, 1, host), address(name({"nas", "local"}), "\x01\x01\x01\x01")})), "10.0.0.7:1");
  // The question, then its answer: SRV of Gw on pc, A of pc, with names that go on elsewhere.
  std::string cut = std::string("\0\0\x84\0\0\x01\0\x02\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01", 34);
  const size_t at = cut.size() + 2 + 2 + 10 + 6 + 1;
  cut += std::string("\x02Gw\xc0\x0c\0\x21\x80\x01\0\0\0\x78\0\x0b\0\0\0\0\x12\x34\x02pc\xc0\x17", 26);
  cut += std::string("\xc0") + static_cast<char>(at) + std::string("\0\x01\x80\x01\0\0\0\x78\0\x04\x0a\0\0\x03", 14);
  expect("names cut short by pointers", found(cut), "10.0.0.3:4660");
  for (size_t length = 0; length < cut.size(); length++) {
    const std::string part = found(cut.substr(0, length));
    if (!part.empty()) expect("a packet cut short is good for what is in it", part, "10.0.0.7:4660");
  }
  const std::string none[] = {
      "",
      std::string("\0\0\0\0\0\x01\0\0\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01", 34),
      packet({service({"Printer", "_ipp", "_tcp", "local"}, 631, host)}),
      packet({service({"_wsdm", "_tcp", "local"}, 631, host)}),
      packet({record(name(INSTANCE), 33, 0x8001, 0, std::string("\0\0\0\0\0\x01\0", 7))}),
      packet({record(name(INSTANCE), 33, 3, 120, std::string("\0\0\0\0\0\x01\0", 7))}),
      packet({service(INSTANCE, 0, host)}),
      packet({record(name(INSTANCE), 33, 1, 120, std::string(5, '\0'))}),
      // Names that lead to themselves, and to each other.
      packet({record("\xc0\x0c", 33, 1, 120, std::string(7, '\1'))}),
      packet({record("\x01" "a\xc0\x0c", 33, 1, 120, std::string(7, '\1'))}),
  };
  for (const auto& bytes : none) expect("no gateway", found(bytes), "");
  srand(5);
  for (long i = 0; i < 300000; i++) {
    std::string bytes = cut;
    for (int changes = rand() % 4; changes >= 0; changes--) bytes[rand() % bytes.size()] = static_cast<char>(rand());
    found(bytes.substr(0, rand() % 8 ? bytes.size() : rand() % bytes.size()));
  }
}

// A gateway that is not there, or never answers.
class Nobody final : public Client {
 public:
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char* host, uint16_t) override {
    connections++;
    name = host;
    writes = 0;
    isOpen = answers;
    return answers;
  }
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t*, size_t size) override {
    writes++;
    return size;
  }
  int available() override { return 0; }
  int read() override { return -1; }
  int read(uint8_t*, size_t) override { return -1; }
  int peek() override { return -1; }
  void flush() override {}
  void stop() override { isOpen = false; }
  uint8_t connected() override { return isOpen; }
  operator bool() override { return isOpen; }
  bool answers = false, isOpen = false;
  int connections = 0, writes = 0;
  std::string name;
};

class Level final : public WsdmOutput {
 public:
  void set(uint16_t value) override { level = value; }
  uint16_t level = 0xFFFF;
};

class Unheard final : public WsdmReplies {
  void reply(const char*, size_t) override {}
};

struct Vibrator {
  Level level;
  WsdmOutput* const motors[1] = {&level};
  WsdmLovense device{motors};
  void run() {
    Unheard unheard;
    for (const char* at = "Vibrate:20;"; *at; at++) device.receive(*at, millis(), unheard);
    expect("on", level.level, WSDM_FULL);
  }
};

static void network() {
  hostClock(1000);
  Nobody client;
  Vibrator vibrator;
  WsdmWebsocket gateway(client, vibrator.device);
  const auto run = [&](uint32_t milliseconds) {
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      gateway.loop();
    }
  };
  gateway.begin("gw", 1, "LVSDevice", "me");
  gateway.network(false);
  run(60000);
  expect("without a network it tries nothing", client.connections, 0);
  gateway.network(true);
  run(1);
  expect("and at once when there is one", client.connections, 1);
  run(60000);
  const int before = client.connections;
  gateway.network(false);
  run(60000);
  expect("nothing again", client.connections, before);
  gateway.network(true);
  run(1);
  expect("at once again, however long the last pause was", client.connections, before + 1);
  run(251);
  expect("with short pauses again", client.connections >= before + 2, 1);
  client.answers = true;
  run(20000);
  expect("a request is one write", client.writes, 1);
  vibrator.run();
  gateway.network(false);
  expect("a network that is gone stops everything", vibrator.level.level, 0);
  expect("and nothing is written into it", client.writes, 1);
  gateway.server(nullptr, 0);
  gateway.network(true);
  client.answers = false;
  const int connections = client.connections;
  // Longer than half of what millis() counts.
  for (int day = 0; day < 60; day++) {
    hostClock(millis() + 24UL * 3600 * 1000);
    gateway.loop();
    expect("it stays due", gateway.isDue(), 1);
  }
  expect("and waits for an address", client.connections, connections);
  gateway.server("found", 2);
  run(1);
  expect("with which it connects", client.name, "found");
  vibrator.run();
  gateway.disconnect("a check");
  expect("whoever disconnects it stops everything", vibrator.level.level, 0);
  hostClock();
}

// A whole board, whose clock the checks move.
struct Board {
  Port port;
  Vibrator vibrator;
  WsdmWifi board;
  explicit Board(const char* ssid = "", const char* password = "")
      : board(vibrator.device, "LVSDevice", port, {ssid, password, "127.0.0.1", 1, nullptr}) {
    hostClock(1000);
    WiFi = HostWiFi();
    board.begin();
  }
  ~Board() { hostClock(); }
  // What it says meanwhile.
  std::string run(uint32_t milliseconds, const std::string& typed = "") {
    port.in += typed;
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      board.loop();
    }
    return port.said();
  }
  bool says(const std::string& said, const std::string& what) { return said.find(what) != std::string::npos; }
};

static const std::string NO_ERROR = "\n" + frame(2, std::string(1, '\0')) + "\n";

static void boards() {
  hostFlashErase();
  setenv("WSDM_HOST_WIFI", "Home\tsecret words\t-40\nOpen\t\t-70\nHome\tsecret words\t-30", 1);
  {
    Board b("Home", "secret words");
    expect("outputs are off first", b.vibrator.level.level, 0);
    expect("it joins", b.says(b.run(200), "Wi-Fi: connected\r\n"), 1);
    // Whatever the reason, and though the core does nothing more about it.
    for (wl_status_t status : {WL_CONNECT_FAILED, WL_NO_SSID_AVAIL, WL_CONNECTION_LOST, WL_DISCONNECTED}) {
      const int begun = WiFi.hostBegun;
      WiFi.hostLose(status);
      expect("lost", b.says(b.run(29000), "Wi-Fi: not connected\r\n"), 1);
      expect("not before 30 s", WiFi.hostBegun, begun);
      expect("and then anew", b.says(b.run(1200), "Wi-Fi: connected\r\n"), 1);
      expect("once", WiFi.hostBegun, begun + 1);
    }
  }
  {
    Board b("Nowhere");
    b.run(100000);
    expect("a network that is not there is tried again and again", WiFi.hostBegun, 4);
  }
  {
    Board b;
    b.run(100000);
    expect("none is tried where none is set", WiFi.hostBegun, 0);
    b.vibrator.run();
    expect("saved", b.says(b.run(10, "set ssid Open\rset token geheim-1\rsave\r"), "saved\r\n"), 1);
    expect("with outputs off", b.vibrator.level.level, 0);
  }
  {
    Board b;
    expect("a board that begins anew has them", b.says(b.run(200), "as saved\r\n"), 1);
    expect("and uses them", WiFi.status(), WL_CONNECTED);
    b.vibrator.run();
    const std::string scanned = b.run(300, rpc(4, ""));
    expect("outputs are off while it scans", b.vibrator.level.level, 0);
    const std::string networks = NO_ERROR + "\n" + frame(4, "\x04\x0c\x04Open\x03-70\x02NO") + "\n\n" +
                                 frame(4, "\x04\x0d\x04Home\x03-30\x03YES") + "\n\n" +
                                 frame(4, std::string("\x04\0", 2)) + "\n";
    expect("each network once, at its strongest", b.says(scanned, networks), 1);
    // What is being changed and is not saved does not get saved with it; what was saved stays.
    b.run(10, "set identifier Unsaved\r");
    b.vibrator.run();
    const std::string joined = b.run(300, wifi("Home", "secret words"));
    expect("outputs are off while it joins another", b.vibrator.level.level, 0);
    expect("it says that it tries", b.says(joined, "\n" + frame(1, "\x03") + "\n"), 1);
    expect("and that it did", b.says(joined, "\n" + frame(4, std::string("\x01\0", 2)) + "\n"), 1);
    WsdmSettings kept;
    wsdmLoad(kept);
    expect("kept", all(kept), "Home|secret words|ws://127.0.0.1:1|geheim-1|||1000|");
    expect("shown", b.says(b.run(10, "show\r"), "ssid = Home\r\n"), 1);
    for (const auto& wrong : {wifi("Home", "wrong words"), wifi("Nowhere", "")}) {
      const std::string refused = b.run(5200, wrong);
      expect("refused", b.says(refused, "\n" + frame(2, "\x03") + "\n"), 1);
      b.run(200);
      expect("back in the old one", std::string(WiFi.status() == WL_CONNECTED ? WiFi.hostSsid : ""), "Home");
    }
    wsdmLoad(kept);
    expect("nothing is kept of them", kept.get(WsdmKey::Ssid), "Home");
    expect("a password that none can have", b.says(b.run(5200, wifi("Home", "short")), "\n" + frame(2, "\x03") + "\n"), 1);
    hostFlashLeft = 0;
    b.run(200);
    expect("a flash that fails is told", b.says(b.run(300, wifi("Open", "")), "\n" + frame(2, "\xff") + "\n"), 1);
    expect("to a person too", b.says(b.run(10, "save\r"), "not saved: the flash cannot be written\r\n"), 1);
    hostFlashLeft = SIZE_MAX;
  }
  {
    // While it cannot join one, it can look for others.
    Board b("Nowhere", "");
    b.run(50);
    expect("networks", b.says(b.run(300, rpc(4, "")), frame(4, std::string("\x04\0", 2))), 1);
    expect("what it does not know", b.says(b.run(10, rpc(9, "")), "\n" + frame(2, "\x02") + "\n"), 1);
    const std::string both = b.run(300, "set ss" + rpc(2, "") + "\nid Open\r");
    expect("a line is not disturbed", b.says(both, "ssid = Open\r\n"), 1);
  }
  unsetenv("WSDM_HOST_WIFI");
}

int main() {
  values();
  records();
  flash();
  console();
  improv();
  search();
  network();
  boards();
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
