// How far each output may go, whatever an app asks for: "V0=60 L0=10-90", in percent, or "none". A strength has a
// maximum, of all that its output can do; what the output itself adds, such as the least at which a motor turns, is not
// counted. A stroke (L) has a range, and a twist (R) goes so far to either side of its middle, of what the sketch lets it
// do. The whole of what an app asks for is brought into that.

#ifndef WSDM_OUTPUT_LIMITS_H
#define WSDM_OUTPUT_LIMITS_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

struct WsdmOutputLimit {
  char letter, digit;
  uint8_t low, high;

  // In parts of WSDM_FULL.
  uint16_t from() const;
  uint16_t to() const;
};

static const uint8_t WSDM_OUTPUT_LIMITS = 6;

// Reads `limits`, which has room for WSDM_OUTPUT_LIMITS, and how many there are. Null, or why the text is none.
const __FlashStringHelper* wsdmParseLimits(const char* text, WsdmOutputLimit* limits, uint8_t& count);
// Writes them as they are read, each "L0=10-100" at most; `text` has room for WSDM_OUTPUT_LIMITS of these.
void wsdmWriteLimits(const WsdmOutputLimit* limits, uint8_t count, char* text);

#endif

#endif
