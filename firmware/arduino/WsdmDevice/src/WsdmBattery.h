// How full a battery is, by its voltage on a pin that can analogRead.

#ifndef WSDM_BATTERY_H
#define WSDM_BATTERY_H

#include <Arduino.h>

// What analogRead's highest number means, in millivolts at the pin. Define it before WsdmDevice.h is included if your
// board differs.
#ifndef WSDM_ADC_MILLIVOLTS
#if defined(ARDUINO_ARCH_AVR) && (!defined(F_CPU) || F_CPU > 8000000UL)
#define WSDM_ADC_MILLIVOLTS 5000
#else
// An ESP8266 without the divider that a NodeMCU and a D1 mini have: 1000.
#define WSDM_ADC_MILLIVOLTS 3300
#endif
#endif

inline uint16_t wsdmMillivolts(uint8_t pin) {
#if defined(ARDUINO_ARCH_ESP32)
  // As the chip was measured in its factory; its converter is not straight.
  return analogReadMilliVolts(pin);
#else
  // 10 bits on every core that is not told otherwise.
  return static_cast<uint32_t>(analogRead(pin)) * WSDM_ADC_MILLIVOLTS / 1023;
#endif
}

// In percent, between the voltages of an empty and of a full one.
inline uint8_t wsdmBatteryPercent(uint16_t millivolts, uint16_t empty, uint16_t full) {
  if (millivolts <= empty) return 0;
  if (millivolts >= full) return 100;
  return (millivolts - empty) * 100UL / (full - empty);
}

#endif
