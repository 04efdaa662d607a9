#include "WsdmTrouble.h"

#ifdef WSDM_HAS_SETTINGS

#if defined(ARDUINO_ARCH_ESP8266)
#include <ESP8266WiFi.h>
#else
#include <WiFi.h>
#endif

#if defined(ARDUINO_ARCH_ESP8266)

void WsdmTroubles::begin() {}
void WsdmTroubles::forget() {}

static WsdmTrouble trouble() {
  switch (static_cast<int>(WiFi.status())) {
    case WL_NO_SSID_AVAIL:
      return WsdmTrouble::NOT_FOUND;
    case WL_WRONG_PASSWORD:
      return WsdmTrouble::PASSWORD;
    case WL_CONNECT_FAILED:
      return WsdmTrouble::REFUSED;
    default:
      return WsdmTrouble::NONE;
  }
}

#else

// Set by the core's own task. 0 is no reason.
static volatile uint8_t lastReason = 0;

static void onDisconnected(arduino_event_id_t, arduino_event_info_t info) {
  lastReason = info.wifi_sta_disconnected.reason;
}

void WsdmTroubles::begin() { WiFi.onEvent(onDisconnected, ARDUINO_EVENT_WIFI_STA_DISCONNECTED); }
void WsdmTroubles::forget() { lastReason = 0; }

// WiFi.status() does not tell a wrong password from other trouble. Numbers, since older versions of ESP-IDF lack some of
// the names, wifi_err_reason_t: the standard's (IEEE 802.11) up to 199, Espressif's from 200 on.
static WsdmTrouble trouble() {
  switch (lastReason) {
    case 2:    // AUTH_EXPIRE
    case 14:   // MIC_FAILURE
    case 15:   // 4WAY_HANDSHAKE_TIMEOUT
    case 17:   // IE_IN_4WAY_DIFFERS
    case 202:  // AUTH_FAIL
    case 204:  // HANDSHAKE_TIMEOUT
      return WsdmTrouble::PASSWORD;
    case 201:  // NO_AP_FOUND
      return WsdmTrouble::NOT_FOUND;
    case 18:   // GROUP_CIPHER_INVALID
    case 19:   // PAIRWISE_CIPHER_INVALID
    case 20:   // AKMP_INVALID
    case 21:   // UNSUPP_RSN_IE_VERSION
    case 22:   // INVALID_RSN_IE_CAP
    case 24:   // CIPHER_SUITE_REJECTED
    case 29:   // BAD_CIPHER_OR_AKM
    case 210:  // NO_AP_FOUND_W_COMPATIBLE_SECURITY
    case 211:  // NO_AP_FOUND_IN_AUTHMODE_THRESHOLD
      return WsdmTrouble::SECURITY;
    case 0:
    case 8:  // ASSOC_LEAVE: the board itself
      return WsdmTrouble::NONE;
    default:
      return WsdmTrouble::REFUSED;
  }
}

#endif

WsdmTrouble WsdmTroubles::current() const { return trouble(); }

WsdmTrouble WsdmTroubles::news() {
  const WsdmTrouble now = trouble();
  if (now == WsdmTrouble::NONE) return now;
  if (isNew(now)) return now;
#if defined(ARDUINO_ARCH_ESP8266)
  // A network that takes WPA3 only may look like any other trouble: the core has no word for it.
  if (isNew(WsdmTrouble::NO_WPA3)) return WsdmTrouble::NO_WPA3;
#endif
  return WsdmTrouble::NONE;
}

bool WsdmTroubles::isNew(WsdmTrouble trouble) {
  const uint8_t bit = 1 << static_cast<uint8_t>(trouble);
  const bool is = !(_said & bit);
  _said |= bit;
  return is;
}

void WsdmTroubles::connected() {
  _said = 0;
  forget();
}

// In the words of the firmware in Rust, which has no WPA3. The ESP32's core has, in 2.0.17 and 3.
const __FlashStringHelper* wsdmTroubleText(WsdmTrouble trouble) {
  switch (trouble) {
    case WsdmTrouble::PASSWORD:
      return F("the password is wrong: set password WORDS, save, restart");
    case WsdmTrouble::NOT_FOUND:
      return F("no network of this name is near: look at ssid, capitals count; 2.4 GHz only");
    case WsdmTrouble::SECURITY:
      return F("this network wants another kind of security: an open one has no password, any other has WPA2 or WPA3");
    case WsdmTrouble::REFUSED:
      return F("the access point does not answer, or ends the connection");
    case WsdmTrouble::NO_WPA3:
      return F("this chip has no WPA3: if the network takes nothing else, set its access point to WPA2, or to WPA2 and WPA3 mixed");
    default:
      return F("");
  }
}

#endif
