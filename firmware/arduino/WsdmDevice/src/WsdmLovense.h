// The Lovense protocol, from the device's side: words with arguments between colons, a semicolon at the end.

#ifndef WSDM_LOVENSE_H
#define WSDM_LOVENSE_H

#include "WsdmOutput.h"
#include "WsdmProtocol.h"
#include "WsdmRotor.h"

// The protocol numbers up to three vibrators.
static const uint8_t WSDM_LOVENSE_MOTORS = 3;

class WsdmLovense final : public WsdmProtocol {
 public:
  // `model` is the letter by which apps know what it is: 'Z' is a Hush, one motor; 'P' an Edge, two. `mac` is what it
  // answers as its own address: twelve hexadecimal digits.
  template <uint8_t Count>
  explicit WsdmLovense(WsdmOutput* const (&motors)[Count], char model = 'Z', const char* mac = "0000DEADBEEF")
      : _motors(motors), _count(Count), _model(model), _mac(mac) {
    static_assert(Count >= 1 && Count <= WSDM_LOVENSE_MOTORS, "one to three motors");
  }

  // A motor that turns both ways, which models such as 'A' (Nora: it and one vibrator) have. To be called before the
  // link's begin(); kept by reference.
  void rotor(WsdmRotor& rotor) { _rotor = &rotor; }

  // In percent. Until it is called, the battery is full.
  void battery(uint8_t percent) { _battery = percent > 100 ? 100 : percent; }

  void begin(uint32_t now) override;
  bool receive(char byte, uint32_t now, WsdmReplies& replies) override;
  bool inCommand() const override { return _length > 0 || _tooLong; }
  void tick(uint32_t now) override {
    for (uint8_t i = 0; i < _count; i++) _motors[i]->tick(now);
    if (_rotor) _rotor->tick(now);
  }
  bool isOn() const override;
  void stop(uint32_t now) override;
  void hold(uint32_t now) override;
  bool isCommanded(uint32_t now) const override;
  void release() override;
  bool poweredOff() const override { return _off; }
#if !defined(__AVR__)
  // Its motors are V0, V1 and V2, its rotor is R0.
  bool limit(char letter, char digit, uint16_t low, uint16_t high) override;
  bool isAtRest() const override;
#endif

 private:
  void command(WsdmReplies& replies);
  bool vibrate(const char* rest);
  bool rotate(const char* rest);
  bool multiply(const char* rest);
  void set(uint8_t motor, uint8_t level);
  void turn(uint8_t level);
  void stopMotors();
  void forget();

  WsdmOutput* const* _motors;
  uint8_t _count;
  char _model;
  const char* _mac;
  WsdmRotor* _rotor = nullptr;
  uint8_t _rotation = 0;
  uint8_t _battery = 100;
  uint8_t _levels[WSDM_LOVENSE_MOTORS] = {};
#if !defined(__AVR__)
  uint16_t _most[WSDM_LOVENSE_MOTORS] = {WSDM_FULL, WSDM_FULL, WSDM_FULL};
  uint16_t _mostRotation = WSDM_FULL;
#endif
  bool _light = true;
  bool _off = false;
  // Levels are what was commanded, and motors are off.
  bool _isHeld = false;
  // A command; the longest that is known has 13 bytes.
  char _text[24];
  uint8_t _length = 0;
  bool _tooLong = false;
  // Bytes that no text has.
  bool _noise = false;
};

#endif
