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
  // Control is lost. True if it stops by itself, as whatever runs on at a value must; otherwise it is set to 0, or to the
  // place where it is believed to be.
  virtual bool stop() { return false; }
  // Called as often as possible, for outputs that have something to do meanwhile. `now` is millis().
  virtual void tick(uint32_t) {}
  // Whether it can be sent to a place. Until it can, it is told which place each command asks for, and no move begins.
  virtual bool isReady() const { return true; }
  // Whether it runs, or moves by itself, and has to be stopped when control ends.
  virtual bool isOn() const { return false; }
#if !defined(__AVR__)
  // Whether it stands still, after a stop: some slow down first. What holds interrupts up, such as a write to the flash,
  // waits for that.
  virtual bool isAtRest() const { return true; }
#endif

 protected:
  ~WsdmOutput() = default;
};

#endif
