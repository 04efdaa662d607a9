// LEDC of the ESP32s, as three generations of their core set it up:
//
//   2.x         the sketch names a channel, and two neighbours share a timer. analogWrite counts channels down from the top.
//   3.0 to 3.2  ledcAttach takes the lowest free channel, and two neighbours still share a timer.
//   3.3         a timer is shared by those that want the same of it.

#if defined(ARDUINO_ARCH_ESP32)

#include <Arduino.h>
#include <esp32-hal-periman.h>
#include <soc/soc_caps.h>

#if defined(SOC_LEDC_SUPPORT_HS_MODE)
static const uint8_t CHANNELS = SOC_LEDC_CHANNEL_NUM * 2;
#else
static const uint8_t CHANNELS = SOC_LEDC_CHANNEL_NUM;
#endif
static const uint8_t GROUP_TIMERS = 4;
#if ESP_ARDUINO_VERSION_MAJOR > 3 || (ESP_ARDUINO_VERSION_MAJOR == 3 && ESP_ARDUINO_VERSION_MINOR >= 3)
static const bool TIMERS_ARE_MATCHED = true;
#else
static const bool TIMERS_ARE_MATCHED = false;
#endif
// The slowest clock that may drive it: the crystal.
static const uint32_t CLOCK = 40000000;

static struct {
  bool isSetUp;
  uint8_t timer;
  uint32_t duty;
} channels[CHANNELS];

static struct {
  bool isSetUp;
  uint32_t hertz;
  uint8_t bits;
} timers[2 * GROUP_TIMERS];

static struct {
  bool isAttached;
  uint8_t channel;
} attached[SOC_GPIO_PIN_COUNT];

static uint8_t groupOf(uint8_t channel) { return channel / SOC_LEDC_CHANNEL_NUM; }
static uint8_t neighboursTimer(uint8_t channel) { return groupOf(channel) * GROUP_TIMERS + channel / 2 % GROUP_TIMERS; }

static bool setUpTimer(uint8_t timer, uint32_t hertz, uint8_t bits) {
  if (hertz == 0 || bits == 0 || bits > SOC_LEDC_TIMER_BIT_WIDTH) return false;
  if (static_cast<uint64_t>(hertz) << bits > CLOCK) return false;
  timers[timer] = {true, hertz, bits};
  return true;
}

bool hostPulses(uint8_t pin, HostPin& shown) {
  if (pin >= SOC_GPIO_PIN_COUNT || !attached[pin].isAttached) return false;
  const auto& channel = channels[attached[pin].channel];
  const auto& timer = timers[channel.timer];
  const uint32_t full = 1UL << timer.bits;
  shown.isOutput = true;
  shown.hertz = timer.hertz;
  // The timer never gets as far as a duty beyond its range, so the pin never falls.
  shown.high = channel.duty >= full ? 1 : static_cast<double>(channel.duty) / full;
  return true;
}

// All ones is taken for all of the time.
static void setDuty(uint8_t channel, uint32_t duty, uint8_t bits) {
  const uint32_t most = (1UL << bits) - 1;
  channels[channel].duty = duty == most && most != 1 ? most + 1 : duty;
  hostPinsChanged();
}

#if ESP_ARDUINO_VERSION_MAJOR >= 3

static ledc_channel_handle_t handles[SOC_GPIO_PIN_COUNT];

bool perimanPinIsValid(uint8_t pin) { return pin < SOC_GPIO_PIN_COUNT; }

void* perimanGetPinBus(uint8_t pin, peripheral_bus_type_t type) {
  const bool isLedc = type == ESP32_BUS_TYPE_LEDC && attached[pin].isAttached;
  return isLedc ? &handles[pin] : nullptr;
}

static bool timerIsUsed(uint8_t timer) {
  for (const auto& channel : channels) {
    if (channel.isSetUp && channel.timer == timer) return true;
  }
  return false;
}

