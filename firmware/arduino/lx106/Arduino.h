// Stand-in for the Arduino core of an ESP8266 (version 3), on its CPU in QEMU's simulator: the least that the library
// and its examples ask for. Outputs are printed with the board's clock instead of moving anything.
#pragma once

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "Stream.h"
#include "pins.h"

// Constants in flash, which the chip reads by words only: there is nothing at their address, see lx106.ld.
#define PROGMEM __attribute__((section(".irom0.constants")))
#define PGM_P const char*
#define LX106_TEXT_2(number) #number
#define LX106_TEXT(number) LX106_TEXT_2(number)
// Each in a section of its own, so that what nobody reads is left out.
#define LX106_ALONE section(".irom0.text." LX106_TEXT(__COUNTER__))
#define PSTR(text)                                                                  \
  (__extension__({                                                                  \
    static const char inFlash[] __attribute__((aligned(4), LX106_ALONE)) = (text);  \
    &inFlash[0];                                                                    \
  }))
#undef F
#define F(text) (reinterpret_cast<const __FlashStringHelper*>(PSTR(text)))
extern "C" const char __constants[], __constants_moved[];
inline uint8_t pgm_read_byte(const void* address) {
  uintptr_t at = reinterpret_cast<uintptr_t>(address);
  // What is in RAM can be read so too.
  if (at >= reinterpret_cast<uintptr_t>(__constants)) at += reinterpret_cast<uintptr_t>(__constants_moved);
  return *reinterpret_cast<const uint32_t*>(at & ~3UL) >> 8 * (at & 3);
}
inline uint16_t pgm_read_word(const void* address) {
  const uint8_t* at = static_cast<const uint8_t*>(address);
  return pgm_read_byte(at) | pgm_read_byte(at + 1) << 8;
}

inline void noInterrupts() {
  uint32_t before;
  asm volatile("rsil %0, 15" : "=a"(before)::"memory");
}
inline void interrupts() {
  uint32_t before;
  asm volatile("rsil %0, 0" : "=a"(before)::"memory");
}

// A general timer, as the other chips' stand-in has, is not here: a stepper's pulses come from loop().
inline void hostTimer() {}

#define LED_BUILTIN 2

#define constrain(value, low, high) ((value) < (low) ? (low) : ((value) > (high) ? (high) : (value)))

// The chip's source of random numbers; a register there.
uint32_t lx106Random();
#define RANDOM_REG32 lx106Random()

unsigned long millis();
unsigned long micros();
// Sets the clock, which stands still from then on; without a time it runs again.
void hostClock(uint32_t milliseconds);
void hostClock();
// Why the chip started: a number of its own SDK, or -1, which it is at first: nobody knows.
void hostReset(int reason);
void delay(unsigned long milliseconds);
inline void yield() {}

#include "HostSerial.h"

void setup();
void loop();
