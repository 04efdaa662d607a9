// The pins of the stand-in, and what makes pulses on them: a model of what cores and chips do, so that what is read
// here is what an oscilloscope would show, whatever the sketch believes.
//
// The build chooses: ESP_ARDUINO_VERSION_MAJOR and _MINOR, and the chip as CONFIG_IDF_TARGET_...; or ARDUINO_ARCH_ESP8266
// and ARDUINO_ESP8266_MAJOR.
#pragma once

#include <stdint.h>

#define LOW 0
#define HIGH 1
#define INPUT 0
#define OUTPUT 1
#define INPUT_PULLUP 2

struct HostPin {
  // Some program has made it an output.
  bool isOutput;
  // Of its pulses; 0 if it only has a level.
  uint32_t hertz;
  // For which share of the time it is high: 0 is low, 1 is high.
  double high;
};
HostPin hostPin(uint8_t pin);
// What changes is printed unless it is switched off.
void hostPrintsPins(bool prints);
// Asked for by the models: looks at every pin, and prints what is new.
void hostPinsChanged();
// What a model of pulses says of a pin; false if it leaves the pin's level alone.
bool hostPulses(uint8_t pin, HostPin& shown);
// The pin is a plain one from now on.
void hostReleases(uint8_t pin);
// What analogRead measures, in millivolts at the pin.
void hostVoltage(uint8_t pin, uint16_t millivolts);
// Something outside pulls the pin to ground, or no longer.
void hostGrounds(uint8_t pin, bool grounds);

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
int digitalRead(uint8_t pin);
int analogRead(uint8_t pin);
void analogWrite(uint8_t pin, int value);

#if defined(ARDUINO_ARCH_ESP8266)

#ifndef ARDUINO_ESP8266_MAJOR
#define ARDUINO_ESP8266_MAJOR 3
#endif
#define A0 17

void analogWriteFreq(uint32_t hertz);
void analogWriteRange(uint32_t range);

#elif defined(ARDUINO_ARCH_ESP32)

// As the core itself defines them.
#ifndef ESP_ARDUINO_VERSION_MAJOR
#define ESP_ARDUINO_VERSION_MAJOR 3
#define ESP_ARDUINO_VERSION_MINOR 3
#endif
#if !defined(CONFIG_IDF_TARGET_ESP32) && !defined(CONFIG_IDF_TARGET_ESP32S2) && !defined(CONFIG_IDF_TARGET_ESP32S3) && \
    !defined(CONFIG_IDF_TARGET_ESP32C3) && !defined(CONFIG_IDF_TARGET_ESP32C6)
#define CONFIG_IDF_TARGET_ESP32 1
#endif
#define A0 36

uint32_t analogReadMilliVolts(uint8_t pin);

#if ESP_ARDUINO_VERSION_MAJOR >= 3
struct ledc_channel_handle_t {
  uint8_t pin;
  uint8_t channel;
  uint8_t channel_resolution;
};
bool ledcAttach(uint8_t pin, uint32_t hertz, uint8_t bits);
bool ledcAttachChannel(uint8_t pin, uint32_t hertz, uint8_t bits, uint8_t channel);
bool ledcDetach(uint8_t pin);
bool ledcWrite(uint8_t pin, uint32_t duty);
#else
uint32_t ledcSetup(uint8_t channel, uint32_t hertz, uint8_t bits);
void ledcAttachPin(uint8_t pin, uint8_t channel);
void ledcDetachPin(uint8_t pin);
void ledcWrite(uint8_t channel, uint32_t duty);
#endif

#endif
