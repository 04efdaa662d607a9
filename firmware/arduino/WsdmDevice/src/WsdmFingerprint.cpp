#include "WsdmFingerprint.h"

// -1 if it is none.
static int8_t digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool wsdmParseFingerprint(const char* text, uint8_t* bytes) {
  uint8_t digits = 0;
  while (*text == ' ') text++;
  for (; *text; text++) {
    if (*text == ':') continue;
    if (*text == ' ') break;
    const int8_t found = digit(*text);
    if (found < 0 || digits == WSDM_FINGERPRINT_DIGITS) return false;
    uint8_t& byte = bytes[digits++ / 2];
    byte = digits % 2 ? found << 4 : byte | found;
  }
  while (*text == ' ') text++;
  return *text == 0 && digits == WSDM_FINGERPRINT_DIGITS;
}

void wsdmWriteFingerprint(const uint8_t* bytes, char* text) {
  static const char DIGITS[] = "0123456789abcdef";
  for (uint8_t i = 0; i < WSDM_FINGERPRINT_BYTES; i++) {
    *text++ = DIGITS[bytes[i] >> 4];
    *text++ = DIGITS[bytes[i] & 15];
  }
  *text = 0;
}
