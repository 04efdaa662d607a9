// TCode v0.3, from the device's side: channels that go to a place or a strength, a newline that makes it so.
//
// A magnitude is the digits of a decimal fraction: "500" and "5" are 0.5, "05" is 0.05. "I" gives the milliseconds that
// a move takes, "S" its speed in hundredths of the range a second.

#ifndef WSDM_TCODE_H
#define WSDM_TCODE_H

#include "WsdmOutput.h"
#include "WsdmProtocol.h"

// From the first move after control was taken or lost, positions move at most at WSDM_SOFT_SPEED for this long: nobody
// knows where the app believes the device to stand.
static const uint16_t WSDM_SOFT_START_MS = 2000;
// In hundredths of the range a second, like TCode's own "S".
static const uint16_t WSDM_SOFT_SPEED = 50;
// How fast a position moves at most, where its axis says nothing else, in the same measure.
static const uint16_t WSDM_MAX_SPEED = 200;
// The most that one step makes up for. After a longer pause the sketch stood still; the rest of the way is made at its
// pace then, and not in one leap.
static const uint8_t WSDM_STEP_MAX_MS = 50;

// One channel and what it moves. V and A are strengths and begin at 0. L and R are positions: they are believed to be in
// their middle, and their outputs are left alone until the first move of each, since nobody knows what stands in the way.
class WsdmAxis {
 public:
  // `channel` is a letter and a digit: "L0". The whole of what an app may ask for is spread over `low` to `high`, parts of
  // WSDM_FULL: the ends of what your machine bears. `maxSpeed` is the most that a position is ever moved at, in
  // hundredths of the range a second; 0 is no limit.
  WsdmAxis(const char* channel, WsdmOutput& output, uint16_t low = 0, uint16_t high = WSDM_FULL,
           uint16_t maxSpeed = WSDM_MAX_SPEED);

 private:
  friend class WsdmTcode;
  enum Pace : uint8_t { NOTHING, AT_ONCE, WITHIN, SPEED };

  bool isPosition() const { return _letter == 'L' || _letter == 'R'; }
  // All times are those of motion, as WsdmTcode counts it.
  uint16_t valueAt(uint32_t motion) const;
  // It has a strength, or is on its way to one.
  bool isStrong(uint32_t motion) const { return !isPosition() && (_to > 0 || valueAt(motion) > 0); }
  bool isMoving(uint32_t motion) const { return _from != _to && motion - _began < _takes; }
  // Between the ends of what the machine bears.
  uint16_t scaled(uint16_t value) const;
  void go(uint32_t motion, bool softly);
  void hold(uint32_t motion);
  // Writes what is new. Off is written also if it is not, when it `isAsked` for: nobody knows better than the pin itself
  // what the pin shows.
  void show(uint32_t motion, bool isAsked = false);

  WsdmOutput& _output;
  char _letter;
  char _digit;
  uint16_t _low, _high, _maxSpeed;
  // What the user said to prefer ("$L0-1000-9000"), for the answer to D2. The device itself does not heed it.
  uint16_t _preferLow = 0, _preferHigh = 9999;
  // A straight line.
  uint16_t _from, _to;
  uint32_t _began = 0, _takes = 0;
  // What its output was told.
  static const uint16_t NOT_SHOWN = 0xFFFF;
  uint16_t _shown = NOT_SHOWN;
  // It was sent somewhere, or needs nobody to send it.
  bool _isPlaced = false;
  // While it is held: it was told a strength.
  bool _isWanted = false;
  // What the line says that is not yet over.
  Pace _pace = NOTHING;
  uint16_t _wanted = 0;
  uint32_t _amount = 0;
};

class WsdmTcode final : public WsdmProtocol {
 public:
  template <uint8_t Count>
  explicit WsdmTcode(WsdmAxis (&axes)[Count]) : _axes(axes), _count(Count) {}

  void begin(uint32_t now) override;
  bool receive(char byte, uint32_t now, WsdmReplies& replies) override;
  bool inCommand() const override { return _inLine; }
  void tick(uint32_t now) override;
  bool isOn() const override;
  void stop(uint32_t now) override;
  void hold(uint32_t now) override;
  bool isCommanded(uint32_t now) const override;
  void release() override { _isHeld = false; }
#if !defined(__AVR__)
  bool limit(char letter, char digit, uint16_t low, uint16_t high) override;
  bool isAtRest() const override;
#endif

 private:
  WsdmAxis* axis(char letter, char digit);
  void token(uint32_t now, WsdmReplies& replies);
  void move();
  void prefer();
  void go(uint32_t now);
  void note(WsdmAxis& axis, uint32_t now);
  void halt();
  void describe(const WsdmAxis& axis, WsdmReplies& replies);

  WsdmAxis* _axes;
  uint8_t _count;
  // A word of a line; the longest that is known has 21 bytes.
  char _text[24];
  uint8_t _length = 0;
  bool _tooLong = false;
  bool _inLine = false;
  // The line has bytes that no text has.
  bool _noise = false;
  enum Soft : uint8_t { ARMED, RUNNING, OVER } _soft = ARMED;
  uint32_t _softSince = 0;
  // When the axes were moved last, and how long they have been moving: time without that in which the sketch stood still.
  uint32_t _moved = 0;
  uint32_t _motion = 0;
  // Until when a position would move that was sent somewhere meanwhile.
  bool _isHeld = false;
  uint32_t _commandedUntil = 0;
};

#endif
