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

void wsdmFaultText(const WsdmFault& fault, char (&text)[WSDM_FAULT_TEXT]) {
  // In flash, one behind the other.
  static const char REASONS[] PROGMEM =
      "no reason\n"
      "it has no PWM\n"
      "no PWM channel is left\n"
      "another output has it\n"
      "the sketch uses it for something else\n"
      "timer 1 moves the servos\n"
      "timer 1 drives the motors\n"
      "a servo takes pin 9 or 10\n";
  strcpy(text, "pin ");
  utoa(fault.pin, text + 4, 10);
  strcat(text, " stays off: ");
  const char* reason = REASONS;
  for (uint8_t before = static_cast<uint8_t>(fault.reason); before > 0; reason++) {
    if (pgm_read_byte(reason) == '\n') before--;
  }
  char* end = text + strlen(text);
  while (pgm_read_byte(reason) != '\n') *end++ = pgm_read_byte(reason++);
  *end = 0;
}
