// The link on a wire.

#include "checks.h"
#include "checks_port.h"

// A board on a wire, and a clock that the checks move.
struct Wired {
  Port wire;
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

class Broken final : public WsdmOutput {
 public:
  void begin() override { wsdmFault(4, WsdmFaultReason::NO_CHANNEL); }
  void set(uint16_t) override {}
};

static void faults() {
  Port wire;
  Broken motor;
  WsdmOutput* const motors[] = {&motor};
  WsdmLovense device(motors);
  WsdmSerial gateway(wire, device);
  gateway.begin("LVSDevice");
  const std::string hello = "{\"identifier\":\"LVSDevice\",\"version\":0,\"keepalive_ms\":200";
  const auto hear = [&](const std::string& bytes) {
    wire.out.clear();
    wire.in += bytes;
    gateway.loop();
    return wire.out;
  };
  const std::string first = hello + ",\"fault\":\"pin 4 stays off: no PWM channel is left\"}\n";
  expect("a fault before hello, and in it", wire.out, "pin 4 stays off: no PWM channel is left\n" + first);
  expect("to whoever asks", hear("\n"), first);
  expect("until a gateway has control", hear("Battery;"), "100;");
  wsdmFault(5, WsdmFaultReason::TAKEN_AWAY);
  expect("a later one at once, in a hello line, which is no frame", hear(""),
         hello + ",\"fault\":\"pin 5 stays off: the sketch uses it for something else\"}\n");
  expect("once", hear(""), "");
  wsdmFault(6, WsdmFaultReason::LIMIT_SWITCH_NOT_FOUND);
  wsdmFault(7, WsdmFaultReason::HOMING_TOO_LONG);
  std::string both = hear("");
  both += hear("");
  expect("two of them, two lines", both,
         hello + ",\"fault\":\"pin 6 stays off: the limit switch was not found\"}\n" + hello +
             ",\"fault\":\"pin 7 stays off: homing took too long\"}\n");
  gateway.lost();
  wire.out.clear();
  expect("known, it is not said again", hear("\n"), hello + "}\n");
  char text[WSDM_FAULT_TEXT];
  for (uint8_t reason = 0; reason <= static_cast<uint8_t>(WsdmFaultReason::NO_HAPTIC_DRIVER); reason++) {
    wsdmFaultText({255, static_cast<WsdmFaultReason>(reason)}, text);
    expect("a reason's text", strlen(text) > 24 && strlen(text) < WSDM_FAULT_TEXT, 1);
  }
  expect("the last of them", text, "I2C address 0xff stays off: no haptic driver answers");
  WsdmFault fault;
  for (uint8_t i = 0; i < 10; i++) wsdmFault(i, WsdmFaultReason::NO_PWM);
  expect("the oldest first", wsdmTakeFault(fault) && fault.pin == 0, 1);
  while (wsdmTakeFault(fault)) {
  }
}

// One that does not hear its stop.
class Deaf final : public WsdmOutput {
 public:
  void set(uint16_t) override { stops++; }
  bool isOn() const override { return true; }
  int stops = 0;
};

static void deaf() {
  hostClock(1000);
  Port wire;
  Deaf motor;
  WsdmOutput* const motors[] = {&motor};
  WsdmLovense device(motors);
  WsdmSerial gateway(wire, device);
  gateway.begin("LVSDevice");
  wire.out.clear();
  const int before = motor.stops;
  for (const uint32_t end = millis() + 3000; millis() != end; hostClock(millis() + 1)) gateway.loop();
  expect("what does not stop is stopped again", motor.stops - before >= 1000, 1);
  long hellos = 0;
  for (char byte : wire.out) hellos += byte == '\n';
  expect("and the wire stays free", hellos, 1);
}

// Why the chip started, until a gateway has control: the next one did not start it.
static void resets() {
#if defined(ARDUINO_ARCH_ESP8266)
  const int brownOut = 0, hung = 3, unknown = -1;
  const std::string words = "power on";
#else
  const int brownOut = 9, hung = 6, unknown = 0;
  const std::string words = "brown-out: the supply sagged";
#endif
  hostReset(brownOut);
  Port wire;
  Edge edge;
  WsdmSerial gateway(wire, edge.device);
  const auto hear = [&](const std::string& bytes) {
    wire.in += bytes;
    wire.out.clear();
    gateway.loop();
    return wire.out;
  };
  hostClock(1000);
  gateway.begin("LVSDevice", "me");
  const std::string behind = ",\"version\":0,\"keepalive_ms\":200";
  const std::string with = "{\"identifier\":\"LVSDevice\",\"address\":\"me\"" + behind + ",\"reset\":\"" + words + "\"}\n";
  expect("why it started", wire.out, with);
  expect("to whoever asks", hear("\n"), with);
  hear("Battery;");
  hostClock(millis() + 5000);
  expect("and not after that", hear(""), "{\"identifier\":\"LVSDevice\",\"address\":\"me\"" + behind + "}\n");
  hostReset(hung);
  WsdmSerial other(wire, edge.device);
  wire.out.clear();
  other.begin("LVSDevice");
  expect("a watchdog", wire.out.find("\"reset\":\"hardware watchdog: the firmware hung\"") != std::string::npos, 1);
  hostReset(unknown);
  expect("what nobody knows is not told", wsdmResetReason() == nullptr, 1);
  hostReset(-1);
  hostClock();
}

void checkSerial() {
  faults();
  deaf();
  resets();
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
  {
    Wired w;
    w.hear("DeviceType;");
    w.edge.disturb();
    w.hear("", 801);
    expect("the watchdog writes whatever it was", w.edge.levels(), "0 0");
    w.edge.disturb();
    w.gateway.lost();
    expect("and so does a lost link", w.edge.levels(), "0 0");
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
    Port wire;
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
