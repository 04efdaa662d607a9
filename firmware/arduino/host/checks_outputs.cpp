// What the outputs make of the chip's pins: motors and servos in any order and any mix, on each core and chip that the
// build chooses. Each case has a chip of its own, since what took a channel keeps it.

#include <Arduino.h>
#include <WsdmFaults.h>
#include <WsdmHBridge.h>
#include <WsdmPwm.h>
#include <WsdmServo.h>
#include <WsdmTcode.h>
#include <math.h>

#include <initializer_list>

#include "checks_cases.h"

static int failures = 0;
static const char* caseName = "";

static void check(bool holds, const char* what, int pin, double found) {
  if (holds) return;
  failures++;
  printf("%s: %s: pin %d shows %g\n", caseName, what, pin, found);
}

static const uint8_t MAX_OUTPUTS = 20;
// Pins that every chip has and that are not its flash's.
static const uint8_t PINS[MAX_OUTPUTS] = {
#if defined(ARDUINO_ARCH_ESP8266)
    4, 5, 12, 13, 14, 15, 0, 2,
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
    0, 1, 3, 4, 5, 6, 7, 10, 2, 8, 9, 18, 19, 20, 21,
#elif defined(CONFIG_IDF_TARGET_ESP32)
    4, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 25, 26, 27, 32, 33, 12, 5, 2, 0,
#else
    4, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 2, 12, 5, 0, 1, 3,
#endif
};

#if defined(ARDUINO_ARCH_ESP8266)
static const uint32_t MOTOR_HERTZ = 1000;
static const uint8_t CHANNELS = 255;
#else
static const uint32_t MOTOR_HERTZ = 20000;
#if defined(CONFIG_IDF_TARGET_ESP32)
static const uint8_t CHANNELS = 16;
#elif defined(CONFIG_IDF_TARGET_ESP32S2) || defined(CONFIG_IDF_TARGET_ESP32S3)
static const uint8_t CHANNELS = 8;
#else
static const uint8_t CHANNELS = 6;
#endif
#endif

static void isOff(uint8_t pin) {
  const HostPin shown = hostPin(pin);
  check(shown.isOutput, "it is driven", pin, shown.isOutput);
  check(shown.high == 0, "it is off", pin, shown.high);
}

static void isMotor(uint8_t pin, uint16_t value) {
  const HostPin shown = hostPin(pin);
  check(fabs(shown.high - value / 10000.0) < 0.003, "a motor's strength", pin, shown.high);
  if (value > 50 && value < WSDM_FULL) check(shown.hertz == MOTOR_HERTZ, "a motor's frequency", pin, shown.hertz);
}

static void isServo(uint8_t pin, uint16_t value) {
  const HostPin shown = hostPin(pin);
  const double us = shown.hertz > 0 ? shown.high * 1000000 / shown.hertz : 0;
  check(shown.hertz == 50, "a servo's frequency", pin, shown.hertz);
  check(fabs(us - (1000 + value / 10.0)) < 2, "a servo's pulse", pin, us);
}

// The outputs of a case: an m of `mix` is a motor, an s a servo, in the order in which they begin.
struct Outputs {
  explicit Outputs(const char* mix) : mix(mix), count(strlen(mix)) {
    for (uint8_t i = 0; i < count; i++) {
      if (mix[i] == 'm') outputs[i] = new WsdmPwm(PINS[i]);
      else outputs[i] = new WsdmServo(PINS[i]);
      outputs[i]->begin();
      WsdmFault fault;
      works[i] = !wsdmTakeFault(fault);
      if (!works[i]) check(fault.pin == PINS[i], "the pin of a fault", PINS[i], fault.pin);
      faults += !works[i];
    }
    isRight();
  }
  void set(uint8_t which, uint16_t value) {
    values[which] = value;
    isPlaced[which] = true;
    outputs[which]->set(value);
    isRight();
  }
  void run() {
    for (uint16_t turn = 0; turn < 200; turn++) {
      set(turn * 7 % count, turn % 5 == 0 ? 0 : turn % 7 == 0 ? WSDM_FULL : turn * 1237UL % (WSDM_FULL + 1));
    }
    for (uint8_t i = 0; i < count; i++) {
      if (mix[i] == 'm') set(i, 0);
    }
  }
  // Each pin shows what its output was set to, whatever the others were set to.
  void isRight() {
    for (uint8_t i = 0; i < count && outputs[i]; i++) {
      if (!works[i] || !isPlaced[i]) isOff(PINS[i]);
      else if (mix[i] == 'm') isMotor(PINS[i], values[i]);
      else isServo(PINS[i], values[i]);
    }
  }

  const char* mix;
  uint8_t count;
  uint8_t faults = 0;
  WsdmOutput* outputs[MAX_OUTPUTS] = {};
  uint16_t values[MAX_OUTPUTS] = {};
  bool works[MAX_OUTPUTS] = {}, isPlaced[MAX_OUTPUTS] = {};
};

static void drive(const char* mix) {
  Outputs outputs(mix);
  check(outputs.faults == 0, "faults", 0, outputs.faults);
  outputs.run();
}

