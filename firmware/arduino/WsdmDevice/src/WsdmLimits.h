// Numbers that both ends agree on, and how patient a device is. The gateway's tests compare them with its own and with
// those of the firmware in Rust.

#ifndef WSDM_LIMITS_H
#define WSDM_LIMITS_H

#include <stdint.h>

// On a wire: what a board may ask for as its keepalive, and how many of them missing stop it.
static const uint16_t WSDM_KEEPALIVE_MIN_MS = 20;
static const uint16_t WSDM_KEEPALIVE_MAX_MS = 60000;
static const uint8_t WSDM_KEEPALIVES_UNTIL_STOP = 4;

// On a network: between two pings while an output is on, and how long nothing may be heard then.
static const uint16_t WSDM_PING_MS = 250;
static const uint16_t WSDM_WATCHDOG_MS = 1000;
// While everything is off there is no hurry, only to find out that the other end is gone: a connection that was silent for
// this long is given up, and pinged at half of it.
static const uint16_t WSDM_GONE_MS = 10000;
// From the TCP connection to the end of the upgrade.
static const uint16_t WSDM_UPGRADE_MS = 5000;
// The pauses between two tries: doubled from the first to the longest, and each shortened at random by up to a half, so
// that devices that lost the same gateway do not all return at once.
static const uint16_t WSDM_RETRY_MS = 250;
static const uint16_t WSDM_RETRY_CAP_MS = 10000;
// What was refused is refused again until somebody changes something.
static const uint16_t WSDM_REFUSED_MS = 5000;
// A connection that lasted this long was a good one.
static const uint16_t WSDM_LASTED_MS = 5000;

// Whether a close code says that something about the device is wrong. The others say that the gateway or the connection
// had to go: connecting again may well work.
inline bool wsdmIsRefusal(uint16_t code) {
  switch (code) {
    case 1003:  // the first message was binary
    case 1007:  // the handshake is invalid
    case 1009:  // a message is too large
    case 4000:  // the protocol's version is not spoken
    case 4001:  // the identifier is unknown
    case 4002:  // the address is not allowed
    case 4004:  // the address is in use elsewhere
    case 4005:  // the initialisation failed
    case 4007:  // upstream refused
      return true;
    default:
      return false;
  }
}

#endif
