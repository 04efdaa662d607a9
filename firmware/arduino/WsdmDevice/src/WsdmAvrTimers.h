// The timers of an AVR that make pulses on its pins. Timer 0 also counts millis(), and is left as it is.

#ifndef WSDM_AVR_TIMERS_H
#define WSDM_AVR_TIMERS_H

#if defined(ARDUINO_ARCH_AVR)

#include <stdint.h>

#include "WsdmFaults.h"

enum class WsdmTimer1User : uint8_t { NOBODY, MOTORS, SERVOS, STEPPER };
// Timer 1 is for one kind of output, as the first that begins wants it. False if it is another's.
bool wsdmTakeTimer1(WsdmTimer1User user);

// Makes the timer behind a pin so fast that its pulses are not heard. Returns why the pin can have none,
// or NONE. Pins of timer 0, which are 5 and 6 on an Uno, stay at 976 Hz.
WsdmFaultReason wsdmFastPwm(uint8_t pin);

#endif

#endif
