#include "WsdmImprov.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

static const char PREFIX[] = "IMPROV\x01";
static const uint8_t PREFIX_BYTES = sizeof(PREFIX) - 1;
static const uint8_t TYPE_AT = 7, LENGTH_AT = 8;
// At 115,200 baud the longest packet takes 25 ms.
static const uint16_t PACKET_MS = 1000;

enum Type : uint8_t { CURRENT_STATE = 1, ERROR_STATE = 2, RPC = 3, RPC_RESULT = 4 };

WsdmImprov::Taken WsdmImprov::take(uint8_t byte, uint32_t now) {
  const bool afterPacket = _afterPacket;
  _afterPacket = false;
  if (_count < PREFIX_BYTES) {
    if (_count == 0 && afterPacket && byte == '\n') return HELD;
    if (byte == static_cast<uint8_t>(PREFIX[_count])) {
      if (_count == 0) {
        _since = now;
        _sum = 0;
      }
      _count++;
      _sum += byte;
      return HELD;
    }
    // None of the prefix's bytes but the first begins it.
    memcpy(_text, PREFIX, _count);
    _textLength = _count;
    _count = 0;
    if (byte == static_cast<uint8_t>(PREFIX[0])) {
      _since = now;
      _count = 1;
      _sum = byte;
    } else {
      _text[_textLength++] = byte;
    }
    return TEXT;
  }
  const uint16_t at = _count++;
  if (at == TYPE_AT) {
    _type = byte;
  } else if (at == LENGTH_AT) {
    _length = byte;
  } else if (at < HEADER_BYTES + _length) {
    const uint16_t index = at - HEADER_BYTES;
    if (index < sizeof(_data)) _data[index] = byte;
  } else {
    _count = 0;
    _afterPacket = true;
    if (byte != _sum) {
      error(INVALID);
      return BROKEN;
    }
    return packet();
  }
  _sum += byte;
  return HELD;
}

WsdmImprov::Taken WsdmImprov::packet() {
  // What a device says comes back where a terminal echoes.
  if (_type != RPC) return HELD;
  _isSpoken = true;
  bool isGood = _length >= 2 && _length <= sizeof(_data) && _data[1] == _length - 2;
  // Those without arguments have none.
  const bool isBare = _data[0] == STATE || _data[0] == INFO || _data[0] == NETWORKS || _data[0] == NETWORK_STATE;
  isGood &= !isBare || _length == 2;
  if (!isGood) {
    error(INVALID);
    return BROKEN;
  }
  return COMMAND;
}

WsdmImprov::Taken WsdmImprov::tick(uint32_t now) {
  if (_count == 0 || now - _since < PACKET_MS) return HELD;
  const bool isText = _count < PREFIX_BYTES;
  _textLength = isText ? _count : 0;
  memcpy(_text, PREFIX, _textLength);
  _count = 0;
  return isText ? TEXT : HELD;
}

bool WsdmImprov::wifi(char* ssid, char* password) const {
  const uint8_t* const end = _data + _length;
  const uint8_t* at = _data + 2;
  const struct {
    char* text;
    uint8_t max;
  } texts[] = {{ssid, 32}, {password, 63}};
  for (const auto& one : texts) {
    if (at == end) return false;
    const uint8_t length = *at++;
    if (length > one.max || length > end - at) return false;
    memcpy(one.text, at, length);
    one.text[length] = 0;
    // A zero within it would end it there.
    if (strlen(one.text) != length) return false;
    at += length;
  }
  return at == end && *ssid;
}

void WsdmImprov::write(uint8_t byte) {
  _written += byte;
  _out.write(byte);
}

// On a line of its own: clients look for packets at the beginning of one.
void WsdmImprov::begin(uint8_t type, uint8_t length) {
  _out.write('\n');
  _written = 0;
  for (uint8_t i = 0; i < PREFIX_BYTES; i++) write(PREFIX[i]);
  write(type);
  write(length);
}

void WsdmImprov::end() {
  _out.write(_written);
  _out.write('\n');
}

void WsdmImprov::state(State state) {
  begin(CURRENT_STATE, 1);
  write(state);
  end();
}

void WsdmImprov::error(Error error) {
  begin(ERROR_STATE, 1);
  write(error);
  end();
}

void WsdmImprov::result(uint8_t command, const char* const* texts, uint8_t count) {
  uint8_t length = 0;
  for (uint8_t i = 0; i < count; i++) length += 1 + strlen(texts[i]);
  begin(RPC_RESULT, 2 + length);
  write(command);
  write(length);
  for (uint8_t i = 0; i < count; i++) {
    write(strlen(texts[i]));
    for (const char* at = texts[i]; *at; at++) write(*at);
  }
  end();
}

#endif
