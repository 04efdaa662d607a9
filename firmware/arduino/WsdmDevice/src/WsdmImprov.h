// Improv, version 1 over a serial port: how a web page gives a board its Wi-Fi (https://www.improv-wifi.com/serial/).
// This is the wire alone; what is done about a command is the board's.
//
//   "IMPROV"  1  type  length  data  sum of all before it
//      6      1   1      1             1
//
// People type on the same port. What is no packet is theirs; bytes that may begin one are held back until that is
// known. No text has a byte of 1.

#ifndef WSDM_IMPROV_H
#define WSDM_IMPROV_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

class WsdmImprov {
 public:
  enum Command : uint8_t { WIFI = 1, STATE = 2, INFO = 3, NETWORKS = 4, NETWORK_STATE = 7 };
  enum State : uint8_t { READY = 2, PROVISIONING = 3, PROVISIONED = 4 };
  enum Error : uint8_t { NONE = 0, INVALID = 1, UNKNOWN_COMMAND = 2, UNABLE_TO_CONNECT = 3, UNKNOWN = 0xFF };
  // What came of a byte: nothing yet; text() is for somebody else; a command has come; a packet that is none, which was
  // answered.
  enum Taken : uint8_t { HELD, TEXT, COMMAND, BROKEN };

  explicit WsdmImprov(Print& out) : _out(out) {}

  Taken take(uint8_t byte, uint32_t now);
  // A packet that does not go on is given up, and what was held back of it may be text.
  Taken tick(uint32_t now);
  const char* text() const { return _text; }
  uint8_t textLength() const { return _textLength; }

  uint8_t command() const { return _data[0]; }
  // The texts of a WIFI command, which end in a zero; whether it has them. `ssid` has room for 32 characters and it,
  // `password` for 63.
  bool wifi(char* ssid, char* password) const;
  // Somebody has spoken Improv since the start. Before, a terminal need not see any of it.
  bool isSpoken() const { return _isSpoken; }

  void state(State state);
  void error(Error error);
  // An answer with this many texts, together no longer than 240 bytes.
  void result(uint8_t command, const char* const* texts, uint8_t count);

 private:
  // Everything up to the data's length.
  static const uint8_t HEADER_BYTES = 9;
  // A command with the longest SSID and password.
  static const uint8_t DATA_MAX = 2 + 1 + 32 + 1 + 63;

  Taken packet();
  void write(uint8_t byte);
  void begin(uint8_t type, uint8_t length);
  void end();

  Print& _out;
  // How many bytes of a packet have come, and the sum of all before the last.
  uint16_t _count = 0;
  uint8_t _sum = 0;
  uint8_t _type = 0;
  uint8_t _length = 0;
  uint8_t _data[DATA_MAX] = {};
  uint32_t _since = 0;
  bool _isSpoken = false;
  // A newline behind a packet ends it, and no line that somebody typed.
  bool _afterPacket = false;
  char _text[HEADER_BYTES];
  uint8_t _textLength = 0;
  uint8_t _written = 0;
};

#endif

#endif
