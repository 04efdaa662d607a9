// How a stepper gets from one place to another: when each step is due, so that neither speed nor acceleration ever passes
// its limit. No pins and no clock: it only counts.
//
// A motor at rest that accelerates evenly makes its n-th step after sqrt(2n/a) seconds, and needs as many steps to stop
// as it took to get there. So the number of steps that it needs to stop is all that has to be known of its speed, and
// stopping is exact whenever it begins.

#ifndef WSDM_RAMP_H
#define WSDM_RAMP_H

#include <stdint.h>

// What times are counted in: halves of a microsecond.
static const uint32_t WSDM_TICKS_A_SECOND = 2000000;

class WsdmRamp {
 public:
  // A limit for the speed, in the form in which a step needs it.
  struct Speed {
    uint32_t least;  // ticks between two steps
    uint16_t steps;  // that it takes to stop from there
  };

  // In steps a second, each second: 100 to 1,000,000.
  void acceleration(uint32_t limit);
  // In steps a second. `acceleration` comes first.
  Speed speed(uint16_t stepsASecond) const;

  // How many ticks after now, or after the step that was just made, the next one is due; 0 if it is at rest where it is
  // to be. The step is to be made then, whatever is asked for meanwhile.
  uint32_t next();
  // The step was made.
  void stepped();

  // What follows is not to be interrupted by a step.
  void limit(const Speed& speed) { _limit = speed; }
  void goTo(int32_t place) { _target = place; }
  // To rest as soon as the acceleration allows.
  void halt();
  // It is at rest, and this is where.
  void isAt(int32_t place) { _place = _target = place; }

  int32_t place() const { return _place; }
  bool isForward() const { return _isForward; }
  // A step is due.
  bool isMoving() const { return _isDue; }

 private:
  uint32_t interval(uint16_t steps) const;

  // Between rest and the first step, and what the intervals after it are multiples of.
  uint32_t _first = 0;
  uint16_t _scale = 0;
  uint8_t _halved = 0;
  uint32_t _acceleration = 0;
  Speed _limit = {0, 0};
  int32_t _place = 0, _target = 0;
  // How many steps it needs to stop, after the one that is due.
  uint16_t _steps = 0;
  bool _isDue = false;
  bool _isForward = true;
};

#endif
