#include "WsdmFaults.h"

#include <Arduino.h>
#include <string.h>

// More of them at once say nothing new.
static const uint8_t KEPT = 4;

static WsdmFault faults[KEPT];
static uint8_t count = 0;

void wsdmFault(uint8_t pin, WsdmFaultReason reason) {
  if (count == KEPT) return;
  faults[count].pin = pin;
  faults[count].reason = reason;
  count++;
}

bool wsdmTakeFault(WsdmFault& fault) {
  if (count == 0) return false;
  fault = faults[0];
  count--;
  for (uint8_t i = 0; i < count; i++) faults[i] = faults[i + 1];
  return true;
}

// Before the reasons what goes round them; in flash, one behind the other.
static const char TEXTS[] PROGMEM =
    "pin \n"
    "I2C address 0x\n"
    " stays off: \n"
    "no reason\n"
    "it has no PWM\n"
    "no PWM channel is left\n"
    "another output has it\n"
    "the sketch uses it for something else\n"
    "timer 1 moves servos or a stepper\n"
    "timer 1 drives motors or a stepper\n"
    "a servo takes pin 9 or 10\n"
    "no timer is left for a stepper\n"
    "a stepper needs a limit switch\n"
    "the limit switch was not found\n"
    "the limit switch does not open\n"
    "homing took too long\n"
    "no haptic driver answers\n";
static const uint8_t PIN = 0, ON_I2C = 1, STAYS_OFF = 2, FIRST_REASON = 3;

// Copies one of them, and returns where it ends.
static char* append(char* end, uint8_t index) {
  const char* text = TEXTS;
  for (; index > 0; text++) {
    if (pgm_read_byte(text) == '\n') index--;
  }
  while (pgm_read_byte(text) != '\n') *end++ = pgm_read_byte(text++);
  *end = 0;
  return end;
}

void wsdmFaultText(const WsdmFault& fault, char (&text)[WSDM_FAULT_TEXT]) {
  const bool isOnI2c = fault.reason >= WsdmFaultReason::NO_HAPTIC_DRIVER;
  utoa(fault.pin, append(text, isOnI2c ? ON_I2C : PIN), isOnI2c ? 16 : 10);
  append(append(text + strlen(text), STAYS_OFF), FIRST_REASON + static_cast<uint8_t>(fault.reason));
}
