// What is wrong with an output. It stays off then, and a link says so: WsdmWebsocket with a report, WsdmSerial in its hello
// line, which it says anew for that, and what is wrong from the start also in a line of text before it.

#ifndef WSDM_FAULTS_H
#define WSDM_FAULTS_H

#include <stdint.h>

// In the order of their texts.
enum class WsdmFaultReason : uint8_t {
  NONE,
  NO_PWM,
  NO_CHANNEL,
  SAME_PIN,
  TAKEN_AWAY,
  TIMER_OF_SERVOS,
  TIMER_OF_MOTORS,
  NO_SERVO_PIN,
  NO_STEP_TIMER,
  NO_LIMIT_SWITCH,
  LIMIT_SWITCH_NOT_FOUND,
  LIMIT_SWITCH_CLOSED,
  HOMING_TOO_LONG,
  // Of what has an address on I2C instead of a pin.
  NO_HAPTIC_DRIVER,
};

struct WsdmFault {
  // Or an address on I2C.
  uint8_t pin;
  WsdmFaultReason reason;
};

// A fault as a sentence has fewer bytes than this, with the zero behind them.
static const uint8_t WSDM_FAULT_TEXT = 72;

// Notes a fault.
void wsdmFault(uint8_t pin, WsdmFaultReason reason);
// Takes the oldest that nobody has taken yet. False if there is none.
bool wsdmTakeFault(WsdmFault& fault);
// "pin 4 stays off: no PWM channel is left"
void wsdmFaultText(const WsdmFault& fault, char (&text)[WSDM_FAULT_TEXT]);

#endif
