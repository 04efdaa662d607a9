// What the library's stepper does, checked on this machine: the ramp step by step, and a whole rail with a clock that runs as
// fast as it is wanted to.

#include <Arduino.h>
#include <WsdmButton.h>
#include <WsdmFaults.h>
#include <WsdmRamp.h>
#include <WsdmStepper.h>
#include <WsdmTcode.h>

#include <cmath>
#include <string>

static int failures = 0;

static void expect(const std::string& what, bool is) {
  if (is) return;
  failures++;
  printf("%s: no\n", what.c_str());
}

static void expect(const std::string& what, long found, long wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s: found %ld, wanted %ld\n", what.c_str(), found, wanted);
}

// The board: a clock, and a rail on the pins of a stepper's driver.
static const uint8_t STEP = 2, DIRECTION = 5, ENABLE = 8, LIMIT = 9, BUTTON = 12;
static uint64_t clockUs = 0;
static struct {
  uint8_t levels[16] = {};
  long place = 0, least = 0, most = 0, steps = 0;
  bool hasSwitch = true, isStuck = false, isPressed = false;
  bool isAtEnd() const { return isStuck || (hasSwitch && place <= 0); }
} rail;

uint32_t micros() { return clockUs; }
uint32_t millis() { return clockUs / 1000; }
void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t pin, uint8_t level) {
  if (pin == STEP && level && !rail.levels[STEP] && !rail.levels[ENABLE]) {
    rail.place += rail.levels[DIRECTION] ? 1 : -1;
    rail.steps++;
    rail.least = rail.place < rail.least ? rail.place : rail.least;
    rail.most = rail.place > rail.most ? rail.place : rail.most;
  }
  rail.levels[pin] = level ? 1 : 0;
}
int digitalRead(uint8_t pin) { return pin == LIMIT ? !rail.isAtEnd() : pin == BUTTON && !rail.isPressed; }
char* utoa(unsigned number, char* text, int) {
  sprintf(text, "%u", number);
  return text;
}

// Looks at every step: its limits are kept, and it comes to rest before it turns.
class Watch {
 public:
  explicit Watch(double acceleration) : _acceleration(acceleration) {}
  void step(uint32_t ticks, bool isForward) {
    _now += ticks / static_cast<double>(WSDM_TICKS_A_SECOND);
    if (isForward != _isForward) {
      const double rest = std::sqrt(2 / _acceleration);
      if (_count > 0 && _now - _times[(_count - 1) % KEPT] < 0.9 * rest) expect("it rests before it turns", false);
      _count = 0;
      _isForward = isForward;
    }
    _times[_count++ % KEPT] = _now;
    if (_count < KEPT) return;
    // From one few steps to the next few. Intervals are whole ticks: where they change by one, all of them do.
    const double first = _times[_count % KEPT], middle = _times[(_count + FEW) % KEPT];
    const double before = FEW / (middle - first), after = FEW / (_now - middle);
    const double change = std::fabs(after - before) / ((_now - first) / 2);
    const double fast = before > after ? before : after;
    const double grain = 1.1 * fast * fast * fast / FEW / WSDM_TICKS_A_SECOND;
    if (change > 1.05 * _acceleration + grain) expect("not steeper than its limit", change, _acceleration);
  }
  // It rested.
  void rest() { _count = 0; }

 private:
  static const int FEW = 16, KEPT = 2 * FEW + 1;
  double _acceleration, _now = 0, _times[KEPT];
  long _count = 0;
  bool _isForward = true;
};

// Runs a ramp until it rests; returns the steps that it made. No interval is shorter than the limits allow.
static long run(WsdmRamp& ramp, uint32_t acceleration, uint32_t least, long halts = -1, double* took = nullptr) {
  long made = 0;
  double total = 0;
  Watch watch(acceleration);
  while (const uint32_t ticks = ramp.next()) {
    total += ticks;
    if (ticks < least) expect("not closer than its limit", ticks, least);
    watch.step(ticks, ramp.isForward());
    if (made == halts) ramp.halt();
    ramp.stepped();
    if (++made > 1000000) {
      expect("it comes to rest", false);
      break;
    }
  }
  if (took) *took = total / WSDM_TICKS_A_SECOND;
  return made;
}

