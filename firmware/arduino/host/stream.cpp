// What is the same on every stand-in of what prints, and of a serial port.

#include <Arduino.h>

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

int HostSerial::available() {
  fill();
  return _end - _next;
}

int HostSerial::read() { return available() > 0 ? _bytes[_next++] : -1; }
int HostSerial::peek() { return available() > 0 ? _bytes[_next] : -1; }
