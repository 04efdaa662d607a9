#include "WsdmReset.h"

#if defined(ARDUINO_ARCH_ESP8266)
extern "C" {
#include <user_interface.h>
}
#elif defined(ARDUINO_ARCH_ESP32)
#include <esp_system.h>
#elif defined(ARDUINO_ARCH_AVR)
#include <avr/io.h>

// What MCUSR said when the chip started; 0 if a boot loader had cleared it. WsdmWatchdog.cpp clears it, and keeps it first.
extern uint8_t wsdmResetFlags;
#endif

// In the words of the firmware in Rust.
#define POWER_ON F("power on")
#define BROWN_OUT F("brown-out: the supply sagged")
#define HUNG F("hardware watchdog: the firmware hung")
#define OWN_WATCHDOG F("the chip's own watchdog")
#define ITSELF F("itself: restart on the console, or a panic")
#define USB_PORT F("USB")
#define RESET_PIN F("its reset pin")
#define RARE F("something rare")

const __FlashStringHelper* wsdmResetReason() {
#if defined(ARDUINO_ARCH_ESP8266)
  // A supply that sags is seen as a start.
  const rst_info* const info = system_get_rst_info();
  if (!info) return nullptr;
  switch (info->reason) {
    case REASON_DEFAULT_RST:
      return POWER_ON;
    case REASON_WDT_RST:
    case REASON_SOFT_WDT_RST:
      return HUNG;
    case REASON_EXCEPTION_RST:
    case REASON_SOFT_RESTART:
      return ITSELF;
    case REASON_EXT_SYS_RST:
      return RESET_PIN;
    default:
      return RARE;
  }
#elif defined(ARDUINO_ARCH_ESP32)
  switch (static_cast<int>(esp_reset_reason())) {
    case ESP_RST_UNKNOWN:
      return nullptr;
    case ESP_RST_POWERON:
      return POWER_ON;
    case ESP_RST_BROWNOUT:
      return BROWN_OUT;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
      return HUNG;
    case ESP_RST_WDT:
      return OWN_WATCHDOG;
    case ESP_RST_SW:
    case ESP_RST_PANIC:
      return ITSELF;
    case ESP_RST_EXT:
      return RESET_PIN;
    // ESP_RST_USB and ESP_RST_JTAG, which older versions of ESP-IDF have no name for.
    case 11:
    case 12:
      return USB_PORT;
    default:
      return RARE;
  }
#elif defined(ARDUINO_ARCH_AVR)
  // After power on the flag for a brown-out is set too; and flags gather if nobody clears them.
  if (wsdmResetFlags & _BV(PORF)) return POWER_ON;
  if (wsdmResetFlags & _BV(BORF)) return BROWN_OUT;
  if (wsdmResetFlags & _BV(WDRF)) return HUNG;
  if (wsdmResetFlags & _BV(EXTRF)) return RESET_PIN;
  return nullptr;
#else
  return nullptr;
#endif
}
