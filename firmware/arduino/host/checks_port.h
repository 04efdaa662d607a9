// A serial port for the checks.
#pragma once

#include <Arduino.h>

#include <string>

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
