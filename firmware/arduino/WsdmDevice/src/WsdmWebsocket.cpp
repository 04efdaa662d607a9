#include "WsdmWebsocket.h"

#include <string.h>

#include "WsdmFaults.h"
#include "WsdmHandshake.h"
#include "WsdmLimits.h"
#include "WsdmRandom.h"

// An answer to the upgrade has no more bytes than this.
static const uint16_t UPGRADE_BYTES = 2048;
// What is written without proof that the other end takes it: a write that a connection has no room for waits, for seconds
// or for ever, and loop() with it. What an ESP32 or an Ethernet shield has is more. Pings may exceed it by as much again.
static const uint16_t UNPROVEN_BYTES = 1024;
// The same as a number of writes, of any size: answers, and pings besides. lwIP keeps each write apart, and has room for 16 on
// an ESP32 and for 8 on an ESP8266 (TCP_SND_QUEUELEN), one of which the handshake may take.
#if defined(ARDUINO_ARCH_ESP32)
static const uint16_t UNPROVEN_ANSWERS = 12, UNPROVEN_WRITES = 15;
#elif defined(ARDUINO_ARCH_ESP8266)
static const uint16_t UNPROVEN_ANSWERS = 5, UNPROVEN_WRITES = 7;
#else
static const uint16_t UNPROVEN_ANSWERS = UNPROVEN_BYTES, UNPROVEN_WRITES = 2 * UNPROVEN_BYTES;
#endif
// An output that has not heard its stop for so long does not hear it at all.
static const uint16_t REST_MS = 5000;
// A longer message is none that a device is sent.
static const uint32_t MESSAGE_BYTES = 65536;

enum Opcode : uint8_t { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

// Gathers what is printed: a Client makes a packet of every write.
class Gathered : public Print {
 public:
  Gathered(Client& client, bool& broken) : _client(client), _broken(broken) {}

  size_t write(uint8_t byte) override {
    _bytes[_length++] = byte;
    if (_length == sizeof(_bytes)) pass();
    return 1;
  }
  using Print::write;

  void pass() {
    if (_length > 0 && _client.write(_bytes, _length) != _length) _broken = true;
    _length = 0;
  }

 private:
  Client& _client;
  // Set where the connection did not take all of it.
  bool& _broken;
#if defined(__AVR__)
  uint8_t _bytes[96];
#else
  // All of a request that has no token of unusual length.
  uint8_t _bytes[512];
#endif
  uint16_t _length = 0;
};

// Says how long something is before it is sent.
class Counted : public Print {
 public:
  size_t write(uint8_t) override {
    count++;
    return 1;
  }
  using Print::write;
  uint16_t count = 0;
};

// Masks what is printed, as a client must.
class Masked : public Print {
 public:
  explicit Masked(Print& out) : _out(out) {
    const uint32_t mask = wsdmRandom();
    memcpy(_mask, &mask, 4);
    for (uint8_t i = 0; i < 4; i++) _out.write(_mask[i]);
  }

  size_t write(uint8_t byte) override { return _out.write(static_cast<uint8_t>(byte ^ _mask[_at++ & 3])); }
  using Print::write;

