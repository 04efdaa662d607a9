// The network of the stand-in: for every connection two named pipes, in the folder that the setting `gateway` names. The
// n-th are up.n and down.n; there is no gateway while they are missing, or nobody reads them.

#include <Arduino.h>
#include <ArduinoOTA.h>
#include <ESP8266WiFi.h>

#include "simulator.h"

ESP8266WiFiClass WiFi;
EspClass ESP;
ArduinoOTAClass ArduinoOTA;

void EspClass::restart() { simExit(0); }

uint8_t* ESP8266WiFiClass::macAddress(uint8_t* mac) {
  static const uint8_t OWN[6] = {0x02, 0x00, 0x5E, 0x82, 0x66, 0x01};
  memcpy(mac, OWN, 6);
  return mac;
}

int WiFiClient::connect(const char*, uint16_t) {
  static unsigned number = 0;
  stop();
  const char* folder = simSetting("gateway");
  if (!folder) return 0;
  char path[256];
  snprintf(path, sizeof(path), "%s/up.%u", folder, number);
  _up = simOpen(path, SIM_WRITE_ONLY | SIM_NONBLOCK);
  if (_up < 0) return 0;
  snprintf(path, sizeof(path), "%s/down.%u", folder, number);
  _down = simOpen(path, SIM_READ_ONLY | SIM_NONBLOCK);
  number++;
  if (_down < 0) {
    stop();
    return 0;
  }
  return 1;
}

size_t WiFiClient::write(const uint8_t* bytes, size_t size) {
  if (_up < 0) return 0;
  const int written = simWrite(_up, bytes, size);
  return written > 0 ? written : 0;
}

void WiFiClient::fetch() {
  if (_next < _end || _down < 0 || _ended || !simWait(_down, SIM_READABLE, 0)) return;
  const int got = simRead(_down, _bytes, sizeof(_bytes));
  _next = 0;
  _end = got > 0 ? got : 0;
  // Readable, and nothing there: the other end is gone.
  _ended = got <= 0;
}

int WiFiClient::available() {
  fetch();
  return _end - _next;
}

int WiFiClient::read(uint8_t* bytes, size_t size) {
  fetch();
  if (_next == _end) return -1;
  if (size > _end - _next) size = _end - _next;
  memcpy(bytes, _bytes + _next, size);
  _next += size;
  return size;
}

int WiFiClient::read() {
  uint8_t byte = 0;
  return read(&byte, 1) == 1 ? byte : -1;
}

int WiFiClient::peek() {
  fetch();
  return _next == _end ? -1 : _bytes[_next];
}

void WiFiClient::stop() {
  if (_up >= 0) simClose(_up);
  if (_down >= 0) simClose(_down);
  _up = _down = -1;
  _next = _end = 0;
  _ended = false;
}

uint8_t WiFiClient::connected() {
  fetch();
  return _up >= 0 && !(_ended && _next == _end);
}
