#include "WsdmTcode.h"

#include <Arduino.h>
#include <string.h>

// Longer moves end here: more than any app asks for, and small enough for 32 bits of arithmetic.
static const uint32_t LONGEST_MS = 200000;

WsdmAxis::WsdmAxis(const char* channel, WsdmOutput& output, uint16_t low, uint16_t high, uint16_t maxSpeed)
    : _output(output), _letter(channel[0]), _digit(channel[1]), _low(low), _high(high), _maxSpeed(maxSpeed) {
  _from = _to = isPosition() ? WSDM_FULL / 2 : 0;
  _isPlaced = !isPosition();
}

uint16_t WsdmAxis::valueAt(uint32_t motion) const {
  const uint32_t passed = motion - _began;
  if (passed >= _takes) return _to;
  return _from + (static_cast<int32_t>(_to) - _from) * static_cast<int32_t>(passed) / static_cast<int32_t>(_takes);
}

uint16_t WsdmAxis::scaled(uint16_t value) const {
  const int32_t span = static_cast<int32_t>(_high) - _low;
  return _low + span * value / WSDM_FULL;
}

// The time for a way at a speed in hundredths of the range a second, rounded up.
static uint32_t timeFor(uint16_t way, uint32_t speed) { return (way * 10UL + speed - 1) / speed; }

void WsdmAxis::go(uint32_t motion, bool softly) {
  if (isPosition() && !_output.isReady()) {
    _pace = NOTHING;
    _isPlaced = false;
    _output.set(scaled(_wanted));
    return;
  }
  const uint16_t from = valueAt(motion);
  const uint16_t way = from < _wanted ? _wanted - from : from - _wanted;
  uint32_t takes = 0;
  if (_pace == WITHIN) takes = _amount;
  if (_pace == SPEED) takes = timeFor(way, _amount);
  uint16_t limit = isPosition() ? _maxSpeed : 0;
  if (softly && isPosition() && (limit == 0 || limit > WSDM_SOFT_SPEED)) limit = WSDM_SOFT_SPEED;
  if (limit > 0) {
    const uint32_t least = timeFor(way, limit);
    if (takes < least) takes = least;
  }
  _isPlaced = true;
  _from = from;
  _to = _wanted;
  _began = motion;
  // Told again, if it is the same: it may have stopped on its way there.
  _shown = NOT_SHOWN;
  _takes = takes < LONGEST_MS ? takes : LONGEST_MS;
  _pace = NOTHING;
}

void WsdmAxis::hold(uint32_t motion) {
  _from = _to = isPosition() ? valueAt(motion) : 0;
  _takes = 0;
  _pace = NOTHING;
  // What stops by itself stands elsewhere than it was sent to: as before its first move.
  if (_output.stop() && isPosition()) {
    _isPlaced = false;
    return;
  }
  show(motion, true);
}

void WsdmAxis::show(uint32_t motion, bool isAsked) {
  const uint16_t value = valueAt(motion);
  // A move that is over stays over, however far the clock runs.
  if (!isMoving(motion)) {
    _from = _to;
    _takes = 0;
  }
  const bool isOff = value == 0 && !isPosition();
  if (!_isPlaced || (value == _shown && !(isOff && isAsked))) return;
  _shown = value;
  // A strength of 0 is off, whatever the limits say.
  if (isOff) {
    _output.set(0);
    return;
  }
  _output.set(scaled(value));
}

void WsdmTcode::begin(uint32_t now) {
  _moved = now;
  for (uint8_t i = 0; i < _count; i++) {
    _axes[i]._output.begin();
    _axes[i].show(_motion);
  }
}

void WsdmTcode::tick(uint32_t now) {
  // Long gone is not to come again when the clock has gone round.
  if (_isHeld && static_cast<int32_t>(now - _commandedUntil) > 0) _commandedUntil = now;
  for (uint8_t i = 0; i < _count; i++) _axes[i]._output.tick(now);
  const int32_t passed = now - _moved;
  // Nothing is newer within a millisecond, and a small chip has better things to do than to divide.
  if (passed <= 0) return;
  _moved = now;
  _motion += passed < WSDM_STEP_MAX_MS ? passed : WSDM_STEP_MAX_MS;
  for (uint8_t i = 0; i < _count; i++) _axes[i].show(_motion);
}

WsdmAxis* WsdmTcode::axis(char letter, char digit) {
  for (uint8_t i = 0; i < _count; i++) {
    if (_axes[i]._letter == letter && _axes[i]._digit == digit) return &_axes[i];
  }
  return nullptr;
}

