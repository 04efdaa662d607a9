// A pin with pulses for a motor: as fast as nobody hears them where the chip can, 20 kHz on an ESP32, 31 kHz on an AVR.

#ifndef WSDM_PWM_PIN_H
#define WSDM_PWM_PIN_H

#include <stdint.h>

#include "WsdmLedc.h"

class WsdmPwmPin {
 public:
  explicit WsdmPwmPin(uint8_t pin) : _pin(pin) {}

  // Low from then on. False if the pin cannot have pulses: then it stays low, and wsdmTakeFault() says why.
  bool begin();
  // For which share of the time it is high, of WSDM_FULL.
  void write(uint16_t share);

 private:
  uint8_t _pin;
#if defined(ARDUINO_ARCH_ESP32)
  WsdmLedc _ledc;
#else
  bool _works = false;
#endif
};

#endif
