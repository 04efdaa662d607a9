#include "WsdmServo.h"

#if defined(__AVR_ATmega328P__) || defined(ARDUINO_ARCH_ESP32)

void WsdmServo::set(uint16_t value) {
  const int32_t span = static_cast<int32_t>(_high) - _low;
  pulse(_low + span * value / WSDM_FULL);
}

#endif

#if defined(__AVR_ATmega328P__)

void WsdmServo::begin() {
  // Fast PWM up to ICR1, an eighth of the clock: half a microsecond a count, 40,000 of them for 20 ms. The core
  // has set the timer up for analogWrite. Until the first pulse the pin is low: the servo is sent nowhere.
  TCCR1A &= _BV(COM1A1) | _BV(COM1B1);
  TCCR1A |= _BV(WGM11);
  TCCR1B = _BV(WGM13) | _BV(WGM12) | _BV(CS11);
  ICR1 = F_CPU / 8 / 50 - 1;
  digitalWrite(_pin, LOW);
  pinMode(_pin, OUTPUT);
}

void WsdmServo::pulse(uint16_t microseconds) {
  const uint16_t counts = microseconds * (F_CPU / 8 / 1000000UL);
  if (_pin == 9) {
    OCR1A = counts;
    TCCR1A |= _BV(COM1A1);
  } else if (_pin == 10) {
    OCR1B = counts;
    TCCR1A |= _BV(COM1B1);
  }
}

#elif defined(ARDUINO_ARCH_ESP32)

// 14 bits are what the S2, S3 and C3 have as well; a step is 1.2 microseconds.
static const uint8_t SERVO_BITS = 14;

void WsdmServo::begin() {
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
  ledcAttach(_pin, 50, SERVO_BITS);
#else
  // Before version 3 of the core a channel is chosen by hand: from the top, away from those that analogWrite takes.
  static uint8_t taken = 0;
  _channel = 7 - taken++;
  ledcSetup(_channel, 50, SERVO_BITS);
  ledcAttachPin(_pin, _channel);
#endif
}

void WsdmServo::pulse(uint16_t microseconds) {
  const uint32_t duty = (static_cast<uint32_t>(microseconds) << SERVO_BITS) / 20000;
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
  ledcWrite(_pin, duty);
#else
  ledcWrite(_channel, duty);
#endif
}

#endif
