// Stand-in for a general timer of an ESP32 (core versions 2 and 3), on the host: one alarm. Its interrupt comes when hostTimer() is
// called, and finds the timer where the alarm was set to, however late that is.
#pragma once

#include <stdint.h>

struct hw_timer_t;

#if defined(ARDUINO_ARCH_ESP32) && ESP_ARDUINO_VERSION_MAJOR < 3
hw_timer_t* timerBegin(uint8_t number, uint16_t divider, bool countsUp);
void timerAttachInterrupt(hw_timer_t* timer, void (*handler)(), bool edge);
void timerAlarmWrite(hw_timer_t* timer, uint64_t at, bool reloads);
void timerAlarmEnable(hw_timer_t* timer);
#else
hw_timer_t* timerBegin(uint32_t hertz);
void timerAttachInterrupt(hw_timer_t* timer, void (*handler)());
void timerAlarm(hw_timer_t* timer, uint64_t at, bool reloads, uint64_t times);
#endif
uint64_t timerRead(hw_timer_t* timer);
void hostTimer();

inline void noInterrupts() {}
inline void interrupts() {}
