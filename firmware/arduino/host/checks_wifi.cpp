// What a whole board does as its network, its flash and whoever sets it up change.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checks_board.h"
#include "checks_responder.h"

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

void network() {
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
  // Its pauses are 5 s at least by now, and one has just begun.
  int before = client.connections;
  while (client.connections == before) run(1);
  before = client.connections;
  gateway.network(false);
  run(100);
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

static const std::string NO_ERROR = "\n" + frame(2, std::string(1, '\0')) + "\n";

// What is said takes time, and what stops the outputs must not wait for it.
static void slowPort() {
  {
    Board b("Home", "secret words");
    b.port.isSlow = true;
    b.run(200);
    std::string questions;
    for (int i = 0; i < 32; i++) questions += "?\n";
    b.port.in = questions;
    uint32_t longest = 0;
    while (!b.port.in.empty()) {
      const uint32_t before = millis();
      b.board.loop();
      longest = millis() - before > longest ? millis() - before : longest;
    }
    expect("a loop that answers is over soon", longest < 120, 1);
    b.port.in.clear();
    for (int i = 0; i < 32; i++) b.port.in += rpc(3, "");
    longest = 0;
    while (!b.port.in.empty()) {
      const uint32_t before = millis();
      b.board.loop();
      longest = millis() - before > longest ? millis() - before : longest;
    }
    expect("for a web page too", longest < 20, 1);
    b.vibrator.run();
    const uint32_t lost = millis();
    WiFi.hostLose(WL_CONNECTION_LOST);
    expect("a network is lost", b.says(b.run(100), "Wi-Fi: not connected\r\n"), 1);
    expect("off before it is said", b.vibrator.level.offAt - lost <= 1, 1);
  }
  {
    hostFlashErase();
    Board b("Home", "secret words");
    b.port.isSlow = true;
    b.run(200);
    const std::string said = b.run(6000, wifi("Nowhere", ""));
    expect("the old network is not the new one", b.says(said, "that network was not joined"), 1);
    WsdmSettings kept;
    expect("nothing is saved", static_cast<long>(wsdmLoad(kept)), static_cast<long>(WsdmLoaded::NOTHING));
    hostFlashErase();
  }
}

// A write to the flash holds the interrupt up that makes steps.
static void savesAtRest() {
  // A restart begins this program anew.
  static const char RESTARTS[] = "WSDM_CHECKS_RESTART";
  if (getenv(RESTARTS)) {
    printf("it began anew before it was at rest\n");
    exit(1);
  }
  hostFlashErase();
  Board b("Home", "secret words");
  WsdmSettings kept;
  const auto isSaved = [&] { return wsdmLoad(kept) == WsdmLoaded::SAVED; };
  b.run(200);
  b.vibrator.level.slowsMs = 125;
  b.vibrator.run();
  expect("not while it slows down", b.says(b.run(120, "set token geheim-1\rsave\rset token geheim-2\r"), "saved; restart uses it\r\n"), 0);
  expect("off", b.vibrator.level.level, 0);
  expect("nothing is written", isSaved(), 0);
  const std::string said = b.run(20);
  expect("at rest it is", isSaved(), 1);
  expect("what was told then, and not later", kept.get(WsdmKey::Token), "geheim-1");
  expect("and goes on", b.says(said, "saved; restart uses it\r\n") && b.says(said, "set token "), 1);
  hostFlashErase();
  b.vibrator.level.slowsMs = 1000;
  b.vibrator.run();
  b.run(900, wifi("Open", ""));
  expect("a network is not saved before", isSaved(), 0);
  expect("but at rest", b.says(b.run(200), "joined, and saved"), 1);
  b.vibrator.run();
  setenv(RESTARTS, "1", 1);
  expect("nor does it begin anew before", b.says(b.run(900, "restart\r"), "restarting"), 0);
  unsetenv(RESTARTS);
  expect("off", b.vibrator.level.level, 0);
  hostFlashErase();
}

// Limits may have been among them: a board that forgot them is not to be driven.
static void damaged() {
  hostFlashErase();
  setenv("WSDM_HOST_WIFI", "Home\tsecret words\t-40", 1);
#if defined(ARDUINO_ARCH_ESP8266)
  const char* const record = "/wsdm";
#else
  const char* const record = "settings";
#endif
  const std::string bytes = "what nobody can read";
  hostFlashWrite(record, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  Board b("Home", "secret words");
  const std::string said = b.run(31000);
  expect("damaged settings are said", b.says(said, "those that were saved are damaged"), 1);
  expect("and it joins nothing", b.says(said, "Wi-Fi: connected"), 0);
  expect("not for a web page either", b.says(b.run(6000, wifi("Home", "secret words")), frame(2, "\x03")), 1);
  expect("nothing is saved by that", b.says(b.run(10), "saved"), 0);
  expect("whoever saves has it back", b.says(b.run(10, "set limits V0=60\rsave\r"), "saved; restart uses it\r\n"), 1);
  WsdmSettings kept;
  expect("it is whole", static_cast<long>(wsdmLoad(kept)), static_cast<long>(WsdmLoaded::SAVED));
  hostFlashErase();
}

// A build that was given something that cannot be used: without it, the board may obey somebody else than it was to.
static void leftOut() {
  const std::string longest(200, 'x');
  const WsdmBuiltIn builds[] = {
      {"Home", "secret words", "ws://10.0.0.2/?token=x", 54817, "t", nullptr},
      {"Home", "secret words", "wss://10.0.0.2:80:80/", 54817, "t", nullptr},
      {"Home", "secret words", longest.c_str(), 54817, "t", nullptr},
      {"Home", "short", "10.0.0.2", 54817, "t", nullptr},
#if defined(WSDM_HAS_TLS)
      {"Home", "secret words", "10.0.0.2", 54817, "t", "yes"},
#else
      {"Home", "secret words", "wss://10.0.0.2/", 54817, "t", nullptr},
#endif
  };
  setenv("WSDM_HOST_WIFI", "Home\tsecret words\t-40", 1);
  for (const WsdmBuiltIn& build : builds) {
    hostFlashErase();
    Board b(build);
    const std::string said = b.run(31000);
    expect("what is left out is reported", b.says(said, "is left out: "), 1);
    expect("with what that means", b.says(said, "no network is joined until settings are saved"), 1);
    expect("it joins nothing", b.says(said, "Wi-Fi: connected"), 0);
    expect("not for a web page either", b.says(b.run(6000, wifi("Home", "secret words")), frame(2, "\x03")), 1);
    expect("until a person saves", b.says(b.run(10, "set password secret words\rsave\r"), "saved; restart uses it\r\n"), 1);
    Board again(build);
    expect("which then counts", again.says(again.run(31000), "Wi-Fi: connected"), 1);
  }
  hostFlashErase();
}

// An ESP8266 cannot tell a network that takes WPA3 only from other trouble: so it says that it has none, once.
static void hasNoWpa3(const std::string& said) {
  const std::string words = "Wi-Fi: this chip has no WPA3: if the network takes nothing else, set its access point to WPA2";
  const size_t at = said.find(words);
#if defined(ARDUINO_ARCH_ESP8266)
  expect("it says that it has no WPA3", at != std::string::npos && said.rfind(words) == at, 1);
#else
  expect("what has WPA3 does not say otherwise", at == std::string::npos, 1);
#endif
}

static int times(const std::string& said, const std::string& what) {
  int times = 0;
  for (size_t at = said.find(what); at != std::string::npos; at = said.find(what, at + 1)) times++;
  return times;
}

// Behind a firewall a board has its network, and nothing else happens.
static void findsNobody() {
  hostFlashErase();
  WsdmSettings settings;
  settings.set(WsdmKey::Ssid, "Home");
  settings.set(WsdmKey::Password, "secret words");
  settings.set(WsdmKey::Gateway, "mdns");
  expect("saved", wsdmSave(settings), 1);
  {
    Responder responder;
    Board b;
    static std::string reported;
    reported.clear();
    b.board.onReport([](WsdmReport report, uint16_t, const char* reason) {
      if (report == WsdmReport::LOST) reported += reason;
    });
    const std::string line = "not connected: no gateway answers the search\r\n";
    expect("not before it had its time", b.says(b.run(3000), line), 0);
    const std::string said = b.run(60000);
    expect("a search that nobody answers is reported", b.says(said, line), 1);
    expect("once", times(said, "no gateway answers"), 1);
    expect("to the sketch too", reported, "no gateway answers the search");
    WiFi.hostLose(WL_CONNECTION_LOST);
    expect("and once with the next search", times(b.run(60000), line), 1);
    expect("it goes on asking", responder.questions() > 60, 1);
    responder.answer(gatewaysAnswer());
    expect("and finds one that begins to answer", b.says(b.run(1), "found a gateway at 127.0.0.1:1\r\n"), 1);
  }
  hostFlashErase();
}

// What of a connection its other end sees, which here is a socket.
static void connects() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  sockaddr* const at = reinterpret_cast<sockaddr*>(&address);
  const bool listens = bind(listener, at, size) == 0 && listen(listener, 1) == 0 && getsockname(listener, at, &size) == 0;
  expect("a gateway's port", listens, 1);
  const uint16_t port = ntohs(address.sin_port);
  WiFiClient plain;
  expect("a connection", plain.connect("127.0.0.1", port), 1);
  expect("has Nagle's algorithm", WiFiClient::hostHasNagle, 1);
  close(accept(listener, nullptr, nullptr));
  hostFlashErase();
  WsdmSettings settings;
  settings.set(WsdmKey::Ssid, "Home");
  settings.set(WsdmKey::Password, "secret words");
  settings.set(WsdmKey::Gateway, ("127.0.0.1:" + std::to_string(port) + "/a/path").c_str());
  expect("saved", wsdmSave(settings), 1);
  {
    Board b;
    b.run(200);
    const int gateway = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    expect("a board connects", gateway >= 0, 1);
    // An answer must not wait for an acknowledgement of the one before.
    expect("and has it no longer", WiFiClient::hostHasNagle, 0);
    char request[32] = "";
    if (recv(gateway, request, sizeof(request) - 1, 0) < 0) expect("a request", errno, 0);
    expect("it asks for the path that was set", std::string(request).substr(0, 21), "GET /a/path HTTP/1.1\r");
    close(gateway);
  }
  close(listener);
  hostFlashErase();
}

void boards() {
  damaged();
  leftOut();
  hostFlashErase();
  setenv("WSDM_HOST_WIFI", "Home\tsecret words\t-40\nOpen\t\t-70\nHome\tsecret words\t-30", 1);
  slowPort();
  savesAtRest();
  findsNobody();
  connects();
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
    const std::string said = b.run(100000);
    expect("a network that is not there is tried again and again", WiFi.hostBegun, 4);
    const std::string why = "Wi-Fi: no network of this name is near: look at ssid, capitals count; 2.4 GHz only\r\n";
    expect("which is said", b.says(said, why), 1);
    expect("at once, and with each try, since a console may be opened later", times(said, "no network"), 1 + 3);
    expect("so", b.says(said, "Wi-Fi: not connected, beginning again: no network of this name is near: look"), 1);
    hasNoWpa3(said);
  }
  {
    Board b("Home", "wrong words");
    const std::string why = "Wi-Fi: the password is wrong: set password WORDS, save, restart\r\n";
    const std::string said = b.run(100000);
    expect("a wrong password is called that", b.says(said, why), 1);
    expect("at once, and with each try", times(said, "password is"), 1 + 3);
    expect("so", b.says(said, "Wi-Fi: not connected, beginning again: the password is wrong: set"), 1);
    expect("and nothing else is", b.says(said, "no network"), 0);
    hasNoWpa3(said);
    b.run(300, wifi("Home", "secret words"));
    b.run(100);
    WiFi.hostLose(WL_NO_SSID_AVAIL);
    WiFi.hostReason(201);
    expect("something else", b.says(b.run(100), "Wi-Fi: no network of this name is near"), 1);
#if !defined(ARDUINO_ARCH_ESP8266)
    const struct {
      uint8_t reason;
      const char* why;
    } reasons[] = {{0, ""}, {8, ""}, {200, "the access point does not answer"}, {210, "another kind of security"}, {202, "the password is wrong"}};
    for (const auto& reason : reasons) {
      WiFi.hostReason(reason.reason);
      const std::string said = b.run(10);
      expect("a reason", *reason.why ? b.says(said, reason.why) : said.empty(), 1);
    }
#endif
    hostFlashErase();
  }
  {
    Board b;
    b.run(100000);
    expect("none is tried where none is set", WiFi.hostBegun, 0);
    b.vibrator.run();
    expect("saved", b.says(b.run(10, "set ssid Open\rset token geheim-1\rsave\r"), "saved; restart uses it\r\n"), 1);
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
    expect("kept", all(kept), "Home|secret words|ws://127.0.0.1:1|geheim-1|||1000|||" + std::string(WSDM_KEYS == 10 ? "|" : ""));
    expect("shown", b.says(b.run(10, "show\r"), "ssid = Home\r\n"), 1);
    for (const auto& wrong : {wifi("Home", "wrong words"), wifi("Nowhere", "")}) {
      const std::string refused = b.run(5200, wrong);
      expect("refused", b.says(refused, "\n" + frame(2, "\x03") + "\n"), 1);
      b.run(200);
      expect("back in the old one", std::string(WiFi.status() == WL_CONNECTED ? WiFi.hostSsid : ""), "Home");
    }
    wsdmLoad(kept);
    expect("nothing is kept of them", kept.get(WsdmKey::Ssid), "Home");
    expect("a password that none can have", b.says(b.run(5200, wifi("Home", "short")), "\n" + frame(2, "\x01") + "\n"), 1);
    // What is refused changes nothing about a network that is being joined.
    for (const auto& bad : {rpc(1, "\x05" "Other\x09" "short"), wifi("Other", "short"), wifi("Oth\x01r", "secret words")}) {
      b.run(10, wifi("Home", "secret words"));
      b.run(10, bad);
      expect("the join goes on", b.says(b.run(300), "joined, and saved"), 1);
      wsdmLoad(kept);
      expect("the network that was joined is kept", kept.get(WsdmKey::Ssid), "Home");
    }
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
  {
    // Limits hold whatever an app asks for, and what is off stays off.
    hostFlashErase();
    WsdmSettings limited;
    limited.set(WsdmKey::Limits, "V0=60 V1=10");
    expect("saved", wsdmSave(limited), 1);
    Board b;
    expect("what limits nothing is told", b.says(b.run(1), "a limit limits nothing: this device has no V1\r\n"), 1);
    Unheard unheard;
    const struct {
      const char* command;
      long level;
    } levels[] = {{"Vibrate:20;", 6000}, {"Vibrate:10;", 3000}, {"Vibrate:0;", 0}, {"Vibrate1:1;", 300}, {"Mply:20;", 6000}};
    for (const auto& l : levels) {
      for (const char* at = l.command; *at; at++) b.vibrator.device.receive(*at, millis(), unheard);
      expect(l.command, b.vibrator.level.level, l.level);
    }
  }
  {
    // So many percent are that much at most, whatever range the sketch gives a strength; and none is off.
    const struct {
      uint16_t high;
      long most;
    } limits[] = {{0, 0}, {2000, 2000}, {5000, 5000}, {WSDM_FULL, 8000}};
    for (const auto& l : limits) {
      Level vibe;
      WsdmAxis axes[] = {{"V0", vibe, 3000, 8000}};
      WsdmTcode device(axes);
      device.begin(0);
      device.limit('V', '0', 0, l.high);
      Unheard unheard;
      for (const char* at = "V01\n"; *at; at++) device.receive(*at, 0, unheard);
      expect("a little within a limit", vibe.level <= l.most, 1);
      for (const char* at = "V09999\n"; *at; at++) device.receive(*at, 0, unheard);
      expect("all of it within a limit", vibe.level <= l.most && vibe.level >= l.most - 1, 1);
    }
  }
  {
    Level vibe;
    struct Turner final : WsdmRotor {
      void set(uint16_t value) override { level = value; }
      void reverse() override {}
      void tick(uint32_t) override {}
      long level = -1;
    } turner;
    WsdmOutput* const motors[] = {&vibe};
    WsdmLovense device(motors, 'A');
    expect("without a rotor there is none to limit", device.limit('R', '0', 2500, 7500), 0);
    device.rotor(turner);
    device.begin(0);
    expect("a rotation has a limit", device.limit('R', '0', 2500, 7500), 1);
    expect("there is one", device.limit('R', '1', 2500, 7500), 0);
    Unheard unheard;
    for (const char* at = "Rotate:20;"; *at; at++) device.receive(*at, 0, unheard);
    expect("half of it", turner.level, 5000);
  }
  {
    Level stroke, twist, vibe;
    WsdmAxis axes[] = {{"L0", stroke, 1000, 9000, 0}, {"R0", twist, 0, WSDM_FULL, 0}, {"V0", vibe}};
    WsdmTcode device(axes);
    device.begin(0);
    WsdmOutputLimit limits[WSDM_OUTPUT_LIMITS];
    uint8_t count = 0;
    wsdmParseLimits("L0=25-75 R0=50 V0=40", limits, count);
    for (uint8_t i = 0; i < count; i++) {
      expect("a limit", device.limit(limits[i].letter, limits[i].digit, limits[i].from(), limits[i].to()), 1);
    }
    Unheard unheard;
    uint32_t now = 0;
    for (const char* line : {"L00 R00 V00\n", "L09999 R09999 V09999\n"}) {
      for (const char* at = line; *at; at++) device.receive(*at, now, unheard);
      for (const uint32_t end = now + 5000; now < end; now++) device.tick(now);
      const bool isLow = line[2] == '0';
      // Within what the sketch allows: 10 % to 90 % of the servo's way.
      expect("a stroke", stroke.level, isLow ? 3000 : 6999);
      expect("a twist", twist.level, isLow ? 2500 : 7499);
      expect("a strength", vibe.level, isLow ? 0 : 3999);
    }
  }
  {
    hostFlashErase();
    Vibrator vibrator;
    WsdmButton button(0, vibrator.device);
    Port port;
    hostClock(1000);
    WsdmWifi board(button, "LVSDevice", port, {"", "", "127.0.0.1", 1, nullptr, nullptr});
    board.begin();
    board.loop();
    vibrator.run();
    port.said();
    hostGrounds(0, true);
    board.loop();
    expect("a press", vibrator.level.level, 0);
    expect("which is said", port.said(), "stopped by the button, until the app has stopped too\r\n");
    hostGrounds(0, false);
    // As if another gateway were there.
    button.stop(millis());
    button.connected(millis());
    hostClock(millis() + WSDM_CALM_MS);
    button.tick(millis());
    board.loop();
    expect("and its end", port.said(), "the button's stop is over\r\n");
    hostClock();
  }
  unsetenv("WSDM_HOST_WIFI");
}
