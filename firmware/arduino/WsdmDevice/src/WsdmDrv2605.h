// A motor behind a haptic driver DRV2605 or DRV2605L (DRV2604, DRV2604L), on I2C. It plays what is written to it for as
// long as it has power. So a stop that it does not acknowledge is tried again at once, and then its pin EN switches it
// off. If that is not wired to the board, the stop is written again and again until it is acknowledged.
//
// Not part of WsdmDevice.h, since it needs Wire:
//
//     #include <Wire.h>
//     #include <WsdmDevice.h>
//     #include <WsdmDrv2605.h>
//
//     WsdmDrv2605 motor(Wire, WsdmDrv2605::ERM, 17);
//
// Call Wire.begin() before the link's begin(). All of these chips have one address: two of them need two buses.

#ifndef WSDM_DRV2605_H
#define WSDM_DRV2605_H

#include <Arduino.h>
#include <Wire.h>

#include "WsdmFaults.h"
#include "WsdmOutput.h"

class WsdmDrv2605 final : public WsdmOutput {
 public:
  // A motor with an eccentric mass, or a linear one. The wrong one of them gets hot.
  enum Motor : uint8_t { ERM, LRA };
  static const uint8_t NO_PIN = 0xFF;

  explicit WsdmDrv2605(TwoWire& wire, Motor motor = ERM, uint8_t enablePin = NO_PIN)
      : _wire(wire), _motor(motor), _enablePin(enablePin) {}

  void begin() override {
#if defined(WIRE_HAS_TIMEOUT)
    // Without it, a bus that is stuck stops the sketch.
    _wire.setWireTimeout(5000, true);
#endif
    enable(false);
    // The fault of a chip that is missing from the start is noted too. It may be there and play: if it kept its power
    // while the board began anew.
    _works = true;
    if (!setUp()) lose();
  }

  void set(uint16_t value) override {
    if (value == 0) return off();
    // A chip that is not there costs time at every try.
    if (!_works && millis() - _triedAt < AGAIN_MS) return;
    // At the start of each vibration: it may have lost its power since the last, and all that it was told with it.
    if (!_isOn && !setUp()) return lose();
    _isOn = true;
    // The least is more than none.
    if (!write(RTP_INPUT, (static_cast<uint32_t>(value) * STRONGEST + WSDM_FULL - 1) / WSDM_FULL)) lose();
  }

  bool stop() override {
    off();
    return true;
  }

  void tick(uint32_t) override {
    if (!_mustStop || millis() - _stoppedAt < STOP_AGAIN_MS) return;
    _stoppedAt = millis();
    const int status = read(STATUS);
    if (status < 0) return;
    // Nothing is written to a chip of another kind.
    if (!isDriver(status) || write(RTP_INPUT, 0)) _mustStop = false;
  }

  bool isOn() const override { return _isOn || _mustStop; }

 private:
  enum Register : uint8_t { STATUS = 0x00, MODE = 0x01, RTP_INPUT = 0x02, FEEDBACK = 0x1A, CONTROL3 = 0x1D };
  static const uint8_t ADDRESS = 0x5A;
  // Plays what is in RTP_INPUT: a signed number, of which the negative half brakes.
  static const uint8_t REAL_TIME_PLAYBACK = 5;
  static const uint8_t STRONGEST = 127;
  static const uint8_t FEEDBACK_LRA = 0x80;
  static const uint8_t CONTROL3_ERM_OPEN_LOOP = 0x20;
  static const uint8_t CONTROL3_UNSIGNED = 0x08;
  static const uint8_t TRIES = 3;
  static const uint16_t AGAIN_MS = 500;
  // Between two tries to write a stop: a bus that is stuck takes some milliseconds for each.
  static const uint8_t STOP_AGAIN_MS = 50;

  static bool isDriver(uint8_t status) {
    // The upper three bits say which chip it is: 2605, 2604, 2604L, 2605L.
    const uint8_t chip = status >> 5;
    return chip == 3 || chip == 4 || chip == 6 || chip == 7;
  }

  bool setUp() {
    enable(true);
    const int status = read(STATUS);
    if (status < 0 || !isDriver(status)) return false;
    // At nothing before it listens to that.
    if (!write(RTP_INPUT, 0)) return false;
    _mustStop = false;
    const int feedback = read(FEEDBACK), control = read(CONTROL3);
    if (feedback < 0 || control < 0) return false;
    // A motor with an eccentric mass runs without feedback, for which it would have to be calibrated.
    const uint8_t linear = _motor == LRA ? FEEDBACK_LRA : 0;
    const uint8_t openLoop = _motor == LRA ? 0 : CONTROL3_ERM_OPEN_LOOP;
    if (!write(FEEDBACK, (feedback & ~FEEDBACK_LRA) | linear)) return false;
    if (!write(CONTROL3, (control & ~(CONTROL3_ERM_OPEN_LOOP | CONTROL3_UNSIGNED)) | openLoop)) return false;
    if (!write(MODE, REAL_TIME_PLAYBACK)) return false;
    _works = true;
    return true;
  }

  // Written whatever it is believed to play.
  void off() {
    _isOn = false;
    // One that did not hear is asked again soon, by tick().
    const uint8_t tries = _mustStop ? 1 : TRIES;
    for (uint8_t i = 0; i < tries; i++) {
      if (!write(RTP_INPUT, 0)) continue;
      _mustStop = false;
      return;
    }
    lose();
  }

  void lose() {
    // Also what it plays, if it does not hear.
    enable(false);
    _isOn = false;
    _triedAt = _stoppedAt = millis();
    _mustStop = _enablePin == NO_PIN;
    if (_works) wsdmFault(ADDRESS, WsdmFaultReason::NO_HAPTIC_DRIVER);
    _works = false;
  }

  void enable(bool on) {
    if (_enablePin == NO_PIN || on == _isEnabled) return;
    digitalWrite(_enablePin, on ? HIGH : LOW);
    pinMode(_enablePin, OUTPUT);
    digitalWrite(_enablePin, on ? HIGH : LOW);
    _isEnabled = on;
    // It takes a quarter of that to listen.
    if (on) delay(1);
  }

  bool write(Register at, uint8_t value) {
    _wire.beginTransmission(ADDRESS);
    _wire.write(static_cast<uint8_t>(at));
    _wire.write(value);
    return _wire.endTransmission() == 0;
  }

  int read(Register at) {
    _wire.beginTransmission(ADDRESS);
    _wire.write(static_cast<uint8_t>(at));
    if (_wire.endTransmission(false) != 0 || _wire.requestFrom(ADDRESS, static_cast<uint8_t>(1)) != 1) return -1;
    return _wire.read();
  }

  TwoWire& _wire;
  Motor _motor;
  uint8_t _enablePin;
  bool _isEnabled = true;
  bool _works = false;
  bool _isOn = false;
  // It may play though it was told to stop, or should have been.
  bool _mustStop = false;
  uint32_t _triedAt = 0, _stoppedAt = 0;
};

#endif
