#include "WsdmStepper.h"

#include "WsdmFaults.h"
#include "WsdmTcode.h"

// In ticks, from before the pin is written: five microseconds at least are left for the pulse, which suffice for any driver.
static const uint16_t PULSE = 20;
// In ticks.
static const uint16_t MADE_UP = 40;
// A driver that was switched on is not ready at once.
static const uint16_t ENABLE_MS = 100;
// A motor's wires make noise in those of a switch: it counts if so many steps in a row see it.
static const uint8_t CERTAIN = 3;

// A link reads the clock once and handles several commands: it may be older than what began meanwhile.
static bool hasPassed(uint32_t now, uint32_t since, uint16_t milliseconds) {
  return static_cast<int32_t>(now - since) >= static_cast<int32_t>(milliseconds);
}

WsdmStepper* WsdmStepper::_only = nullptr;

void WSDM_IN_INTERRUPT WsdmStepper::onStep() { _only->step(); }

void WsdmStepper::begin() {
  digitalWrite(_stepPin, LOW);
  pinMode(_stepPin, OUTPUT);
  digitalWrite(_directionPin, _away);
  pinMode(_directionPin, OUTPUT);
  hold(false);
  if (_enablePin != 0xFF) pinMode(_enablePin, OUTPUT);
  if (_limitPin != 0xFF) pinMode(_limitPin, INPUT_PULLUP);
  if (_speed > WSDM_STEPS_A_SECOND_MAX) _speed = WSDM_STEPS_A_SECOND_MAX;
  if (_homingSpeed > _speed) _homingSpeed = _speed;
  _ramp.acceleration(_acceleration);
  const uint32_t soft = static_cast<uint32_t>(_travel) * WSDM_SOFT_SPEED / 100;
  _fast = _ramp.speed(_speed);
  _slow = _ramp.speed(soft < _speed ? soft : _speed);
  _homing = _ramp.speed(_homingSpeed);
  if (_limitPin == 0xFF && !_atEnd) return fail(WsdmFaultReason::NO_LIMIT_SWITCH);
  if ((_only && _only != this) || !WsdmStepTimer::begin(onStep)) return fail(WsdmFaultReason::NO_STEP_TIMER);
  _only = this;
}

bool WSDM_IN_INTERRUPT WsdmStepper::isAtEnd() const {
  return _atEnd ? _atEnd() : digitalRead(_limitPin) == _limitLevel;
}

// Other interrupts delay a step by some microseconds. The next one makes up for that, so that the speed stays what it is; but
// for an eighth of the interval at most, so that steps that were long held up do not come all at once.
void WSDM_IN_INTERRUPT WsdmStepper::step() {
  const uint16_t edge = WsdmStepTimer::now();
  digitalWrite(_stepPin, HIGH);
  _ramp.stepped();
  if (_looks != NOWHERE) look();
  const bool wasForward = _ramp.isForward();
  const uint32_t ticks = _ramp.next();
  while (static_cast<uint16_t>(WsdmStepTimer::now() - edge) < PULSE) {
  }
  digitalWrite(_stepPin, LOW);
  if (_ramp.isForward() != wasForward) digitalWrite(_directionPin, wasForward ? !_away : _away);
  if (ticks == 0) return;
  const uint16_t late = edge - _due;
  const uint16_t most = ticks >= 8 * MADE_UP ? MADE_UP : ticks / 8;
  schedule(edge - (late < most ? late : most), ticks);
}

void WSDM_IN_INTERRUPT WsdmStepper::schedule(uint16_t since, uint32_t ticks) {
  _due = since + ticks;
  WsdmStepTimer::callAt(since, ticks);
}

void WSDM_IN_INTERRUPT WsdmStepper::look() {
  _seen = isAtEnd() == (_looks == FOR_END) ? _seen + 1 : 0;
  if (_seen < CERTAIN) return;
  _looks = NOWHERE;
  _foundAt = _ramp.place();
  _found = true;
  _ramp.halt();
}

void WsdmStepper::go(int32_t place, const WsdmRamp::Speed& speed) {
  WsdmNoInterrupts guard;
  _ramp.limit(speed);
  _ramp.goTo(place);
  start();
}

