// A motor behind a transistor or a motor driver, on a pin that can analogWrite.

#ifndef WSDM_PWM_H
#define WSDM_PWM_H

#include <Arduino.h>

#include "WsdmOutput.h"

class WsdmPwm final : public WsdmOutput {
 public:
  // `least` is the weakest duty, of 255, at which the motor still turns: the smallest strength gives at least that.
  explicit WsdmPwm(uint8_t pin, uint8_t least = 0) : _pin(pin), _least(least) {}

  void begin() override {
    pinMode(_pin, OUTPUT);
    set(0);
  }

  void set(uint16_t value) override {
    const uint8_t above = static_cast<uint32_t>(value) * (255 - _least) / WSDM_FULL;
    analogWrite(_pin, value == 0 ? 0 : _least + above);
  }

 private:
  uint8_t _pin;
  uint8_t _least;
};

#endif
