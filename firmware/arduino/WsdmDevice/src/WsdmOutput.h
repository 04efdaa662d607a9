// What a protocol moves: a motor, a servo, a valve.

#ifndef WSDM_OUTPUT_H
#define WSDM_OUTPUT_H

#include <stdint.h>

// Values run from 0 to this. Ten thousand, because TCode counts in four digits and Lovense's 20 steps divide it.
static const uint16_t WSDM_FULL = 10000;

class WsdmOutput {
 public:
  // Called once, before anything else.
  virtual void begin() {}
  // 0 is off, or one end of the way; WSDM_FULL is everything, or the other end. A stop is set(0) for what is no place:
  // it must reach the pin also if the output is believed to be at 0.
  virtual void set(uint16_t value) = 0;

 protected:
  ~WsdmOutput() = default;
};

#endif
