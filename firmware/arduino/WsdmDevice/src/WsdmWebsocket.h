// A device on a websocket, over any Arduino Client: Wi-Fi, Ethernet.
//
// While an output is on it pings the gateway every 250 ms, since a steady vibration is silence on the wire; when it has
// heard nothing at all for a second it stops everything. It connects again by itself.

#ifndef WSDM_WEBSOCKET_H
#define WSDM_WEBSOCKET_H

#include <Arduino.h>
#include <Client.h>

#include "WsdmAccept.h"
#include "WsdmLimits.h"
#include "WsdmProtocol.h"

enum class WsdmReport : uint8_t {
  // The gateway has the device, as far as it has said until now.
  CONNECTED,
  // The gateway closed the connection or refused it: `code` and `reason` say why. A code below 600 is an HTTP status.
  CLOSED,
  // The connection broke, or could not be made; `reason` says how.
  LOST,
  // Nothing was heard for the watchdog's time while an output was on: everything was stopped. `code` says for how many
  // milliseconds. What the gateway thinks of the device is no longer true, so the connection is lost next.
  WATCHDOG,
  // It was told to turn itself off, and does not connect again.
  POWERED_OFF,
  // The gateway does not take what it asked for, and an answer was dropped; said once until it does.
  ANSWER_DROPPED,
  // An output stays off: `code` is its pin, and `reason` says why.
  OUTPUT_OFF,
};

typedef void (*WsdmReportHandler)(WsdmReport report, uint16_t code, const char* reason);

// Why the Client did not connect, in words; null if nobody answered.
typedef const char* (*WsdmFailureHandler)();

// One line for people, as a handler's first help.
void wsdmPrintReport(Print& out, WsdmReport report, uint16_t code, const char* reason);

class WsdmWebsocket final : private WsdmReplies {
 public:
  WsdmWebsocket(Client& client, WsdmProtocol& protocol) : _client(client), _protocol(protocol) {}

  // Sets the outputs up; loop() connects. `identifier` says what the device is, as the gateway's UDCF names it; `address`
  // says which one it is; `token` is the gateway's, or null. All texts are kept by reference.
  void begin(const char* host, uint16_t port, const char* identifier, const char* address, const char* token = nullptr);
  // Where the gateway is, when that is known later or changes; null: not known, and it waits. A proxy before it may want
  // a path. Kept by reference.
  void server(const char* host, uint16_t port, const char* path = "/");
  // Who the device is, when that is known later. Kept by reference.
  void identity(const char* identifier, const char* address, const char* token);
  // It would connect now if it knew where.
  bool isDue() const {
    return _state == WAITING && _isNetworkUp && static_cast<int32_t>(millis() - _since) >= 0 && isStill();
  }
  // Whether there is a network. While there is none it does not try, and when one appears it tries at once. A sketch
  // that does not say so has one.
  void network(bool isUp);
  // Stops everything and ends the connection, and connects again as after any other end.
  void disconnect(const char* reason);
  // To be called as often as possible.
  void loop();
  void onReport(WsdmReportHandler handler) { _handler = handler; }
  // Asked by it when the Client did not connect.
  void onFailure(WsdmFailureHandler handler) { _failure = handler; }
  // What each write takes on the way besides its bytes, if the Client encrypts them.
  void overhead(uint8_t bytes) { _overhead = bytes; }
  // How long nothing may be heard while an output is on.
  void watchdog(uint16_t milliseconds) { _watchdogMs = milliseconds; }
  bool isConnected() const { return _state == OPEN; }

 private:
  enum State : uint8_t { WAITING, UPGRADING, REFUSED, OPEN, OFF };
  enum Part : uint8_t { OPCODE, LENGTH, LONG_LENGTH, PAYLOAD };

  void reply(const char* bytes, size_t length) override;
  bool isStill() const;
  void connect(uint32_t now);
  void request();
  void upgradeByte(char byte, uint32_t now);
  void upgradeLine(uint32_t now);
  void opened(uint32_t now);
  void frameByte(uint8_t byte, uint32_t now);
  void frameOver(uint32_t now);
  void closeFrame(uint32_t now);
  bool isUp() const { return _state != WAITING && _state != OFF; }
  void keepWatch(uint32_t now);
  void ping(uint32_t now);
  void pong();
  void answer(uint8_t opcode, const char* bytes, uint8_t length);
  void send(uint8_t opcode, const uint8_t* bytes, uint8_t length);
  void sendHandshake();
  void leave(const char* reason, bool saysGoodbye);
  void fail(uint16_t code, const char* reason, uint32_t now);
  void end(WsdmReport report, uint16_t code, const char* reason, uint32_t now);
  void report(WsdmReport report, uint16_t code, const char* reason) {
    if (_handler) _handler(report, code, reason);
  }

  Client& _client;
  WsdmProtocol& _protocol;
  WsdmReportHandler _handler = nullptr;
  WsdmFailureHandler _failure = nullptr;
  const char* _host = "";
  const char* _path = "/";
  uint16_t _port = 0;
  const char* _identifier = "";
  const char* _address = "";
  const char* _token = nullptr;

  bool _isNetworkUp = true;
  State _state = WAITING;
  // Since when it is in this state; while waiting, from when on it may connect.
  uint32_t _since = 0;
  uint32_t _heard = 0;
  uint32_t _pinged = 0;
  // When the last connection did.
  uint32_t _ended = 0;
  uint16_t _watchdogMs = WSDM_WATCHDOG_MS;
  uint16_t _pauseMs = 0;

  // No connection has lasted since the chip started.
  bool _tellsReset = true;
  // The connection did not take all of a write.
  bool _broken = false;
  struct Written {
    uint16_t bytes, writes;
  };
  // What may lie in the connection; and what of it does not any more once the ping of the number `_askedNumber` is answered, or
  // the last one. Of 0 writes no pong is awaited.
  Written _unproven = {0, 0}, _asked = {0, 0}, _last = {0, 0};
  uint8_t _overhead = 0;
  uint8_t _pingNumber = 0, _askedNumber = 0;
  // An answer was dropped since the last pong.
  bool _isFull = false;

  // The line of an answer, or the payload of a control frame: there is never more of either at once.
  char _buffer[126];
  uint8_t _length = 0;
  char _accept[WSDM_ACCEPT_TEXT];
  uint16_t _status = 0;
  uint16_t _answered = 0;
  bool _accepted = false;

  Part _part = OPCODE;
  uint8_t _opcode = 0;
  bool _final = true;
  bool _inMessage = false;
  uint8_t _lengthBytes = 0;
  uint32_t _left = 0;
};

#endif
