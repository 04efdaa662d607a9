// Stand-in for the WiFiClientSecure of an ESP32's core, on the host: TLS 1.2 by mbedTLS, as there, over a TCP socket. As
// its documentation has it, connect() waits for the connection and for the handshake, either with a limit of its own;
// what is read is what has come; and an error ends the connection.
#pragma once

#include "WiFi.h"

class WiFiClientSecure : public WiFiClient {
 public:
  WiFiClientSecure() {}
  ~WiFiClientSecure() { WiFiClientSecure::stop(); }
  WiFiClientSecure(const WiFiClientSecure&) = delete;
  WiFiClientSecure& operator=(const WiFiClientSecure&) = delete;
  int connect(IPAddress, uint16_t) override { return 0; }
  int connect(const char* host, uint16_t port) override { return connect(host, port, _timeoutMs); }
  // In milliseconds, for the connection and for each write.
  int connect(const char* host, uint16_t port, int32_t timeout);
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override;
  int available() override;
  int read() override;
  int read(uint8_t* bytes, size_t size) override;
  int peek() override;
  void stop() override;
  uint8_t connected() override;
  operator bool() override { return connected(); }
  int fd() const { return _socket; }
  // Nothing is said of the chain of certificates.
  void setInsecure() { _isInsecure = true; }
  void setHandshakeTimeout(unsigned long seconds) { _handshakeMs = seconds * 1000; }
  // Of the last connect() that found an address: an error of mbedTLS, or -1.
  int lastError(char* words, size_t size);
  // Of the server's certificate.
  bool getFingerprintSHA256(uint8_t* sha256);

 private:
  struct Tls;

  int dial(const char* host, uint16_t port);
  int handshake(const char* host);
  // What an error of mbedTLS does to a connection.
  int failed(int error);

  Tls* _tls = nullptr;
  bool _isInsecure = false;
  int32_t _timeoutMs = 30000;
  unsigned long _handshakeMs = 120000;
  int _lastError = 0;
  int _peeked = -1;
};
