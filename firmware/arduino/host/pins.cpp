// Levels, what is measured, and what is printed of every pin.

#include "pins.h"

#include <Arduino.h>

static const uint8_t PINS = 64;

static struct {
  bool isOutput, isPulledUp, isGrounded;
  uint8_t level;
  uint16_t millivolts;
  // What was printed last of each kind; of pulses, none is 0.
  int pwm, pulse, shownLevel;
  bool isPrinted;
} pins[PINS];

static bool prints = true;

void hostPrintsPins(bool on) { prints = on; }

void hostVoltage(uint8_t pin, uint16_t millivolts) { pins[pin].millivolts = millivolts; }

void hostGrounds(uint8_t pin, bool grounds) { pins[pin].isGrounded = grounds; }

// The flash is there: who takes these pins away from it ends the program that is in it.
static bool isFlash(uint8_t pin) {
#if defined(ARDUINO_ARCH_ESP8266) || defined(CONFIG_IDF_TARGET_ESP32)
  return pin >= 6 && pin <= 11;
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
  return pin >= 11 && pin <= 17;
#elif defined(CONFIG_IDF_TARGET_ESP32C6)
  return pin >= 24 && pin <= 30;
#elif defined(CONFIG_IDF_TARGET_ESP32S2) || defined(CONFIG_IDF_TARGET_ESP32S3)
  return pin >= 26 && pin <= 32;
#else
  (void)pin;
  return false;
#endif
}

static void checkPin(uint8_t pin) {
  if (pin < PINS && !isFlash(pin)) return;
  printf("the board crashes: pin %u %s\n", pin, pin < PINS ? "is the flash's" : "does not exist");
  fflush(stdout);
  _Exit(3);
}

HostPin hostPin(uint8_t pin) {
  HostPin shown = {pins[pin].isOutput, 0, static_cast<double>(pins[pin].isOutput && pins[pin].level)};
  hostPulses(pin, shown);
  return shown;
}

static void print(uint8_t pin, const char* how, int value, const char* unit) {
  printf("pin %u %s %d%s at %u ms\n", pin, how, value, unit, static_cast<unsigned>(millis()));
  fflush(stdout);
}

void hostPinsChanged() {
  if (!prints) return;
  for (uint8_t pin = 0; pin < PINS; pin++) {
    HostPin shown = {};
    if (!hostPulses(pin, shown)) {
      // One that had pulses is still a motor's when it has none.
      if (!pins[pin].isPrinted) continue;
      shown.high = pins[pin].level;
    }
    const bool isServo = shown.hertz > 0 && shown.hertz < 100;
    const int value = isServo ? shown.high * 1000000 / shown.hertz + 0.5 : shown.high * 255;
    int& last = isServo ? pins[pin].pulse : pins[pin].pwm;
    if (last == value && (isServo || pins[pin].isPrinted)) continue;
    pins[pin].isPrinted = true;
    last = value;
    print(pin, isServo ? "pulse" : "pwm", value, isServo ? " us" : "");
  }
}

void pinMode(uint8_t pin, uint8_t mode) {
  checkPin(pin);
  hostReleases(pin);
  pins[pin].isOutput = mode == OUTPUT;
  pins[pin].isPulledUp = mode == INPUT_PULLUP;
  hostPinsChanged();
}

void digitalWrite(uint8_t pin, uint8_t level) {
  checkPin(pin);
  pins[pin].level = level ? 1 : 0;
  HostPin shown = {};
  if (pins[pin].isPrinted) return hostPinsChanged();
  if (!prints || hostPulses(pin, shown) || !pins[pin].isOutput) return;
  if (pins[pin].shownLevel == pins[pin].level + 1) return;
  pins[pin].shownLevel = pins[pin].level + 1;
  print(pin, "level", pins[pin].level, "");
}

int digitalRead(uint8_t pin) {
  if (pins[pin].isPulledUp || pins[pin].isGrounded) return pins[pin].isPulledUp && !pins[pin].isGrounded;
  return hostPin(pin).high > 0.5;
}

#if defined(ARDUINO_ARCH_ESP8266)
// 10 bits; on the usual boards a divider makes 3.3 V of its range of 1 V.
int analogRead(uint8_t pin) { return pins[pin].millivolts * 1023L / 3300; }
#else
// 12 bits of 3.3 V, roughly: it is neither straight nor the same on two chips.
int analogRead(uint8_t pin) { return pins[pin].millivolts * 4095L / 3300; }
uint32_t analogReadMilliVolts(uint8_t pin) { return pins[pin].millivolts; }
#endif
