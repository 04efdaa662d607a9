// What the library does with bytes, checked on this machine: the same tables as the gateway's own simulated devices have,
// and bytes at random under the sanitizers.

#include <Arduino.h>
#include <WsdmDevice.h>

#include <string>

// What is done at random is done so many times less, where a build says so: an emulated CPU takes long for it.
#ifndef CHECKS_DIVISOR
#define CHECKS_DIVISOR 1
#endif

static int failures = 0;

static void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

static void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

class Level final : public WsdmOutput {
 public:
  void set(uint16_t value) override {
    if (value > WSDM_FULL) expect("an output in its range", value, WSDM_FULL);
    level = value;
  }
  uint16_t level = 0xFFFF;
};

class Heard final : public WsdmReplies {
 public:
  void reply(const char* bytes, size_t length) override {
    if (length > WSDM_REPLY_MAX) expect("the length of a reply", length, WSDM_REPLY_MAX);
    text.append(bytes, length);
  }
  std::string text;
};

static std::string say(WsdmProtocol& device, const std::string& bytes, uint32_t now = 0) {
  Heard heard;
  for (char byte : bytes) device.receive(byte, now, heard);
  return heard.text;
}

struct Edge {
  Level one, two;
  WsdmOutput* const motors[2] = {&one, &two};
  WsdmLovense device{motors, 'P', "AABBCCDDEEFF"};
  Edge() { device.begin(0); }
  std::string levels() { return std::to_string(one.level) + " " + std::to_string(two.level); }
};

static void lovense() {
  const struct {
    const char *said, *answer, *levels;
  } cases[] = {
      {"DeviceType;", "P:11:AABBCCDDEEFF;", "0 0"},
      {"Battery;Status:1;GetBatch;GetAS;", "90;2;240131;AutoSwith:1:0;", "0 0"},
      {"Light:off;GetLight;Light:ON;GetLight;", "OK;Light:0;OK;Light:1;", "0 0"},
      {"Vibrate:10;", "OK;", "5000 5000"},
      {"Vibrate2:20;Vibrate1:1;", "OK;OK;", "500 10000"},
      {"Mply:1:2;Mply:-1:9;Mply:3;", "OK;OK;OK;", "1500 4500"},
      {" \r\n;", "", "0 0"},
      {"\r\nVibrate:5 ;", "OK;", "2500 2500"},
      {"Vibrate:20;PowerOff;", "OK;OK;", "0 0"},
      {"Vibrate:20;DeviceType;", "OK;P:11:AABBCCDDEEFF;", "0 0"},
      {"Vibrate:7;Vibrate:21;Vibrate:-1;Vibrate:;Vibrate;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;Vibrate3:1;Vibrate0:1;Rotate:0;Make:Tea;", "OK;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"Vibrate:7;vibrate:3;Mply:1:2:3;Mply:x;Mply:;Light:maybe;", "OK;ERR;ERR;ERR;ERR;ERR;", "3500 3500"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;Vibrate:1;", "ERR;OK;", "500 500"},
      {"\x1b;\xff;", "ERR;ERR;", "0 0"},
  };
  for (const auto& c : cases) {
    Edge edge;
    edge.device.battery(90);
    expect(c.said, say(edge.device, c.said), c.answer);
    expect(c.said, edge.levels(), c.levels);
  }
  Edge edge;
  say(edge.device, std::string("Vibrate:5\0;", 11));
  expect("a zero is no end", edge.levels(), "0 0");
  say(edge.device, "Vibrate:5;Vibr");
  expect("is on", edge.device.isOn(), 1);
  edge.device.stop(0);
  expect("stopped", edge.levels(), "0 0");
  expect("forgotten", say(edge.device, "ate:5;"), "ERR;");
}

