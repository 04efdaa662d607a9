#include "WsdmOutputLimits.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

#include "WsdmOutput.h"

static const uint16_t PERCENT = WSDM_FULL / 100;

uint16_t WsdmOutputLimit::from() const { return letter == 'R' ? (100 - high) * (PERCENT / 2) : low * PERCENT; }
uint16_t WsdmOutputLimit::to() const { return letter == 'R' ? (100 + high) * (PERCENT / 2) : high * PERCENT; }

// Digits, of which there is one at least; more than 100 is 101. Moves `text` behind them.
static bool percent(const char*& text, uint8_t& number) {
  if (*text < '0' || *text > '9') return false;
  number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    const uint16_t longer = number * 10 + (*text - '0');
    number = longer > 100 ? 101 : longer;
  }
  return true;
}

static bool isChannel(char letter, char digit) {
  const char last = letter == 'V' ? '3' : letter == 'L' || letter == 'R' || letter == 'A' ? '2' : 0;
  return digit >= '0' && digit <= last;
}

static const __FlashStringHelper* written() { return F("limits are written V0=60 L0=10-90, in percent, or none"); }

static bool isNone(const char* text) {
  if (strncmp(text, "none", 4) != 0) return false;
  for (text += 4; *text == ' '; text++) {
  }
  return !*text;
}

const __FlashStringHelper* wsdmParseLimits(const char* text, WsdmOutputLimit* limits, uint8_t& count) {
  count = 0;
  for (;;) {
    while (*text == ' ') text++;
    if (!*text || (count == 0 && isNone(text))) return nullptr;
    if (count == WSDM_OUTPUT_LIMITS) return F("6 limits at most");
    WsdmOutputLimit limit = {static_cast<char>(toupper(static_cast<uint8_t>(text[0]))), text[1], 0, 0};
    const char* const equals = strchr(text, '=');
    const char* const space = strchr(text, ' ');
    if (!equals || (space && space < equals)) return written();
    if (equals != text + 2 || !isChannel(limit.letter, limit.digit)) return F("a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2");
    text += 3;
    if (!percent(text, limit.high)) return written();
    const bool isRange = *text == '-';
    if (isRange) {
      text++;
      limit.low = limit.high;
      if (!percent(text, limit.high)) return written();
    }
    if (*text && *text != ' ') return written();
    if (isRange && limit.letter != 'L') return F("a strength and a twist have one maximum, such as V0=60");
    if (!isRange && limit.letter == 'L') return F("a stroke has a range, such as L0=10-90");
    if (limit.high > 100 || (isRange && limit.low >= limit.high)) return F("a limit is from 0 to 100, and a range goes up");
    for (uint8_t i = 0; i < count; i++) {
      if (limits[i].letter == limit.letter && limits[i].digit == limit.digit) return F("an output has two limits");
    }
    limits[count++] = limit;
  }
}

void wsdmWriteLimits(const WsdmOutputLimit* limits, uint8_t count, char* text) {
  for (uint8_t i = 0; i < count; i++) {
    if (i > 0) *text++ = ' ';
    *text++ = limits[i].letter;
    *text++ = limits[i].digit;
    *text++ = '=';
    if (limits[i].letter == 'L') {
      utoa(limits[i].low, text, 10);
      text += strlen(text);
      *text++ = '-';
    }
    utoa(limits[i].high, text, 10);
    text += strlen(text);
  }
  *text = 0;
}

#endif