#if !defined(__AVR__)
bool WsdmTcode::limit(char letter, char digit, uint16_t low, uint16_t high) {
  WsdmAxis* const limited = axis(letter, digit);
  if (!limited) return false;
  // A strength is a share of all there is, also where the sketch's own range begins above it.
  if (!limited->isPosition()) {
    if (limited->_high > high) limited->_high = high;
    if (limited->_low > limited->_high) limited->_low = limited->_high;
    return true;
  }
  const int32_t from = limited->_low, span = static_cast<int32_t>(limited->_high) - limited->_low;
  limited->_low = from + span * low / WSDM_FULL;
  limited->_high = from + span * high / WSDM_FULL;
  return true;
}

bool WsdmTcode::isAtRest() const {
  for (uint8_t i = 0; i < _count; i++) {
    if (!_axes[i]._output.isAtRest()) return false;
  }
  return true;
}
#endif

bool WsdmTcode::receive(char byte, uint32_t now, WsdmReplies& replies) {
  if (byte == '\n' || byte == ' ' || byte == '\r' || byte == '\t') {
    if (_length > 0 && !_tooLong) token(now, replies);
    _length = 0;
    _tooLong = false;
    if (byte != '\n') return false;
    const bool isText = _inLine && !_noise;
    if (_noise) {
      // Whoever wrote it, it is not what was written.
      for (uint8_t i = 0; i < _count; i++) _axes[i]._pace = WsdmAxis::NOTHING;
    }
    go(now);
    _inLine = false;
    _noise = false;
    return isText;
  }
  _inLine = true;
  _noise |= byte < ' ' || byte > '~';
  if (byte >= 'a' && byte <= 'z') byte -= 'a' - 'A';
  if (byte > ' ' && byte <= '~' && _length < sizeof(_text) - 1) {
    _text[_length++] = byte;
  } else {
    _tooLong = true;
  }
  return false;
}

void WsdmTcode::token(uint32_t now, WsdmReplies& replies) {
  _text[_length] = 0;
  char answer[WSDM_REPLY_MAX];
  if (strcmp(_text, "D0") == 0) {
    strcpy(answer, "WsdmDevice-0.1.0\n");
    replies.reply(answer, strlen(answer));
  } else if (strcmp(_text, "D1") == 0) {
    strcpy(answer, "TCode v0.3\n");
    replies.reply(answer, strlen(answer));
  } else if (strcmp(_text, "D2") == 0) {
    for (uint8_t i = 0; i < _count; i++) describe(_axes[i], replies);
  } else if (strcmp(_text, "DSTOP") == 0) {
    // What the same line asked for before the stop must not move after it.
    halt();
  } else if (_text[0] == '$') {
    prefer();
  } else {
    move();
  }
}

// Digits only, and no more of them than fit; moves `text` behind them.
static bool parseNumber(const char*& text, uint32_t& number) {
  uint8_t digits = 0;
  number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    if (++digits > 9) return false;
    number = number * 10 + (*text - '0');
  }
  return digits > 0;
}

// The digits after "0.", in parts of WSDM_FULL; those from the fifth on are read and do not count.
static bool parseFraction(const char*& text, uint16_t& fraction) {
  uint16_t worth = WSDM_FULL;
  bool any = false;
  fraction = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    worth /= 10;
    fraction += (*text - '0') * worth;
    any = true;
  }
  return any;
}

// "L0500", "L0500I1000", "L0500S10". The last command of a line to a channel counts.
void WsdmTcode::move() {
  WsdmAxis* moved = _length >= 2 ? axis(_text[0], _text[1]) : nullptr;
  if (!moved) return;
  const char* rest = _text + 2;
  uint16_t wanted = 0;
  uint32_t amount = 0;
  WsdmAxis::Pace pace = WsdmAxis::AT_ONCE;
  if (!parseFraction(rest, wanted)) return;
  if (*rest == 'I' || *rest == 'S') {
    pace = *rest == 'I' ? WsdmAxis::WITHIN : WsdmAxis::SPEED;
    rest++;
    if (!parseNumber(rest, amount)) return;
    if (amount == 0) pace = WsdmAxis::AT_ONCE;
  }
  if (*rest != 0) return;
  moved->_wanted = wanted;
  moved->_pace = pace;
  moved->_amount = amount;
}

// "$L0-1000-9000": the range that the user likes.
void WsdmTcode::prefer() {
  WsdmAxis* liked = _length >= 3 ? axis(_text[1], _text[2]) : nullptr;
  if (!liked) return;
  const char* rest = _text + 3;
  uint32_t low = 0, high = 0;
  if (*rest++ != '-' || !parseNumber(rest, low) || *rest++ != '-' || !parseNumber(rest, high) || *rest != 0) return;
  if (low > 9999 || high > 9999) return;
  liked->_preferLow = low;
  liked->_preferHigh = high;
}

