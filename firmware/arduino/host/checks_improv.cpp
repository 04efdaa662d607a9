// What Improv makes of bytes, and says.

#include "checks_settings.h"

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

void improv() {
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
  for (long i = 0; i < 300000 / CHECKS_DIVISOR; i++) {
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