// A stroke, a twist and a vibrator, past their soft start.
struct Machine {
  Level stroke, twist, vibe;
  WsdmAxis axes[3];
  WsdmTcode device{axes};
  explicit Machine(uint16_t low = 0, uint16_t high = WSDM_FULL, uint16_t maxSpeed = 0, bool soft = false)
      : axes{{"L0", stroke, low, high, maxSpeed}, {"R0", twist, 0, WSDM_FULL, 0}, {"V0", vibe}} {
    device.begin(0);
    if (!soft) {
      say(device, "L05\n", 0);
      say(device, "L05\n", 2000);
    }
  }
  // Runs until then, as a sketch does; where the time is far away it only jumps there.
  uint16_t at(uint32_t now, Level& level) {
    if (now - _ran > 20000) _ran = now - 20000;
    while (_ran != now) device.tick(++_ran);
    device.tick(now);
    return level.level;
  }

 private:
  uint32_t _ran = 0;
};

static void tcode() {
  const struct {
    const char* said;
    long stroke;
  } magnitudes[] = {
      {"L0500\n", 5000}, {"L05\n", 5000},    {"L005\n", 500},         {"L09999\n", 9999},
      {"l0000\n", 0},    {"L0999\r\n", 9990}, {"L01234567899999\n", 1234}, {"L00 L0999\n", 9990},
      {"L0999", 5000},   {"L0\n", 5000},     {"L\n", 5000},           {"X05\n", 5000},
      {"L09x\n", 5000},  {"L09I\n", 5000},   {"L09Ix\n", 5000},       {"L09S-1\n", 5000},
      {"L09I9999999999\n", 5000}, {"L1999\n", 5000}, {"L0999 DSTOP\n", 5000}, {"L09 \x1b[2J\n", 5000},
  };
  for (const auto& c : magnitudes) {
    Machine machine;
    machine.at(2999, machine.stroke);
    say(machine.device, c.said, 3000);
    expect(c.said, machine.at(3001, machine.stroke), c.stroke);
  }
  {
    Machine m;
    m.at(3000, m.stroke);
    say(m.device, "L00I1000 R00S10 V099I100\n", 3000);
    expect("half way", m.at(3500, m.stroke), 2500);
    expect("there", m.at(4000, m.stroke), 0);
    expect("half way at a speed", m.at(5500, m.twist), 2500);
    expect("there at a speed", m.at(8000, m.twist), 0);
    expect("a vibration that swells", m.at(8001, m.vibe), 9900);
    expect("is on", m.device.isOn(), 1);
    say(m.device, "V00\n", 8002);
    expect("is off", m.device.isOn(), 0);
    expect("what is over stays over", m.at(0xFFFFFFFF, m.stroke), 0);
  }
  {
    Machine m;
    m.at(3000, m.stroke);
    say(m.device, "L00I1000 V05\n", 3000);
    m.at(3500, m.stroke);
    say(m.device, "L0999 DSTOP\n", 3500);
    expect("holds", m.at(9000, m.stroke), 2500);
    expect("ends", m.at(9001, m.vibe), 0);
    expect("nothing is on", m.device.isOn(), 0);
  }
  {
    Machine m;
    expect("D0", say(m.device, "D0\n").substr(0, 11), "WsdmDevice-");
    expect("D1", say(m.device, "d1\r\n"), "TCode v0.3\n");
    expect("a range", say(m.device, "$L0-1000-9000 $V0-1-10000 $Q0-1-2 $L0 $\n"), "");
    expect("D2", say(m.device, "D2\n"), "L0 1000 9000 Stroke\nR0 0 9999 Twist\nV0 0 9999 Vibe0\n");
  }
  {
    Machine m(1000, 9000);
    m.at(3000, m.stroke);
    say(m.device, "L00\n", 3000);
    expect("the lower limit", m.at(3001, m.stroke), 1000);
    say(m.device, "L09999\n", 3002);
    expect("the upper limit", m.at(3003, m.stroke), 8999);
  }
  {
    Machine m(0, WSDM_FULL, 100);
    m.at(3000, m.stroke);
    say(m.device, "L00\n", 3000);
    expect("half a second for half the way", m.at(3250, m.stroke), 2500);
    expect("there", m.at(3500, m.stroke), 0);
  }
  {
    Machine m(0, WSDM_FULL, 0, true);
    say(m.device, "L00\n", 0);
    expect("softly at first", m.at(500, m.stroke), 2500);
    m.at(1999, m.stroke);
    say(m.device, "L09999 V09\n", 1999);
    expect("softly still", m.at(2099, m.stroke), 499);
    expect("a vibration need not be", m.at(2100, m.vibe), 9000);
    m.at(2200, m.stroke);
    say(m.device, "L09999\n", 2200);
    expect("and then as asked", m.at(2201, m.stroke), 9999);
    m.at(3000, m.stroke);
    m.device.stop(3000);
    say(m.device, "L00\n", 3000);
    expect("softly again when control was lost", m.at(3100, m.stroke), 9500);
  }
}