// One that does the same already, or one that does nothing yet.
static bool matchTimer(uint8_t channel, uint32_t hertz, uint8_t bits, uint8_t& timer) {
  const uint8_t first = groupOf(channel) * GROUP_TIMERS;
  for (timer = first; timer < first + GROUP_TIMERS; timer++) {
    if (timerIsUsed(timer) && timers[timer].hertz == hertz && timers[timer].bits == bits) return true;
  }
  for (timer = first; timer < first + GROUP_TIMERS; timer++) {
    if (!timerIsUsed(timer)) return true;
  }
  return false;
}

bool ledcAttachChannel(uint8_t pin, uint32_t hertz, uint8_t bits, uint8_t channel) {
  if (pin >= SOC_GPIO_PIN_COUNT || channel >= CHANNELS || attached[pin].isAttached) return false;
  // A second pin on a channel shows what the first shows, whatever was asked for.
  if (!channels[channel].isSetUp) {
    uint8_t timer = neighboursTimer(channel);
    if (TIMERS_ARE_MATCHED && !matchTimer(channel, hertz, bits, timer)) return false;
    if (!setUpTimer(timer, hertz, bits)) return false;
    channels[channel] = {true, timer, channels[channel].duty};
  }
  attached[pin] = {true, channel};
  handles[pin] = {pin, channel, timers[channels[channel].timer].bits};
  hostPinsChanged();
  return true;
}

bool ledcAttach(uint8_t pin, uint32_t hertz, uint8_t bits) {
  for (uint8_t channel = 0; channel < CHANNELS; channel++) {
    if (channels[channel].isSetUp) continue;
    if (ledcAttachChannel(pin, hertz, bits, channel)) return true;
    // Before 3.3 it does not look further.
    if (!TIMERS_ARE_MATCHED) return false;
  }
  return false;
}

bool ledcDetach(uint8_t pin) {
  if (pin >= SOC_GPIO_PIN_COUNT || !attached[pin].isAttached) return false;
  attached[pin].isAttached = false;
  for (const auto& other : attached) {
    if (other.isAttached && other.channel == attached[pin].channel) return true;
  }
  channels[attached[pin].channel].isSetUp = false;
  return true;
}

bool ledcWrite(uint8_t pin, uint32_t duty) {
  if (pin >= SOC_GPIO_PIN_COUNT || !attached[pin].isAttached) return false;
  setDuty(attached[pin].channel, duty, handles[pin].channel_resolution);
  return true;
}

void analogWrite(uint8_t pin, int value) {
  if (pin >= SOC_GPIO_PIN_COUNT || (!attached[pin].isAttached && !ledcAttach(pin, 1000, 8))) return;
  ledcWrite(pin, value);
}

void hostReleases(uint8_t pin) { ledcDetach(pin); }

#else

static uint8_t channelBits[CHANNELS];

uint32_t ledcSetup(uint8_t channel, uint32_t hertz, uint8_t bits) {
  if (channel >= CHANNELS || !setUpTimer(neighboursTimer(channel), hertz, bits)) return 0;
  channelBits[channel] = bits;
  hostPinsChanged();
  return hertz;
}

void ledcAttachPin(uint8_t pin, uint8_t channel) {
  if (channel >= CHANNELS || pin >= SOC_GPIO_PIN_COUNT) return;
  channels[channel] = {true, neighboursTimer(channel), channels[channel].duty};
  attached[pin] = {true, channel};
  hostPinsChanged();
}

void ledcDetachPin(uint8_t pin) {
  if (pin < SOC_GPIO_PIN_COUNT) attached[pin].isAttached = false;
}

void ledcWrite(uint8_t channel, uint32_t duty) {
  if (channel < CHANNELS) setDuty(channel, duty, channelBits[channel]);
}

void analogWrite(uint8_t pin, int value) {
  static uint8_t left = CHANNELS;
  static uint8_t channelOf[SOC_GPIO_PIN_COUNT];
  if (pin >= SOC_GPIO_PIN_COUNT || (channelOf[pin] == 0 && left == 0)) return;
  if (channelOf[pin] == 0) channelOf[pin] = left--;
  const uint8_t channel = channelOf[pin] - 1;
  // At every call.
  if (ledcSetup(channel, 1000, 8) == 0) return;
  ledcAttachPin(pin, channel);
  ledcWrite(channel, value);
}

void hostReleases(uint8_t pin) { ledcDetachPin(pin); }

#endif

#endif
