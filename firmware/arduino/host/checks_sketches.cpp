// The examples for a cable on each chip: which pins they take, and that these do what they should. A pin of the flash ends the
// stand-in as it would end the board.

#include <Arduino.h>
#include <WsdmDevice.h>
#include <math.h>

#include <initializer_list>

#include "checks_cases.h"

static int failures = 0;
static const char* sketch = "";

static void check(bool holds, const char* what, int pin, double found) {
  if (holds) return;
  failures++;
  printf("%s: %s: pin %d, %g\n", sketch, what, pin, found);
}

namespace serial_lovense {
#include "../WsdmDevice/examples/SerialLovense/SerialLovense.ino"
}
namespace serial_tcode {
#include "../WsdmDevice/examples/SerialTcode/SerialTcode.ino"
const uint8_t motorPin = MOTOR_PIN;
#undef MOTOR_PIN
}

// Read by the chip when it starts, or the serial port's or USB's.
static bool isSpokenFor(uint8_t pin) {
#if defined(ARDUINO_ARCH_ESP8266)
  static const uint8_t PINS[] = {0, 2, 15, 1, 3, 16};
#elif defined(CONFIG_IDF_TARGET_ESP32)
  static const uint8_t PINS[] = {0, 2, 5, 12, 15, 1, 3};
#elif defined(CONFIG_IDF_TARGET_ESP32S2)
  static const uint8_t PINS[] = {0, 45, 46, 43, 44, 19, 20};
#elif defined(CONFIG_IDF_TARGET_ESP32S3)
  static const uint8_t PINS[] = {0, 3, 45, 46, 43, 44, 19, 20};
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
  static const uint8_t PINS[] = {2, 8, 9, 20, 21, 18, 19};
#else
  static const uint8_t PINS[] = {4, 5, 8, 9, 15, 16, 17, 12, 13};
#endif
  for (uint8_t spokenFor : PINS) {
    if (pin == spokenFor) return true;
  }
  return false;
}

static void pinsAreFree() {
  WsdmFault fault;
  check(!wsdmTakeFault(fault), "a fault", 0, 0);
  for (uint8_t pin = 0; pin < 64; pin++) {
    if (!hostPin(pin).isOutput) continue;
    check(!isSpokenFor(pin), "it is needed for something else", pin, 0);
    check(hostPin(pin).high == 0, "it is off", pin, hostPin(pin).high);
  }
}

class Answers final : public WsdmReplies {
 public:
  void reply(const char* bytes, size_t length) override {
    snprintf(last, sizeof(last), "%.*s", static_cast<int>(length), bytes);
  }
  char last[WSDM_REPLY_MAX + 1] = "";
};

static Answers answers;

static void say(WsdmProtocol& device, const char* text) {
  for (; *text; text++) device.receive(*text, millis(), answers);
}

static void shows(uint8_t pin, double high) {
  check(fabs(hostPin(pin).high - high) < 0.01, "a strength", pin, hostPin(pin).high);
}

static void vibrator() {
  using namespace serial_lovense;
  hostClock(1);
  serial_lovense::setup();
  pinsAreFree();
  say(serial_lovense::vibrator, "Vibrate1:10;Vibrate2:20;");
  shows(MOTOR_1_PIN, 0.5);
  shows(MOTOR_2_PIN, 1);
  const struct {
    uint16_t millivolts;
    int least, most;
  } batteries[] = {{3000, 0, 0}, {3300, 0, 1}, {3750, 48, 51}, {4150, 92, 95}, {4300, 100, 100}};
  for (const auto& battery : batteries) {
    // Halved on its way to the pin.
    hostVoltage(BATTERY_PIN, battery.millivolts / 2);
    hostClock(millis() + 1001);
    serial_lovense::loop();
    say(serial_lovense::vibrator, "Battery;");
    const int percent = atoi(answers.last);
    check(percent >= battery.least && percent <= battery.most, "a battery", battery.millivolts, percent);
  }
  serial_lovense::vibrator.stop(millis());
  pinsAreFree();
}

static void valve() {
  using namespace serial_tcode;
  serial_tcode::setup();
  pinsAreFree();
  say(device, "V05 A09999\n");
  shows(serial_tcode::motorPin, 0.5);
  shows(VALVE_PIN, 1);
  device.stop(millis());
  pinsAreFree();
}

// Every name of WsdmPins.h, together.
static void defaults() {
  WsdmPwm motor(WSDM_MOTOR_PIN), second(WSDM_MOTOR_2_PIN), valve(WSDM_VALVE_PIN);
  WsdmServo servo(WSDM_SERVO_PIN);
  WsdmOutput* const outputs[] = {&motor, &second, &valve, &servo};
  for (WsdmOutput* output : outputs) output->begin();
  pinsAreFree();
  for (WsdmOutput* output : outputs) output->set(WSDM_FULL / 2);
  for (uint8_t pin : {WSDM_MOTOR_PIN, WSDM_MOTOR_2_PIN, WSDM_VALVE_PIN}) shows(pin, 0.5);
  shows(WSDM_SERVO_PIN, 0.075);
}

int main(int count, char** words) {
  Cases cases(count, words);
  const auto each = [&](const char* name, void (*run)()) {
    const bool isRight = cases.each([&] {
      sketch = name;
      failures = 0;
      hostPrintsPins(false);
      run();
      return failures == 0;
    });
    if (!isRight) printf("%s failed\n", name);
  };
  each("SerialLovense", vibrator);
  each("SerialTcode", valve);
  each("WsdmPins.h", defaults);
  return cases.ended();
}