#if defined(ARDUINO_ARCH_ESP32)

// More than there are channels: what has none is reported and off.
static void runOut(const char* mix) {
  char more[MAX_OUTPUTS + 1] = "";
  while (strlen(more) < CHANNELS + 3U) more[strlen(more)] = mix[strlen(more) % strlen(mix)];
  Outputs outputs(more);
  check(outputs.faults >= 3, "faults", 0, outputs.faults);
  // Two kinds may leave half of a timer unused.
  check(outputs.faults <= 4, "faults", 0, outputs.faults);
  outputs.run();
}

// A sketch that makes pulses itself, before the outputs begin and after.
static void sketchsOwn(const char*) {
  const uint8_t before = PINS[10], after = PINS[11];
  analogWrite(before, 100);
  Outputs outputs("ms");
  analogWrite(after, 50);
  outputs.run();
  check(fabs(hostPin(before).high - 100 / 256.0) < 0.01, "the sketch's own", before, hostPin(before).high);
  check(fabs(hostPin(after).high - 50 / 256.0) < 0.01, "the sketch's own", after, hostPin(after).high);
}

static void samePin(const char*) {
  WsdmPwm motor(PINS[0]), again(PINS[0]);
  WsdmServo servo(PINS[0]);
  WsdmFault fault;
  motor.begin();
  check(!wsdmTakeFault(fault), "no fault", PINS[0], 0);
  again.begin();
  check(wsdmTakeFault(fault), "a fault of the same pin", PINS[0], 0);
  servo.begin();
  check(wsdmTakeFault(fault), "a fault of the same pin", PINS[0], 0);
  motor.set(5000);
  isMotor(PINS[0], 5000);
  servo.set(5000);
  isMotor(PINS[0], 5000);
}

#if ESP_ARDUINO_VERSION_MAJOR >= 3
// All channels are the sketch's: none of them is shared.
static void nothingLeft(const char*) {
  for (uint8_t i = 0; i < CHANNELS - 1; i++) ledcAttach(PINS[i + 2], 1000, 8);
  Outputs outputs("sm");
  // Its neighbour is the sketch's, and so may be its timer.
  check(outputs.faults == 2, "faults", 0, outputs.faults);
  outputs.run();
}

static void takenAway(const char*) {
  Outputs outputs("mm");
  outputs.set(0, 5000);
  pinMode(PINS[0], OUTPUT);
  digitalWrite(PINS[0], HIGH);
  outputs.works[0] = false;
  outputs.set(0, 0);
  WsdmFault fault;
  check(wsdmTakeFault(fault) && fault.pin == PINS[0], "a fault", PINS[0], 0);
  // Its channel may be somebody else's by now.
  ledcAttach(PINS[2], 1000, 8);
  ledcWrite(PINS[2], 7);
  outputs.set(0, 5000);
  outputs.set(1, 5000);
  check(!wsdmTakeFault(fault), "one fault", PINS[0], 0);
  check(fabs(hostPin(PINS[2]).high - 7 / 256.0) < 0.01, "the sketch's own", PINS[2], hostPin(PINS[2]).high);
}
#endif

#elif defined(ARDUINO_ARCH_ESP8266)

// The range is everybody's.
static void sketchsOwn(const char*) {
  Outputs outputs("ms");
  analogWriteRange(100);
  outputs.run();
}

#endif

static void isBridge(uint8_t forward, uint8_t backward, int value) {
  const double ahead = hostPin(forward).high, back = hostPin(backward).high;
  check(ahead == 0 || back == 0, "one pin of a bridge at most", forward, back);
  check(fabs(ahead - back - value / 10000.0) < 0.003, "a bridge's strength", forward, ahead - back);
}

// Turns both ways, stands still in between, and obeys a stop at any time.
static void bridge(const char*) {
  const uint8_t forward = PINS[0], backward = PINS[1];
  WsdmHBridge motor(forward, backward);
  hostClock(0xFFFFFF00);
  motor.begin();
  isOff(forward);
  isOff(backward);
  const auto run = [&](uint16_t milliseconds, int value) {
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      motor.tick(millis());
      isBridge(forward, backward, value);
    }
  };
  motor.set(WSDM_FULL);
  isBridge(forward, backward, WSDM_FULL);
  run(500, WSDM_FULL);
  motor.reverse();
  run(WSDM_REVERSAL_MS - 1, 0);
  run(1, -WSDM_FULL);
  motor.set(3000);
  isBridge(forward, backward, -3000);
  // Back and forth again before it has stood still: it goes on as before.
  motor.reverse();
  run(10, 0);
  motor.reverse();
  isBridge(forward, backward, -3000);
  // A stop, and the other way at once.
  motor.set(0);
  isBridge(forward, backward, 0);
  motor.reverse();
  motor.set(4000);
  run(WSDM_REVERSAL_MS - 1, 0);
  run(1, 4000);
  // A stop amid a reversal is the last word.
  motor.reverse();
  run(50, 0);
  motor.set(0);
  run(500, 0);
  // From a standstill there is nothing to wait for.
  motor.set(4000);
  isBridge(forward, backward, -4000);
  motor.set(0);
  isOff(forward);
  isOff(backward);
  srand(3);
  uint16_t wanted = 0;
  bool back = true;
  int before = 0;
  uint32_t since = 0;
  for (uint32_t i = 0; i < 20000; i++) {
    if (rand() % 20 == 0) motor.set(wanted = rand() % 3 * 5000);
    if (rand() % 50 == 0) {
      motor.reverse();
      back = !back;
    }
    hostClock(millis() + 1 + rand() % 5);
    motor.tick(millis());
    const double shown = hostPin(forward).high - hostPin(backward).high;
    const int turns = shown > 0 ? 1 : shown < 0 ? -1 : 0;
    isBridge(forward, backward, turns * wanted);
    check(turns == 0 || turns == (back ? -1 : 1), "a bridge's direction", forward, shown);
    if (turns != 0 && before == -turns) {
      check(millis() - since >= WSDM_REVERSAL_MS, "time between two directions", forward, millis() - since);
    }
    if (turns != 0) {
      before = turns;
      since = millis();
    }
  }
}

