// The registers of a DRV2605L, as its data sheet has them when its power comes.

#include <Arduino.h>
#include <Wire.h>

TwoWire Wire;

static const uint8_t ADDRESS = 0x5A;
static const uint8_t REGISTERS = 0x23;
static uint8_t registers[REGISTERS];
static bool isPresent = true;
static unsigned deaf = 0, count = 0;
static int enablePin = -1;
static uint8_t at = 0;

void hostHapticPower() {
  static const uint8_t DEFAULTS[REGISTERS] = {
      0xE0, 0x40, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
      0x19, 0xFF, 0x19, 0xFF, 0x3E, 0x8C, 0x0C, 0x6C, 0x36, 0x93, 0xF5, 0xA0, 0x20, 0x80, 0x33};
  const uint8_t status = registers[0];
  memcpy(registers, DEFAULTS, sizeof(registers));
  if (status != 0) registers[0] = status;
}

void hostHapticPresent(bool present) { isPresent = present; }
void hostHapticDeaf(unsigned transmissions) { deaf = transmissions; }
void hostHapticChip(uint8_t chip) { registers[0] = chip << 5; }
void hostHapticEnable(uint8_t pin) { enablePin = pin; }
uint8_t hostHapticRegister(uint8_t which) { return registers[which]; }
unsigned hostHapticCount() { return count; }

static bool isEnabled() { return enablePin < 0 || hostPin(enablePin).high == 1; }

double hostHaptic() {
  const bool isStandby = registers[1] & 0x40;
  if (!isPresent || !isEnabled() || isStandby || (registers[1] & 7) != 5) return 0;
  const bool isUnsigned = registers[0x1D] & 0x08;
  return isUnsigned ? registers[2] / 255.0 : static_cast<int8_t>(registers[2]) / 127.0;
}

void TwoWire::beginTransmission(uint8_t address) {
  _address = address;
  _length = 0;
}

size_t TwoWire::write(uint8_t byte) {
  if (_length == sizeof(_bytes)) return 0;
  _bytes[_length++] = byte;
  return 1;
}

uint8_t TwoWire::endTransmission(bool) {
  count++;
  if (deaf > 0) {
    deaf--;
    return 2;
  }
  if (_address != ADDRESS || !isPresent || !isEnabled()) return 2;
  if (_length > 0) at = _bytes[0];
  for (uint8_t i = 1; i < _length && at < REGISTERS; i++) {
    // The status can only be read.
    if (at != 0) registers[at] = _bytes[i];
    at++;
  }
  return 0;
}

uint8_t TwoWire::requestFrom(uint8_t address, uint8_t wanted) {
  count++;
  _waits = address == ADDRESS && isPresent && isEnabled() && wanted > 0 && at < REGISTERS;
  return _waits ? 1 : 0;
}

int TwoWire::read() {
  if (!_waits) return -1;
  _waits = false;
  return registers[at];
}
