// Stand-in for the ESP8266's library ArduinoOTA, in QEMU's simulator: nobody sends anything.
#pragma once

typedef enum { OTA_AUTH_ERROR, OTA_BEGIN_ERROR, OTA_CONNECT_ERROR, OTA_RECEIVE_ERROR, OTA_END_ERROR } ota_error_t;

class ArduinoOTAClass {
 public:
  void setHostname(const char*) {}
  void setPassword(const char*) {}
  void setRebootOnSuccess(bool) {}
  void onStart(void (*)()) {}
  void onProgress(void (*)(unsigned, unsigned)) {}
  void onEnd(void (*)()) {}
  void onError(void (*)(ota_error_t)) {}
  void begin() {}
  void handle() {}
};
extern ArduinoOTAClass ArduinoOTA;
