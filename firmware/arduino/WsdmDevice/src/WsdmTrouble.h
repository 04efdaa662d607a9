// Why a board is not on its Wi-Fi network, in words that say what to do.

#ifndef WSDM_TROUBLE_H
#define WSDM_TROUBLE_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

enum class WsdmTrouble : uint8_t { NONE, PASSWORD, NOT_FOUND, SECURITY, REFUSED, NO_WPA3 };

// Looks at why the core's Wi-Fi gave up, and remembers what was said: the board tries again and again, and a console that
// repeats itself hides what is new.
class WsdmTroubles final {
 public:
  // Before the first connection is begun.
  void begin();
  // What is to be said now: each trouble once until connected().
  WsdmTrouble news();
  // Whether it was said or not.
  WsdmTrouble current() const;
  // An attempt begins, or ends for a reason of its own: what came before says nothing of it.
  void forget();
  void connected();

 private:
  bool isNew(WsdmTrouble trouble);

  uint8_t _said = 0;
};

const __FlashStringHelper* wsdmTroubleText(WsdmTrouble trouble);

#endif

#endif
