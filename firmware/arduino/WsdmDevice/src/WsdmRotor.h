// What turns both ways: a motor for rotation.

#ifndef WSDM_ROTOR_H
#define WSDM_ROTOR_H

#include "WsdmOutput.h"

class WsdmRotor : public WsdmOutput {
 public:
  // Turns the other way from now on, as fast as before.
  virtual void reverse() = 0;
  // Called as often as possible: a reversal takes its time. `now` is millis().
  virtual void tick(uint32_t now) = 0;

 protected:
  ~WsdmRotor() = default;
};

#endif
