// What the checks of the board's settings share.
#pragma once

#include <Arduino.h>
#include <WsdmWifi.h>

#include <string>
#include <vector>

#include "HostFlash.h"
#include "WsdmOutputLimits.h"
#include "WsdmStore.h"

extern int failures;

inline void expect(const std::string& what, const std::string& found, const std::string& wanted) {
  if (found == wanted) return;
  failures++;
  printf("%s\n  found  %s\n  wanted %s\n", what.c_str(), found.c_str(), wanted.c_str());
}

inline void expect(const std::string& what, long found, long wanted) {
  expect(what, std::to_string(found), std::to_string(wanted));
}

// A port whose far end the checks are. Where it is slow, a write takes the time that it takes at 115,200 baud, by a clock
// that was set.
class Port final : public Stream {
 public:
  int available() override { return in.size(); }
  int read() override {
    if (in.empty()) return -1;
    const uint8_t byte = in[0];
    in.erase(0, 1);
    return byte;
  }
  int peek() override { return in.empty() ? -1 : static_cast<uint8_t>(in[0]); }
  size_t write(uint8_t byte) override {
    out += static_cast<char>(byte);
    if (isSlow && (_microseconds += 87) >= 1000) {
      _microseconds -= 1000;
      hostClock(millis() + 1);
    }
    return 1;
  }
  using Print::write;
  std::string said() {
    std::string said;
    said.swap(out);
    return said;
  }
  std::string in, out;
  bool isSlow = false;

 private:
  uint32_t _microseconds = 0;
};

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