static void ramps() {
  const uint32_t accelerations[] = {100, 1000, 48000, 1000000};
  const uint16_t speeds[] = {1, 40, 400, 6000, 40000};
  const long ways[] = {1, 2, 3, 10, 1000, 30000, 65535};
  for (uint32_t acceleration : accelerations) {
    for (uint16_t speed : speeds) {
      for (long way : ways) {
        WsdmRamp ramp;
        ramp.acceleration(acceleration);
        const WsdmRamp::Speed limit = ramp.speed(speed);
        ramp.limit(limit);
        ramp.goTo(way);
        double took = 0;
        expect("steps there", run(ramp, acceleration, limit.least, -1, &took), way);
        expect("there", ramp.place(), way);
        ramp.goTo(0);
        expect("steps back", run(ramp, acceleration, limit.least), way);
        expect("back", ramp.place(), 0);
        // As fast as it may: a trapezium, or a triangle.
        const double fast = speed, steep = acceleration;
        const double best = way > fast * fast / steep ? way / fast + fast / steep : 2 * std::sqrt(way / steep);
        const bool isCounted = limit.steps < 32767 && way > 10;
        if (isCounted && took > 1.05 * best + 1 / fast) expect("it takes its time, in ms", took * 1000, best * 1000);
      }
    }
  }
  // From rest to the n-th step it takes sqrt(2n/a).
  WsdmRamp ramp;
  ramp.acceleration(10000);
  ramp.limit(ramp.speed(40000));
  ramp.goTo(60000);
  double passed = 0;
  for (int n = 1; n <= 20000; n++) {
    passed += ramp.next() / static_cast<double>(WSDM_TICKS_A_SECOND);
    ramp.stepped();
    const double wanted = std::sqrt(2.0 * n / 10000);
    if (std::fabs(passed - wanted) > 0.02 * wanted) expect("when a step comes, in ms", passed * 1000, wanted * 1000);
  }
  // A halt takes the steps that it has to, from wherever it is, and passes no end.
  for (long at = 0; at < 3000; at += 7) {
    WsdmRamp halted;
    halted.acceleration(48000);
    halted.limit(halted.speed(6000));
    halted.goTo(3000);
    const long made = run(halted, 48000, 333, at);
    expect("it went on after a halt", made > at && made <= at + 377 && halted.place() <= 3000);
  }
}

// Told something else again and again, by one who has no idea.
static void anything() {
  uint32_t random = 1;
  const auto next = [&random](uint32_t below) { return (random = random * 1664525 + 1013904223) / 65536 % below; };
  WsdmRamp ramp;
  ramp.acceleration(48000);
  ramp.limit(ramp.speed(6000));
  Watch watch(48000);
  for (long step = 0; step < 300000; step++) {
    if (next(40) == 0) ramp.goTo(next(4001));
    if (next(500) == 0) ramp.halt();
    if (next(300) == 0) ramp.limit(ramp.speed(next(2) ? 6000 : 2000));
    const uint32_t ticks = ramp.next();
    if (ticks == 0) {
      watch.rest();
      continue;
    }
    watch.step(ticks, ramp.isForward());
    ramp.stepped();
    if (ramp.place() < 0 || ramp.place() > 4000) expect("it stays within its travel", ramp.place(), 0);
  }
}

class Silent final : public WsdmReplies {
 public:
  void reply(const char*, size_t) override {}
};

// There is one for all, as there is one timer.
static WsdmStepper stepper(STEP, DIRECTION, 4000);

