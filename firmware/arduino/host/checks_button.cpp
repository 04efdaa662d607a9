// The stop button: it stops at once, and the stop outlasts the press until the app has stopped too.

#include <initializer_list>

#include "checks.h"

static const uint8_t PIN = 12;
// Less than the time that ends a stop, and then more.
static const uint32_t NOT_YET = WSDM_CALM_MS - 10, REST = 20;

// A device with a button, on a wire whose far end the checks are, and a clock that they move.
struct Held final : private Stream {
  WsdmButton button;
  WsdmSerial gateway{*this, button};

  explicit Held(WsdmProtocol& device, uint8_t pressed = LOW) : button(PIN, device, pressed) {
    hostGrounds(PIN, pressed == HIGH);
    hostClock(1000);
    gateway.begin("LVSDevice", "me");
  }
  ~Held() {
    hostGrounds(PIN, false);
    hostClock();
  }
  // A gateway is there: its signs of life come in time.
  void pass(uint32_t milliseconds) {
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      if (millis() % 100 == 0) _in += "\n";
      gateway.loop();
    }
  }
  void say(const std::string& bytes) {
    _in += bytes;
    gateway.loop();
  }
  std::string said() {
    std::string said;
    said.swap(_out);
    return said;
  }

 private:
  int available() override { return _in.size(); }
  int read() override {
    const uint8_t byte = _in[0];
    _in.erase(0, 1);
    return byte;
  }
  int peek() override { return _in[0]; }
  size_t write(uint8_t byte) override {
    _out += static_cast<char>(byte);
    return 1;
  }
  std::string _in, _out;
};

class Turning final : public WsdmRotor {
 public:
  void set(uint16_t value) override { level = value; }
  void reverse() override {}
  void tick(uint32_t) override {}
  uint16_t level = 0xFFFF;
};

static void slider() {
  Edge edge;
  Turning turning;
  edge.device.rotor(turning);
  Held h(edge.device);
  h.say("Vibrate:10;Rotate:5;");
  expect("it obeys", edge.levels() + " " + std::to_string(turning.level), "5000 5000 2500");
  hostGrounds(PIN, true);
  // The first look at it.
  h.gateway.loop();
  expect("a press stops at once", edge.levels() + " " + std::to_string(turning.level), "0 0 0");
  expect("and nothing is on", h.button.isOn(), 0);
  expect("which a console is told", h.button.isHeld(), 1);
  h.said();
  h.say("Vibrate:20;Vibrate1:5;Mply:3:4;Rotate:20;Battery;");
  expect("what is commanded is answered", h.said(), "OK;OK;OK;OK;100;");
  expect("and moves nothing", edge.levels() + " " + std::to_string(turning.level), "0 0 0");
  hostGrounds(PIN, false);
  h.pass(60000);
  h.say("Vibrate:15;");
  expect("not after the press either", edge.levels(), "0 0");
  // The slider goes to 0, and up again too early.
  h.say("Mply:0:0;Rotate:0;");
  h.pass(NOT_YET);
  h.say("Vibrate:3;");
  h.pass(200);
  expect("still held", edge.levels(), "0 0");
  h.say("Vibrate:0;");
  h.pass(NOT_YET);
  expect("for its time", h.button.isHeld(), 1);
  h.pass(REST);
  expect("and no longer", h.button.isHeld(), 0);
  expect("what was commanded stays undone", edge.levels(), "0 0");
  h.say("Vibrate:4;");
  expect("it obeys again", edge.levels(), "2000 2000");
}

