// The serial port of the stand-in: standard input and output.
#pragma once

#include "Stream.h"

class HostSerial : public Stream {
 public:
  void begin(unsigned long) {}
  operator bool() { return true; }
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override;
  void flush() override;
  int available() override;
  int read() override;
  int peek() override;

 private:
  void fill();

  uint8_t _bytes[256];
  size_t _next = 0, _end = 0;
  bool _isClosed = false;
};
extern HostSerial Serial;
