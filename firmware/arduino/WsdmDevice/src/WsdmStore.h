// Where settings are kept over a restart: a record that is replaced as a whole, so that a save that is cut short
// leaves the one before it. Preferences on an ESP32, a file in LittleFS on an ESP8266.

#ifndef WSDM_STORE_H
#define WSDM_STORE_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

enum class WsdmLoaded : uint8_t { SAVED, NOTHING, DAMAGED };

// Takes what was saved, or leaves `settings` as they are.
WsdmLoaded wsdmLoad(WsdmSettings& settings);
// Whether they are saved. Flash keeps the chip from everything else meanwhile: with outputs off only.
bool wsdmSave(const WsdmSettings& settings);

#endif

#endif
