// What the ESP8266's core makes by interrupts: pulses of any length, and analogWrite out of them.

#if defined(ARDUINO_ARCH_ESP8266)

#include <Arduino.h>
#include <core_esp8266_waveform.h>

static struct {
  bool runs;
  uint32_t highUs, lowUs;
} waves[17];

// 255 from version 3 of the core on.
static uint32_t range = ARDUINO_ESP8266_MAJOR >= 3 ? 255 : 1023;
static uint32_t hertz = 1000;

bool hostPulses(uint8_t pin, HostPin& shown) {
  if (pin >= 17 || !waves[pin].runs) return false;
  const uint32_t period = waves[pin].highUs + waves[pin].lowUs;
  shown = {true, (1000000 + period / 2) / period, static_cast<double>(waves[pin].highUs) / period};
  return true;
}

void hostReleases(uint8_t pin) {
  if (pin < 17) waves[pin].runs = false;
}

int startWaveform(uint8_t pin, uint32_t highUs, uint32_t lowUs, uint32_t) {
  if (pin >= 17 || highUs + lowUs == 0) return false;
  waves[pin] = {true, highUs, lowUs};
  hostPinsChanged();
  return true;
}

int stopWaveform(uint8_t pin) {
  hostReleases(pin);
  return true;
}

void analogWriteFreq(uint32_t wanted) { hertz = wanted < 100 ? 100 : wanted > 40000 ? 40000 : wanted; }

void analogWriteRange(uint32_t wanted) {
  if (wanted >= 15 && wanted <= 65535) range = wanted;
}

void analogWrite(uint8_t pin, int value) {
  const uint32_t strength = value < 0 ? 0 : static_cast<uint32_t>(value) > range ? range : value;
  const uint32_t period = 1000000 / hertz;
  const uint32_t high = period * strength / range;
  pinMode(pin, OUTPUT);
  if (high == 0 || high == period) {
    stopWaveform(pin);
    digitalWrite(pin, high == 0 ? LOW : HIGH);
  } else {
    startWaveform(pin, high, period - high, 0);
  }
}

#endif