// With interrupts off.
void WsdmStepper::start() {
  if (_ramp.isMoving()) return;
  const uint16_t now = WsdmStepTimer::now();
  const uint32_t ticks = _ramp.next();
  if (ticks == 0) return;
  digitalWrite(_directionPin, _ramp.isForward() ? _away : !_away);
  schedule(now, ticks);
}

void WsdmStepper::halt() {
  WsdmNoInterrupts guard;
  _ramp.halt();
}

bool WsdmStepper::isAtRest() const {
  WsdmNoInterrupts guard;
  return !_ramp.isMoving();
}

int32_t WsdmStepper::place() const {
  WsdmNoInterrupts guard;
  return _ramp.place();
}

bool WsdmStepper::isOn() const { return isHoming() || (!_isStopped && !isAtRest()); }

void WsdmStepper::hold(bool holds) {
  if (_enablePin != 0xFF) digitalWrite(_enablePin, holds ? _enableActive : !_enableActive);
}

void WsdmStepper::set(uint16_t value) {
  // The switch where no switch should be: steps were lost, and it has stopped.
  if (_state == HOMED && _found) _state = UNHOMED;
  if (_state == UNHOMED) home(millis());
  if (_state != HOMED) return;
  _letsGo = _isStopped = false;
  if (_soft == ARMED) {
    _soft = RUNNING;
    _softSince = millis();
  }
  if (value > WSDM_FULL) value = WSDM_FULL;
  go(static_cast<uint32_t>(_travel) * value / WSDM_FULL, _soft == RUNNING ? _slow : _fast);
}

bool WsdmStepper::stop() {
  halt();
  if (isHoming()) {
    _looks = NOWHERE;
    _state = UNHOMED;
  }
  _soft = ARMED;
  _isStopped = true;
  if (_releases) _letsGo = true;
  return true;
}

void WsdmStepper::tick(uint32_t now) {
  WsdmStepTimer::loop();
  if (_soft == RUNNING && hasPassed(now, _softSince, WSDM_SOFT_START_MS)) _soft = OVER;
  if (isHoming()) {
    homeOn(now);
  }
  if (_letsGo && isAtRest()) {
    _letsGo = false;
    hold(false);
    if (_state == HOMED) _state = UNHOMED;
  }
}

void WsdmStepper::home(uint32_t now) {
  // What a stop has not yet brought to rest comes to rest first.
  if (!isAtRest()) return;
  _letsGo = _isStopped = false;
  hold(true);
  _since = now;
  _state = ENABLING;
}

void WsdmStepper::homeOn(uint32_t now) {
  if (hasPassed(now, _since, _timeoutMs)) return fail(WsdmFaultReason::HOMING_TOO_LONG);
  if (!isAtRest() || (_state == ENABLING && !hasPassed(now, _since, ENABLE_MS))) return;
  const bool found = _found;
  _found = false;
  _seen = 0;
  const int32_t at = place();
  switch (_state) {
    case ENABLING:
      _state = isAtEnd() ? LEAVING : SEEKING;
      break;
    case LEAVING:
      if (!found) return fail(WsdmFaultReason::LIMIT_SWITCH_CLOSED);
      _state = SEEKING;
      break;
    case SEEKING:
      if (!found) return fail(WsdmFaultReason::LIMIT_SWITCH_NOT_FOUND);
      _state = RETURNING;
      return go(_foundAt + _margin, _homing);
    default:
      if (isAtEnd()) return fail(WsdmFaultReason::LIMIT_SWITCH_CLOSED);
      _ramp.isAt(0);
      _soft = ARMED;
      _looks = FOR_END;
      _state = HOMED;
      return;
  }
  const bool seeks = _state == SEEKING;
  _looks = seeks ? FOR_END : FOR_NO_END;
  // Some more than all of its way: it may stand beyond the far end. Or as far beyond the switch as a stop at full speed led.
  const int32_t beyond = 2L * _margin + _fast.steps;
  go(seeks ? at - (static_cast<int32_t>(_travel) + _travel / 4 + beyond) : at + beyond, _homing);
}

void WsdmStepper::fail(WsdmFaultReason reason) {
  wsdmFault(_stepPin, reason);
  halt();
  _looks = NOWHERE;
  _fault = reason;
  _state = FAULTY;
  _letsGo = true;
}
