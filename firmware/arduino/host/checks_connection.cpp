// How a board gets to its gateway: when it does not try, why it did not get there, and what it writes to one that takes
// nothing.

#include <functional>

#include "checks_board.h"

#if defined(WSDM_HAS_TLS)
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

// A gateway that is upgraded to, and never says anything of its own.
class Silent final : public Client {
 public:
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char*, uint16_t) override {
    connections++;
    isOpen = answers;
    return answers;
  }
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    static const std::string KEY = "Sec-WebSocket-Key: ";
    const size_t key = text.find(KEY);
    if (key != std::string::npos) {
      char accept[WSDM_ACCEPT_TEXT];
      wsdmAccept(text.substr(key + KEY.size(), WSDM_KEY_TEXT - 1).c_str(), accept);
      in += std::string("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: ") + accept + "\r\n\r\n";
    } else {
      writes++;
    }
    if (onWrite) onWrite();
    return size;
  }
  int available() override { return in.size(); }
  int read() override {
    uint8_t byte = 0;
    return read(&byte, 1) == 1 ? byte : -1;
  }
  int read(uint8_t* bytes, size_t size) override {
    size = size < in.size() ? size : in.size();
    memcpy(bytes, in.data(), size);
    in.erase(0, size);
    return size;
  }
  int peek() override { return in.empty() ? -1 : in[0]; }
  void flush() override {}
  void stop() override { isOpen = false; }
  uint8_t connected() override { return isOpen; }
  operator bool() override { return isOpen; }
  bool answers = true, isOpen = false;
  int connections = 0, writes = 0;
  std::string in;
  std::function<void()> onWrite;
};

static std::string reported;
static void report(WsdmReport, uint16_t, const char* reason) { reported = reason; }

struct Link {
  Silent client;
  Vibrator vibrator;
  WsdmWebsocket gateway{client, vibrator.device};
  Link() {
    hostClock(1000);
    gateway.begin("gw", 1, "LVSDevice", "me");
    gateway.onReport(report);
  }
  ~Link() { hostClock(); }
  void run(uint32_t milliseconds) {
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      gateway.loop();
    }
  }
};

// A carriage that slows down is moved on by nobody while a connection is made.
static void waitsForRest() {
  Link link;
  link.run(10);
  link.vibrator.level.slowsMs = 5000;
  link.vibrator.run();
  link.gateway.disconnect("a check");
  const int before = link.client.connections;
  link.run(4990);
  expect("nobody is looked for meanwhile", link.gateway.isDue(), 0);
  expect("and it waits for what is not at rest", link.client.connections, before);
  link.run(20);
  expect("no longer than that", link.client.connections, before + 1);
}

// An output that did not hear its stop is stopped again and again, which nobody does while a connection is made.
static void waitsForAStopToBeHeard() {
  Link link;
  link.run(10);
  link.vibrator.level.isDeaf = true;
  link.vibrator.run();
  link.gateway.disconnect("a check");
  int before = link.client.connections;
  link.run(2000);
  expect("it waits for an output that may run", link.client.connections, before);
  link.vibrator.level.isDeaf = false;
  link.run(1);
  expect("no longer than that", link.client.connections, before + 1);
  link.vibrator.level.isDeaf = true;
  link.gateway.disconnect("a check");
  before = link.client.connections;
  link.run(6000);
  expect("one that is gone does not keep it away", link.client.connections > before, 1);
}

// What is written first may wait.
static void stopsBeforeItSaysGoodbye() {
  const struct {
    const char* reason;
    std::string frame;
  } ends[] = {{"the gateway closes", std::string("\x88\x02\x03\xe9", 4)}, {"what comes is no frame", "\x83\x01x"}};
  for (const auto& end : ends) {
    Link link;
    link.run(10);
    link.vibrator.run();
    uint16_t level = WSDM_FULL;
    link.client.onWrite = [&] { level = link.vibrator.level.level; };
    link.client.in += end.frame;
    link.gateway.loop();
    expect(std::string("it is stopped before it answers when ") + end.reason, level, 0);
  }
}

static void givesTheReason() {
  Link link;
  link.client.answers = false;
  link.run(10);
  expect("without words of the client", reported, "nothing answers at this address");
  link.gateway.onFailure([]() -> const char* { return "no such thing"; });
  link.run(1000);
  expect("with them", reported, "no such thing");
  link.gateway.onFailure([]() -> const char* { return nullptr; });
  link.run(5000);
  expect("if it has some", reported, "nothing answers at this address");
}