static void bounces() {
  for (uint8_t pressed : {LOW, HIGH}) {
    Edge edge;
    Held h(edge.device, pressed);
    h.say("Vibrate:10;");
    const auto press = [&](bool is) { hostGrounds(PIN, is == (pressed == LOW)); };
    // A single look that sees it.
    press(true);
    h.pass(1);
    press(false);
    expect("the first contact counts", edge.levels(), "0 0");
    h.say("Vibrate:0;");
    for (int i = 0; i < 20; i++) {
      h.pass(300);
      press(i % 2 == 0);
      h.pass(1);
    }
    press(false);
    h.pass(NOT_YET);
    expect("each begins the time anew", h.button.isHeld(), 1);
    h.pass(REST);
    expect("the last too", h.button.isHeld(), 0);
  }
  // A command that comes with the press, or after a start with the button down, moves nothing.
  Edge edge;
  Held h(edge.device);
  hostGrounds(PIN, true);
  say(h.button, "Vibrate:20;", millis());
  expect("a command that meets a press", edge.levels(), "0 0");
  hostGrounds(PIN, false);
  h.say("DeviceType;");
  h.pass(NOT_YET + REST);
  h.say("Vibrate:20;");
  expect("who asks for the type begins anew", edge.levels(), "10000 10000");
}

static void script() {
  Machine machine;
  hostClock(3000);
  Held h(machine.device);
  h.say("L00I4000 V05\n");
  h.pass(500);
  hostGrounds(PIN, true);
  h.pass(1);
  hostGrounds(PIN, false);
  const uint16_t place = machine.stroke.level;
  expect("a place holds, on its way", place > 100 && place < 5000, 1);
  expect("a strength ends", machine.vibe.level, 0);
  // Strokes that take seconds, some at once, and what has no pause of its own.
  for (const char* stroke : {"L0999I3000\n", "L00S40\n", "L05 V03\n", "V00 L07\n", "V02\n", "V00\n"}) {
    h.said();
    h.say(stroke);
    h.say("D1\n");
    expect("it answers", h.said(), "TCode v0.3\n");
    for (int i = 0; i < 9; i++) {
      h.pass(100);
      expect(stroke, machine.stroke.level, place);
      expect(stroke, machine.vibe.level, 0);
    }
  }
  h.say("L0999S10\n");
  h.pass(9000);
  expect("a slow stroke is not over", h.button.isHeld(), 1);
  h.say("L0999I7000 V07\n");
  h.pass(6900);
  expect("a long stroke is not over", h.button.isHeld(), 1);
  h.say("DSTOP\n");
  h.pass(NOT_YET + REST);
  expect("the script pauses", h.button.isHeld(), 0);
  expect("and the place is what it was", machine.stroke.level, place);
  h.say("L0999\n");
  h.pass(100);
  const int moved = machine.stroke.level - place;
  expect("on from there, softly", moved > 300 && moved <= 600, 1);
}

// Strokes without a duration are over at once, and a script has gaps between them: neither is the app's stop.
static void gaps() {
  Machine machine;
  hostClock(3000);
  Held h(machine.device);
  h.say("L00I4000\n");
  h.pass(500);
  hostGrounds(PIN, true);
  h.pass(1);
  hostGrounds(PIN, false);
  const uint16_t place = machine.stroke.level;
  for (int stroke = 0; stroke < 20; stroke++) {
    h.say(stroke % 2 ? "L00\n" : "L0999\n");
    h.pass(2500);
    expect("strokes that are far apart", machine.stroke.level, place);
  }
}

// The connection ends: what was commanded ends with it, but the app may go on without having noticed.
static void ends() {
  Machine machine;
  hostClock(3000);
  Held h(machine.device);
  h.say("V05 L0999I60000\n");
  hostGrounds(PIN, true);
  h.pass(1);
  hostGrounds(PIN, false);
  h.pass(60000);
  expect("a strength stays commanded", h.button.isHeld(), 1);
  h.say("V00\n");
  h.pass(NOT_YET + REST);
  expect("until it is commanded off", h.button.isHeld(), 0);
  h.say("V05\n");
  hostGrounds(PIN, true);
  h.pass(1);
  hostGrounds(PIN, false);
  h.gateway.lost();
  h.say("V05\n");
  expect("the next gateway's first word comes at once", machine.vibe.level, 0);
  h.gateway.lost();
  h.pass(60000);
  expect("nor is it released while nobody is there", h.button.isHeld(), 1);
  h.say("V05\n");
  expect("not for an app that went on either", machine.vibe.level, 0);
  h.say("V00\n");
  h.pass(NOT_YET);
  expect("but from then on", h.button.isHeld(), 1);
  h.pass(REST);
  h.say("V05\n");
  expect("obeyed again", machine.vibe.level, 5000);
}

