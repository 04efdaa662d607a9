// The board of the stand-in: clock, random numbers, and why it started.

#include <Arduino.h>
#if defined(ARDUINO_ARCH_ESP8266)
extern "C" {
#include <user_interface.h>
}
#else
#include <esp_system.h>
#endif
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

#if defined(ARDUINO_ARCH_ESP8266)
static int resetReason = -1;
void hostReset(int reason) { resetReason = reason; }
rst_info* system_get_rst_info() {
  static rst_info info;
  info.reason = resetReason;
  return resetReason < 0 ? nullptr : &info;
}
#else
static int resetReason = -1;
void hostReset(int reason) { resetReason = reason; }
esp_reset_reason_t esp_reset_reason() {
  return resetReason < 0 ? ESP_RST_UNKNOWN : static_cast<esp_reset_reason_t>(resetReason);
}
#endif

char* utoa(unsigned number, char* text, int base) {
  sprintf(text, base == HEX ? "%x" : "%u", number);
  return text;
}
