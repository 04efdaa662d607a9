// The board of the stand-in: clock, serial port, random numbers.

#include <Arduino.h>

#include "simulator.h"
extern "C" {
#include <user_interface.h>
}

HostSerial Serial;

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

static int resetReason = -1;
void hostReset(int reason) { resetReason = reason; }
rst_info* system_get_rst_info() {
  static rst_info info;
  info.reason = resetReason;
  return resetReason < 0 ? nullptr : &info;
}

// What a board prints on its USB port goes to stdout, where pins are printed too, so all of it takes one way.
size_t HostSerial::write(const uint8_t* bytes, size_t size) {
  fwrite(bytes, 1, size, stdout);
  return size;
}

void HostSerial::flush() { fflush(stdout); }

void HostSerial::fill() {
  // Somebody may wait for the echo of what was typed before.
  flush();
  if (_next < _end || _isClosed || !simWait(0, SIM_READABLE, 0)) return;
  const int got = simRead(0, _bytes, sizeof(_bytes));
  _isClosed = got <= 0;
  _next = 0;
  _end = got > 0 ? got : 0;
}
