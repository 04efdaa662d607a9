// TCode v0.3, from the device's side: channels that go to a place or a strength, a newline that makes it so.
//
// A magnitude is the digits of a decimal fraction: "500" and "5" are 0.5, "05" is 0.05. "I" gives the milliseconds that
// a move takes, "S" its speed in hundredths of the range a second.

#ifndef WSDM_TCODE_H
#define WSDM_TCODE_H

#include "WsdmOutput.h"
#include "WsdmProtocol.h"

// After control was lost or taken for the first time, positions move at most at WSDM_SOFT_SPEED for this long: nobody
// knows where the app believes the device to stand.
static const uint16_t WSDM_SOFT_START_MS = 2000;
// In hundredths of the range a second, like TCode's own "S".
static const uint16_t WSDM_SOFT_SPEED = 50;

// One channel and what it moves. L and R are positions and begin in their middle; V and A are strengths and begin at 0.
class WsdmAxis {
 public:
  // `channel` is a letter and a digit: "L0". The whole of what an app may ask for is spread over `low` to `high`, parts of
  // WSDM_FULL: the ends of what your machine bears. `maxSpeed` is the most that it is ever moved at, in hundredths of
  // the range a second; 0 is no limit.
  WsdmAxis(const char* channel, WsdmOutput& output, uint16_t low = 0, uint16_t high = WSDM_FULL, uint16_t maxSpeed = 0);

 private:
  friend class WsdmTcode;
  enum Pace : uint8_t { NOTHING, AT_ONCE, WITHIN, SPEED };

  bool isPosition() const { return _letter == 'L' || _letter == 'R'; }
  uint16_t valueAt(uint32_t now) const;
  bool isMoving(uint32_t now) const { return _from != _to && now - _began < _takes; }
  void go(uint32_t now, bool softly);
  void hold(uint32_t now);
  void show(uint32_t now);

  WsdmOutput& _output;
  char _letter;
  char _digit;
  uint16_t _low, _high, _maxSpeed;
  // What the user said to prefer ("$L0-1000-9000"), for the answer to D2. The device itself does not heed it.
  uint16_t _preferLow = 0, _preferHigh = 9999;
  // A straight line.
  uint16_t _from, _to;
  uint32_t _began = 0, _takes = 0;
  uint16_t _shown = 0xFFFF;
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
  void receive(char byte, uint32_t now, WsdmReplies& replies) override;
  bool inCommand() const override { return _inLine; }
  void tick(uint32_t now) override;
  bool isOn(uint32_t now) const override;
  void stop(uint32_t now) override;

 private:
  WsdmAxis* axis(char letter, char digit);
  void token(uint32_t now, WsdmReplies& replies);
  void move();
  void prefer();
  void go(uint32_t now);
  void hold(uint32_t now);
  void describe(const WsdmAxis& axis, WsdmReplies& replies);

  WsdmAxis* _axes;
  uint8_t _count;
  // A word of a line; the longest that is known has 21 bytes.
  char _text[24];
  uint8_t _length = 0;
  bool _tooLong = false;
  bool _inLine = false;
  enum Soft : uint8_t { ARMED, RUNNING, OVER } _soft = ARMED;
  uint32_t _softSince = 0;
  uint32_t _ticked = 0;
};

#endif
