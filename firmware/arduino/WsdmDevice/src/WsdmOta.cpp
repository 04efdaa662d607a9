#include "WsdmOta.h"

#ifdef WSDM_HAS_SETTINGS

#include <ArduinoOTA.h>

// The chip has one, as it has one ArduinoOTA. The latter may call from an interrupt's context when a packet comes, so that
// callbacks only take notes.
static WsdmOta::Handler onStart = nullptr;
static volatile bool isRefused = false, isFailed = false, isWritten = false;
static volatile ota_error_t firstError = OTA_END_ERROR;

static void started() {
  isFailed = false;
  onStart();
}

static void ended() { isWritten = true; }

static void failed(ota_error_t error) {
  if (error == OTA_AUTH_ERROR) {
    isRefused = true;
    return;
  }
  // After most errors it says that the image is not whole as well.
  if (!isFailed) firstError = error;
  isFailed = true;
}

#if defined(CONFIG_APP_ROLLBACK_ENABLE)

#include <esp_ota_ops.h>

// Sketches without WsdmWifi, whose image nobody would confirm, are compiled with this too.
static bool isUsed = false;

// The core asks before setup(): whether to leave an image on trial as it is. Its own answer is a weak no.
extern "C" bool verifyRollbackLater() { return isUsed; }

static bool isOnTrial() {
  esp_ota_img_states_t state;
  return esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK && state == ESP_OTA_IMG_PENDING_VERIFY;
}

WsdmOta::WsdmOta() { isUsed = true; }

bool WsdmOta::confirm() { return isOnTrial() && esp_ota_mark_app_valid_cancel_rollback() == ESP_OK; }

#else

static bool isOnTrial() { return false; }
WsdmOta::WsdmOta() {}
bool WsdmOta::confirm() { return false; }

#endif

bool WsdmOta::begin(const char* hostname, const char* password, Handler starts) {
  if (!*password || isOnTrial()) return false;
  if (_listens) return false;
  onStart = starts;
  ArduinoOTA.setHostname(hostname);
  ArduinoOTA.setPassword(password);
  // A restart is WsdmWifi's business.
  ArduinoOTA.setRebootOnSuccess(false);
  ArduinoOTA.onStart(started);
  ArduinoOTA.onEnd(ended);
  ArduinoOTA.onError(failed);
  ArduinoOTA.begin();
  return _listens = true;
}

WsdmOta::Event WsdmOta::loop() {
  if (!_listens) return NOTHING;
  ArduinoOTA.handle();
  if (isWritten) {
    isWritten = false;
    return WRITTEN;
  }
  if (isFailed) {
    isFailed = false;
    return FAILED;
  }
  if (isRefused) {
    isRefused = false;
    return REFUSED;
  }
  return NOTHING;
}

const __FlashStringHelper* WsdmOta::reason() const {
  switch (firstError) {
    case OTA_BEGIN_ERROR: return F("there is no room for it; on an ESP32 a partition scheme with OTA has it");
    case OTA_CONNECT_ERROR: return F("its sender cannot be reached; its firewall has to let the board in");
    case OTA_RECEIVE_ERROR: return F("it broke off");
    default: return F("it is not what was sent, or no image for this chip");
  }
}

#endif
