// Numbers that nobody guesses, as far as the chip has them.

#ifndef WSDM_RANDOM_H
#define WSDM_RANDOM_H

#include <Arduino.h>

inline uint32_t wsdmRandom() {
#if defined(ARDUINO_ARCH_ESP32)
  return esp_random();
#elif defined(ARDUINO_ARCH_ESP8266)
  return RANDOM_REG32;
#else
  // No source in hardware that all boards have: the core's generator, which a sketch may seed, and when things happen.
  // Keys and masks of a websocket keep proxies from mixing things up; they are no secrets.
  return (static_cast<uint32_t>(random(0x10000)) << 16 | random(0x10000)) ^ micros() * 2654435761UL;
#endif
}

#endif
