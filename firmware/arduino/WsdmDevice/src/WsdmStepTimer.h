// When a step is due: an interrupt by a timer of the chip, so that neither radio nor a sketch that is busy delays it. Timer 1
// of an AVR, a general timer of an ESP32. On other boards loop() looks at the clock, and steps are slow.

#ifndef WSDM_STEP_TIMER_H
#define WSDM_STEP_TIMER_H

#include <Arduino.h>

// What an interrupt calls on an ESP32 lies in memory that is always there.
#if defined(ARDUINO_ARCH_ESP32) && defined(IRAM_ATTR)
#define WSDM_IN_INTERRUPT IRAM_ATTR
#else
#define WSDM_IN_INTERRUPT
#endif

#if defined(__AVR_ATmega328P__)
// With room for the serial port and the sketch: a step takes some 50 microseconds.
static const uint16_t WSDM_STEPS_A_SECOND_MAX = 8000;
#elif defined(ARDUINO_ARCH_ESP32)
static const uint16_t WSDM_STEPS_A_SECOND_MAX = 40000;
#else
// One step a loop().
static const uint16_t WSDM_STEPS_A_SECOND_MAX = 1000;
#endif

// In the ticks of WsdmRamp. There is one of it, for one stepper.
class WsdmStepTimer {
 public:
  // `handler` is called when the time has come, by the interrupt or by loop(). False if no timer can be had.
  static bool begin(void (*handler)());
  // Of a clock that runs round: what counts is the difference of two times, up to 30 ms.
  static uint16_t now();
  // To be called with interrupts off, or by the handler: so many ticks after that time, or as soon as possible.
  static void callAt(uint16_t since, uint32_t ticks);
  static void loop();
};

// While it exists, no step is made.
class WsdmNoInterrupts {
 public:
#if defined(ARDUINO_ARCH_AVR)
  WsdmNoInterrupts() : _before(SREG) { cli(); }
  ~WsdmNoInterrupts() { SREG = _before; }

 private:
  uint8_t _before;
#else
  WsdmNoInterrupts() { noInterrupts(); }
  ~WsdmNoInterrupts() { interrupts(); }
#endif
};

#endif
