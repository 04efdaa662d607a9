#include "WsdmStore.h"

#ifdef WSDM_HAS_SETTINGS

#if defined(ARDUINO_ARCH_ESP32)

#include <Preferences.h>

static const char SPACE[] = "wsdm";
static const char RECORD[] = "settings";

static size_t read(uint8_t* bytes) {
  Preferences preferences;
  if (!preferences.begin(SPACE, true)) return 0;
  const size_t length = preferences.getBytesLength(RECORD);
  const size_t got = length > 0 && length <= WsdmSettings::RECORD_MAX ? preferences.getBytes(RECORD, bytes, length) : 0;
  preferences.end();
  // What is too long is there, and is not ours.
  return length > 0 && got == 0 ? 1 : got;
}

// NVS replaces a value as a whole.
static bool write(const uint8_t* bytes, size_t length) {
  Preferences preferences;
  if (!preferences.begin(SPACE, false)) return false;
  const bool written = preferences.putBytes(RECORD, bytes, length) == length;
  preferences.end();
  return written;
}

#else

#include <LittleFS.h>

static const char RECORD[] = "/wsdm";
static const char UNFINISHED[] = "/wsdm.new";

static size_t read(uint8_t* bytes) {
  if (!LittleFS.begin()) return 0;
  File file = LittleFS.open(RECORD, "r");
  if (!file) return 0;
  const size_t length = file.size();
  const size_t got = length <= WsdmSettings::RECORD_MAX ? file.read(bytes, length) : 0;
  file.close();
  // What is empty or too long is there, and is not ours.
  return got == 0 ? 1 : got;
}

static bool write(const uint8_t* bytes, size_t length) {
  if (!LittleFS.begin()) return false;
  File file = LittleFS.open(UNFINISHED, "w");
  if (!file) return false;
  const bool written = file.write(bytes, length) == length;
  file.close();
  // The new one takes the place of the old one at once, or not at all.
  return written && LittleFS.rename(UNFINISHED, RECORD);
}

#endif

WsdmLoaded wsdmLoad(WsdmSettings& settings) {
  uint8_t bytes[WsdmSettings::RECORD_MAX];
  bytes[0] = 0;
  const size_t length = read(bytes);
  if (length == 0) return WsdmLoaded::NOTHING;
  return settings.decode(bytes, length) ? WsdmLoaded::SAVED : WsdmLoaded::DAMAGED;
}

bool wsdmSave(const WsdmSettings& settings) {
  uint8_t bytes[WsdmSettings::RECORD_MAX];
  return write(bytes, settings.encode(bytes));
}

#endif