struct Machine {
  WsdmAxis axes[1];
  WsdmTcode device{axes};
  Machine(long place, bool releases = false) : axes{{"L0", stepper, 0, WSDM_FULL, 150}} {
    rail = decltype(rail)();
    rail.place = rail.least = rail.most = place;
    stepper = WsdmStepper(STEP, DIRECTION, 4000);
    stepper.limits(6000, 48000);
    stepper.enable(ENABLE, LOW, releases);
    stepper.limitSwitch(LIMIT, LOW);
    stepper.homing(400, 30000, 40);
    device.begin(millis());
  }
  void say(const std::string& bytes, uint32_t late = 0) {
    Silent silent;
    for (char byte : bytes) device.receive(byte, millis() - late, silent);
  }
  void pass(uint32_t milliseconds) { pass(milliseconds, device); }
  void pass(uint32_t milliseconds, WsdmProtocol& ticked) {
    for (uint32_t i = 0; i < milliseconds * 20; i++) {
      clockUs += 50;
      hostTimer();
      if (i % 20 == 0) ticked.tick(millis());
    }
  }
  void home() {
    say("L00\n");
    for (int i = 0; i < 300 && !stepper.isHomed(); i++) {
      // A move that would take longer than homing does.
      say("L09I5000\n");
      pass(100);
    }
    pass(1000);
    expect("it is home", stepper.isHomed());
  }
};

static WsdmFaultReason fault() {
  WsdmFault fault = {0, WsdmFaultReason::NONE};
  wsdmTakeFault(fault);
  return fault.reason;
}

static void homing() {
  {
    Machine machine(300);
    machine.pass(5000);
    expect("nothing moves by itself", rail.steps, 0);
    expect("nor is it held", rail.levels[ENABLE], 1);
    machine.say("L09\n");
    expect("homing is on", machine.device.isOn());
    machine.pass(20000);
    expect("it is home", stepper.isHomed());
    expect("it took no place", rail.place, 38);
    expect("it is off", machine.device.isOn(), 0);
    machine.say("L09\n");
    machine.pass(5000);
    expect("now it takes one, the same one too", rail.place, 38 + 3600);
    machine.say("L09999\n");
    machine.pass(5000);
    machine.say("L00\n");
    machine.pass(5000);
    expect("and the ends", rail.most, 38 + 3999);
  }
  {
    // Two lines in one pass of loop(), whose time is older than that at which homing begins.
    Machine machine(300);
    machine.say("L09\n");
    machine.say("L05\n", 3);
    machine.pass(20000);
    expect("an older time is no long time", stepper.isHomed());
    expect("nor is a move of before taken up", rail.most, 300);
  }
  {
    Machine machine(300);
    rail.hasSwitch = false;
    machine.say("L09\n");
    machine.pass(29000);
    expect("a missing switch is told", fault() == WsdmFaultReason::LIMIT_SWITCH_NOT_FOUND);
    expect("it looked so far", rail.least, 300 - 5455);
    expect("it lets go", rail.levels[ENABLE], 1);
    const long made = rail.steps;
    machine.say("L01\n");
    machine.pass(5000);
    expect("it stays off", rail.steps, made);
    expect("and is off", machine.device.isOn(), 0);
  }
  {
    Machine machine(300);
    stepper.homing(400, 500, 40);
    machine.say("L09\n");
    machine.pass(3000);
    expect("homing has a limit", fault() == WsdmFaultReason::HOMING_TOO_LONG);
    expect("it stopped", rail.place > 100);
  }
  {
    Machine machine(300);
    rail.isStuck = true;
    machine.say("L09\n");
    machine.pass(3000);
    expect("a stuck switch is told", fault() == WsdmFaultReason::LIMIT_SWITCH_CLOSED);
    expect("it went so far", rail.place, 755);
  }
  {
    Machine machine(-15);
    machine.home();
    expect("from behind the switch", rail.place, 38);
  }
  {
    WsdmStepper none(STEP, DIRECTION, 100);
    none.begin();
    expect("without a switch", fault() == WsdmFaultReason::NO_LIMIT_SWITCH);
    WsdmStepper second(STEP, DIRECTION, 100);
    second.limitSwitch(LIMIT);
    second.begin();
    expect("a second one", fault() == WsdmFaultReason::NO_STEP_TIMER);
  }
}

