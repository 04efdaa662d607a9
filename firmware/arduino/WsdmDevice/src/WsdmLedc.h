// The PWM channels of an ESP32 (its peripheral LEDC), shared out so that outputs which need different frequencies never
// have a channel or a timer in common.

#ifndef WSDM_LEDC_H
#define WSDM_LEDC_H

#if defined(ARDUINO_ARCH_ESP32)

#include <stdint.h>

#include "WsdmFaults.h"

class WsdmLedc {
 public:
  // The pin is low from then on, until something else is written. False if there is no channel for it, which is noted as
  // a fault: then it stays low whatever is written.
  bool attach(uint8_t pin, uint16_t hertz, uint8_t bits);
  void write(uint32_t duty);

 private:
  bool search(uint16_t hertz, uint8_t bits);
  bool take(uint8_t channel, uint16_t hertz, uint8_t bits);
  void off();

  static const uint8_t NONE = 0xFF;
  uint8_t _pin = NONE;
  uint8_t _channel = NONE;
};

#endif

#endif