// A servo is moved when it is told to, never in leaps, and not by a stop.
static void stroke() {
  {
    Level place;
    WsdmAxis axes[] = {{"L0", place}, {"R0", place}};
    WsdmTcode device(axes);
    device.begin(0);
    device.tick(1000);
    say(device, "R1 D2 DSTOP\n", 1000);
    device.stop(1500);
    device.tick(2000);
    expect("no pulse before the first move", place.level, 0xFFFF);
    say(device, "L05\n", 2000);
    expect("the place where it is believed to be is told too", place.level, 5000);
  }
  for (uint16_t limit : {0, 100}) {
    Machine m(0, WSDM_FULL, limit);
    m.at(3000, m.stroke);
    say(m.device, "L00I2000 V05I2000\n", 3000);
    expect("under way", m.at(3400, m.stroke), 4000);
    m.device.stop(13400);
    expect("a stop after the sketch stood still moves nothing", m.stroke.level, 4000);
    expect("but for what it ends", m.vibe.level, 0);
    expect("nor later", m.at(13500, m.stroke), 4000);
    say(m.device, "L00I1000\n", 13500);
    m.at(14000, m.stroke);
    const long before = m.stroke.level;
    m.device.tick(24000);
    // 50 ms of 4,000 in a second.
    expect("a sketch that stood still goes on without a leap", before - m.stroke.level, 200);
  }
  {
    Level place;
    Level other;
    WsdmAxis axes[] = {{"L0", place}, {"R0", other, 0, WSDM_FULL, 0}};
    WsdmTcode device(axes);
    device.begin(0);
    say(device, "L05\n", 0);
    for (uint32_t now = 1; now <= 3000; now++) device.tick(now);
    say(device, "R00\n", 3000);
    device.tick(3010);
    expect("softly at first, each of them", other.level, 4950);
    device.tick(3000);
    for (uint32_t now = 3011; now <= 6000; now++) device.tick(now);
    say(device, "L05\n", 6000);
    say(device, "L00\n", 6000);
    for (uint32_t now = 6000; now <= 6100; now++) device.tick(now);
    expect("two ranges a second at most, where nothing else is said", place.level, 3000);
  }
  {
    // The clock begins anew after 49 days.
    const uint32_t start = 0xFFFFFFFF - 499;
    Level place, vibe;
    WsdmAxis axes[] = {{"L0", place, 0, WSDM_FULL, 0}, {"V0", vibe}};
    WsdmTcode device(axes);
    device.begin(start - 3000);
    say(device, "L05\n", start - 3000);
    for (uint32_t now = start - 3000; now != start; now++) device.tick(now);
    say(device, "L00I1000 V09I1000\n", start);
    for (uint32_t now = start; now != 0; now++) device.tick(now);
    device.tick(0);
    expect("half way when the clock begins anew", place.level, 2500);
    expect("and a strength", vibe.level, 4500);
    for (uint32_t now = 0; now <= 500; now++) device.tick(now);
    expect("there after it", place.level, 0);
    expect("and a strength there", vibe.level, 9000);
    device.stop(501);
    expect("and stopped", vibe.level, 0);
  }
}

