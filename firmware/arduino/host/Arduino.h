// Stand-in for the Arduino core of an ESP32 or ESP8266, on the host: the least that the library and its examples ask
// for. Outputs are printed with a clock in milliseconds instead of moving anything; which core and chip it is, pins.h says.
#pragma once

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "Stream.h"
#include "pins.h"
#include "timer.h"

#define PROGMEM
#define pgm_read_byte(address) (*reinterpret_cast<const uint8_t*>(address))
#define pgm_read_word(address) (*reinterpret_cast<const uint16_t*>(address))

#define LED_BUILTIN 2
#if defined(ARDUINO_ARCH_ESP32)
// As the core is built: its boot loader goes back to the image before.
#define CONFIG_APP_ROLLBACK_ENABLE 1
#endif
#define constrain(value, low, high) ((value) < (low) ? (low) : (value) > (high) ? (high) : (value))

// There is none on the host: a sketch that hangs is seen by whoever runs it. The checks see whether it would watch.
extern bool hostWatches;
inline void enableLoopWDT() { hostWatches = true; }
inline void disableLoopWDT() { hostWatches = false; }

uint32_t millis();
// Sets the clock, which stands still from then on but for delay(); without a time it runs again.
void hostClock(uint32_t milliseconds);
void hostClock();
uint32_t micros();
void delay(uint32_t milliseconds);
uint32_t esp_random();
#define RANDOM_REG32 esp_random()

// Why the chip started: a number of its own SDK, or -1, which it is at first: nobody knows.
void hostReset(int reason);

char* utoa(unsigned number, char* text, int base);

#include "HostSerial.h"

void setup();
void loop();
