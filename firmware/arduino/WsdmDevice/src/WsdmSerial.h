// A device on a wire, or on whatever else looks like one: a USB port, Bluetooth's serial service.
//
// It says who it is in one line of JSON, so that nobody has to configure that. While an app has control, the gateway
// sends a command or a newline every `keepaliveMs` at least; four times as long without one, and the device stops. Noise
// is neither.

#ifndef WSDM_SERIAL_H
#define WSDM_SERIAL_H

#include <Arduino.h>

#include "WsdmFaults.h"
#include "WsdmProtocol.h"

// A gateway that was started anew asks every 400 ms. Less than that by more than a quarter, so that asking can be told
// from a sign of life at once.
static const uint16_t WSDM_KEEPALIVE_MS = 200;
// Nothing but newlines for this long, and the board says hello once more.
static const uint16_t WSDM_HELLO_AGAIN_MS = 2000;

class WsdmSerial final : private WsdmReplies {
 public:
  WsdmSerial(Stream& stream, WsdmProtocol& protocol) : _stream(stream), _protocol(protocol) {}

  // Sets the outputs up and says hello. `identifier` says what the device is, as the gateway's UDCF names it. `address`
  // says which one it is; without it the gateway takes the board's USB serial number, or the name of its port. Both
  // are kept by reference. The keepalive is 20 to 60,000 ms.
  void begin(const char* identifier, const char* address = nullptr, uint16_t keepaliveMs = WSDM_KEEPALIVE_MS);
  // To be called as often as possible: an Uno holds 64 bytes, which is 5 ms at 115,200 baud.
  void loop();
  // For links that know by themselves that the other end is gone.
  void lost();

 private:
  void reply(const char* bytes, size_t length) override;
  void hello(uint32_t now);
  void newline(uint32_t now);

  Stream& _stream;
  WsdmProtocol& _protocol;
  const char* _identifier = "";
  const char* _address = nullptr;
  uint16_t _keepaliveMs = WSDM_KEEPALIVE_MS;
  // When a sign of life came last, and when a command came or hello was said.
  uint32_t _heard = 0, _spoke = 0;
  // A gateway has control: it has sent a command.
  bool _spokenTo = false;
  // No gateway has had control since the chip started.
  bool _tellsReset = true;
  // The newest fault of an output, until it was said to a gateway that has control, or one took control.
  WsdmFault _fault = {0, WsdmFaultReason::NONE};
};

#endif
