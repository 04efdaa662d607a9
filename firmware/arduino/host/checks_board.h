// A whole board for the checks, with one motor.
#pragma once

#include <ArduinoOTA.h>

#include "checks_settings.h"

#if defined(CONFIG_APP_ROLLBACK_ENABLE)
#include <esp_ota_ops.h>
#endif

class Level final : public WsdmOutput {
 public:
  void set(uint16_t value) override {
    if (value == 0 && level > 0) offAt = millis();
    level = value;
  }
  // As of a carriage that slows down.
  bool isAtRest() const override { return level == 0 && millis() - offAt >= slowsMs; }
  // As of a driver that did not hear its stop.
  bool isOn() const override { return isDeaf; }
  bool isDeaf = false;
  uint16_t level = 0xFFFF;
  uint32_t offAt = 0, slowsMs = 0;
};

class Unheard final : public WsdmReplies {
  void reply(const char*, size_t) override {}
};

struct Vibrator {
  Level level;
  WsdmOutput* const motors[1] = {&level};
  WsdmLovense device{motors};
  void run() {
    Unheard unheard;
    for (const char* at = "Vibrate:20;"; *at; at++) device.receive(*at, millis(), unheard);
    expect("on", level.level, WSDM_FULL);
  }
};

// A whole board, whose clock the checks move.
struct Board {
  Port port;
  Vibrator vibrator;
  WsdmWifi board;
  explicit Board(const char* ssid = "", const char* password = "", uint16_t gateway = 1)
      : Board(WsdmBuiltIn{ssid, password, "127.0.0.1", gateway, nullptr, nullptr}) {}
  explicit Board(const WsdmBuiltIn& builtIn) : board(vibrator.device, "LVSDevice", port, builtIn) {
    hostClock(1000);
    WiFi = HostWiFi();
    ArduinoOTA = ArduinoOTAClass();
#if defined(CONFIG_APP_ROLLBACK_ENABLE)
    hostInitArduino();
#endif
    board.begin();
  }
  ~Board() { hostClock(); }
  // What it says meanwhile.
  std::string run(uint32_t milliseconds, const std::string& typed = "") {
    port.in += typed;
    for (; milliseconds > 0; milliseconds--) {
      hostClock(millis() + 1);
      board.loop();
    }
    return port.said();
  }
  bool says(const std::string& said, const std::string& what) { return said.find(what) != std::string::npos; }
};