static void accept() {
  char text[WSDM_ACCEPT_TEXT];
  // RFC 6455, section 1.3.
  wsdmAccept("dGhlIHNhbXBsZSBub25jZQ==", text);
  expect("an accept", text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const struct {
    const char *bytes, *text;
  } cases[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
  for (const auto& c : cases) {
    wsdmBase64(reinterpret_cast<const uint8_t*>(c.bytes), strlen(c.bytes), text);
    expect("base64", text, c.text);
  }
}

// A gateway that says what the check wants, and keeps what it is sent.
class Scripted final : public Client {
 public:
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char*, uint16_t) override {
    open = true;
    in.clear();
    out.clear();
    connections++;
    return 1;
  }
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override {
    if (!open) return 0;
    if (size > room) size = room;
    out.append(reinterpret_cast<const char*>(bytes), size);
    return size;
  }
  int available() override { return in.size(); }
  int read() override { return -1; }
  int read(uint8_t* bytes, size_t size) override {
    const size_t got = in.copy(reinterpret_cast<char*>(bytes), size);
    in.erase(0, got);
    return got;
  }
  int peek() override { return -1; }
  void flush() override {}
  void stop() override {
    open = false;
    in.clear();
  }
  uint8_t connected() override { return open; }
  operator bool() override { return open; }

  // What was sent since this was asked last, without its masks: opcode, colon, payload; for each frame.
  std::string frames() {
    std::string all;
    size_t at = 0;
    while (at + 6 <= out.size()) {
      const uint8_t* frame = reinterpret_cast<const uint8_t*>(out.data()) + at;
      if (!(frame[1] & 0x80)) expect("a mask", 0, 1);
      size_t length = frame[1] & 0x7F, header = 2;
      if (length == 126) {
        length = frame[2] << 8 | frame[3];
        header = 4;
      }
      all += std::to_string(frame[0] & 0x0F) + ":";
      for (size_t i = 0; i < length; i++) all += frame[header + 4 + i] ^ frame[header + (i & 3)];
      all += " ";
      at += header + 4 + length;
    }
    if (at != out.size()) expect("whole frames", at, out.size());
    out.clear();
    return all;
  }

  bool open = false;
  int connections = 0;
  // What a write takes at most.
  size_t room = SIZE_MAX;
  std::string in, out;
};

static std::string reported;

static void note(WsdmReport what, uint16_t code, const char* reason) {
  reported += std::to_string(static_cast<int>(what)) + " " + std::to_string(code) + " " + reason + "|";
}

// A device whose gateway has taken the upgrade.
struct Connected {
  Scripted client;
  Edge edge;
  WsdmWebsocket gateway{client, edge.device};
  std::string request;

  explicit Connected(const char* identifier = "LVSDevice", const char* token = nullptr) {
    reported.clear();
    gateway.onReport(note);
    gateway.begin("host", 54817, identifier, "me", token);
    gateway.loop();
    request = client.out;
    client.out.clear();
  }

  void upgrade() {
    const size_t at = request.find("Sec-WebSocket-Key: ");
    char accept[WSDM_ACCEPT_TEXT];
    wsdmAccept(request.substr(at + 19, 24).c_str(), accept);
    hear(std::string("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nsec-websocket-accept:  ") + accept + "\r\n\r\n");
  }

  void hear(const std::string& bytes) {
    // All of it, whatever its length: a loop takes so much and no more.
    client.in += bytes;
    do gateway.loop();
    while (client.open && !client.in.empty());
  }
};

// A frame of a server: no mask.
static std::string frame(uint8_t opcode, const std::string& payload, bool final = true) {
  std::string bytes(1, static_cast<char>((final ? 0x80 : 0) | opcode));
  if (payload.size() < 126) {
    bytes += static_cast<char>(payload.size());
  } else {
    bytes += 126;
    bytes += static_cast<char>(payload.size() >> 8);
    bytes += static_cast<char>(payload.size() & 0xFF);
  }
  return bytes + payload;
}

static void websocket() {
  {
    Connected c("LVSDevice", "a b+c%");
    expect("the request", c.request.substr(0, c.request.find("Sec-WebSocket-Key")),
           "GET /?token=a%20b+c% HTTP/1.1\r\nHost: host:54817\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Version: 13\r\n");
    c.upgrade();
    expect("connected", reported, "0 0 |");
    expect("a handshake", c.client.frames(), "1:{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0} ");
    c.hear(frame(2, "Vibrate:10;"));
    expect("an answer", c.client.frames(), "2:OK; ");
    expect("a command", c.edge.levels(), "5000 5000");
    // Cut up, with a ping in its middle.
    c.hear(frame(2, "Vibr", false) + frame(9, "are you there") + frame(0, "ate1:2", false) + frame(0, "0;"));
    expect("a pong first", c.client.frames(), "10:are you there 2:OK; ");
    expect("a command in pieces", c.edge.levels(), "10000 5000");
    // More than a loop takes at once, and as text.
    std::string many;
    for (int i = 0; i < 100; i++) many += "Vibrate:3;";
    c.hear(frame(1, many));
    expect("the last counts", c.edge.levels(), "1500 1500");
    c.client.frames();
    c.hear(frame(8, std::string("\x0F\xA1", 2) + "no such name"));
    expect("why it was closed", reported, "0 0 |1 4001 no such name|");
    expect("stopped", c.edge.levels(), "0 0");
    expect("a farewell", c.client.out.size() == 8 && !c.client.open, 1);
    c.gateway.loop();
    expect("a pause before the next", c.client.connections, 1);
  }
  {
    const std::string name(200, 'x');
    Connected c(name.c_str());
    c.upgrade();
    expect("a long handshake", c.client.frames(), "1:{\"identifier\":\"" + name + "\",\"address\":\"me\",\"version\":0} ");
    c.hear(frame(2, "Vibrate:9;"));
    c.client.open = false;
    c.gateway.loop();
    expect("stopped when it breaks", c.edge.levels(), "0 0");
    expect("and said", reported, "0 0 |2 0 the connection broke off|");
  }
  {
    Connected c("a\"b\\c\n");
    c.upgrade();
    expect("escaped", c.client.frames(), "1:{\"identifier\":\"a\\\"b\\\\c\",\"address\":\"me\",\"version\":0} ");
    c.hear(frame(2, "PowerOff;"));
    c.gateway.loop();
    expect("off", reported, "0 0 |4 0 told to|");
    delay(1100);
    c.gateway.loop();
    expect("for good", c.client.connections, 1);
  }
  const struct {
    const char *answer, *report;
  } refusals[] = {
      {"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
       "2 0 what answers is no websocket server|"},
      {"HTTP/1.1 101 X\r\n\r\n", "2 0 what answers is no websocket server|"},
      {"SSH-2.0-OpenSSH_9.2p1\r\n", "2 0 no web server answers there|"},
      {"\n", "2 0 no web server answers there|"},
  };
  for (const auto& r : refusals) {
    Connected c;
    c.hear(r.answer);
    expect(r.answer, reported, r.report);
  }
  {
    Connected c;
    c.hear("HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nno\x1b token");
    c.client.open = false;
    c.gateway.loop();
    expect("an HTTP refusal", reported, "1 401 no token|");
  }
  const std::string broken[] = {
      std::string("\x82\x81\0\0\0\0x", 7), "\xC2\x01x", "\x83\x01x", std::string("\x09\x00", 2), std::string("\x80\x00", 2),
      std::string("\x88\x7E\x00\x80", 4), "\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
      frame(1, "a", false) + frame(2, "b"),
  };
  for (const auto& bytes : broken) {
    Connected c;
    c.upgrade();
    say(c.edge.device, "Vibrate:5;");
    c.hear(bytes);
    expect("given up", reported.substr(0, 9), "0 0 |2 10");
    expect("and stopped", c.edge.levels(), "0 0");
  }
  {
    Connected c;
    c.upgrade();
    c.hear(frame(2, "Vibrate:5;PowerOff;Vibrate:20;Battery;"));
    expect("what comes behind a PowerOff does not count", c.edge.levels(), "0 0");
  }
  srand(2);
  for (int i = 0; i < 300000 / CHECKS_DIVISOR; i++) {
    static Connected* c = nullptr;
    if (!c || !c->client.open) {
      delete c;
      c = new Connected;
      if (rand() % 8) c->upgrade();
    }
    std::string bytes;
    switch (rand() % 4) {
      case 0: bytes = frame(rand() % 16, std::string(rand() % 300, ';'), rand() % 2); break;
      case 1: bytes = frame(rand() % 2 ? 9 : 2, "Vibrate:5;"); break;
      default: bytes.assign(1, static_cast<char>(rand()));
    }
    c->hear(bytes);
    c->client.out.clear();
  }
}

// The clock stands still but for the checks.
struct SetClock {
  SetClock() { hostClock(100000); }
  ~SetClock() { hostClock(); }
};

// A device whose gateway has turned its motors on.
struct Running : SetClock, Connected {
  Running() {
    upgrade();
    hear(frame(2, "Vibrate:20;"));
    expect("on", edge.levels(), "10000 10000");
    client.out.clear();
    reported.clear();
  }
  void run(uint32_t milliseconds) {
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      gateway.loop();
    }
  }
};

