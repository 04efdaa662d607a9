#include "WsdmPwmPin.h"

#include <Arduino.h>

#include "WsdmFaults.h"
#include "WsdmOutput.h"

#if defined(ARDUINO_ARCH_AVR)
#include "WsdmAvrTimers.h"
#endif

#if defined(ARDUINO_ARCH_ESP32)

static const uint16_t HERTZ = 20000;
static const uint8_t BITS = 10;

bool WsdmPwmPin::begin() { return _ledc.attach(_pin, HERTZ, BITS); }

// A duty of all of the range is all of the time.
void WsdmPwmPin::write(uint16_t share) { _ledc.write((static_cast<uint32_t>(share) << BITS) / WSDM_FULL); }

#else

bool WsdmPwmPin::begin() {
  digitalWrite(_pin, LOW);
  pinMode(_pin, OUTPUT);
#if defined(ARDUINO_ARCH_AVR)
  const WsdmFaultReason why = wsdmFastPwm(_pin);
  _works = why == WsdmFaultReason::NONE;
  if (!_works) wsdmFault(_pin, why);
#else
  _works = true;
#if defined(ARDUINO_ARCH_ESP8266)
  // Made in software, by interrupts: at 20 kHz they would take most of the time that Wi-Fi and servos need.
  analogWriteFreq(1000);
#endif
#endif
  return _works;
}

void WsdmPwmPin::write(uint16_t share) {
  if (!_works) {
    digitalWrite(_pin, LOW);
    return;
  }
#if defined(ARDUINO_ARCH_ESP8266)
  // 1023 before version 3 of the core, 255 after it, and the sketch may set it to something else.
  static const uint16_t RANGE = 1023;
  analogWriteRange(RANGE);
#else
  static const uint16_t RANGE = 255;
#endif
  analogWrite(_pin, static_cast<uint32_t>(share) * RANGE / WSDM_FULL);
}

#endif
