// Who the device is, as JSON: the first message on a websocket, the hello line on a wire.

#ifndef WSDM_HANDSHAKE_H
#define WSDM_HANDSHAKE_H

#include <Arduino.h>

// An address that is null is left out; so is a keepalive of 0, and why the chip started if that is not known or not asked
// for. `fault` is what is wrong with an output.
void wsdmPrintHandshake(Print& out, const char* identifier, const char* address, uint16_t keepaliveMs, bool tellsReset,
                        const char* fault = nullptr);

#endif