#if defined(ARDUINO_ARCH_ESP32)
// One pin works, the other does not: it turns neither way.
static void halfABridge(const char*) {
  WsdmPwm other(PINS[1]);
  other.begin();
  WsdmHBridge motor(PINS[0], PINS[1]);
  motor.begin();
  WsdmFault fault;
  check(wsdmTakeFault(fault) && fault.pin == PINS[1], "a fault", PINS[1], 0);
  motor.set(WSDM_FULL);
  isOff(PINS[0]);
  other.set(5000);
  motor.set(0);
  isMotor(PINS[1], 5000);
  isOff(PINS[0]);
}
#endif

class Unheard final : public WsdmReplies {
  void reply(const char*, size_t) override {}
};

// A motor on a channel for places has no place to stay at: a stop switches it off, and a servo stays where it is.
static void onPositions(const char*) {
  hostClock(1000);
  WsdmHBridge bridge(PINS[0], PINS[1]);
  WsdmPwm motor(PINS[2]);
  WsdmServo servo(PINS[3]);
  WsdmAxis axes[] = {{"R0", bridge, 0, WSDM_FULL, 0}, {"L1", motor, 0, WSDM_FULL, 0}, {"L0", servo, 0, WSDM_FULL, 0}};
  WsdmTcode device(axes);
  device.begin(millis());
  const auto run = [&](const char* line, uint16_t milliseconds) {
    Unheard unheard;
    for (; *line; line++) device.receive(*line, millis(), unheard);
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      device.tick(millis());
    }
  };
  check(!device.isOn(), "nothing is on", PINS[0], 0);
  for (bool isStop : {true, false}) {
    run("R09 L19 L09\n", 3000);
    isMotor(PINS[0], 9000);
    isMotor(PINS[2], 9000);
    check(bridge.isOn(), "a bridge is on", PINS[0], 0);
    check(motor.isOn(), "a motor is on", PINS[2], 0);
    check(device.isOn(), "so is the device", PINS[0], 0);
    if (isStop) device.stop(millis());
    run(isStop ? "" : "DSTOP\n", 10);
    isOff(PINS[0]);
    isOff(PINS[1]);
    isOff(PINS[2]);
    isServo(PINS[3], 9000);
    check(!bridge.isOn() && !motor.isOn() && !device.isOn(), "all is off", PINS[0], 0);
  }
  // Amid a reversal it is off, and would turn by itself.
  run("R09\n", 3000);
  bridge.reverse();
  check(bridge.isOn(), "a reversal is on", PINS[0], 0);
  device.stop(millis());
  run("", 500);
  isOff(PINS[0]);
  isOff(PINS[1]);
}

int main(int count, char** words) {
  Cases cases(count, words);
  int failed = 0;
  const auto each = [&](const char* name, void (*run)(const char*)) {
    const bool isRight = cases.each([&] {
      caseName = name;
      failures = 0;
      hostPrintsPins(false);
      run(name);
      return failures == 0;
    });
    if (!isRight) failed++;
  };
  for (const char* mix :
       {"m", "s", "ms", "sm", "mmss", "ssmm", "msms", "smsm", "mmmm", "mmmms", "smmmm", "mmmss", "ssssmm"}) {
    each(mix, drive);
  }
  each("a sketch's own", sketchsOwn);
  each("a bridge", bridge);
  each("motors on positions", onPositions);
#if defined(ARDUINO_ARCH_ESP32)
  for (const char* mix : {"m", "s", "ms", "mms", "ssm"}) each(mix, runOut);
  each("the same pin", samePin);
  each("half a bridge", halfABridge);
#if ESP_ARDUINO_VERSION_MAJOR >= 3
  each("nothing left", nothingLeft);
  each("taken away", takenAway);
#endif
#endif
  if (failed > 0) printf("%d cases failed\n", failed);
  return cases.ended();
}
