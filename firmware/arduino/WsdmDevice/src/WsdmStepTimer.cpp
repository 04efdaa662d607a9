#include "WsdmStepTimer.h"

#include "WsdmAvrTimers.h"
#include "WsdmRamp.h"

static void (*onDue)() = nullptr;

#if defined(__AVR_ATmega328P__)

// The timer has 16 bits, and longer times are made in laps. None is so short that it has passed while it is written.
static const uint16_t LAP = 40000;
static const uint16_t LEAST = 16;
static uint32_t left = 0;

bool WsdmStepTimer::begin(void (*handler)()) {
  if (!wsdmTakeTimer1(WsdmTimer1User::STEPPER)) return false;
  WsdmNoInterrupts guard;
  onDue = handler;
  // It counts on and on, an eighth of the clock at a time.
  TCCR1A = 0;
  TCCR1B = _BV(CS11);
  TIMSK1 &= ~_BV(OCIE1B);
  return true;
}

uint16_t WsdmStepTimer::now() { return TCNT1; }

void WsdmStepTimer::callAt(uint16_t since, uint32_t ticks) {
  const uint16_t lap = ticks > 2UL * LAP ? LAP : ticks > LAP ? ticks / 2 : ticks;
  left = ticks - lap;
  uint16_t due = since + lap;
  const uint16_t passed = TCNT1 - since;
  if (passed + LEAST >= lap) due = since + passed + LEAST;
  OCR1B = due;
  TIFR1 = _BV(OCF1B);
  TIMSK1 |= _BV(OCIE1B);
}

// The second of the timer's two, since Servo and others take the first: this one is linked into every sketch.
ISR(TIMER1_COMPB_vect) {
  if (left > 0) {
    WsdmStepTimer::callAt(OCR1B, left);
    return;
  }
  TIMSK1 &= ~_BV(OCIE1B);
  if (onDue) onDue();
}

void WsdmStepTimer::loop() {}

#elif defined(ARDUINO_ARCH_ESP32)

static hw_timer_t* timer = nullptr;

static void WSDM_IN_INTERRUPT due() { onDue(); }

bool WsdmStepTimer::begin(void (*handler)()) {
  if (onDue) return true;
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
  timer = timerBegin(WSDM_TICKS_A_SECOND);
  if (!timer) return false;
  onDue = handler;
  timerAttachInterrupt(timer, due);
#else
  // The first of two to four, by the chip; it counts at 80 MHz before it is divided.
  timer = timerBegin(0, 80000000UL / WSDM_TICKS_A_SECOND, true);
  if (!timer) return false;
  onDue = handler;
  timerAttachInterrupt(timer, due, true);
#endif
  return true;
}

uint16_t WSDM_IN_INTERRUPT WsdmStepTimer::now() { return timerRead(timer); }

void WSDM_IN_INTERRUPT WsdmStepTimer::callAt(uint16_t since, uint32_t ticks) {
  const uint64_t now = timerRead(timer);
  const uint16_t passed = static_cast<uint16_t>(now) - since;
  // A time that has passed never comes.
  const uint64_t at = now + (ticks > passed + 4UL ? ticks - passed : 4);
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
  timerAlarm(timer, at, false, 0);
#else
  timerAlarmWrite(timer, at, false);
  timerAlarmEnable(timer);
#endif
}

void WsdmStepTimer::loop() {}

#else

static const uint8_t TICKS_A_MICROSECOND = WSDM_TICKS_A_SECOND / 1000000;
static bool isAwaited = false;
static uint32_t began = 0, waits = 0;

bool WsdmStepTimer::begin(void (*handler)()) {
  onDue = handler;
  return true;
}

uint16_t WsdmStepTimer::now() { return micros() * TICKS_A_MICROSECOND; }

void WsdmStepTimer::callAt(uint16_t since, uint32_t ticks) {
  const uint16_t passed = now() - since;
  began = micros();
  waits = ticks > passed ? (ticks - passed) / TICKS_A_MICROSECOND : 0;
  isAwaited = true;
}

void WsdmStepTimer::loop() {
  if (!isAwaited || micros() - began < waits) return;
  isAwaited = false;
  onDue();
}

#endif