// A link that knows says who has control before anything is commanded.
static void connects() {
  Edge edge;
  hostClock(3000);
  WsdmButton button(PIN, edge.device);
  button.begin(millis());
  button.connected(millis());
  hostGrounds(PIN, true);
  button.tick(millis());
  hostGrounds(PIN, false);
  const auto pass = [&](uint32_t milliseconds) {
    hostClock(millis() + milliseconds);
    button.tick(millis());
  };
  button.stop(millis());
  pass(60000);
  expect("held while nobody is there", button.isHeld(), 1);
  button.connected(millis());
  pass(NOT_YET);
  expect("the time begins with the connection", button.isHeld(), 1);
  pass(REST);
  say(button, "Vibrate:20;", millis());
  expect("and the first command after it is obeyed", edge.levels(), "10000 10000");
  hostClock();
}

// The clock goes round while it is held.
static void clocks() {
  Machine machine;
  Held h(machine.device);
  hostClock(0xFFFFFA00 - WSDM_CALM_MS);
  h.say("\n");
  hostGrounds(PIN, true);
  h.pass(1);
  hostGrounds(PIN, false);
  h.say("L09I5600\n");
  h.pass(WSDM_CALM_MS + 1400);
  expect("held before it goes round", h.button.isHeld(), 1);
  h.pass(4100);
  expect("held across it", h.button.isHeld(), 1);
  h.pass(200);
  expect("and released behind it", h.button.isHeld(), 0);
}

// Whatever comes in whatever order.
static void anything() {
  static const char* const WORDS[] = {"V05\n",     "V00 L09I900\n", "DSTOP\n",      "L02S30 V09\n", "Vibrate:7;",
                                      "Vibrate:0;", "Mply:3:-1;",    "DeviceType;", "V0",           "\n"};
  Machine machine;
  Edge edge;
  hostClock(3000);
  WsdmButton one(PIN, machine.device), two(PIN, edge.device);
  one.begin(millis());
  two.begin(millis());
  uint32_t random = 1;
  const auto next = [&](uint32_t below) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % below;
  };
  bool isPressed = false;
  long pressed = 0, moved = 0;
  for (int i = 0; i < 40000 / CHECKS_DIVISOR; i++) {
    hostClock(millis() + next(300));
    const uint32_t what = next(12);
    const uint16_t place = machine.stroke.level;
    if (what < 2) hostGrounds(PIN, isPressed = what == 0);
    if (what == 2) {
      one.stop(millis());
      two.stop(millis());
      one.connected(millis());
      two.connected(millis());
    }
    if (what == 3) {
      // A pause, without which it would be held nearly always.
      hostGrounds(PIN, isPressed = false);
      say(one, "\nDSTOP\n", millis());
      say(two, "Vibrate:0;", millis());
      hostClock(millis() + WSDM_CALM_MS);
    } else if (what > 3) {
      const char* const word = WORDS[next(10)];
      say(one, word, millis());
      say(two, word, millis());
    }
    one.tick(millis());
    two.tick(millis());
    moved += machine.vibe.level > 0 && edge.one.level > 0;
    if (!isPressed) continue;
    pressed++;
    if (one.isOn() || two.isOn() || machine.vibe.level > 0 || edge.levels() != "0 0" ||
        (what >= 2 && machine.stroke.level != place)) {
      return expect("nothing is on while it is down, step", i, -1);
    }
  }
  expect("it was down, and things moved", pressed > 0 && moved > 0, 1);
  hostGrounds(PIN, false);
  hostClock();
}

void checkButton() {
  slider();
  bounces();
  script();
  gaps();
  ends();
  connects();
  clocks();
  anything();
}