static void stops() {
  {
    Machine machine(300);
    machine.say("L09\n");
    machine.pass(400);
    machine.device.stop(millis());
    expect("homing is over at once", machine.device.isOn(), 0);
    machine.pass(1000);
    const long place = rail.place;
    expect("it stopped", place > 100);
    machine.pass(5000);
    expect("for good", rail.place, place);
    machine.home();
    expect("and it begins anew", rail.place, 38);
  }
  {
    Machine machine(20);
    machine.home();
    machine.say("L09999\n");
    machine.pass(8000);
    machine.say("L00\n");
    machine.pass(400);
    const long place = rail.place;
    machine.device.stop(millis());
    expect("off, as far as control goes", machine.device.isOn(), 0);
    machine.pass(1000);
    const long more = place - rail.place;
    expect("it slowed down", more > 100 && more <= 376);
    expect("it is held", rail.levels[ENABLE], 0);
    // It believes the app to be elsewhere.
    machine.say("L09999\n");
    const long from = rail.place;
    machine.pass(200);
    expect("it begins softly", rail.place - from > 100 && rail.place - from <= 400);
    machine.pass(5000);
    expect("and gets there", rail.place, 38 + 3999);
  }
  {
    Machine machine(20, true);
    machine.home();
    machine.say("L05\n");
    machine.pass(1000);
    machine.device.stop(millis());
    expect("it is held until it rests", rail.levels[ENABLE], 0);
    machine.pass(1000);
    expect("then it is let go", rail.levels[ENABLE], 1);
    expect("and where it is nobody knows", !stepper.isHomed());
  }
  {
    // The carriage was pushed, or steps were lost: the switch comes where none should be.
    Machine machine(20);
    machine.home();
    machine.say("L05\n");
    machine.pass(5000);
    machine.device.stop(millis());
    rail.place -= 800;
    machine.say("L00\n");
    machine.pass(5000);
    expect("it stops at the switch", rail.least > -380);
    machine.home();
    expect("and finds its home", rail.place, 38);
  }
}

// With a stop button: as steep as it may be, and then it stands where it came to rest, held.
static void button() {
  Machine machine(20);
  WsdmButton button(BUTTON, machine.device);
  button.begin(millis());
  button.connected(millis());
  machine.home();
  machine.say("L09\n");
  machine.pass(5000, button);
  machine.say("L00\n");
  machine.pass(400, button);
  const long place = rail.place;
  rail.isPressed = true;
  machine.pass(1, button);
  expect("off, as far as control goes", button.isOn(), 0);
  rail.isPressed = false;
  machine.pass(500, button);
  const long rest = rail.place;
  expect("it slowed down", place - rest > 100 && place - rest <= 377);
  machine.say("L05\n");
  machine.pass(900, button);
  machine.say("L09I500\n");
  machine.pass(WSDM_CALM_MS + 400, button);
  expect("no stroke moves it", rail.place, rest);
  expect("nor is it let go", rail.levels[ENABLE], 0);
  machine.pass(200, button);
  machine.say("L09999\n");
  machine.pass(200, button);
  expect("then it goes on, softly", rail.place - rest > 100 && rail.place - rest <= 400);

  // Pressed while it homes: it stops there, and the command after the release makes it home.
  Machine homes(1000);
  WsdmButton other(BUTTON, homes.device);
  other.connected(millis());
  homes.say("L00\n");
  homes.pass(500, other);
  rail.isPressed = true;
  homes.pass(200, other);
  const long stands = rail.place;
  homes.say("L09\n");
  homes.pass(5000, other);
  expect("it does not home while it is held", rail.place, stands);
  rail.isPressed = false;
  homes.pass(WSDM_CALM_MS + 100, other);
  homes.home();
  expect("and then it does", rail.place, 38);
}

int main() {
  ramps();
  anything();
  homing();
  stops();
  button();
  if (failures == 0) printf("all as it should be\n");
  return failures > 0;
}
