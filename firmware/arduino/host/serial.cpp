// The serial port of the stand-in.

#include <Arduino.h>
#include <poll.h>
#include <unistd.h>

HostSerial Serial;

// Pins are printed there too, so all of it takes one way.
size_t HostSerial::write(const uint8_t* bytes, size_t size) {
  fwrite(bytes, 1, size, stdout);
  if (size > 0 && bytes[size - 1] == '\n') fflush(stdout);
  return size;
}

void HostSerial::flush() { fflush(stdout); }

void HostSerial::fill() {
  // Somebody may wait for the echo of what was typed before.
  flush();
  pollfd waiting = {STDIN_FILENO, POLLIN, 0};
  if (_next < _end || _isClosed || poll(&waiting, 1, 0) <= 0) return;
  const ssize_t got = ::read(STDIN_FILENO, _bytes, sizeof(_bytes));
  _isClosed = got <= 0;
  _next = 0;
  _end = got > 0 ? got : 0;
}
