#include "WsdmServo.h"

#if defined(__AVR_ATmega328P__) || defined(ARDUINO_ARCH_ESP32) || defined(ARDUINO_ARCH_ESP8266)

#include "WsdmFaults.h"

void WsdmServo::set(uint16_t value) {
  const int32_t span = static_cast<int32_t>(_high) - _low;
  pulse(_low + span * value / WSDM_FULL);
}

#endif

#if defined(__AVR_ATmega328P__)

#include "WsdmAvrTimers.h"

void WsdmServo::begin() {
  digitalWrite(_pin, LOW);
  pinMode(_pin, OUTPUT);
  if (_pin != 9 && _pin != 10) return wsdmFault(_pin, WsdmFaultReason::NO_SERVO_PIN);
  if (!wsdmTakeTimer1(WsdmTimer1User::SERVOS)) return wsdmFault(_pin, WsdmFaultReason::TIMER_OF_MOTORS);
  // Fast PWM up to ICR1, an eighth of the clock: half a microsecond a count, 40,000 of them for 20 ms. The core
  // has set the timer up for analogWrite.
  TCCR1A &= _BV(COM1A1) | _BV(COM1B1);
  TCCR1A |= _BV(WGM11);
  TCCR1B = _BV(WGM13) | _BV(WGM12) | _BV(CS11);
  ICR1 = F_CPU / 8 / 50 - 1;
  _works = true;
}

void WsdmServo::pulse(uint16_t microseconds) {
  if (!_works) return;
  const uint16_t counts = microseconds * (F_CPU / 8 / 1000000UL);
  if (_pin == 9) {
    OCR1A = counts;
    TCCR1A |= _BV(COM1A1);
  } else {
    OCR1B = counts;
    TCCR1A |= _BV(COM1B1);
  }
}

#elif defined(ARDUINO_ARCH_ESP32)

static const uint16_t HERTZ = 50;
static const uint32_t PERIOD_US = 1000000 / HERTZ;
// 14 bits are what the S2, S3 and C3 have as well; a step is 1.2 microseconds.
static const uint8_t BITS = 14;

void WsdmServo::begin() {
  _ledc.attach(_pin, HERTZ, BITS);
}

void WsdmServo::pulse(uint16_t microseconds) {
  _ledc.write(((static_cast<uint32_t>(microseconds) << BITS) + PERIOD_US / 2) / PERIOD_US);
}

#elif defined(ARDUINO_ARCH_ESP8266)

#include <core_esp8266_waveform.h>

static const uint16_t PERIOD_US = 20000;

void WsdmServo::begin() {
  digitalWrite(_pin, LOW);
  pinMode(_pin, OUTPUT);
  _works = true;
}

void WsdmServo::pulse(uint16_t microseconds) {
  if (!_works || startWaveform(_pin, microseconds, PERIOD_US - microseconds, 0)) return;
  _works = false;
  wsdmFault(_pin, WsdmFaultReason::NO_PWM);
}

#endif
