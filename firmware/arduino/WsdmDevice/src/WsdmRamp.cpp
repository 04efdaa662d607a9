#include "WsdmRamp.h"

#include <Arduino.h>

// So many steps to stop are counted in 16 bits; who could be faster is as fast as that.
static const uint16_t MOST_STEPS = 32767;

// 65536 / sqrt(1 + i/16).
static const uint16_t ROOTS[] PROGMEM = {
    65535, 63579, 61788, 60140, 58617, 57205, 55889, 54661, 53510, 52429,
    51411, 50450, 49541, 48679, 47861, 47082, 46341, 45633, 44957, 44310,
    43691, 43096, 42525, 41977, 41449, 40940, 40450, 39977, 39520, 39078,
    38651, 38238, 37837, 37449, 37073, 36708, 36353, 36008, 35673, 35347,
    35030, 34722, 34421, 34128, 33843, 33564, 33292, 33027, 32768,
};

static uint32_t root(uint32_t square) {
  uint32_t found = 0;
  for (uint32_t bit = 1UL << 30; bit > 0; bit >>= 2) {
    if (square >= found + bit) {
      square -= found + bit;
      found = (found >> 1) + bit;
    } else {
      found >>= 1;
    }
  }
  return found;
}

void WsdmRamp::acceleration(uint32_t limit) {
  _acceleration = limit < 100 ? 100 : limit > 1000000 ? 1000000 : limit;
  // Sixteen times the root, for the sake of small ones. The constants are 16 * sqrt(2) * ticks, rounded up; and
  // 16 * 256 / 128 * ticks, for what interval() makes of it.
  const uint32_t roots = root(_acceleration << 8);
  _first = (45254834UL + roots - 1) / roots;
  uint32_t scale = (64000000UL + roots - 1) / roots;
  _halved = 0;
  for (; scale > 0xFFFF; scale = (scale + 1) / 2) _halved++;
  _scale = scale;
}

WsdmRamp::Speed WsdmRamp::speed(uint16_t stepsASecond) const {
  if (stepsASecond == 0) stepsASecond = 1;
  const uint32_t square = static_cast<uint32_t>(stepsASecond) * stepsASecond;
  const uint32_t steps = square / (2 * _acceleration) + (square % (2 * _acceleration) > 0);
  return {(WSDM_TICKS_A_SECOND + stepsASecond - 1) / stepsASecond,
          static_cast<uint16_t>(steps > MOST_STEPS ? MOST_STEPS : steps)};
}

// Between the step with this number and the next one, counted from rest: sqrt(n + 1) - sqrt(n) of the first interval, which
// is 1 / (2 * sqrt(n + 1/2)) nearly. The root comes from a table, since a division takes a small chip too long.
uint32_t WsdmRamp::interval(uint16_t steps) const {
  if (steps == 0) return _first;
  uint16_t twice = 2 * steps + 1;
  uint8_t doubled = 0;
  for (; twice < 0x4000; twice <<= 2) doubled++;
  const uint8_t at = (twice >> 10) - 16;
  const uint16_t above = pgm_read_word(ROOTS + at);
  const uint16_t drop = above - pgm_read_word(ROOTS + at + 1);
  const uint16_t share = twice & 1023;
  const uint16_t factor = above - (static_cast<uint32_t>(drop) * share >> 10);
  const uint32_t product = static_cast<uint32_t>(_scale) * factor;
  const uint8_t bits = 24 - doubled - _halved;
  // A shift by sixteen bits costs nothing, and one of a word less than one of two.
  return bits < 16 ? product >> bits : static_cast<uint16_t>(product >> 16) >> (bits - 16);
}

uint32_t WsdmRamp::next() {
  int32_t left = _isForward ? _target - _place : _place - _target;
  if (_steps == 0 && left < 0) {
    _isForward = !_isForward;
    left = -left;
  }
  _isDue = _steps > 0 || left > 0;
  if (!_isDue) return 0;
  const bool isTooFast = _steps > _limit.steps;
  uint32_t ticks;
  if (left >= _steps + 2L && _steps < _limit.steps) {
    ticks = interval(_steps++);
  } else if (_steps == 0) {
    // One step alone: half of the way faster and half of it slower.
    ticks = _first + _first / 2;
  } else if (left > _steps && !isTooFast) {
    // As fast as it may be, which is a little faster than its last step was.
    ticks = interval(_steps < _limit.steps ? _steps - 1 : _steps);
  } else {
    ticks = interval(--_steps);
  }
  return isTooFast || ticks > _limit.least ? ticks : _limit.least;
}

void WsdmRamp::stepped() { _place += _isForward ? 1 : -1; }

void WsdmRamp::halt() {
  const int32_t way = _isDue ? _steps + 1L : 0;
  _target = _isForward ? _place + way : _place - way;
}
