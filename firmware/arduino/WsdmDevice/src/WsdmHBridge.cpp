#include "WsdmHBridge.h"

#include <Arduino.h>

#include "WsdmPwm.h"

void WsdmHBridge::begin() {
  const bool forward = _forward.begin();
  const bool backward = _backward.begin();
  _works = forward && backward;
  off(millis());
}

void WsdmHBridge::set(uint16_t value) {
  _wanted = value;
  show(millis());
}

void WsdmHBridge::reverse() {
  _wantsBackward = !_wantsBackward;
  show(millis());
}

bool WsdmHBridge::stop() {
  set(0);
  return true;
}

void WsdmHBridge::tick(uint32_t now) {
  if (_isSlowing) show(now);
}

void WsdmHBridge::off(uint32_t now) {
  _forward.write(0);
  _backward.write(0);
  if (_isOn) {
    _isOn = false;
    _isSlowing = true;
    _offSince = now;
  }
}

void WsdmHBridge::show(uint32_t now) {
  if (_isSlowing && now - _offSince >= WSDM_REVERSAL_MS) _isSlowing = false;
  const bool mustWait = _wantsBackward != _isBackward && (_isOn || _isSlowing);
  if (!_works || _wanted == 0 || mustWait) return off(now);
  _isBackward = _wantsBackward;
  _isOn = true;
  (_isBackward ? _forward : _backward).write(0);
  (_isBackward ? _backward : _forward).write(wsdmMotorShare(_wanted, _least));
}
