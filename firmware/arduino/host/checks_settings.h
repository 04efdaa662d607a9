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

extern int failures;

inline void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

inline void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
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
void improv();
void search();
void network();
void boards();
void updates();