static void links() {
  {
    Running r;
    r.run(999);
    expect("on for a second of silence", r.edge.levels(), "10000 10000");
    r.run(1);
    expect("and no longer", r.edge.levels(), "0 0");
    expect("then it connects anew", reported, "3 1000 nothing was heard, everything is stopped|2 0 nothing was heard|");
    expect("with pings before", r.client.frames().substr(0, 2), "9:");
    expect("closed", r.client.open, 0);
  }
  {
    Running r;
    hostClock(millis() + 1000);
    r.client.in = frame(10, "");
    r.gateway.loop();
    expect("a sketch that stood still stops, whatever lies there unread", r.edge.levels(), "0 0");
  }
  {
    // A gateway that asks and asks, and takes nothing: a write to it would wait for ever.
    Running r;
    for (int i = 0; i < 1000; i++) r.client.in += frame(2, "Battery;");
    r.run(500);
    expect("no more is written than any connection has room for", r.client.out.size() <= 1024 + 64, 1);
    expect("it says so once", reported, "5 0 the gateway takes no more|");
    expect("what is heard keeps it on", r.edge.levels(), "10000 10000");
    r.client.in.clear();
    r.run(1000);
    expect("silence does not", r.edge.levels(), "0 0");
  }
  {
    // One that takes it, late.
    Running r;
    std::string answers;
    for (int i = 0; i < 1000; i++) {
      r.client.in += frame(2, "Battery;");
      r.run(5);
      const std::string said = r.client.frames();
      answers += said;
      const size_t ping = said.rfind("9:");
      if (ping != std::string::npos) r.client.in += frame(10, said.substr(ping + 2, 1));
    }
    size_t count = 0;
    for (size_t at = 0; (at = answers.find("2:100; ", at)) != std::string::npos; at++) count++;
    expect("every answer, where the gateway takes them", count, 1000);
    expect("nothing to say", reported, "");
  }
  {
    // One that answers only the last of several pings, as it may.
    Running r;
    for (int i = 0; i < 100; i++) {
      r.run(600);
      const std::string said = r.client.frames();
      const size_t ping = said.rfind("9:");
      if (ping == std::string::npos) break;
      r.client.in += frame(2, "Vibrate:20;") + frame(10, said.substr(ping + 2, 1));
      r.run(100);
    }
    expect("is no reason to stop", reported + r.edge.levels(), "10000 10000");
  }
  {
    // A pong that nobody asked for proves nothing.
    Running r;
    for (int i = 0; i < 400; i++) r.client.in += frame(2, "Battery;") + frame(10, "?");
    r.run(500);
    expect("no more is written", r.client.out.size() <= 1024 + 64, 1);
  }
  {
    Running r;
    r.client.room = 3;
    r.hear(frame(2, "Battery;"));
    r.gateway.loop();
    expect("a connection that takes half a frame is of no use", reported, "2 0 the connection takes nothing|");
    expect("and stopped", r.edge.levels(), "0 0");
  }
  const struct {
    uint16_t code;
    uint32_t least, most;
  } pauses[] = {{4001, 5000, 5002}, {1007, 5000, 5002}, {1001, 125, 252}, {4003, 125, 252}, {1000, 125, 252}};
  for (const auto& p : pauses) {
    Running r;
    r.run(1);
    r.hear(frame(8, std::string{static_cast<char>(p.code >> 8), static_cast<char>(p.code & 0xFF)}));
    uint32_t passed = 0;
    for (; passed < 20000 && r.client.connections == 1; passed++) r.run(1);
    expect("a pause after " + std::to_string(p.code) + ": " + std::to_string(passed), passed >= p.least && passed <= p.most, 1);
  }
  {
    // Nobody there: further and further apart.
    Running r;
    uint32_t passed = 0;
    for (int connections = 1; connections < 12; connections++) {
      r.client.open = false;
      r.run(1);
      for (passed = 0; passed < 20000 && r.client.connections == connections; passed++) r.run(1);
    }
    expect("ten seconds at most: " + std::to_string(passed), passed >= 5000 && passed <= 10001, 1);
  }
  {
    // With everything off there is no hurry.
    Running r;
    r.hear(frame(2, "Vibrate:0;"));
    r.client.out.clear();
    r.run(9999);
    expect("still there after ten seconds", r.client.open, 1);
    expect("one ping", r.client.frames().size(), 4);
    r.run(1);
    expect("and then given up", reported, "2 0 nothing was heard|");
  }
}

