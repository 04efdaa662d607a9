// Stand-in for the library ArduinoOTA of an ESP32 and an ESP8266, on the host: what calls which of its callbacks, in which
// order. What is sent to it, the checks say; nothing listens on this machine.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <functional>

#include "WString.h"

typedef enum { OTA_AUTH_ERROR, OTA_BEGIN_ERROR, OTA_CONNECT_ERROR, OTA_RECEIVE_ERROR, OTA_END_ERROR } ota_error_t;

// What somebody sends: where it ends, and whether it is what its hash says.
struct HostUpdate {
  String password;
  size_t size = 100000;
  size_t arrives = SIZE_MAX;
  bool isIntact = true;
  bool isReachable = true;
};

class ArduinoOTAClass {
 public:
  void setHostname(const char* hostname) { hostHostname = hostname; }
  void setPassword(const char* password) { _password = password; }
  void setRebootOnSuccess(bool reboots) { _reboots = reboots; }
  void onStart(std::function<void()> handler) { _onStart = handler; }
  void onEnd(std::function<void()> handler) { _onEnd = handler; }
  void onProgress(std::function<void(unsigned, unsigned)> handler) { _onProgress = handler; }
  void onError(std::function<void(ota_error_t)> handler) { _onError = handler; }
  void begin() { hostListens = true; }
  void handle();

  // For the checks: what the next handle() finds if it listens, and what is called before each block is written.
  void hostSend(const HostUpdate& update);
  std::function<void()> hostOnWrite;
  bool hostListens = false;
  String hostHostname;
  size_t hostWritten = 0;

 private:
  void run();

  String _password;
  bool _reboots = true;
  std::function<void()> _onStart, _onEnd;
  std::function<void(unsigned, unsigned)> _onProgress;
  std::function<void(ota_error_t)> _onError;
  HostUpdate _sent;
  bool _isSent = false;
};
extern ArduinoOTAClass ArduinoOTA;
