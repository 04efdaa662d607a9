// Stand-in for the ESP8266's LittleFS, on the host. A rename replaces the file that has the new name at once.
#pragma once

#include "HostFlash.h"

class File {
 public:
  File() {}
  explicit File(const char* name) : _name(name) {}
  operator bool() const { return _name; }
  size_t size() const;
  int read(uint8_t* bytes, size_t room);
  size_t write(const uint8_t* bytes, size_t length);
  void close() { _name = nullptr; }

 private:
  const char* _name = nullptr;
};

class HostLittleFS {
 public:
  bool begin() { return true; }
  File open(const char* path, const char* mode);
  bool rename(const char* from, const char* to);
};
extern HostLittleFS LittleFS;
