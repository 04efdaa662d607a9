#include "timer.h"

#include <Arduino.h>

struct hw_timer_t {
  uint32_t ticksAMicrosecond = 1;
  void (*handler)() = nullptr;
  bool isSet = false;
  uint64_t alarm = 0;
  // While the interrupt runs, and each time it is asked a tick later: whoever waits for it goes on.
  bool isInterrupt = false;
  uint64_t then = 0;
};
static hw_timer_t only;

#if defined(ARDUINO_ARCH_ESP32) && ESP_ARDUINO_VERSION_MAJOR < 3

hw_timer_t* timerBegin(uint8_t, uint16_t divider, bool) {
  only.ticksAMicrosecond = 80 / divider;
  return &only;
}

void timerAttachInterrupt(hw_timer_t* timer, void (*handler)(), bool) { timer->handler = handler; }

// An alarm that has come is off until it is enabled.
void timerAlarmWrite(hw_timer_t* timer, uint64_t at, bool) { timer->alarm = at; }

void timerAlarmEnable(hw_timer_t* timer) { timer->isSet = true; }

#else

hw_timer_t* timerBegin(uint32_t hertz) {
  only.ticksAMicrosecond = hertz / 1000000;
  return &only;
}

void timerAttachInterrupt(hw_timer_t* timer, void (*handler)()) { timer->handler = handler; }

void timerAlarm(hw_timer_t* timer, uint64_t at, bool, uint64_t) {
  timer->alarm = at;
  timer->isSet = true;
}

#endif

uint64_t timerRead(hw_timer_t* timer) {
  if (timer->isInterrupt) return timer->then++;
  static uint64_t passed = 0;
  passed += micros() - static_cast<uint32_t>(passed);
  return passed * timer->ticksAMicrosecond;
}

void hostTimer() {
  while (only.isSet && only.handler && only.alarm <= timerRead(&only)) {
    only.isSet = false;
    only.then = only.alarm;
    only.isInterrupt = true;
    only.handler();
    only.isInterrupt = false;
  }
}
