// Stand-in for an Arduino core's Client and IPAddress, on the host.
#pragma once

#include "Stream.h"

class IPAddress {
 public:
  IPAddress() {}
  IPAddress(uint8_t a, uint8_t b, uint8_t c, uint8_t d) : _bytes{a, b, c, d} {}
  uint8_t operator[](int at) const { return _bytes[at]; }

 private:
  uint8_t _bytes[4] = {};
};

class Client : public Stream {
 public:
  virtual int connect(IPAddress ip, uint16_t port) = 0;
  virtual int connect(const char* host, uint16_t port) = 0;
  using Print::write;
  size_t write(uint8_t) override = 0;
  size_t write(const uint8_t* bytes, size_t size) override = 0;
  int available() override = 0;
  int read() override = 0;
  virtual int read(uint8_t* bytes, size_t size) = 0;
  int peek() override = 0;
  void flush() override = 0;
  virtual void stop() = 0;
  virtual uint8_t connected() = 0;
  virtual operator bool() = 0;
};
