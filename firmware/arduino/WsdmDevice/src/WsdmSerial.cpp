#include "WsdmSerial.h"

#include "WsdmHandshake.h"
#include "WsdmLimits.h"

void WsdmSerial::begin(const char* identifier, const char* address, uint16_t keepaliveMs) {
  _identifier = identifier;
  _address = address;
  _keepaliveMs = keepaliveMs < WSDM_KEEPALIVE_MIN_MS   ? WSDM_KEEPALIVE_MIN_MS
                 : keepaliveMs > WSDM_KEEPALIVE_MAX_MS ? WSDM_KEEPALIVE_MAX_MS
                                                       : keepaliveMs;
  const uint32_t now = millis();
  _heard = now;
  _protocol.begin(now);
  // For a person who looks. Text before the hello line is no frame. Later it would be one.
  while (wsdmTakeFault(_fault)) {
    char text[WSDM_FAULT_TEXT];
    wsdmFaultText(_fault, text);
    _stream.print(text);
    _stream.print('\n');
  }
  hello(now);
}

void WsdmSerial::hello(uint32_t now) {
  _spoke = now;
  const bool isFaulty = _fault.reason != WsdmFaultReason::NONE;
  char text[WSDM_FAULT_TEXT];
  if (isFaulty) wsdmFaultText(_fault, text);
  wsdmPrintHandshake(_stream, _identifier, _address, _keepaliveMs, _tellsReset, isFaulty ? text : nullptr);
  _stream.print('\n');
  if (_spokenTo) _fault.reason = WsdmFaultReason::NONE;
}

void WsdmSerial::reply(const char* bytes, size_t length) { _stream.write(bytes, length); }

// A question before the first command, a sign of life after it. A gateway that was started anew asks a board that was
// not; its questions come further apart than signs of life, and nothing else comes with them. One hello too many is
// no harm.
void WsdmSerial::newline(uint32_t now) {
  const uint32_t inTime = _keepaliveMs + _keepaliveMs / 4UL;
  if (!_spokenTo || now - _heard > inTime || now - _spoke >= WSDM_HELLO_AGAIN_MS) hello(now);
  _heard = now;
}

void WsdmSerial::loop() {
  // Off is off, until somebody switches it on: nothing is read. But what did not hear its stop is stopped again.
  if (_protocol.poweredOff()) return _protocol.tick(millis());
  const uint32_t now = millis();
  // Before anything is read: what lies there must not hide that the sketch stood still. And nothing is on where nobody
  // has control, whatever noise may have said.
  const bool isSilent = now - _heard >= WSDM_KEEPALIVES_UNTIL_STOP * static_cast<uint32_t>(_keepaliveMs);
  if (_spokenTo ? isSilent : _protocol.isOn()) lost();
  // For the gateway's log: a hello line is no frame.
  if (wsdmTakeFault(_fault)) hello(now);
  // Not for ever: a gateway that floods must not keep the outputs from being moved on.
  for (uint8_t taken = 0; taken < 64 && _stream.available() > 0; taken++) {
    const int byte = _stream.read();
    if (byte < 0) break;
    if (byte == '\n' && !_protocol.inCommand()) {
      newline(now);
    } else if (_protocol.receive(static_cast<char>(byte), now, *this)) {
      _spokenTo = true;
      _tellsReset = false;
      _fault.reason = WsdmFaultReason::NONE;
      _heard = _spoke = now;
    }
  }
  _protocol.tick(millis());
}

void WsdmSerial::lost() {
  const uint32_t now = millis();
  // An output that does not hear its stop is stopped in every loop: the wire must stay free meanwhile.
  const bool says = _spokenTo || (_protocol.isOn() && now - _spoke >= WSDM_HELLO_AGAIN_MS);
  _protocol.stop(now);
  _spokenTo = false;
  // Also where nothing was on: a gateway that was configured has not asked, and learns the keepalive from this.
  if (says) hello(now);
}