// A wire whose far end the checks are.
class Wire final : public Stream {
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
  std::string in, out;
};

// A board on that wire, and a clock that the checks move.
struct Wired {
  Wire wire;
  Edge edge;
  WsdmSerial gateway{wire, edge.device};
  explicit Wired(uint16_t keepaliveMs = WSDM_KEEPALIVE_MS) {
    hostClock(1000);
    gateway.begin("LVSDevice", "me", keepaliveMs);
    expect("hello", said().substr(0, 13), "{\"identifier\"");
  }
  ~Wired() { hostClock(); }
  // What it answers, `milliseconds` later.
  std::string hear(const std::string& bytes, uint32_t milliseconds = 0) {
    wire.in += bytes;
    for (uint32_t end = millis() + milliseconds;; hostClock(millis() + 1)) {
      gateway.loop();
      if (millis() == end) return said();
    }
  }
  std::string said() {
    std::string said;
    said.swap(wire.out);
    return said;
  }
};

static void serial() {
  {
    Wired w;
    w.hear("Vibrate:20;");
    expect("on", w.edge.levels(), "10000 10000");
    for (int i = 0; i < 10; i++) expect("signs of life are not answered", w.hear("\n", 200), "");
    expect("on", w.edge.levels(), "10000 10000");
    w.hear("", 599);
    expect("on until four keepalives are missing", w.edge.levels(), "10000 10000");
    expect("hello again", w.hear("", 1).substr(0, 13), "{\"identifier\"");
    expect("off", w.edge.levels(), "0 0");
  }
  // An open line hums.
  for (const char* hum : {"\xff\x80", "\xff;\xfe;", ";;;", "Vibr", "\xff\n", " ; ;", "\xffVibrate:20;"}) {
    Wired w;
    w.hear("Vibrate:20;");
    uint32_t passed = 0;
    for (; passed < 5000 && w.edge.one.level > 0; passed += 40) w.hear(hum, 40);
    expect("noise does not keep it on: " + std::string(hum), passed, 800);
  }
  {
    Wired w;
    w.hear("Vibrate:20;");
    for (int i = 0; i < 20; i++) expect("what it does not know", w.hear("GetWeather;", 150), "ERR;");
    expect("is a sign of life", w.edge.levels(), "10000 10000");
  }
  {
    // Configured by its owner: nobody asked for its hello line before.
    Wired w;
    w.hear("DeviceType;");
    expect("hello again, though nothing was on", w.hear("", 801).substr(0, 13), "{\"identifier\"");
  }
  {
    Wire wire;
    Level vibe;
    WsdmAxis axes[] = {{"V0", vibe}};
    WsdmTcode device(axes);
    WsdmSerial gateway(wire, device);
    hostClock(1000);
    gateway.begin("TCodeDevice");
    for (int i = 0; i < 20; i++) {
      wire.in += "V09 \xff\n\n";
      gateway.loop();
      hostClock(millis() + 400);
    }
    expect("a line with noise in it is not obeyed", vibe.level, 0);
    hostClock();
  }
  {
    Wired w;
    w.hear("Vibrate:20;");
    w.hear("\xff", 10);
    for (int i = 0; i < 10; i++) w.hear("\n", 200);
    expect("a byte of noise costs one sign of life, not all", w.edge.levels(), "10000 10000");
    expect("and no command behind them", w.hear("Vibrate:10;"), "OK;");
  }
  {
    Wired w;
    w.hear("Vibrate:20;");
    hostClock(millis() + 900);
    w.wire.in = "\n";
    w.gateway.loop();
    expect("a sketch that stood still stops, whatever lies there unread", w.edge.levels(), "0 0");
  }
  {
    Wired w;
    w.hear("Vibrate:20;");
    w.hear("", 251);
    expect("a late newline is a question", w.hear("\n").substr(0, 13), "{\"identifier\"");
    w.hear("", 250);
    expect("one in time is none", w.hear("\n"), "");
  }
  {
    Wired w(1000);
    w.hear("Vibrate:20;");
    std::string said;
    for (int i = 0; i < 5; i++) said += w.hear("\n", 400);
    expect("nothing but newlines for long", said.substr(0, 13), "");
    expect("is a question too", w.hear("\n").substr(0, 13), "{\"identifier\"");
  }
  for (const auto& c : {std::pair<uint16_t, const char*>{1, ":20}"}, {65535, ":60000}"}}) {
    Wired w(c.first);
    w.hear("\n");
    w.hear("", 1);
    w.wire.out.clear();
    w.wire.in = "\n";
    w.gateway.loop();
    const std::string hello = w.said();
    expect("a keepalive in the protocol's range", hello.substr(hello.rfind(':')), std::string(c.second) + "\n");
  }
}

