// Stand-in for the cores' I2C library, and for a haptic driver DRV2605L on that bus.
#pragma once

#include <stddef.h>
#include <stdint.h>

class TwoWire {
 public:
  void begin() {}
  void beginTransmission(uint8_t address);
  size_t write(uint8_t byte);
  // 0 if the chip has acknowledged all of it.
  uint8_t endTransmission(bool stop = true);
  uint8_t requestFrom(uint8_t address, uint8_t count);
  int available() { return _waits; }
  int read();

 private:
  uint8_t _address = 0;
  uint8_t _bytes[8];
  uint8_t _length = 0;
  bool _waits = false;
};
extern TwoWire Wire;

// The chip as it is when its power comes.
void hostHapticPower();
// Whether it is on the bus; and how many transmissions it does not acknowledge from now on.
void hostHapticPresent(bool isPresent);
void hostHapticDeaf(unsigned transmissions);
// The upper three bits of its status.
void hostHapticChip(uint8_t chip);
// The pin that is wired to its EN.
void hostHapticEnable(uint8_t pin);
uint8_t hostHapticRegister(uint8_t at);
// How many transmissions it was sent.
unsigned hostHapticCount();
// What its motor is driven with: -1 to 1.
double hostHaptic();
