// Stand-in for the ESP8266's LittleFS, in QEMU's simulator: a flash that cannot be read or written, so that a sketch has
// the settings that were built into it.
#pragma once

#include <stddef.h>
#include <stdint.h>

class File {
 public:
  operator bool() const { return false; }
  size_t size() const { return 0; }
  int read(uint8_t*, size_t) { return -1; }
  size_t write(const uint8_t*, size_t) { return 0; }
  void close() {}
};

class LittleFSClass {
 public:
  bool begin() { return false; }
  File open(const char*, const char*) { return File(); }
  bool rename(const char*, const char*) { return false; }
};
static LittleFSClass LittleFS;
