// A new sketch over Wi-Fi, through the core's ArduinoOTA: it asks for the password, receives the image and checks it by its
// hash. WsdmWifi does the rest: everything is stopped before the first byte is written, and stays so.
//
// On an ESP32 a new image is on trial until the gateway was reached with it: after a restart before that, the boot loader
// goes back to the one before. An ESP8266 has no such boot loader.

#ifndef WSDM_OTA_H
#define WSDM_OTA_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

class WsdmOta final {
 public:
  enum Event : uint8_t { NOTHING, REFUSED, FAILED, WRITTEN };
  typedef void (*Handler)();

  WsdmOta();
  // Listens from now on, again after the network was gone. `starts` is called before the first byte is written. Whether it
  // Listens from now on, unless there is no password. `starts` is called before the first byte is written. Whether that is
  // new. While the image is on trial it does not: another one would take the place of the one to go back to.
  bool begin(const char* hostname, const char* password, Handler starts);
  // To be called as often as possible. An update that begins is over when it returns.
  Event loop();
  // Why it failed.
  const __FlashStringHelper* reason() const;

  // The gateway was reached. Whether the image was on trial until then.
  static bool confirm();

 private:
  bool _listens = false;
};

#endif

#endif
