#include "WsdmButton.h"

void WsdmButton::begin(uint32_t now) {
  pinMode(_pin, INPUT_PULLUP);
  _device.begin(now);
}

bool WsdmButton::receive(char byte, uint32_t now, WsdmReplies& replies) {
  // A command must not run into a button that is down; and what the one before it asked for puts the release off.
  look(now);
  if (!_device.receive(byte, now, replies)) return false;
  // Who commands has control, which not every link says before.
  if (!_isControlled) connected(now);
  return true;
}

void WsdmButton::tick(uint32_t now) {
  look(now);
  _device.tick(now);
}

void WsdmButton::connected(uint32_t now) {
  _isControlled = true;
  _calm = now;
  _device.connected(now);
}

void WsdmButton::stop(uint32_t now) {
  _isControlled = false;
  _device.stop(now);
}

// A press counts at once, and contacts that bounce begin the five seconds anew.
void WsdmButton::look(uint32_t now) {
  const bool isPressed = digitalRead(_pin) == _pressed;
  if (!_isHeld) {
    if (isPressed) hold(now);
  } else if (isPressed || !_isControlled || _device.isCommanded(now)) {
    _calm = now;
  } else if (static_cast<int32_t>(now - _calm) >= static_cast<int32_t>(WSDM_CALM_MS)) {
    // A link reads the clock once for several bytes: its time may be older than the press.
    release();
  }
}

void WsdmButton::hold(uint32_t now) {
  _device.hold(now);
  _isHeld = true;
  _calm = now;
}

void WsdmButton::release() {
  _device.release();
  _isHeld = false;
}
