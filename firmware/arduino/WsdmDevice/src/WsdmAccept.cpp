#include "WsdmAccept.h"

#include <Arduino.h>
#include <string.h>

void wsdmBase64(const uint8_t* bytes, size_t length, char* text) {
  static const char DIGITS[] PROGMEM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < length; i += 3) {
    uint32_t three = static_cast<uint32_t>(bytes[i]) << 16;
    if (i + 1 < length) three |= static_cast<uint32_t>(bytes[i + 1]) << 8;
    if (i + 2 < length) three |= bytes[i + 2];
    *text++ = pgm_read_byte(DIGITS + (three >> 18));
    *text++ = pgm_read_byte(DIGITS + (three >> 12 & 63));
    *text++ = i + 1 < length ? pgm_read_byte(DIGITS + (three >> 6 & 63)) : '=';
    *text++ = i + 2 < length ? pgm_read_byte(DIGITS + (three & 63)) : '=';
  }
  *text = 0;
}

static uint32_t rotated(uint32_t word, uint8_t bits) { return word << bits | word >> (32 - bits); }

// One block. The 80 words of the schedule are made in place of the 16, for the sake of small chips.
static void sha1Block(uint32_t* state, const uint8_t* block) {
  uint32_t words[16];
  for (uint8_t i = 0; i < 16; i++) {
    words[i] = static_cast<uint32_t>(block[4 * i]) << 24 | static_cast<uint32_t>(block[4 * i + 1]) << 16 |
               static_cast<uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (uint8_t i = 0; i < 80; i++) {
    uint32_t& word = words[i & 15];
    if (i >= 16) word = rotated(words[(i + 13) & 15] ^ words[(i + 8) & 15] ^ words[(i + 2) & 15] ^ word, 1);
    uint32_t mixed;
    if (i < 20) {
      mixed = ((b & c) | (~b & d)) + 0x5A827999;
    } else if (i < 40) {
      mixed = (b ^ c ^ d) + 0x6ED9EBA1;
    } else if (i < 60) {
      mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    } else {
      mixed = (b ^ c ^ d) + 0xCA62C1D6;
    }
    const uint32_t next = rotated(a, 5) + mixed + e + word;
    e = d;
    d = c;
    c = rotated(b, 30);
    b = a;
    a = next;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
}

void wsdmAccept(const char* key, char* accept) {
  // Key and suffix have 60 bytes, so the padding takes a second block that holds nothing but their length.
  uint8_t block[64] = {};
  memcpy(block, key, 24);
  memcpy(block + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
  block[60] = 0x80;
  uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  sha1Block(state, block);
  memset(block, 0, sizeof(block));
  block[62] = 60 * 8 >> 8;
  block[63] = 60 * 8 & 0xFF;
  sha1Block(state, block);
  uint8_t digest[20];
  for (uint8_t i = 0; i < 20; i++) digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
  wsdmBase64(digest, sizeof(digest), accept);
}
