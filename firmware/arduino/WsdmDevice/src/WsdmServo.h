// A hobby servo: 50 pulses a second, whose length says where to stand. Made by the chip itself, without a library:
// timer 1 on an ATmega328P (pins 9 and 10), LEDC on an ESP32, the core's pulses on an ESP8266. For another board, write
// a class like this one around its Servo library.

#ifndef WSDM_SERVO_H
#define WSDM_SERVO_H

#include <Arduino.h>

#include "WsdmLedc.h"
#include "WsdmOutput.h"

#if defined(__AVR_ATmega328P__) || defined(ARDUINO_ARCH_ESP32) || defined(ARDUINO_ARCH_ESP8266)

class WsdmServo final : public WsdmOutput {
 public:
  // The pulses at both ends, in microseconds. Start within what the servo bears, and widen it with care.
  explicit WsdmServo(uint8_t pin, uint16_t low = 1000, uint16_t high = 2000) : _pin(pin), _low(low), _high(high) {}

  // No pulse before the first place: the servo is sent nowhere.
  void begin() override;
  void set(uint16_t value) override;

 private:
  void pulse(uint16_t microseconds);

  uint8_t _pin;
  uint16_t _low;
  uint16_t _high;
#if defined(ARDUINO_ARCH_ESP32)
  WsdmLedc _ledc;
#else
  bool _works = false;
#endif
};

#endif

#endif
