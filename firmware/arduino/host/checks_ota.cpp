// Updates over Wi-Fi: what a whole board does when somebody sends it a new sketch.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "WsdmAccept.h"
#include "checks_board.h"

// A gateway that takes every device, and says nothing more.
class Gateway {
 public:
  Gateway() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    _listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof(address);
    sockaddr* const at = reinterpret_cast<sockaddr*>(&address);
    if (bind(_listener, at, length) != 0 || listen(_listener, 8) != 0 || getsockname(_listener, at, &length) != 0) abort();
  }
  ~Gateway() {
    close(_listener);
    if (_device >= 0) close(_device);
  }
  uint16_t port() const { return ntohs(address.sin_port); }

  // Takes a device that waits at its door.
  void serve() {
    const int device = accept4(_listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (device < 0) return;
    if (_device >= 0) close(_device);
    _device = device;
    std::string request;
    char part[512];
    ssize_t got;
    while (request.find("\r\n\r\n") == std::string::npos && (got = recv(_device, part, sizeof(part), 0)) > 0) {
      request.append(part, got);
    }
    const size_t key = request.find("Sec-WebSocket-Key: ") + 19;
    char accept[WSDM_ACCEPT_TEXT];
    wsdmAccept(request.substr(key, WSDM_KEY_TEXT - 1).c_str(), accept);
    const std::string answer = std::string("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: ") + accept + "\r\n\r\n";
    if (send(_device, answer.data(), answer.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(answer.size())) abort();
    devices++;
  }

  // What the device has sent since its request.
  std::string heard() {
    std::string heard;
    char part[512];
    ssize_t got;
    while ((got = recv(_device, part, sizeof(part), MSG_DONTWAIT)) > 0) heard.append(part, got);
    return heard;
  }

  int devices = 0;

 private:
  sockaddr_in address = {};
  int _listener = -1, _device = -1;
};

static void keep(const char* otaPassword, uint16_t gateway) {
  hostFlashErase();
  WsdmSettings settings;
  settings.set(WsdmKey::Ssid, "Home");
  settings.set(WsdmKey::Gateway, ("127.0.0.1:" + std::to_string(gateway)).c_str());
  settings.set(WsdmKey::OtaPassword, otaPassword);
  expect("saved", wsdmSave(settings), 1);
}

// A board whose gateway has it.
struct Connected {
  Gateway gateway;
  Board b;
  std::string said;
  // What the board did while blocks were written, each change once.
  std::string seen;

  explicit Connected(const char* otaPassword = "new sketch") : b(prepared(otaPassword, gateway.port())) {
    ESP = HostEsp();
    ESP.hostStays = true;
    ArduinoOTA.hostOnWrite = [this] {
      std::string now = "motor " + std::to_string(b.vibrator.level.level);
      if (b.board.isConnected()) now += ", connected";
      if (hostWatches) now += ", watched";
      if (now != _last) seen += now + ";";
      _last = now;
    };
    said = connect();
  }
  ~Connected() { ESP.hostStays = false; }

  std::string connect() {
    const int before = gateway.devices;
    std::string said;
    for (int i = 0; i < 20000 && !(gateway.devices > before && b.board.isConnected()); i++) {
      said += b.run(1);
      gateway.serve();
    }
    expect("connected", b.board.isConnected(), 1);
    return said;
  }
  std::string send(const HostUpdate& update) {
    ArduinoOTA.hostSend(update);
    return b.run(1);
  }

 private:
  static const char* prepared(const char* otaPassword, uint16_t gateway) {
    keep(otaPassword, gateway);
    return "";
  }
  std::string _last;
};

static HostUpdate update(const char* password = "new sketch") {
  HostUpdate update;
  update.password = password;
  return update;
}

static void off() {
  Connected c("");
  expect("without a password nothing listens", ArduinoOTA.hostListens, 0);
  c.b.run(10, "set ota_password new sketch\r");
  WiFi.hostLose(WL_CONNECTION_LOST);
  expect("the network is back", c.b.says(c.b.run(31000), "Wi-Fi: connected\r\n"), 1);
  c.connect();
  c.b.vibrator.run();
  expect("nor with one that is not saved", ArduinoOTA.hostListens, 0);
  c.send(update());
  c.send(update(""));
  expect("so nothing is taken", c.seen, "");
  expect("and the motor runs", c.b.vibrator.level.level, WSDM_FULL);
}

static void good() {
  Connected c;
  expect("it is said", c.b.says(c.said, "updates are taken as wsdm-" + std::string(wsdmMacText) + ".local\r\n"), 1);
  expect("as who", ArduinoOTA.hostHostname, "wsdm-" + std::string(wsdmMacText));
  c.b.vibrator.run();
  c.b.run(10);
#if defined(ARDUINO_ARCH_ESP32)
  expect("the chip watches", hostWatches, 1);
#endif
  c.gateway.heard();
  const std::string said = c.send(update());
  expect("before the first byte is written everything is off", c.seen, "motor 0;");
  expect("all of it", ArduinoOTA.hostWritten, 100000);
  // A Close frame: 0x88, its masked length.
  expect("the gateway is told", c.gateway.heard().compare(0, 2, "\x88\x82"), 0);
  expect("a person too", c.b.says(said, "update: everything is stopped, and it is received\r\nupdate: received, restarting\r\n"), 1);
  expect("it restarts", ESP.hostRestarted, 1);
  const int devices = c.gateway.devices;
  for (int i = 0; i < 3000; i++) {
    c.b.run(1);
    c.gateway.serve();
  }
  expect("until then it does not connect", c.gateway.devices, devices);
  expect("and everything stays off", c.b.vibrator.level.level, 0);
  expect("it restarts once", ESP.hostRestarted, 1);
}

static void refused() {
  Connected c;
  c.b.vibrator.run();
  for (const char* password : {"", "new sketc", "New sketch", "********"}) {
    expect("refused", c.send(update(password)), "update: refused, the password was wrong\r\n");
    expect("once", c.b.run(1), "");
  }
  expect("nothing is written", c.seen, "");
  expect("nothing is stopped", c.b.vibrator.level.level, WSDM_FULL);
  expect("it stays connected", c.b.board.isConnected(), 1);
}

static void broken() {
  HostUpdate half = update(), damaged = update(), unreachable = update(), large = update();
  half.arrives = 50000;
  damaged.isIntact = false;
  unreachable.isReachable = false;
  large.size = 3000000;
  const struct {
    const char* what;
    const HostUpdate& sent;
    const char *seen, *said;
  } cases[] = {
      {"one that breaks off half-way", half, "motor 0;", "it broke off\r\n"},
      {"one that is damaged", damaged, "motor 0;", "it is not what was sent, or no image for this chip\r\n"},
      {"one whose sender cannot be reached", unreachable, "", "its sender cannot be reached; its firewall has to let the board in\r\n"},
      {"one that has no room", large, "", "there is no room for it; on an ESP32 a partition scheme with OTA has it\r\n"},
  };
  for (const auto& one : cases) {
    Connected c;
    c.b.vibrator.run();
    const std::string said = c.send(one.sent);
    expect(one.what, c.seen, one.seen);
    expect(one.what, c.b.says(said, std::string("update: nothing is changed: ") + one.said), 1);
    const bool hasBegun = &one.sent != &large;
    expect("everything is off", c.b.vibrator.level.level, hasBegun ? 0 : WSDM_FULL);
    expect("it does not restart", ESP.hostRestarted, 0);
    if (hasBegun) {
      expect("it was disconnected", c.b.board.isConnected(), 0);
      expect("which is said once", c.b.says(c.connect(), "update:"), 0);
      expect("still off when it is connected anew", c.b.vibrator.level.level, 0);
    }
    c.b.vibrator.run();
    c.seen.clear();
    expect("and takes a better one", c.b.says(c.send(update()), "update: received, restarting\r\n"), 1);
    expect("as before", c.b.vibrator.level.level, 0);
    expect("with a restart", ESP.hostRestarted, 1);
  }
}

// What slows down when it is stopped, as a stepper does: in so many milliseconds.
class Carriage final : public WsdmOutput {
 public:
  void set(uint16_t) override {
    speed = slowsMs;
    _slows = false;
  }
  bool stop() override {
    _slows = true;
    return true;
  }
  void tick(uint32_t now) override {
    if (now == _ticked) return;
    _ticked = now;
    ticks++;
    if (_slows && speed > 0) speed--;
  }
  bool isOn() const override { return !_slows && speed > 0; }
  bool isAtRest() const override { return speed == 0; }
  int slowsMs = 1000, speed = 0;
  unsigned ticks = 0;

 private:
  bool _slows = false;
  uint32_t _ticked = 0;
};

struct Stroker {
  Port port;
  Carriage carriage;
  WsdmAxis axes[1] = {{"L0", carriage}};
  WsdmTcode device{axes};
  WsdmWifi board{device, "TCodeDevice", port, {"", "", "", 0, nullptr, nullptr}};
  // How fast it was when the first byte was written, and how long before that the update was asked for.
  int first = -1;
  uint32_t waited = 0;
  unsigned ticks = 0;

  // In mid-stroke.
  explicit Stroker(int slowsMs) {
    keep("new sketch", 1);
    hostClock(1000);
    WiFi = HostWiFi();
    ArduinoOTA = ArduinoOTAClass();
    ESP = HostEsp();
    ESP.hostStays = true;
    carriage.slowsMs = slowsMs;
    board.begin();
    board.loop();
    Unheard unheard;
    for (const char* at = "L09999\n"; *at; at++) device.receive(*at, millis(), unheard);
    board.loop();
    expect("it moves", carriage.speed, slowsMs);
  }
  ~Stroker() { hostClock(); }

  std::string send(const HostUpdate& update) {
    const uint32_t asked = millis();
    ArduinoOTA.hostOnWrite = [this, asked] {
      if (first >= 0) return;
      first = carriage.speed;
      ticks = carriage.ticks;
      waited = millis() - asked;
    };
    ArduinoOTA.hostSend(update);
    board.loop();
    return port.said();
  }
};

static void slow() {
  HostUpdate half = update();
  half.arrives = 50000;
  for (int slowsMs : {1, 300, 1000, 4000}) {
    Stroker s(slowsMs);
    s.send(half);
    expect("it has come to rest before the first byte is written", s.first, 0);
    expect("as soon as that", s.waited < static_cast<uint32_t>(slowsMs) + 200, 1);
    expect("what did not hear its stop is stopped again meanwhile", s.carriage.ticks - s.ticks >= 10, 1);
    expect("one that breaks off changes nothing", ESP.hostRestarted, 0);
  }
  // Its sender does not wait for that, and steps may be lost while bytes are written.
  for (bool isWhole : {true, false}) {
    Stroker s(60000);
    const std::string said = s.send(isWhole ? update() : half);
    expect("it is waited for as long as the sender waits", s.waited >= 4000 && s.waited < 8000, 1);
    expect("nobody knows where it stands, so it begins anew", ESP.hostRestarted, 1);
    if (isWhole) continue;
    expect("which is said", said.find("update: nothing is changed: it broke off\r\n") != std::string::npos, 1);
    expect("with its reason", said.find("something still moved when it began, and its place may be lost: restarting") != std::string::npos, 1);
  }
}

#if defined(CONFIG_APP_ROLLBACK_ENABLE)

static void trial() {
  {
    hostImage = ESP_OTA_IMG_PENDING_VERIFY;
    keep("new sketch", 1);
    Board b;
    b.run(100000);
    expect("without a gateway it stays on trial", hostImage, ESP_OTA_IMG_PENDING_VERIFY);
    expect("and takes no other, which would replace the one to go back to", ArduinoOTA.hostListens, 0);
  }
  {
    hostImage = ESP_OTA_IMG_PENDING_VERIFY;
    Connected c;
    expect("with one it is kept", hostImage, ESP_OTA_IMG_VALID);
    expect("which is said, once it is connected", c.b.says(c.said, "update: it reached the gateway, and is kept\r\nupdates are taken as "), 1);
    expect("then it takes others", ArduinoOTA.hostListens, 1);
  }
  hostImage = ESP_OTA_IMG_UNDEFINED;
  Connected c;
  expect("what came by a cable has no trial", hostImage, ESP_OTA_IMG_UNDEFINED);
  expect("of which nothing is said", c.b.says(c.said, "kept"), 0);
}

#endif

void updates() {
  off();
  good();
  refused();
  broken();
  slow();
#if defined(CONFIG_APP_ROLLBACK_ENABLE)
  trial();
#endif
  hostFlashErase();
}
