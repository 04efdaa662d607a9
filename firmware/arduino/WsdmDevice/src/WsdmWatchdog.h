// The chip's own watchdog: restarts a board whose sketch hangs, for after a restart its outputs are off.

#ifndef WSDM_WATCHDOG_H
#define WSDM_WATCHDOG_H

#include <Arduino.h>

#if defined(ARDUINO_ARCH_AVR)
#include <avr/wdt.h>
#endif

// To be called in every loop(): feeds it, and says whether it is to watch. Nothing else in the sketch may take longer
// than two seconds meanwhile.
//
// AVR: two seconds. Boot loaders older than Optiboot, as on some Nanos, do not switch it off after such a restart, and
// restart again and again; the outputs stay off, and the supply has to be interrupted.
// ESP32: the task watchdog, five seconds where the core is not set up otherwise. ESP8266: its core has one that always
// watches. Other boards: none.
inline void wsdmWatchdog(bool watches) {
#if defined(ARDUINO_ARCH_AVR) || defined(ARDUINO_ARCH_ESP32)
  static bool isOn = false;
#if defined(ARDUINO_ARCH_AVR)
  if (watches && !isOn) wdt_enable(WDTO_2S);
  if (watches) wdt_reset();
  if (!watches && isOn) wdt_disable();
#else
  // The core feeds it between two loops.
  if (watches && !isOn) enableLoopWDT();
  if (!watches && isOn) disableLoopWDT();
#endif
  isOn = watches;
#else
  (void)watches;
#endif
}

#endif
