#include "WsdmOutputLimits.h"

#ifdef WSDM_HAS_SETTINGS

#include <string.h>

#include "WsdmOutput.h"

static const uint16_t PERCENT = WSDM_FULL / 100;

uint16_t WsdmOutputLimit::from() const { return letter == 'R' ? (100 - high) * (PERCENT / 2) : low * PERCENT; }
uint16_t WsdmOutputLimit::to() const { return letter == 'R' ? (100 + high) * (PERCENT / 2) : high * PERCENT; }

static bool isChannel(char letter, char digit) {
  const char last = letter == 'V' ? '3' : letter == 'L' || letter == 'R' || letter == 'A' ? '2' : 0;
  return digit >= '0' && digit <= last;
}

static const __FlashStringHelper* written() { return F("limits are written V0=60 L0=10-90, in percent, or none"); }

static const __FlashStringHelper* outOfRange() { return F("a limit is from 0 to 100, and a range goes up"); }

// Why the limit of this output has to be written in another way.
static const __FlashStringHelper* wrongForm(char letter, char digit) {
#define RANGE(output) F(output " has a range, such as " output "=10-90")
#define MAXIMUM(output) F(output " has one maximum, such as " output "=60")
  switch (letter) {
    case 'L':
      return digit == '0' ? RANGE("L0") : digit == '1' ? RANGE("L1") : RANGE("L2");
    case 'R':
      return digit == '0' ? MAXIMUM("R0") : digit == '1' ? MAXIMUM("R1") : MAXIMUM("R2");
    case 'A':
      return digit == '0' ? MAXIMUM("A0") : digit == '1' ? MAXIMUM("A1") : MAXIMUM("A2");
    default:
      return digit == '0'   ? MAXIMUM("V0")
             : digit == '1' ? MAXIMUM("V1")
             : digit == '2' ? MAXIMUM("V2")
                            : MAXIMUM("V3");
  }
#undef RANGE
#undef MAXIMUM
}

// Null, or why what stands there is no percentage.
static const __FlashStringHelper* percent(const char* text, const char* end, uint8_t& number) {
  number = 0;
  if (text == end) return written();
  for (; text != end; text++) {
    if (*text < '0' || *text > '9') return written();
    const uint16_t longer = number * 10 + (*text - '0');
    number = longer > 100 ? 101 : longer;
  }
  return number > 100 ? outOfRange() : nullptr;
}

static const char* find(const char* text, const char* end, char wanted) {
  return static_cast<const char*>(memchr(text, wanted, end - text));
}

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
    const char* end = text;
    while (*end && *end != ' ') end++;
    const char* const equals = find(text, end, '=');
    if (!equals) return written();
    WsdmOutputLimit limit = {static_cast<char>(toupper(static_cast<uint8_t>(text[0]))), text[1], 0, 0};
    if (equals != text + 2 || !isChannel(limit.letter, limit.digit)) return F("a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2");
    text = equals + 1;
    const char* const dash = find(text, end, '-');
    if ((limit.letter == 'L') != (dash != nullptr)) return wrongForm(limit.letter, limit.digit);
    const __FlashStringHelper* wrong = nullptr;
    if (dash) {
      wrong = percent(text, dash, limit.low);
      text = dash + 1;
    }
    if (!wrong) wrong = percent(text, end, limit.high);
    if (!wrong && dash && limit.low >= limit.high) wrong = outOfRange();
    if (wrong) return wrong;
    text = end;
    for (uint8_t i = 0; i < count; i++) {
      if (limits[i].letter == limit.letter && limits[i].digit == limit.digit) return F("an output has two limits");
    }
    if (count == WSDM_OUTPUT_LIMITS) return F("6 limits at most");
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
