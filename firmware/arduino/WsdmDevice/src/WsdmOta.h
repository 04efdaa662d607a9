// A new sketch over Wi-Fi, for WsdmWifi, through the core's ArduinoOTA: that asks for the password, receives the image and
// checks it by its hash. Here everything is stopped before the first byte is written, what slows down comes to rest first, and
// nothing else runs until the restart, or until the update has failed.
//
// On an ESP32 a new image is on trial until the gateway was reached with it: after a restart before that, the boot loader
// goes back to the one before. An ESP8266 has no such boot loader.

#ifndef WSDM_OTA_H
#define WSDM_OTA_H

#include "WsdmSettings.h"

#ifdef WSDM_HAS_SETTINGS

#include "WsdmProtocol.h"
#include "WsdmWebsocket.h"

class WsdmOta final {
 public:
  // What is to be stopped, and where a person is told.
  WsdmOta(WsdmWebsocket& gateway, WsdmProtocol& protocol, Print& out);
  // There is a network: listens as wsdm-ADDRESS.local from now on, unless the password is empty. While the image is on
  // trial it does not: another one would take the place of the one to go back to.
  void listen(const char* address, const char* password);
  // The gateway was reached: the image is kept. Whether it was on trial until then. Outputs are off, since that is noted in
  // the flash.
  bool reached();
  // To be called as often as possible. An update that begins is over when it returns. Whether the board has to be
  // restarted, with nothing that runs before: it was written; or it failed, and what still moved may have lost its place.
  bool loop();

 private:
  static void started();
  static void progressed(unsigned done, unsigned of);
  void begin();

  WsdmWebsocket& _gateway;
  WsdmProtocol& _protocol;
  Print& _out;
  bool _listens = false;
  // Something did not come to rest before the update.
  bool _isMoving = false;
};

#endif

#endif
