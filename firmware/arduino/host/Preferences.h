// Stand-in for the ESP32's Preferences, on the host. A value is replaced as a whole or not at all, as NVS has it.
#pragma once

#include "HostFlash.h"

class Preferences {
 public:
  bool begin(const char* space, bool isReadOnly = false);
  void end() {}
  size_t getBytesLength(const char* key);
  size_t getBytes(const char* key, void* bytes, size_t room);
  size_t putBytes(const char* key, const void* bytes, size_t length);

 private:
  bool _isReadOnly = true;
};
