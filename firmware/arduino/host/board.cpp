// The board of the stand-in: clock and random numbers.

#include <Arduino.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static const uint64_t started = nanoseconds();

static bool clockIsSet = false;
static uint32_t clockAt = 0;

void hostClock(uint32_t milliseconds) {
  clockIsSet = true;
  clockAt = milliseconds;
}

void hostClock() { clockIsSet = false; }

bool hostWatches = false;

uint32_t millis() { return clockIsSet ? clockAt : (nanoseconds() - started) / 1000000; }
uint32_t micros() { return (nanoseconds() - started) / 1000; }
void delay(uint32_t milliseconds) {
  if (clockIsSet) {
    clockAt += milliseconds;
  } else {
    usleep(milliseconds * 1000);
  }
}

uint32_t esp_random() {
  uint32_t random = 0;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) abort();
  return random;
}

char* utoa(unsigned number, char* text, int base) {
  sprintf(text, base == HEX ? "%x" : "%u", number);
  return text;
}

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
