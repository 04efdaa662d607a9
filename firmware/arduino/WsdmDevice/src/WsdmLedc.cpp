#if defined(ARDUINO_ARCH_ESP32)

#include "WsdmLedc.h"

#include <Arduino.h>
#include <soc/soc_caps.h>

#include <initializer_list>

#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
#define WSDM_LEDC_BY_PIN
#include <esp32-hal-periman.h>
#endif

#if defined(SOC_LEDC_SUPPORT_HS_MODE)
static const uint8_t CHANNELS = SOC_LEDC_CHANNEL_NUM * 2;
#else
static const uint8_t CHANNELS = SOC_LEDC_CHANNEL_NUM;
#endif

// Of each channel that is ours, its frequency and its pin; 0 is none.
static uint16_t taken[CHANNELS];
static uint8_t takenBy[CHANNELS];

// Version 2 of the core, and 3 before 3.3, give each pair of neighbours one timer of the four of their group. Later ones
// choose timers by frequency, and keep to this as well.
static uint8_t timerOf(uint8_t channel) { return channel / 8 * 4 + channel / 2 % 4; }

// The sketch may use channels of its own.
static bool isForeign(uint8_t channel) {
#if defined(WSDM_LEDC_BY_PIN)
  if (taken[channel] > 0) return false;
  for (uint8_t pin = 0; pin < SOC_GPIO_PIN_COUNT; pin++) {
    if (!perimanPinIsValid(pin)) continue;
    const void* bus = perimanGetPinBus(pin, ESP32_BUS_TYPE_LEDC);
    if (bus && static_cast<const ledc_channel_handle_t*>(bus)->channel == channel) return true;
  }
#else
  // This core does not tell. analogWrite takes its channels from the other end.
  (void)channel;
#endif
  return false;
}

// Whether a timer is free, or makes this frequency already; `shared` says which.
static bool timerFits(uint8_t timer, uint16_t hertz, bool& shared) {
  shared = false;
  for (uint8_t channel = 0; channel < CHANNELS; channel++) {
    if (timerOf(channel) != timer) continue;
    if (isForeign(channel) || (taken[channel] > 0 && taken[channel] != hertz)) return false;
    shared |= taken[channel] == hertz;
  }
  return true;
}

bool WsdmLedc::attach(uint8_t pin, uint16_t hertz, uint8_t bits) {
  if (_channel != NONE) return true;
  for (uint8_t channel = 0; channel < CHANNELS; channel++) {
    if (taken[channel] == 0 || takenBy[channel] != pin) continue;
    wsdmFault(pin, WsdmFaultReason::SAME_PIN);
    return false;
  }
  _pin = pin;
  off();
  if (search(hertz, bits)) return true;
  wsdmFault(pin, WsdmFaultReason::NO_CHANNEL);
  return false;
}

bool WsdmLedc::search(uint16_t hertz, uint8_t bits) {
  // First beside one that wants the same, so that timers are left for those that do not.
  for (bool beside : {true, false}) {
    for (uint8_t i = 0; i < CHANNELS; i++) {
      // From the end at which the core does not begin when a sketch asks it for a channel, with analogWrite for one.
#if defined(WSDM_LEDC_BY_PIN)
      const uint8_t channel = CHANNELS - 1 - i;
#else
      const uint8_t channel = i;
#endif
      bool shared;
      if (taken[channel] > 0 || !timerFits(timerOf(channel), hertz, shared) || shared != beside) continue;
      if (take(channel, hertz, bits)) return true;
    }
  }
  return false;
}

bool WsdmLedc::take(uint8_t channel, uint16_t hertz, uint8_t bits) {
#if defined(WSDM_LEDC_BY_PIN)
  if (!ledcAttachChannel(_pin, hertz, bits, channel)) return false;
  ledcWrite(_pin, 0);
#else
  if (ledcSetup(channel, hertz, bits) == 0) return false;
  ledcWrite(channel, 0);
  ledcAttachPin(_pin, channel);
#endif
  taken[channel] = hertz;
  takenBy[channel] = _pin;
  _channel = channel;
  return true;
}

void WsdmLedc::write(uint32_t duty) {
  if (_channel == NONE) {
    if (_pin != NONE) digitalWrite(_pin, LOW);
    return;
  }
#if defined(WSDM_LEDC_BY_PIN)
  if (ledcWrite(_pin, duty)) return;
  // The sketch has used the pin for something else; the channel may be anybody's by now.
  taken[_channel] = 0;
  _channel = NONE;
  off();
  wsdmFault(_pin, WsdmFaultReason::TAKEN_AWAY);
#else
  ledcWrite(_channel, duty);
#endif
}

void WsdmLedc::off() {
  digitalWrite(_pin, LOW);
  pinMode(_pin, OUTPUT);
  // Where the core takes no level before the pin is an output.
  digitalWrite(_pin, LOW);
}

#endif
