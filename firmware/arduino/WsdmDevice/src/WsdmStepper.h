// A stepper with a driver for step and direction, as a place: the linear rail of a stroking machine.
//
// It finds its home before it takes a place: the first command that asks for one sends it slowly to a limit switch instead,
// and what is asked for meanwhile is dropped. From then on its travel has two ends that it never passes. Nothing moves
// before a first command, not even for homing; and what stops everything stops homing too.

#ifndef WSDM_STEPPER_H
#define WSDM_STEPPER_H

#include <Arduino.h>

#include "WsdmFaults.h"
#include "WsdmOutput.h"
#include "WsdmRamp.h"
#include "WsdmStepTimer.h"

class WsdmStepper final : public WsdmOutput {
 public:
  // Whether the machine stands at its home end. It is asked by an interrupt, and has to be quick.
  typedef bool (*AtEnd)();

  // `travel` is the way from the home end to the other, in steps: measure it, and leave something at the far end.
  WsdmStepper(uint8_t stepPin, uint8_t directionPin, uint16_t travel)
      : _stepPin(stepPin), _directionPin(directionPin), _travel(travel) {}

  // All of these before begin(), which the protocol calls.
  //
  // In steps a second, at most WSDM_STEPS_A_SECOND_MAX; and in steps a second, each second.
  void limits(uint16_t speed, uint32_t acceleration) { _speed = speed, _acceleration = acceleration; }
  // The level of the direction pin that leads away from home.
  void direction(uint8_t away) { _away = away; }
  // `active` is the level at which the driver holds the motor. It holds from the first command on. With `releases` it
  // lets go when control is lost, once the motor is at rest; nobody knows where it stands then, and it homes again.
  void enable(uint8_t pin, uint8_t active = LOW, bool releases = false) {
    _enablePin = pin, _enableActive = active, _releases = releases;
  }
  // `atEnd` is the level that it has when the machine is at its home end. A switch that opens there is the better one: a
  // broken wire does not look like a way that is free.
  void limitSwitch(uint8_t pin, uint8_t atEnd = LOW) { _limitPin = pin, _limitLevel = atEnd; }
  // A sensor of another kind, such as a driver that notices when its motor is held up.
  void limitSensor(AtEnd atEnd) { _atEnd = atEnd; }
  // How fast it looks for the switch, in steps a second, for how long at most, and how far from the switch its home is.
  void homing(uint16_t speed, uint16_t timeoutMs, uint16_t margin) {
    _homingSpeed = speed, _timeoutMs = timeoutMs, _margin = margin;
  }

  void begin() override;
  void set(uint16_t value) override;
  bool stop() override;
  void tick(uint32_t now) override;
  bool isReady() const override { return _state == HOMED && !_found; }
  bool isOn() const override;
#if defined(__AVR__)
  bool isAtRest() const;
#else
  bool isAtRest() const override;
#endif

  bool isHomed() const { return _state == HOMED; }
  // Why it stays off; NONE if it does not.
  WsdmFaultReason fault() const { return _fault; }
  // From its home, in steps; what it means before that nobody knows.
  int32_t place() const;

 private:
  enum State : uint8_t { UNHOMED, ENABLING, LEAVING, SEEKING, RETURNING, HOMED, FAULTY };

  static void onStep();
  bool isHoming() const { return _state != UNHOMED && _state != HOMED && _state != FAULTY; }
  bool isAtEnd() const;
  void step();
  void schedule(uint16_t since, uint32_t ticks);
  void look();
  // Not inlined: a compiler moves divisions to where interrupts are off.
  __attribute__((noinline)) void go(int32_t place, const WsdmRamp::Speed& speed);
  void start();
  void halt();
  void home(uint32_t now);
  void homeOn(uint32_t now);
  void fail(WsdmFaultReason reason);
  void hold(bool holds);

  static WsdmStepper* _only;

  uint8_t _stepPin, _directionPin;
  uint8_t _enablePin = 0xFF, _limitPin = 0xFF;
  uint8_t _away = HIGH, _enableActive = LOW, _limitLevel = LOW;
  bool _releases = false;
  AtEnd _atEnd = nullptr;
  uint16_t _travel;
  uint16_t _speed = 2000;
  uint32_t _acceleration = 10000;
  uint16_t _homingSpeed = 400, _timeoutMs = 30000, _margin = 40;

  WsdmRamp _ramp;
  WsdmRamp::Speed _fast = {0, 0}, _slow = {0, 0}, _homing = {0, 0};
  // When the next step is, by the timer.
  uint16_t _due = 0;
  State _state = UNHOMED;
  WsdmFaultReason _fault = WsdmFaultReason::NONE;
  uint32_t _since = 0;
  // From the first place after homing or a stop on it is slow for a while: the app believes it to be elsewhere.
  enum Soft : uint8_t { ARMED, RUNNING, OVER } _soft = ARMED;
  uint32_t _softSince = 0;
  // It was told to stop, and to nothing since; and is to let go of the motor at rest.
  bool _isStopped = false;
  bool _letsGo = false;
  // What the interrupt looks for with each step, for how many steps it has seen it, and where it was found.
  enum Looks : uint8_t { NOWHERE, FOR_END, FOR_NO_END };
  volatile Looks _looks = NOWHERE;
  volatile bool _found = false;
  uint8_t _seen = 0;
  int32_t _foundAt = 0;
};

#endif
