// The updates of the stand-in.

#include <Arduino.h>
#include <ArduinoOTA.h>
#include <WiFi.h>

ArduinoOTAClass ArduinoOTA;

// As much as the other slot, or the flash behind the sketch, has room for; and what is written at once.
static const size_t ROOM = 1000000, BLOCK = 4096;

void ArduinoOTAClass::hostSend(const HostUpdate& update) {
  _sent = update;
  _isSent = hostListens;
}

void ArduinoOTAClass::handle() {
  if (!_isSent) return;
  _isSent = false;
  if (_sent.password == _password || _password.empty()) return run();
  _onError(OTA_AUTH_ERROR);
}

void ArduinoOTAClass::run() {
  if (_sent.size > ROOM) return _onError(OTA_BEGIN_ERROR);
#if defined(ARDUINO_ARCH_ESP8266)
  // Its invitation is answered first.
  delay(100);
#endif
  _onStart();
  // Some errors are told twice.
  if (!_sent.isReachable) _onError(OTA_CONNECT_ERROR);
  hostWritten = 0;
  while (_sent.isReachable && hostWritten < _sent.size && hostWritten < _sent.arrives) {
    if (hostOnWrite) hostOnWrite();
    hostWritten += _sent.size - hostWritten < BLOCK ? _sent.size - hostWritten : BLOCK;
    if (_onProgress) _onProgress(hostWritten, _sent.size);
    delay(20);
  }
  if (_sent.isReachable && hostWritten < _sent.size) {
    delay(1000);
    _onError(OTA_RECEIVE_ERROR);
#if defined(ARDUINO_ARCH_ESP32)
    return;
#endif
  }
  if (hostWritten < _sent.size || !_sent.isIntact) return _onError(OTA_END_ERROR);
  _onEnd();
  if (_reboots) ESP.restart();
}

#if defined(CONFIG_APP_ROLLBACK_ENABLE)

#include <esp_ota_ops.h>

esp_ota_img_states_t hostImage = ESP_OTA_IMG_UNDEFINED;

const esp_partition_t* esp_ota_get_running_partition() {
  static const esp_partition_t running;
  return &running;
}

esp_err_t esp_ota_get_state_partition(const esp_partition_t*, esp_ota_img_states_t* state) {
  if (hostImage == ESP_OTA_IMG_UNDEFINED) return ESP_FAIL;
  *state = hostImage;
  return ESP_OK;
}

esp_err_t esp_ota_mark_app_valid_cancel_rollback() {
  hostImage = ESP_OTA_IMG_VALID;
  return ESP_OK;
}

extern "C" {
bool verifyRollbackLater() __attribute__((weak));
bool verifyRollbackLater() { return false; }
}

void hostInitArduino() {
  if (!verifyRollbackLater() && hostImage == ESP_OTA_IMG_PENDING_VERIFY) hostImage = ESP_OTA_IMG_VALID;
}

#endif
