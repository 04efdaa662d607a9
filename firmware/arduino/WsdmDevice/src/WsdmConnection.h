// The way to the gateway over Wi-Fi: on an ESP32 within TLS if the fingerprint of the gateway's certificate is known, and
// then never without. An ESP8266 has no TLS here.

#ifndef WSDM_CONNECTION_H
#define WSDM_CONNECTION_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

#if defined(ARDUINO_ARCH_ESP8266)
#include <ESP8266WiFi.h>
#else
#include <WiFi.h>
#endif

#include "WsdmFingerprint.h"

// Without TLS, and with Nagle's algorithm off: a command's answer must not wait for an acknowledgement of the one before.
class WsdmPlainConnection final : public WiFiClient {
 public:
  using WiFiClient::connect;
  int connect(const char* host, uint16_t port) override;
};

#if !defined(WSDM_HAS_TLS)

typedef WsdmPlainConnection WsdmConnection;

#else

// What each write takes on the way besides its bytes, in the kinds of TLS that a gateway speaks: RFC 5288.
static const uint8_t WSDM_TLS_OVERHEAD = 5 + 8 + 16;

class WsdmConnection final : public Client {
 public:
  WsdmConnection() {}
  WsdmConnection(const WsdmConnection&) = delete;
  WsdmConnection& operator=(const WsdmConnection&) = delete;
  ~WsdmConnection() { WsdmConnection::stop(); }

  // With a fingerprint it speaks TLS and nothing else. Without one, or with a text that is none, it connects to nobody if
  // TLS is demanded. Whether it speaks TLS.
  bool expect(const char* fingerprint, bool isDemanded);
  // Why it did not connect; null if nobody answered, or none was tried.
  const char* fault() const { return _fault; }

  // Waits for all of it. Of TLS it sends the handshake, and nothing else before it knows that this is the gateway.
  int connect(const char* host, uint16_t port) override;
  // The gateway is a name, or an address as a text.
  int connect(IPAddress, uint16_t) override { return 0; }
  using Print::write;
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t* bytes, size_t size) override { return current().write(bytes, size); }
  int available() override { return current().available(); }
  int read() override { return current().read(); }
  int read(uint8_t* bytes, size_t size) override { return current().read(bytes, size); }
  int peek() override { return current().peek(); }
  // Nothing is held back.
  void flush() override {}
  void stop() override;
  uint8_t connected() override;
  operator bool() override { return connected(); }

 private:
  // The core's, so that a sketch does not have to know of it.
  struct Secure;

  Client& current();
  bool handshake(const char* host, uint16_t port);
  const char* why(int error, uint32_t ms);

  WsdmPlainConnection _plain;
  // While there is a connection within TLS.
  Secure* _secure = nullptr;
  bool _isPinned = false;
  bool _isDemanded = false;
  uint8_t _fingerprint[WSDM_FINGERPRINT_BYTES];
  const char* _fault = nullptr;
  // One that has a number in it.
  char _faultText[48];
};

#endif

#endif

#endif
