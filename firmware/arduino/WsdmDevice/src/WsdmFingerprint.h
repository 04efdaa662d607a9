// The certificate by which a board knows its gateway.

#ifndef WSDM_FINGERPRINT_H
#define WSDM_FINGERPRINT_H

#include <stdint.h>

// The SHA-256 of a certificate.
static const uint8_t WSDM_FINGERPRINT_BYTES = 32;
static const uint8_t WSDM_FINGERPRINT_DIGITS = 2 * WSDM_FINGERPRINT_BYTES;

// Reads 64 hexadecimal digits, in any case, and with colons between them as other programs write it. Whether it is one.
bool wsdmParseFingerprint(const char* text, uint8_t* bytes);
// In lower case, into `text`, which has room for WSDM_FINGERPRINT_DIGITS and a zero.
void wsdmWriteFingerprint(const uint8_t* bytes, char* text);

#endif