// Commands cut up and strung together at random, and noise between them.
static void noise() {
  static const char* const PIECES[] = {"Vibrate", "Vibrate1", ":", "20", ";",  "Mply:", "-1", "DeviceType;", "L0", "R0",
                                       "V0",      "I",        "S", "D2", "\n", "DSTOP", "$",  "-",           "9999", " "};
  srand(1);
  Edge edge;
  Machine machine;
  uint32_t now = 0;
  for (long i = 0; i < 2000000 / CHECKS_DIVISOR; i++) {
    std::string bytes;
    if (rand() % 4 == 0) {
      bytes.assign(1, static_cast<char>(rand()));
    } else {
      bytes = PIECES[rand() % (sizeof(PIECES) / sizeof(*PIECES))];
    }
    say(edge.device, bytes, now);
    say(machine.device, bytes, now);
    now += rand() % 64 == 0 ? rand() : rand() % 8;
    machine.device.tick(now);
    edge.device.isOn();
    machine.device.isOn();
  }
}

// The numbers, for a comparison with those of the gateway.
static void numbers() {
  printf("keepalive min %u\nkeepalive max %u\n", WSDM_KEEPALIVE_MIN_MS, WSDM_KEEPALIVE_MAX_MS);
  printf("keepalives until stop %u\n", WSDM_KEEPALIVES_UNTIL_STOP);
  printf("ping %u\nwatchdog %u\ngone %u\nupgrade %u\n", WSDM_PING_MS, WSDM_WATCHDOG_MS, WSDM_GONE_MS, WSDM_UPGRADE_MS);
  printf("retry %u\nretry cap %u\nrefused %u\n", WSDM_RETRY_MS, WSDM_RETRY_CAP_MS, WSDM_REFUSED_MS);
  printf("lasted %u\n", WSDM_LASTED_MS);
  for (uint16_t code = 1000; code < 1016; code++) printf("refusal %u %u\n", code, wsdmIsRefusal(code));
  for (uint16_t code = 4000; code < 4016; code++) printf("refusal %u %u\n", code, wsdmIsRefusal(code));
}

// With any argument it prints the numbers, otherwise it checks.
int main(int count, char**) {
  if (count > 1) {
    numbers();
    return 0;
  }
  accept();
  lovense();
  tcode();
  stroke();
  serial();
  websocket();
  links();
  noise();
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
