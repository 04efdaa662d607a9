// A motor that turns both ways, behind an H-bridge with two inputs: DRV8833, L9110, BTS7960, L298N. At most one of them
// is on at any time; a stop switches both off.

#ifndef WSDM_H_BRIDGE_H
#define WSDM_H_BRIDGE_H

#include "WsdmPwmPin.h"
#include "WsdmRotor.h"

// How long the motor is off between its two directions: one that is reversed at full speed takes twice the current of
// one that is held.
static const uint16_t WSDM_REVERSAL_MS = 150;

class WsdmHBridge final : public WsdmRotor {
 public:
  // `least` is the weakest duty, of 255, at which the motor still turns.
  WsdmHBridge(uint8_t forward, uint8_t backward, uint8_t least = 0)
      : _forward(forward), _backward(backward), _least(least) {}

  void begin() override;
  void set(uint16_t value) override;
  void reverse() override;
  void tick(uint32_t now) override;
  bool stop() override;
  // Also while it waits between its two directions.
  bool isOn() const override { return _works && _wanted > 0; }

 private:
  void show(uint32_t now);
  void off(uint32_t now);

  WsdmPwmPin _forward, _backward;
  uint8_t _least;
  // With one pin alone it would turn one way whatever was asked for.
  bool _works = false;
  uint16_t _wanted = 0;
  bool _wantsBackward = false;
  // What the pins show.
  bool _isOn = false;
  bool _isBackward = false;
  // Since when both are off; counts until it has stood still for long enough.
  uint32_t _offSince = 0;
  bool _isSlowing = false;
};

#endif
