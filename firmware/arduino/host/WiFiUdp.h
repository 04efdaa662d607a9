// Stand-in for the WiFi library's UDP, on the host: a socket.
#pragma once

#include "Client.h"

class WiFiUDP {
 public:
  ~WiFiUDP() { stop(); }
  uint8_t begin(uint16_t port);
  void stop();
  int beginPacket(IPAddress to, uint16_t port);
  size_t write(const uint8_t* bytes, size_t size);
  int endPacket();
  // How long the next packet is. As with the real one, there is none before the last was read to its end.
  int parsePacket();
  int read(uint8_t* bytes, size_t size);
  IPAddress remoteIP() { return _from; }

  // For the checks: what is sent goes to this port of this computer instead, if it is not 0.
  static uint16_t hostPort;

 private:
  int _socket = -1;
  uint8_t _out[512];
  size_t _outLength = 0;
  IPAddress _to;
  uint16_t _toPort = 0;
  uint8_t _in[2048];
  size_t _inNext = 0, _inEnd = 0;
  IPAddress _from;
};
