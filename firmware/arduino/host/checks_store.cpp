// Settings in flash, on this machine: the power may fail at any time, and what is there may be anything.

#include "checks_settings.h"

void store() {
  WsdmSettings before = filled(), after = filled(), found;
  expect("nothing is there", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::NOTHING));
  after.set(WsdmKey::Ssid, "Another Network");
  // The power fails after each byte in turn.
  long kept = 0, replaced = 0;
  for (size_t left = 0; left < 300; left++) {
    hostFlashLeft = SIZE_MAX;
    expect("saved", wsdmSave(before), 1);
    hostFlashLeft = left;
    const bool isSaved = wsdmSave(after);
    found = WsdmSettings();
    expect("there is always one", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::SAVED));
    expect("and it is whole", all(found), all(isSaved ? after : before));
    (isSaved ? replaced : kept)++;
  }
  expect("both were seen", kept > 50 && replaced > 50, 1);
  hostFlashLeft = SIZE_MAX;
#if defined(ARDUINO_ARCH_ESP8266)
  const char* const record = "/wsdm";
#else
  const char* const record = "settings";
#endif
  for (const auto& damaged : {std::string(), std::string("x"), std::string(5000, 'W')}) {
    hostFlashWrite(record, reinterpret_cast<const uint8_t*>(damaged.data()), damaged.size());
    found = filled();
    const WsdmLoaded wanted = damaged.empty() && record[0] != '/' ? WsdmLoaded::NOTHING : WsdmLoaded::DAMAGED;
    expect("a damaged record", static_cast<long>(wsdmLoad(found)), static_cast<long>(wanted));
    expect("changes nothing", all(found), all(filled()));
  }
  expect("and is replaced", wsdmSave(before), 1);
  expect("by a good one", static_cast<long>(wsdmLoad(found)), static_cast<long>(WsdmLoaded::SAVED));
}
