// What bytes mean to a device. No link and no clock of its own: the same bytes at the same times do the same,
// whatever they came by and however they were cut.

#ifndef WSDM_PROTOCOL_H
#define WSDM_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

// Where answers go: each call is one frame, of at most WSDM_REPLY_MAX bytes.
class WsdmReplies {
 public:
  virtual void reply(const char* bytes, size_t length) = 0;

 protected:
  ~WsdmReplies() = default;
};

// What fits a small websocket frame, and more than any answer needs.
static const size_t WSDM_REPLY_MAX = 64;

class WsdmProtocol {
 public:
  // Called once, before anything else: everything off.
  virtual void begin(uint32_t now) = 0;
  // The next byte that the gateway sent. `now` is millis(). Returns whether a command ended with it, known or not, that
  // was text and nothing else: on a wire that is a sign of life, and noise is none.
  virtual bool receive(char byte, uint32_t now, WsdmReplies& replies) = 0;
  // Whether it holds the beginning of a command.
  virtual bool inCommand() const = 0;
  // Moves what is on its way. Called as often as possible.
  virtual void tick(uint32_t now) = 0;
  // Whether something runs or moves that must end when control ends.
  virtual bool isOn() const = 0;
  // A gateway has control from now on. A link calls this before anything is commanded, if it can know that.
  virtual void connected(uint32_t) {}
  // Control is lost: everything off, positions stay where they are, half a command is forgotten.
  virtual void stop(uint32_t now) = 0;
  // Stops everything, and moves nothing until release(), whatever is commanded; positions stay where they are.
  virtual void hold(uint32_t now) = 0;
  // While it is held: whether something would run or move now if it were not.
  virtual bool isCommanded(uint32_t now) const = 0;
  // Obeys again, from the next command on. What was commanded while it was held stays undone.
  virtual void release() = 0;
#if !defined(__AVR__)
  // Whether something holds it now, for a console.
  virtual bool isHeld() const { return false; }
  // A channel, such as V0, is to go from `low` to `high`, parts of WSDM_FULL: a position of what it goes otherwise, a
  // strength of everything. Whether there is such a channel. Called once for each, before anything moves.
  virtual bool limit(char, char, uint16_t, uint16_t) { return false; }
  // Whether all of it stands still, after a stop.
  virtual bool isAtRest() const { return true; }
#endif
  // It was told to turn itself off.
  virtual bool poweredOff() const { return false; }

 protected:
  ~WsdmProtocol() = default;
};

#endif