// "L0 0 9999 Stroke".
void WsdmTcode::describe(const WsdmAxis& axis, WsdmReplies& replies) {
  char line[WSDM_REPLY_MAX] = {axis._letter, axis._digit, ' ', 0};
  utoa(axis._preferLow, line + strlen(line), 10);
  strcat(line, " ");
  utoa(axis._preferHigh, line + strlen(line), 10);
  strcat(line, " ");
  // As most devices call theirs; a channel without a name is called as it is.
  static const char NAMES[] PROGMEM = "L0Stroke L1Surge L2Sway R0Twist R1Roll R2Pitch V0Vibe0 V1Vibe1 A0Valve A1Suck ";
  const size_t end = strlen(line);
  for (const char* name = NAMES; pgm_read_byte(name) != 0;) {
    const bool found = pgm_read_byte(name) == axis._letter && pgm_read_byte(name + 1) == axis._digit;
    size_t at = end;
    for (name += 2; pgm_read_byte(name) != ' '; name++) {
      if (found) line[at++] = pgm_read_byte(name);
    }
    name++;
    if (found) line[at] = 0;
  }
  if (line[end] == 0) {
    line[end] = axis._letter;
    line[end + 1] = axis._digit;
    line[end + 2] = 0;
  }
  strcat(line, "\n");
  replies.reply(line, strlen(line));
}

// The line is over: what it asked for begins.
void WsdmTcode::go(uint32_t now) {
  tick(now);
  for (uint8_t i = 0; i < _count; i++) {
    WsdmAxis& axis = _axes[i];
    if (axis._pace == WsdmAxis::NOTHING) continue;
    if (_isHeld) {
      note(axis, now);
      continue;
    }
    if (axis.isPosition()) {
      // The first move of each is soft, however late it comes.
      if (!axis._isPlaced) _soft = ARMED;
      if (_soft == ARMED) {
        _soft = RUNNING;
        _softSince = now;
      } else if (_soft == RUNNING && now - _softSince >= WSDM_SOFT_START_MS) {
        _soft = OVER;
      }
    }
    axis.go(_motion, _soft == RUNNING);
    axis.show(_motion, true);
  }
}

// What would begin if it were not held.
void WsdmTcode::note(WsdmAxis& axis, uint32_t now) {
  // The longest way takes as long as that, and at once is a moment too.
  uint32_t takes = 1;
  if (axis._pace == WsdmAxis::WITHIN) takes += axis._amount;
  if (axis._pace == WsdmAxis::SPEED) takes += timeFor(WSDM_FULL, axis._amount);
  if (takes > LONGEST_MS) takes = LONGEST_MS;
  axis._pace = WsdmAxis::NOTHING;
  if (!axis.isPosition()) {
    axis._isWanted = axis._wanted > 0;
  } else if (static_cast<int32_t>(now + takes - _commandedUntil) > 0) {
    _commandedUntil = now + takes;
  }
}

void WsdmTcode::halt() {
  for (uint8_t i = 0; i < _count; i++) {
    _axes[i].hold(_motion);
    _axes[i]._isWanted = false;
  }
  _commandedUntil = _moved;
}

void WsdmTcode::hold(uint32_t now) {
  // As with a stop, nothing is moved on before.
  _moved = now;
  _soft = ARMED;
  for (uint8_t i = 0; i < _count; i++) {
    WsdmAxis& axis = _axes[i];
    axis._isWanted = axis.isStrong(_motion);
    axis.hold(_motion);
  }
  _isHeld = true;
  _commandedUntil = now;
}

bool WsdmTcode::isCommanded(uint32_t now) const {
  for (uint8_t i = 0; i < _count; i++) {
    if (_axes[i]._isWanted) return true;
  }
  return static_cast<int32_t>(_commandedUntil - now) > 0;
}

bool WsdmTcode::isOn() const {
  for (uint8_t i = 0; i < _count; i++) {
    const WsdmAxis& axis = _axes[i];
    if (axis.isMoving(_motion) || axis._output.isOn() || axis.isStrong(_motion)) return true;
  }
  return false;
}

void WsdmTcode::stop(uint32_t now) {
  // Nothing is moved on before: a sketch that stood still would make a leap of its stop.
  _moved = now;
  halt();
  _length = 0;
  _tooLong = false;
  _inLine = false;
  _noise = false;
  _soft = ARMED;
}
