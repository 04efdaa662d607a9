// A stop button on the device: the person who holds it decides, not the app.
//
// Pressed, it stops every output at once. The stop outlasts the press: an app that goes on playing must not have the device
// back as soon as a finger is lifted. It ends when, for five seconds, the button is up and the app has stopped too: a slider
// at 0, a script that pauses. The next command counts then. A connection that ends does not release it, for the app may go
// on without having noticed: the five seconds begin with the next one.
//
// It stands between link and protocol:
//
//   WsdmButton button(WSDM_BUTTON_PIN, vibrator);
//   WsdmSerial gateway(Serial, button);

#ifndef WSDM_BUTTON_H
#define WSDM_BUTTON_H

#include <Arduino.h>

#include "WsdmProtocol.h"

// How long neither the button nor the app wants anything else before a stop ends. Much longer than the gaps of a script that
// plays: between two strokes, each of which may be over at once, it commands nothing. The firmware in Rust has the same.
static const uint16_t WSDM_CALM_MS = 5000;

class WsdmButton final : public WsdmProtocol {
 public:
  // A button from the pin to ground. `pressed` is what the pin reads then: LOW with a contact that closes, HIGH with one
  // that opens, which also stops everything when its wire breaks. The pin has to have a pull-up resistor: those of an
  // ESP32 from 34 on have none, nor has pin 16 of an ESP8266.
  WsdmButton(uint8_t pin, WsdmProtocol& device, uint8_t pressed = LOW)
      : _device(device), _pin(pin), _pressed(pressed) {}

  void begin(uint32_t now) override;
  bool receive(char byte, uint32_t now, WsdmReplies& replies) override;
  bool inCommand() const override { return _device.inCommand(); }
  void tick(uint32_t now) override;
  bool isOn() const override { return _device.isOn(); }
  void connected(uint32_t now) override;
  void stop(uint32_t now) override;
  void hold(uint32_t now) override;
  bool isCommanded(uint32_t now) const override { return _device.isCommanded(now); }
  void release() override;
  bool poweredOff() const override { return _device.poweredOff(); }
#if !defined(__AVR__)
  bool isHeld() const override { return _isHeld; }
  bool limit(char letter, char digit, uint16_t low, uint16_t high) override {
    return _device.limit(letter, digit, low, high);
  }
  bool isAtRest() const override { return _device.isAtRest(); }
#endif

 private:
  void look(uint32_t now);

  WsdmProtocol& _device;
  uint8_t _pin;
  uint8_t _pressed;
  bool _isHeld = false;
  // A gateway has control.
  bool _isControlled = false;
  // Since when all is calm.
  uint32_t _calm = 0;
};

#endif
