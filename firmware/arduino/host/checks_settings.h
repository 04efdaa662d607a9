// What the checks of the board's settings share.
#pragma once

#include <Arduino.h>
#include <WsdmWifi.h>

#include <string>
#include <vector>

#include "HostFlash.h"
#include "WsdmOutputLimits.h"
#include "WsdmStore.h"
#include "checks_port.h"

// What is done at random is done so many times less, where a build says so: an emulated CPU takes long for it.
#ifndef CHECKS_DIVISOR
#define CHECKS_DIVISOR 1
#endif

extern int failures;

inline void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

inline void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

// A text that is in flash, which some chips do not read like other memory; none is empty.
inline std::string inFlash(const __FlashStringHelper* flash) {
  std::string text;
  const char* at = reinterpret_cast<const char*>(flash);
  for (char byte; at && (byte = static_cast<char>(pgm_read_byte(at))); at++) text += byte;
  return text;
}

static const char DIGITS[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

// Each setting that a test may ask for, as typed.
inline WsdmSettings filled() {
  WsdmSettings settings;
  settings.set(WsdmKey::Ssid, "My Network ");
  settings.set(WsdmKey::Password, "correct horse ");
  settings.set(WsdmKey::Gateway, "10.0.0.2:8080");
  settings.set(WsdmKey::Token, "geheim-1");
  settings.set(WsdmKey::Identifier, "Stroker");
  settings.set(WsdmKey::SilenceMs, "1500");
  settings.set(WsdmKey::Limits, "V0=60");
  settings.set(WsdmKey::OtaPassword, "new sketch");
#if defined(WSDM_HAS_TLS)
  settings.set(WsdmKey::Fingerprint, DIGITS);
#endif
  return settings;
}

inline std::string all(const WsdmSettings& settings) {
  std::string text;
  for (uint8_t i = 0; i < WSDM_KEYS; i++) text += std::string(settings.get(static_cast<WsdmKey>(i))) + "|";
  return text;
}

inline std::string frame(uint8_t type, const std::string& data) {
  std::string frame = std::string("IMPROV\x01") + static_cast<char>(type) + static_cast<char>(data.size()) + data;
  uint8_t sum = 0;
  for (char byte : frame) sum += byte;
  return frame + static_cast<char>(sum);
}

inline std::string rpc(uint8_t command, const std::string& data) {
  return frame(3, std::string{static_cast<char>(command), static_cast<char>(data.size())} + data);
}

inline std::string wifi(const std::string& ssid, const std::string& password) {
  return rpc(1, static_cast<char>(ssid.size()) + ssid + static_cast<char>(password.size()) + password);
}

// Each subject of the checks.
void settings();
void store();
void improv();
void search();
void connections();
void network();
void boards();
void updates();
