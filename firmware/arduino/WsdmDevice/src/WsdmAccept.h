// The proof that a server speaks websocket: SHA-1 and base64, which Arduino cores do not have in common.

#ifndef WSDM_ACCEPT_H
#define WSDM_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

static const size_t WSDM_KEY_BYTES = 16;
// 16 bytes in base64, and the terminating zero.
static const size_t WSDM_KEY_TEXT = 25;
// A SHA-1 in base64, and the terminating zero.
static const size_t WSDM_ACCEPT_TEXT = 29;

// `text` has room for 4 characters for each 3 bytes begun, and a zero.
void wsdmBase64(const uint8_t* bytes, size_t length, char* text);
// What a server answers to a Sec-WebSocket-Key of 24 characters (RFC 6455, section 4.2.2).
void wsdmAccept(const char* key, char* accept);

#endif
