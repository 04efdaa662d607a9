// The timers of an AVR that make pulses on its pins. Timer 0 also counts millis(), and is left as it is.

#ifndef WSDM_AVR_TIMERS_H
#define WSDM_AVR_TIMERS_H

#if defined(ARDUINO_ARCH_AVR)

#include <stdint.h>

#include "WsdmFaults.h"

// Timer 1 makes pulses for motors or for servos, as the first output that begins wants it. False if it is the other's.
bool wsdmTakeTimer1(bool forServos);

// Makes the timer behind a pin so fast that its pulses are not heard. Returns why the pin can have none,
// or NONE. Pins of timer 0, which are 5 and 6 on an Uno, stay at 976 Hz.
WsdmFaultReason wsdmFastPwm(uint8_t pin);

#endif

#endif
