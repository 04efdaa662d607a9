#include "WsdmSerial.h"

#include "WsdmHandshake.h"

void WsdmSerial::begin(const char* identifier, const char* address, uint16_t keepaliveMs) {
  _identifier = identifier;
  _address = address;
  _keepaliveMs = keepaliveMs;
  _heard = millis();
  _protocol.begin(_heard);
  hello();
}

void WsdmSerial::hello() {
  wsdmPrintHandshake(_stream, _identifier, _address, _keepaliveMs);
  _stream.print('\n');
}

void WsdmSerial::reply(const char* bytes, size_t length) { _stream.write(bytes, length); }

// A question before the first frame, a sign of life after it. A gateway that was started anew asks a board that was
// not, and such questions come further apart than signs of life. One hello too many is no harm.
void WsdmSerial::newline(uint32_t now) {
  const uint32_t late = _keepaliveMs + _keepaliveMs / 4;
  if (!_spokenTo || now - _heard > late) hello();
}

void WsdmSerial::loop() {
  uint32_t now = millis();
  // Not for ever: a gateway that floods must not keep the outputs from being moved on.
  for (uint8_t taken = 0; taken < 64 && _stream.available() > 0; taken++) {
    const int byte = _stream.read();
    if (byte < 0) break;
    if (byte == '\n' && !_protocol.inCommand()) {
      newline(now);
    } else {
      if (byte != '\r') _spokenTo = true;
      _protocol.receive(static_cast<char>(byte), now, *this);
    }
    _heard = now;
    _silent = false;
  }
  now = millis();
  if (!_silent && now - _heard >= 4UL * _keepaliveMs) lost();
  _protocol.tick(now);
}

void WsdmSerial::lost() {
  const uint32_t now = millis();
  const bool wasOn = _protocol.isOn(now);
  _protocol.stop(now);
  _silent = true;
  _spokenTo = false;
  if (wasOn) hello();
}
