#include "WsdmWatchdog.h"

#if defined(ARDUINO_ARCH_AVR)

// For WsdmReset.cpp. Not among those that are cleared before main(): that comes later than what sets it.
uint8_t wsdmResetFlags __attribute__((section(".noinit")));

// After a restart by the watchdog it goes on watching, for 16 ms only, and a setup() that takes longer would never end.
// So it is switched off before main(), where a boot loader has not done so.
void wsdmWatchdogOff() __attribute__((naked, used, section(".init3")));
void wsdmWatchdogOff() {
  wsdmResetFlags = MCUSR;
  MCUSR = 0;
  wdt_disable();
}

#endif
