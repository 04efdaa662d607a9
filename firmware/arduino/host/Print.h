// Stand-in for an Arduino core's Print, on the host.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

class __FlashStringHelper;
#define F(text) (reinterpret_cast<const __FlashStringHelper*>(text))
#define DEC 10
#define HEX 16

class Print {
 public:
  virtual ~Print() {}
  virtual size_t write(uint8_t byte) = 0;
  virtual size_t write(const uint8_t* bytes, size_t size) {
    size_t written = 0;
    while (written < size && write(bytes[written]) == 1) written++;
    return written;
  }
  size_t write(const char* text) { return write(text, strlen(text)); }
  size_t write(const char* bytes, size_t size) { return write(reinterpret_cast<const uint8_t*>(bytes), size); }
  virtual void flush() {}

  size_t print(const __FlashStringHelper* text);
  size_t print(const char* text) { return write(text); }
  size_t print(char byte) { return write(static_cast<uint8_t>(byte)); }
  size_t print(long number, int base = DEC);
  size_t print(unsigned long number, int base = DEC) { return print(static_cast<long>(number), base); }
  size_t print(int number, int base = DEC) { return print(static_cast<long>(number), base); }
  size_t print(unsigned number, int base = DEC) { return print(static_cast<long>(number), base); }
  size_t print(unsigned char number, int base = DEC) { return print(static_cast<long>(number), base); }

  size_t println() { return write("\r\n"); }
  template <typename T>
  size_t println(T what) {
    const size_t printed = print(what);
    return printed + println();
  }
  template <typename T>
  size_t println(T what, int base) {
    const size_t printed = print(what, base);
    return printed + println();
  }
};
