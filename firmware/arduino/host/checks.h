// What all checks share: devices whose outputs are seen, and a way to say what is wrong.
#pragma once

#include <Arduino.h>
#include <WsdmDevice.h>

#include <string>

// What is done at random is done so many times less, where a build says so: an emulated CPU takes long for it.
#ifndef CHECKS_DIVISOR
#define CHECKS_DIVISOR 1
#endif

// Prints what differs, and counts it.
void expect(const std::string& what, const std::string& found, const std::string& wanted);
void expect(const std::string& what, long found, long wanted);

class Level final : public WsdmOutput {
 public:
  void set(uint16_t value) override {
    if (value > WSDM_FULL) expect("an output in its range", value, WSDM_FULL);
    level = value;
  }
  // Something else has moved it, so that it is not where its protocol believes it to be.
  void disturb() { level = 7777; }
  uint16_t level = 0xFFFF;
};

class Heard final : public WsdmReplies {
 public:
  void reply(const char* bytes, size_t length) override {
    if (length > WSDM_REPLY_MAX) expect("the length of a reply", length, WSDM_REPLY_MAX);
    text.append(bytes, length);
  }
  std::string text;
};

inline std::string say(WsdmProtocol& device, const std::string& bytes, uint32_t now = 0) {
  Heard heard;
  for (char byte : bytes) device.receive(byte, now, heard);
  return heard.text;
}

struct Edge {
  Level one, two;
  WsdmOutput* const motors[2] = {&one, &two};
  WsdmLovense device{motors, 'P', "AABBCCDDEEFF"};
  Edge() { device.begin(0); }
  void disturb() {
    one.disturb();
    two.disturb();
  }
  std::string levels() { return std::to_string(one.level) + " " + std::to_string(two.level); }
};

// A stroke, a twist and a vibrator, past their soft start.
struct Machine {
  Level stroke, twist, vibe;
  WsdmAxis axes[3];
  WsdmTcode device{axes};
  explicit Machine(uint16_t low = 0, uint16_t high = WSDM_FULL, uint16_t maxSpeed = 0, bool soft = false)
      : axes{{"L0", stroke, low, high, maxSpeed}, {"R0", twist, 0, WSDM_FULL, 0}, {"V0", vibe}} {
    device.begin(0);
    if (!soft) {
      say(device, "L05\n", 0);
      say(device, "L05\n", 2000);
    }
  }
  // Runs until then, as a sketch does; where the time is far away it only jumps there.
  uint16_t at(uint32_t now, Level& level) {
    if (now - _ran > 20000) _ran = now - 20000;
    while (_ran != now) device.tick(++_ran);
    device.tick(now);
    return level.level;
  }

 private:
  uint32_t _ran = 0;
};

// By subject.
void checkButton();
void checkLovense();
void checkTcode();
void checkNoise();
void checkSerial();
void checkWebsocket();
