#include "WsdmOta.h"

#ifdef WSDM_HAS_SETTINGS

#include <ArduinoOTA.h>
#include <string.h>

#include "WsdmWatchdog.h"

// What a stepper gets to slow down. The sender waits for 10 s until it is called back.
static const uint16_t REST_MS = 5000;

// A chip has one, as it has one ArduinoOTA.
static WsdmOta* theOne = nullptr;

// An ESP8266 takes packets in a context in which nothing may wait, so that errors are only noted there.
static volatile bool isRefused = false, isFailed = false, isWritten = false;
static volatile ota_error_t firstError = OTA_END_ERROR;

static void written() { isWritten = true; }

static void failed(ota_error_t error) {
  if (error == OTA_AUTH_ERROR) {
    isRefused = true;
    return;
  }
  // Behind most others comes one that says that the image is not whole.
  if (!isFailed) firstError = error;
  isFailed = true;
}

static const __FlashStringHelper* reason() {
  switch (firstError) {
    case OTA_BEGIN_ERROR: return F("there is no room for it; on an ESP32 a partition scheme with OTA has it");
    case OTA_CONNECT_ERROR: return F("its sender cannot be reached; its firewall has to let the board in");
    case OTA_RECEIVE_ERROR: return F("it broke off");
    default: return F("it is not what was sent, or no image for this chip");
  }
}

#if defined(CONFIG_APP_ROLLBACK_ENABLE)

#include <esp_ota_ops.h>

// The core asks before setup(): whether to leave an image on trial as it is. What it has itself is a weak no. Sketches
// without WsdmWifi are compiled with this too, and nobody would ever confirm their image.
extern "C" bool verifyRollbackLater() { return theOne != nullptr; }

static bool isOnTrial() {
  esp_ota_img_states_t state;
  return esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK && state == ESP_OTA_IMG_PENDING_VERIFY;
}

static bool confirm() { return isOnTrial() && esp_ota_mark_app_valid_cancel_rollback() == ESP_OK; }

#else

static bool isOnTrial() { return false; }
static bool confirm() { return false; }

#endif

WsdmOta::WsdmOta(WsdmWebsocket& gateway, WsdmProtocol& protocol, Print& out)
    : _gateway(gateway), _protocol(protocol), _out(out) {
  theOne = this;
}

void WsdmOta::listen(const char* address, const char* password) {
  if (_listens || !*password || isOnTrial()) return;
  char hostname[80] = "wsdm-";
  strncat(hostname, address, sizeof(hostname) - strlen(hostname) - 1);
  ArduinoOTA.setHostname(hostname);
  ArduinoOTA.setPassword(password);
  // What is to be done before it is done here.
  ArduinoOTA.setRebootOnSuccess(false);
  ArduinoOTA.onStart(started);
  ArduinoOTA.onProgress(progressed);
  ArduinoOTA.onEnd(written);
  ArduinoOTA.onError(failed);
  ArduinoOTA.begin();
  _listens = true;
  _out.print(F("updates are taken as "));
  _out.print(hostname);
  _out.println(F(".local"));
}

bool WsdmOta::reached() {
  if (!confirm()) return false;
  _out.println(F("update: it reached the gateway, and is kept"));
  return true;
}

// Before the first byte is written.
void WsdmOta::started() { theOne->begin(); }

void WsdmOta::begin() {
  _gateway.disconnect("an update");
  // It takes longer than that waits.
  wsdmWatchdog(false);
  isFailed = false;
  _out.println(F("update: everything is stopped, and it is received"));
  // A write to the flash holds interrupts up: a stepper that moves meanwhile loses steps.
  const uint32_t since = millis();
  do {
    _protocol.tick(millis());
    _isMoving = _protocol.isOn() || !_protocol.isAtRest();
    // Once more at rest: a stepper lets go of its motor then.
    delay(1);
  } while (_isMoving && millis() - since < REST_MS);
  _protocol.tick(millis());
}

// Between two writes. An output that does not hear its stop is stopped again and again.
void WsdmOta::progressed(unsigned, unsigned) { theOne->_protocol.tick(millis()); }

bool WsdmOta::loop() {
  if (!_listens) return false;
  ArduinoOTA.handle();
  if (isRefused) _out.println(F("update: refused, the password was wrong"));
  if (isFailed) {
    _out.print(F("update: nothing is changed: "));
    _out.println(reason());
  }
  // Its place is known again once the board has begun anew.
  const bool isLost = isFailed && _isMoving;
  if (isLost) _out.println(F("update: something still moved when it began, and its place may be lost: restarting"));
  isRefused = isFailed = _isMoving = false;
  if (!isWritten) return isLost;
  isWritten = false;
  _out.println(F("update: received, restarting"));
  // The last answer has to leave.
  delay(100);
  return true;
}

#endif
