// Stand-in for the Arduino core of an ESP32 (version 3), on the host: the least that the library and its Wi-Fi
// examples ask for. Outputs are printed with a clock in milliseconds instead of moving anything.
#pragma once

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "Stream.h"

// As the core itself defines it: so the very code that an ESP32 runs is compiled.
#define ESP_ARDUINO_VERSION_MAJOR 3

#define PROGMEM
#define pgm_read_byte(address) (*reinterpret_cast<const uint8_t*>(address))

#define LOW 0
#define HIGH 1
#define INPUT 0
#define OUTPUT 1
#define LED_BUILTIN 2

// There is none on the host: a sketch that hangs is seen by whoever runs it.
inline void enableLoopWDT() {}
inline void disableLoopWDT() {}

uint32_t millis();
// Sets the clock, which stands still from then on; without a time it runs again.
void hostClock(uint32_t milliseconds);
void hostClock();
uint32_t micros();
void delay(uint32_t milliseconds);
uint32_t esp_random();
#define RANDOM_REG32 esp_random()

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
void analogWrite(uint8_t pin, int value);
bool ledcAttach(uint8_t pin, uint32_t frequency, uint8_t bits);
bool ledcWrite(uint8_t pin, uint32_t duty);

char* utoa(unsigned number, char* text, int base);

#include "HostSerial.h"

void setup();
void loop();