// How many answers are written to a gateway that has not shown that it takes any.
static int answers(uint8_t overhead) {
  Link link;
  link.gateway.overhead(overhead);
  link.run(10);
  expect("it is connected", link.gateway.isConnected(), 1);
  const int before = link.client.writes;
  for (int i = 0; i < 500; i++) {
    link.client.in += std::string("\x82\x08" "Battery;");
    link.gateway.loop();
  }
  return link.client.writes - before;
}

// lwIP has room for so many writes, of any size.
#if defined(ARDUINO_ARCH_ESP8266)
static const int ANSWERS = 5, ROOM = 8;
#else
static const int ANSWERS = 12, ROOM = 16;
#endif

static void countsWhatIsOnTheWay() {
  // One of them is the ping that asks for a pong.
  for (const uint8_t overhead : {0, 29}) expect("answers", answers(overhead), ANSWERS);
  // What is on pings. The most patient watchdog there is does not fill the connection with that.
  for (const uint16_t patience : {WSDM_WATCHDOG_MS, WSDM_SILENCE_MAX_MS}) {
    Link link;
    link.gateway.watchdog(patience);
    link.run(10);
    const int before = link.client.writes;
    link.vibrator.run();
    link.run(patience - 100);
    expect("silence is borne", link.vibrator.level.level, WSDM_FULL);
    expect("within what there is room for", link.client.writes - before < ROOM, 1);
    link.run(200);
    expect("no longer", link.vibrator.level.level, 0);
  }
  // A gateway that asks and takes nothing: no write may wait, whatever else there is to write.
  Link link;
  link.run(10);
  const int before = link.client.writes;
  link.vibrator.run();
  for (int i = 0; i < 8000 && link.gateway.isConnected(); i++) {
    link.client.in += std::string("\x82\x08" "Battery;");
    link.run(1);
    if (link.client.writes - before >= ROOM) break;
  }
  expect("there is room for all that is written", link.client.writes - before < ROOM, 1);
  expect("it is left", link.gateway.isConnected(), 0);
  expect("and nothing is on", link.vibrator.level.level, 0);
}

#if defined(WSDM_HAS_TLS)
// A process that refuses one handshake, at this port.
static uint16_t refuses() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  const bool listens = bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0 && listen(listener, 1) == 0 &&
                       getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) == 0;
  expect("a port is there", listens, 1);
  if (listens && fork() == 0) {
    const int peer = accept(listener, nullptr, nullptr);
    static const uint8_t ALERT[] = {0x15, 3, 3, 0, 2, 2, 0x28};
    uint8_t hello[4096];
    _exit(read(peer, hello, sizeof(hello)) <= 0 || write(peer, ALERT, sizeof(ALERT)) != sizeof(ALERT));
  }
  close(listener);
  return ntohs(at.sin_port);
}

static void givesTheReasonOfTls() {
  WsdmConnection connection;
  connection.expect(DIGITS, false);
  expect("it is refused", connection.connect("127.0.0.1", refuses()), 0);
  int status = 1;
  wait(&status);
  expect("as it was to be", status, 0);
  expect("with its reason", connection.fault() ? connection.fault() : "nothing",
         "the gateway refused the TLS handshake; its log says more");
  // No label of a name is that long.
  expect("a name without an address", connection.connect(std::string(70, 'x').c_str(), 1), 0);
  expect("has another reason", connection.fault() ? connection.fault() : "nothing", "nothing");
}

static void demandsTls() {
  static const std::string NEEDS = "wss:// needs the gateway's fingerprint: set fingerprint, save, restart";
  WsdmConnection connection;
  expect("without a fingerprint", connection.expect("", true), 0);
  expect("there is no way to wss", connection.connect("127.0.0.1", 1), 0);
  expect("with its reason", connection.fault() ? connection.fault() : "nothing", NEEDS);
  expect("nor with one that is none", connection.expect("?", false) || connection.connect("127.0.0.1", 1), 0);
  expect("with its reason", connection.fault() ? connection.fault() : "nothing", NEEDS);
  for (const char* fingerprint : {"", DIGITS}) {
    expect("TLS is spoken", connection.expect(fingerprint, false), *fingerprint != 0);
    expect("nobody is there", connection.connect("127.0.0.1", 1), 0);
    expect("for which it has no words", connection.fault() == nullptr, 1);
    expect("nothing is connected", connection.connected() || connection.available() > 0, 0);
  }
}
#endif

void connections() {
  waitsForRest();
  givesTheReason();
  waitsForAStopToBeHeard();
  stopsBeforeItSaysGoodbye();
  countsWhatIsOnTheWay();
#if defined(WSDM_HAS_TLS)
  demandsTls();
  givesTheReasonOfTls();
#endif
}
