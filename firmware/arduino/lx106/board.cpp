// The board of the stand-in: clock, pins, serial port, random numbers.

#include <Arduino.h>

#include "simulator.h"

HardwareSerial Serial;

static bool clockIsSet = false;
static uint32_t clockAt = 0;

void hostClock(uint32_t milliseconds) {
  clockIsSet = true;
  clockAt = milliseconds;
}

void hostClock() { clockIsSet = false; }

unsigned long millis() { return clockIsSet ? clockAt : static_cast<uint32_t>(simClock() / 1000); }
unsigned long micros() { return static_cast<uint32_t>(simClock()); }

void delay(unsigned long milliseconds) {
  simWatchStack();
  // Nothing exceptional ever happens at stdin, so this sleeps, and the machine's core is free meanwhile.
  simWait(0, SIM_EXCEPTION, milliseconds * 1000);
}

uint32_t lx106Random() {
  static const int source = simOpen("/dev/urandom", SIM_READ_ONLY);
  uint32_t random = 0;
  if (simRead(source, &random, sizeof(random)) != sizeof(random)) abort();
  return random;
}

static void moved(uint8_t pin, const char* how, unsigned value) {
  // The chip has pins 0 to 16. A value is kept with one added to it, so that 0 is none.
  static unsigned last[17];
  if (pin >= sizeof(last) / sizeof(*last)) {
    printf("there is no pin %u\n", pin);
    abort();
  }
  if (last[pin] == value + 1) return;
  last[pin] = value + 1;
  printf("pin %u %s %u at %lu ms\n", pin, how, value, millis());
}

void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t pin, uint8_t level) { moved(pin, "level", level); }
void analogWrite(uint8_t pin, int value) { moved(pin, "pwm", value); }
int analogRead(uint8_t) { return 1023; }

size_t Print::print(const __FlashStringHelper* text) {
  size_t written = 0;
  for (const char* at = reinterpret_cast<const char*>(text); const char byte = pgm_read_byte(at); at++) {
    if (write(static_cast<uint8_t>(byte)) != 1) break;
    written++;
  }
  return written;
}

size_t Print::print(long number, int base) {
  char text[24];
  snprintf(text, sizeof(text), base == HEX ? "%lX" : "%ld", number);
  return write(text);
}

size_t HardwareSerial::write(const uint8_t* bytes, size_t size) {
  // A terminal's line end; the pins' lines share this stream.
  for (size_t i = 0; i < size; i++) {
    if (bytes[i] != '\r') putchar(bytes[i]);
  }
  return size;
}
