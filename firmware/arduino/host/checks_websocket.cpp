// The link over a websocket.

#include "checks.h"

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
  // Nobody presses it.
  WsdmButton button{12, edge.device};
  WsdmWebsocket gateway{client, button};
  std::string request;

  explicit Connected(const char* identifier = "LVSDevice", const char* token = nullptr, const char* path = "/") {
    reported.clear();
    gateway.onReport(note);
    gateway.begin("host", 54817, identifier, "me", token);
    gateway.server("host", 54817, path);
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

static void frames() {
  for (const char* path : {"/a/path", "/a?b=c"}) {
    Connected c("LVSDevice", "t", path);
    expect("a request for a path", c.request.substr(0, c.request.find(" HTTP")),
           std::string("GET ") + path + (strchr(path, '?') ? "&token=t" : "?token=t"));
  }
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
    c.hear(frame(1, std::string(1000, ';') + "Vibrate:3;"));
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

static void silence() {
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

// A connection is a gateway that has control, before it commands anything.
static void released() {
  hostClock(1000);
  Connected r;
  r.button.hold(millis());
  r.upgrade();
  hostClock(millis() + WSDM_CALM_MS);
  r.gateway.loop();
  expect("the button's time began with the connection", r.button.isHeld(), 0);
  hostClock();
}

// Whatever it was believed to be at.
static void stops() {
  for (const char* how : {"a goodbye", "a break", "a frame that is none", "silence"}) {
    Running r;
    r.hear(frame(2, "Vibrate:0;"));
    r.edge.disturb();
    if (how[2] == 'g') r.hear(frame(8, ""));
    if (how[2] == 'b') r.client.open = false;
    if (how[2] == 'f') r.hear("\xFF\xFF");
    r.run(how[0] == 's' ? 10000 : 1);
    expect("off is written after " + std::string(how), r.edge.levels(), "0 0");
  }
}

// Why the chip started, until a connection has lasted.
static void resets() {
  hostReset(4);
  hostClock(1000);
  {
    Connected c;
    c.upgrade();
    const std::string plain = "1:{\"identifier\":\"LVSDevice\",\"address\":\"me\",\"version\":0";
    const std::string with = plain + ",\"reset\":\"itself: restart on the console, or a panic\"} ";
    expect("why it started", c.client.frames(), with);
    const auto again = [&](uint32_t lasts) {
      hostClock(millis() + lasts);
      c.client.open = false;
      c.gateway.loop();
      hostClock(millis() + WSDM_RETRY_CAP_MS);
      c.client.out.clear();
      c.gateway.loop();
      c.request = c.client.out;
      c.client.out.clear();
      c.upgrade();
      return c.client.frames();
    };
    expect("the first did not last", again(WSDM_LASTED_MS - 1), with);
    expect("the second did", again(WSDM_LASTED_MS), plain + "} ");
  }
  hostReset(-1);
  hostClock();
}

static void faults() {
  Running r;
  wsdmFault(4, WsdmFaultReason::NO_CHANNEL);
  r.run(2);
  const std::string code = std::to_string(static_cast<int>(WsdmReport::OUTPUT_OFF));
  expect("a fault is reported", reported, code + " 4 pin 4 stays off: no PWM channel is left|");
}

void checkWebsocket() {
  accept();
  faults();
  resets();
  released();
  stops();
  frames();
  silence();
}
