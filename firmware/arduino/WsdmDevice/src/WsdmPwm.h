// A motor behind a transistor or a motor driver, on a pin with PWM.

#ifndef WSDM_PWM_H
#define WSDM_PWM_H

#include "WsdmOutput.h"
#include "WsdmPwmPin.h"

// The strength that a motor gets, of WSDM_FULL: `least` is the weakest duty, of 255, at which it still turns, and the
// smallest strength gives at least that.
inline uint16_t wsdmMotorShare(uint16_t value, uint8_t least) {
  if (value == 0) return 0;
  const uint16_t from = static_cast<uint32_t>(least) * WSDM_FULL / 255;
  return from + static_cast<uint32_t>(value) * (WSDM_FULL - from) / WSDM_FULL;
}

class WsdmPwm final : public WsdmOutput {
 public:
  explicit WsdmPwm(uint8_t pin, uint8_t least = 0) : _pin(pin), _least(least) {}

  void begin() override {
    _pin.begin();
    _pin.write(0);
  }
  void set(uint16_t value) override {
    _pin.write(wsdmMotorShare(value, _least));
    _isOn = value > 0;
  }
  // Also as a position: a motor that ran on would stand nowhere.
  bool stop() override {
    set(0);
    return true;
  }
  bool isOn() const override { return _isOn; }

 private:
  WsdmPwmPin _pin;
  uint8_t _least;
  bool _isOn = false;
};

#endif
