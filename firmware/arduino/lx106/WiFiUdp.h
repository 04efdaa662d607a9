// Stand-in for the WiFi library's UDP, in QEMU's simulator, which opens files and no sockets: there is none.
#pragma once

#include "Client.h"

class WiFiUDP {
 public:
  uint8_t begin(uint16_t) { return 0; }
  void stop() {}
  int beginPacket(IPAddress, uint16_t) { return 0; }
  size_t write(const uint8_t*, size_t) { return 0; }
  int endPacket() { return 0; }
  int parsePacket() { return 0; }
  int read(uint8_t*, size_t) { return -1; }
  IPAddress remoteIP() { return IPAddress(); }
};