 private:
  Print& _out;
  uint8_t _mask[4];
  uint8_t _at = 0;
};

void WsdmWebsocket::begin(const char* host, uint16_t port, const char* identifier, const char* address,
                          const char* token) {
  server(host, port);
  identity(identifier, address, token);
  _state = WAITING;
  _pauseMs = 0;
  _since = _ended = millis();
  _protocol.begin(_since);
}

void WsdmWebsocket::identity(const char* identifier, const char* address, const char* token) {
  _identifier = identifier;
  _address = address;
  _token = token;
}

void WsdmWebsocket::server(const char* host, uint16_t port, const char* path) {
  _host = host;
  _path = path;
  _port = port;
}

void WsdmWebsocket::network(bool isUp) {
  if (isUp == _isNetworkUp) return;
  _isNetworkUp = isUp;
  // Nothing that is written would arrive, and to write may wait.
  if (!isUp) return leave("the network is gone", false);
  if (_state != WAITING) return;
  // Tries that had no network say nothing about the gateway.
  _pauseMs = 0;
  _since = millis();
}

void WsdmWebsocket::disconnect(const char* reason) { leave(reason, true); }

void WsdmWebsocket::leave(const char* reason, bool saysGoodbye) {
  _protocol.stop(millis());
  if (!isUp()) return;
  if (saysGoodbye && _state == OPEN && !_broken) {
    const uint8_t goodbye[] = {1001 >> 8, 1001 & 0xFF};
    send(CLOSE, goodbye, sizeof(goodbye));
  }
  end(WsdmReport::LOST, 0, reason, millis());
}

void WsdmWebsocket::loop() {
  WsdmFault fault;
  while (wsdmTakeFault(fault)) {
    char text[WSDM_FAULT_TEXT];
    wsdmFaultText(fault, text);
    report(WsdmReport::OUTPUT_OFF, fault.pin, text);
  }
  if (isDue()) {
    if (_host) {
      connect(millis());
    } else {
      // It stays due, however long that takes.
      _since = millis();
    }
  }
  // Before anything is read: what lies there must not hide that the sketch stood still for too long.
  uint32_t now = millis();
  if (isUp()) keepWatch(now);
  // Not for ever: a gateway that floods must not keep the outputs from being moved on, and the watch from being kept.
  for (uint8_t turn = 0; turn < 4 && isUp() && !_broken && _client.available() > 0; turn++) {
    uint8_t bytes[64];
    const int got = _client.read(bytes, sizeof(bytes));
    if (got <= 0) break;
    now = millis();
    _heard = now;
    for (int i = 0; i < got && isUp(); i++) {
      if (_state == OPEN) {
        frameByte(bytes[i], now);
      } else {
        upgradeByte(bytes[i], now);
      }
    }
  }
  _protocol.tick(millis());
}

void WsdmWebsocket::keepWatch(uint32_t now) {
  if (_protocol.poweredOff()) {
    const uint8_t goodbye[] = {1000 >> 8, 1000 & 0xFF};
    send(CLOSE, goodbye, sizeof(goodbye));
    return end(WsdmReport::POWERED_OFF, 0, "told to", now);
  }
  const bool gone = !_client.connected() && _client.available() <= 0;
  if (_state == REFUSED) {
    // The body says why, and ends with the connection.
    if (gone || _answered >= sizeof(_buffer) - 1 || now - _since >= WSDM_UPGRADE_MS) {
      _buffer[_length] = 0;
      end(WsdmReport::CLOSED, _status, _buffer, now);
    }
    return;
  }
  if (gone) return end(WsdmReport::LOST, 0, "the connection broke off", now);
  if (_broken) return end(WsdmReport::LOST, 0, "the connection takes nothing", now);
  if (_state == UPGRADING) {
    if (now - _since >= WSDM_UPGRADE_MS) end(WsdmReport::LOST, 0, "no answer to the upgrade", now);
    return;
  }
  const uint32_t silent = now - _heard;
  const bool on = _protocol.isOn();
  if (silent >= (on ? _watchdogMs : WSDM_GONE_MS)) {
    if (on) {
      _protocol.stop(now);
      report(WsdmReport::WATCHDOG, silent < 0xFFFF ? silent : 0xFFFF, "nothing was heard, everything is stopped");
    }
    return end(WsdmReport::LOST, 0, "nothing was heard", now);
  }
  // Before there is no room left for answers, it asks whether those that were written are taken.
  const bool full = _asked.writes == 0 && (_unproven.bytes >= UNPROVEN_BYTES / 2 || _unproven.writes >= (UNPROVEN_ANSWERS + 1) / 2);
  // As often as is of use to a watchdog that is more patient: each takes room.
  const uint16_t often = _watchdogMs / 4 > WSDM_PING_MS ? _watchdogMs / 4 : WSDM_PING_MS;
  if (full || now - _pinged >= (on ? often : WSDM_GONE_MS / 2)) ping(now);
}

// With a number that its pong brings back: what was written up to there is taken then.
void WsdmWebsocket::ping(uint32_t now) {
  if (_unproven.bytes >= 2 * UNPROVEN_BYTES || _unproven.writes >= UNPROVEN_WRITES) return end(WsdmReport::LOST, 0, "the connection takes nothing", now);
  _pinged = now;
  _pingNumber++;
  send(PING, &_pingNumber, 1);
  _last = _unproven;
  if (_asked.writes > 0) return;
  _asked = _last;
  _askedNumber = _pingNumber;
}

void WsdmWebsocket::pong() {
  // Of several pings it may answer the last alone (RFC 6455, section 5.5.3).
  const uint8_t behind = static_cast<uint8_t>(_buffer[0]) - _askedNumber;
  const uint8_t asked = _pingNumber - _askedNumber;
  if (_asked.writes == 0 || _length != 1 || behind > asked) return;
  const Written proven = behind == asked ? _last : _asked;
  _unproven.bytes -= proven.bytes;
  _unproven.writes -= proven.writes;
  _last = {static_cast<uint16_t>(_last.bytes - proven.bytes), static_cast<uint16_t>(_last.writes - proven.writes)};
  _asked = {0, 0};
  _isFull = false;
}

// To connect may take seconds, in which nothing is moved on, and a stop that an output did not hear is not written again.
// One that never hears it does not keep the device away for ever.
bool WsdmWebsocket::isStill() const {
#if !defined(__AVR__)
  if (!_protocol.isAtRest()) return false;
#endif
  return !_protocol.isOn() || millis() - _ended >= REST_MS;
}

void WsdmWebsocket::connect(uint32_t now) {
  _length = 0;
  _status = 0;
  _answered = 0;
  _accepted = false;
  _broken = false;
  _unproven = _asked = _last = {0, 0};
  _isFull = false;
  _part = OPCODE;
  _inMessage = false;
  if (!_client.connect(_host, _port)) {
    const char* const failure = _failure ? _failure() : nullptr;
    return end(WsdmReport::LOST, 0, failure ? failure : "nothing answers at this address", now);
  }
  _state = UPGRADING;
  _since = _heard = _pinged = millis();
  request();
}

void WsdmWebsocket::request() {
  uint8_t key[WSDM_KEY_BYTES];
  for (uint8_t i = 0; i < sizeof(key); i += 4) {
    const uint32_t random = wsdmRandom();
    memcpy(key + i, &random, 4);
  }
  char text[WSDM_KEY_TEXT];
  wsdmBase64(key, sizeof(key), text);
  wsdmAccept(text, _accept);
  Gathered out(_client, _broken);
  out.print(F("GET "));
  out.print(_path);
  if (_token) {
    out.print(strchr(_path, '?') ? '&' : '?');
    out.print(F("token="));
    for (const char* at = _token; *at; at++) {
      // As it is: the gateway compares it so. But for what would end the request line, or never arrive.
      const uint8_t byte = *at;
      if (byte <= ' ' || byte >= 127 || byte == '#') {
        out.print('%');
        if (byte < 16) out.print('0');
        out.print(byte, HEX);
      } else {
        out.write(byte);
      }
    }
  }
  out.print(F(" HTTP/1.1\r\nHost: "));
  out.print(_host);
  out.print(':');
  out.print(_port);
  out.print(F("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "));
  out.print(text);
  out.print(F("\r\n\r\n"));
  out.pass();
}

// The answer to the upgrade, by lines; of a refusal the first bytes of its body.
void WsdmWebsocket::upgradeByte(char byte, uint32_t now) {
  if (_state == REFUSED) {
    _answered++;
    if (_length < sizeof(_buffer) - 1 && byte >= ' ') _buffer[_length++] = byte;
    return;
  }
  if (++_answered > UPGRADE_BYTES) return fail(0, "the answer to the upgrade has no end", now);
  if (byte != '\n') {
    if (byte != '\r' && _length < sizeof(_buffer) - 1) _buffer[_length++] = byte;
    return;
  }
  _buffer[_length] = 0;
  upgradeLine(now);
  _length = 0;
}

void WsdmWebsocket::upgradeLine(uint32_t now) {
  if (_status == 0) {
    if (strncmp(_buffer, "HTTP/1.", 7) != 0 || _length < 12) {
      return fail(0, "no web server answers there", now);
    }
    _status = atoi(_buffer + 9);
  } else if (_length == 0) {
    if (_status != 101) {
      _state = REFUSED;
      _answered = 0;
    } else if (_accepted) {
      opened(now);
    } else {
      fail(0, "what answers is no websocket server", now);
    }
  } else if (strncasecmp(_buffer, "Sec-WebSocket-Accept:", 21) == 0) {
    const char* value = _buffer + 21;
    while (*value == ' ') value++;
    _accepted = strncmp(value, _accept, WSDM_ACCEPT_TEXT - 1) == 0 && strlen(value) == WSDM_ACCEPT_TEXT - 1;
  }
}

void WsdmWebsocket::opened(uint32_t now) {
  _state = OPEN;
  _since = _pinged = now;
  _protocol.connected(now);
  sendHandshake();
  report(WsdmReport::CONNECTED, 0, "");
}

void WsdmWebsocket::sendHandshake() {
  Counted counted;
  wsdmPrintHandshake(counted, _identifier, _address, 0, _tellsReset);
  Gathered out(_client, _broken);
  out.write(static_cast<uint8_t>(0x80 | TEXT));
  if (counted.count < 126) {
    out.write(static_cast<uint8_t>(0x80 | counted.count));
  } else {
    out.write(static_cast<uint8_t>(0x80 | 126));
    out.write(static_cast<uint8_t>(counted.count >> 8));
    out.write(static_cast<uint8_t>(counted.count & 0xFF));
  }
  Masked masked(out);
  wsdmPrintHandshake(masked, _identifier, _address, 0, _tellsReset);
  out.pass();
}

// Frames of up to 125 bytes, in one write.
void WsdmWebsocket::send(uint8_t opcode, const uint8_t* bytes, uint8_t length) {
  uint8_t frame[6 + 125];
  const uint32_t mask = wsdmRandom();
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | length;
  memcpy(frame + 2, &mask, 4);
  for (uint8_t i = 0; i < length; i++) frame[6 + i] = bytes[i] ^ frame[2 + (i & 3)];
  const size_t size = 6 + length;
  _unproven.bytes += size + _overhead;
  _unproven.writes++;
  if (_client.write(frame, size) != size) _broken = true;
}

// Sends an answer where there is room for one that nobody takes.
void WsdmWebsocket::answer(uint8_t opcode, const char* bytes, uint8_t length) {
  if (_state != OPEN || _broken) return;
  const bool hasRoom = _unproven.bytes + _overhead + 6 + length <= UNPROVEN_BYTES && _unproven.writes < UNPROVEN_ANSWERS;
  if (hasRoom) return send(opcode, reinterpret_cast<const uint8_t*>(bytes), length);
  if (!_isFull) report(WsdmReport::ANSWER_DROPPED, 0, "the gateway takes no more");
  _isFull = true;
}

void WsdmWebsocket::reply(const char* bytes, size_t length) { answer(BINARY, bytes, length); }

void WsdmWebsocket::frameByte(uint8_t byte, uint32_t now) {
  switch (_part) {
    case OPCODE: {
      _opcode = byte & 0x0F;
      _final = byte & 0x80;
      const bool control = _opcode >= CLOSE;
      const bool known = _opcode <= BINARY || (control && _opcode <= PONG);
      if ((byte & 0x70) || !known || (control && !_final) || (!control && (_opcode == CONTINUATION) != _inMessage)) {
        return fail(1002, "a frame that is none", now);
      }
      _length = 0;
      _part = LENGTH;
      break;
    }
    case LENGTH:
      if ((byte & 0x80) || (_opcode >= CLOSE && byte > 125)) return fail(1002, "a frame that is none", now);
      _left = byte;
      _part = PAYLOAD;
      if (byte >= 126) {
        _left = 0;
        _lengthBytes = byte == 126 ? 2 : 8;
        _part = LONG_LENGTH;
      } else if (_left == 0) {
        frameOver(now);
      }
      break;
    case LONG_LENGTH:
      if (_left > (MESSAGE_BYTES >> 8)) return fail(1009, "a message without end", now);
      _left = _left << 8 | byte;
      if (--_lengthBytes > 0) break;
      _part = PAYLOAD;
      if (_left > MESSAGE_BYTES) return fail(1009, "a message without end", now);
      if (_left == 0) frameOver(now);
      break;
    case PAYLOAD:
      if (_opcode >= CLOSE) {
        _buffer[_length++] = byte;
      } else {
        _protocol.receive(byte, now, *this);
      }
      if (--_left == 0) frameOver(now);
      break;
  }
}

void WsdmWebsocket::frameOver(uint32_t now) {
  _part = OPCODE;
  if (_opcode == CLOSE) return closeFrame(now);
  if (_opcode == PING) answer(PONG, _buffer, _length);
  if (_opcode == PONG) pong();
  if (_opcode < CLOSE) _inMessage = !_final;
}

void WsdmWebsocket::closeFrame(uint32_t now) {
  // Before anything is written, which may wait.
  _protocol.stop(now);
  const uint16_t code = _length >= 2 ? static_cast<uint8_t>(_buffer[0]) << 8 | static_cast<uint8_t>(_buffer[1]) : 1005;
  send(CLOSE, reinterpret_cast<const uint8_t*>(_buffer), _length < 2 ? 0 : 2);
  _buffer[_length] = 0;
  end(WsdmReport::CLOSED, code, _length > 2 ? _buffer + 2 : "", now);
}

// What the other end sends is not what it should.
void WsdmWebsocket::fail(uint16_t code, const char* reason, uint32_t now) {
  _protocol.stop(now);
  if (_state == OPEN) {
    const uint8_t goodbye[] = {static_cast<uint8_t>(code >> 8), static_cast<uint8_t>(code & 0xFF)};
    send(CLOSE, goodbye, sizeof(goodbye));
  }
  end(WsdmReport::LOST, code, reason, now);
}

// Every way out: outputs first, then the connection, then the pause before the next.
void WsdmWebsocket::end(WsdmReport what, uint16_t code, const char* reason, uint32_t now) {
  _protocol.stop(now);
  if (_state == OPEN && now - _since >= WSDM_LASTED_MS) {
    _pauseMs = 0;
    _tellsReset = false;
  }
  _client.stop();
  _ended = millis();
  _state = what == WsdmReport::POWERED_OFF ? OFF : WAITING;
  _pauseMs = _pauseMs == 0 ? WSDM_RETRY_MS : _pauseMs < WSDM_RETRY_CAP_MS / 2 ? _pauseMs * 2 : WSDM_RETRY_CAP_MS;
  uint16_t pause = _pauseMs / 2 + wsdmRandom() % (_pauseMs / 2 + 1);
  // A code below 600 is an HTTP status.
  const bool refused = what == WsdmReport::CLOSED && (code < 600 || wsdmIsRefusal(code));
  if (refused && pause < WSDM_REFUSED_MS) pause = WSDM_REFUSED_MS;
  _since = millis() + pause;
  report(what, code, reason);
}

void wsdmPrintReport(Print& out, WsdmReport report, uint16_t code, const char* reason) {
  switch (report) {
    case WsdmReport::CONNECTED:
      out.println(F("connected"));
      return;
    case WsdmReport::CLOSED:
      out.print(F("closed by the gateway: "));
      out.print(code);
      out.print(' ');
      break;
    case WsdmReport::LOST:
      out.print(F("not connected: "));
      break;
    case WsdmReport::WATCHDOG:
      out.print(F("watchdog: "));
      out.print(code);
      out.print(F(" ms: "));
      break;
    case WsdmReport::ANSWER_DROPPED:
      out.print(F("an answer was dropped: "));
      break;
    case WsdmReport::POWERED_OFF:
      out.print(F("off: "));
      break;
    case WsdmReport::OUTPUT_OFF:
      break;
  }
  // It comes from outside: what would move a terminal's cursor is left out.
  for (; *reason; reason++) {
    const uint8_t byte = *reason;
    if (byte >= ' ' && byte != 127) out.write(byte);
  }
  out.println();
}
