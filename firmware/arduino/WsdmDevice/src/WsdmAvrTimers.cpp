#include "WsdmAvrTimers.h"

#if defined(ARDUINO_ARCH_AVR)

#include <Arduino.h>

bool wsdmTakeTimer1(WsdmTimer1User user) {
  static WsdmTimer1User first = WsdmTimer1User::NOBODY;
  if (first == WsdmTimer1User::NOBODY) first = user;
  return first == user;
}

// Chips whose core counts millis() with timer 0 for certain.
#if defined(__AVR_ATmega328P__) || defined(__AVR_ATmega328__) || defined(__AVR_ATmega168__) || \
    defined(__AVR_ATmega168P__) || defined(__AVR_ATmega32U4__) || defined(__AVR_ATmega2560__) || \
    defined(__AVR_ATmega1280__)

// The whole clock, and 510 counts a pulse: 31 kHz at 16 MHz.
static void undivided(volatile uint8_t& control) { control = (control & 0xF8) | 1; }

WsdmFaultReason wsdmFastPwm(uint8_t pin) {
  switch (digitalPinToTimer(pin)) {
    case NOT_ON_TIMER:
      return WsdmFaultReason::NO_PWM;
    case TIMER1A:
    case TIMER1B:
    case TIMER1C:
      if (!wsdmTakeTimer1(WsdmTimer1User::MOTORS)) return WsdmFaultReason::TIMER_OF_SERVOS;
      undivided(TCCR1B);
      break;
#if defined(TCCR2B)
    case TIMER2A:
    case TIMER2B:
      undivided(TCCR2B);
      break;
#endif
#if defined(TCCR3B)
    case TIMER3A:
    case TIMER3B:
    case TIMER3C:
      undivided(TCCR3B);
      break;
#endif
    // That of the ATmega32U4 is another kind of timer.
#if defined(TCCR4B) && !defined(TCCR4E)
    case TIMER4A:
    case TIMER4B:
    case TIMER4C:
      undivided(TCCR4B);
      break;
#endif
#if defined(TCCR5B)
    case TIMER5A:
    case TIMER5B:
    case TIMER5C:
      undivided(TCCR5B);
      break;
#endif
    default:
      break;
  }
  return WsdmFaultReason::NONE;
}

#else

WsdmFaultReason wsdmFastPwm(uint8_t pin) {
  return digitalPinToTimer(pin) == NOT_ON_TIMER ? WsdmFaultReason::NO_PWM : WsdmFaultReason::NONE;
}

#endif

#endif
