// A haptic driver on I2C: what its motor does, also if the chip is missing, loses its power or does not hear.

#include <Arduino.h>
#include <WsdmDevice.h>
#include <WsdmDrv2605.h>
#include <math.h>

#include <initializer_list>

#include "checks_port.h"

static int failures = 0;

static void check(bool holds, const char* what, double found) {
  if (holds) return;
  failures++;
  printf("%s: %g\n", what, found);
}

static void plays(const char* what, uint16_t value) {
  check(fabs(hostHaptic() - value / 10000.0) < 0.009, what, hostHaptic());
}

static bool hasFault() {
  WsdmFault fault;
  bool any = false;
  while (wsdmTakeFault(fault)) {
    any = true;
    check(fault.pin == 0x5A, "the address of a fault", fault.pin);
  }
  return any;
}

static void strengths() {
  for (uint8_t chip : {3, 4, 6, 7}) {
    hostHapticPower();
    hostHapticChip(chip);
    WsdmDrv2605 motor(Wire);
    motor.begin();
    check(!hasFault(), "no fault of chip", chip);
    plays("off at first", 0);
    for (uint16_t value : {5000, 10000, 500, 7500}) {
      motor.set(value);
      plays("a strength", value);
    }
    motor.set(1);
    check(hostHaptic() > 0, "the least", hostHaptic());
    motor.set(0);
    plays("off", 0);
  }
  check((hostHapticRegister(0x1A) & 0x80) == 0, "an eccentric motor", hostHapticRegister(0x1A));
  check((hostHapticRegister(0x1D) & 0x29) == 0x20, "runs without feedback", hostHapticRegister(0x1D));
  check((hostHapticRegister(0x1A) & 0x7F) == 0x36, "the rest as it was", hostHapticRegister(0x1A));
  hostHapticPower();
  WsdmDrv2605 linear(Wire, WsdmDrv2605::LRA);
  linear.begin();
  check(hostHapticRegister(0x1A) == 0xB6, "a linear motor", hostHapticRegister(0x1A));
  check((hostHapticRegister(0x1D) & 0x29) == 0, "with feedback", hostHapticRegister(0x1D));
}

static void stops() {
  hostHapticPower();
  WsdmDrv2605 motor(Wire);
  motor.begin();
  motor.set(0);
  // Something else has written to it.
  Wire.beginTransmission(0x5A);
  Wire.write(2);
  Wire.write(100);
  Wire.endTransmission();
  check(hostHaptic() > 0.5, "moved", hostHaptic());
  motor.set(0);
  plays("a stop is written whatever it was", 0);
  for (unsigned deaf : {1, 2}) {
    motor.set(10000);
    hostHapticDeaf(deaf);
    motor.set(0);
    plays("a stop is tried again", 0);
  }
  check(!hasFault(), "no fault", 0);
  motor.set(10000);
  hostHapticDeaf(3);
  motor.set(0);
  check(hasFault(), "a stop that was not heard is a fault", 0);
  motor.set(0);
  plays("the next stop is written", 0);
}

// As a link's loop() passes the time.
static void wait(WsdmOutput& motor, uint32_t milliseconds) {
  for (; milliseconds > 0; milliseconds--) {
    hostClock(millis() + 1);
    motor.tick(millis());
  }
}

// Without an enable pin nothing but the stop itself stops it: it is written until it is heard.
static void unheardStops() {
  hostHapticPower();
  WsdmDrv2605 motor(Wire);
  motor.begin();
  motor.set(10000);
  check(motor.isOn(), "it is on", 0);
  hostHapticDeaf(3);
  motor.set(0);
  check(motor.isOn(), "it is on until the stop was heard", 0);
  wait(motor, 100);
  plays("a stop that was not heard is written again", 0);
  check(!motor.isOn(), "and then it is off", 0);
  const unsigned before = hostHapticCount();
  wait(motor, 1000);
  check(hostHapticCount() == before, "once it was heard, no more", hostHapticCount() - before);
  motor.set(10000);
  check(motor.stop(), "it stops by itself", 0);
  plays("stopped", 0);
  check(!motor.isOn(), "it is off", 0);
  // A strength that is not heard ends in a stop too.
  motor.set(10000);
  hostHapticDeaf(1);
  motor.set(5000);
  wait(motor, 100);
  plays("what is lost is stopped", 0);
  // The bus is dead for a while. It is not asked all the time.
  motor.set(10000);
  wait(motor, 600);
  motor.set(10000);
  plays("on", 10000);
  hostHapticDeaf(100000);
  motor.stop();
  const unsigned dead = hostHapticCount();
  wait(motor, 1000);
  check(hostHapticCount() - dead <= 25, "how often a dead bus is asked in a second", hostHapticCount() - dead);
  check(motor.isOn(), "still on", 0);
  hostHapticDeaf(0);
  wait(motor, 100);
  plays("stopped when the bus lives again", 0);
  // The board has begun anew, the driver has not: it plays what it was told before.
  hasFault();
  motor.set(0);
  wait(motor, 600);
  motor.set(10000);
  plays("on", 10000);
  hostHapticDeaf(1);
  WsdmDrv2605 again(Wire);
  again.begin();
  check(again.isOn(), "who knows", 0);
  wait(again, 100);
  plays("stopped after a restart", 0);
  check(hasFault(), "it was a fault", 0);
}

// An app turns the device off on a cable: off is off, also where the stop was not heard.
static void powerOff() {
  hostHapticPower();
  Port wire;
  WsdmDrv2605 motor(Wire);
  WsdmOutput* const motors[] = {&motor};
  WsdmLovense device(motors);
  WsdmSerial gateway(wire, device);
  gateway.begin("LVSDevice");
  wire.in = "Vibrate:20;";
  gateway.loop();
  plays("on", 10000);
  hostHapticDeaf(3);
  wire.in = "PowerOff;";
  for (uint8_t i = 0; i < 100; i++) {
    gateway.loop();
    hostClock(millis() + 1);
  }
  plays("a stop that was not heard is written again, though it is turned off", 0);
  wire.out.clear();
  wire.in = "\nVibrate:20;\n";
  for (uint16_t i = 0; i < 5000; i++) {
    gateway.loop();
    hostClock(millis() + 1);
  }
  plays("nothing turns it on again", 0);
  check(wire.out.empty(), "nor is anything answered", wire.out.size());
  check(hasFault(), "it was a fault", 0);
}

static void enablePin() {
  hostHapticPower();
  hostHapticEnable(4);
  WsdmDrv2605 motor(Wire, WsdmDrv2605::ERM, 4);
  motor.begin();
  check(!hasFault(), "no fault", 0);
  motor.set(10000);
  plays("on", 10000);
  hostHapticDeaf(1000);
  motor.set(0);
  plays("a stop that is not heard takes its enable pin", 0);
  check(hasFault(), "and is a fault", 0);
  motor.set(10000);
  plays("a moment later", 0);
  hostHapticDeaf(0);
  hostClock(millis() + 600);
  motor.set(5000);
  plays("it comes back", 5000);
  motor.set(0);
  hostHapticEnable(5);
  WsdmDrv2605 plain(Wire);
  plain.begin();
  check(hasFault(), "a chip that is not enabled is missing", 0);
  digitalWrite(5, HIGH);
  pinMode(5, OUTPUT);
}

static void missing() {
  hostHapticPower();
  hostHapticPresent(false);
  WsdmDrv2605 motor(Wire);
  motor.begin();
  check(hasFault(), "a missing chip is a fault", 0);
  const unsigned before = hostHapticCount();
  for (int i = 0; i < 100; i++) motor.set(5000);
  check(hostHapticCount() == before, "it is not asked all the time", hostHapticCount() - before);
  hostClock(millis() + 600);
  motor.set(5000);
  check(!hasFault(), "one fault, not one each", 0);
  hostHapticPresent(true);
  hostClock(millis() + 600);
  motor.set(5000);
  plays("it is found later", 5000);
  // It loses its power while it plays, and is in standby then, with all that it was told forgotten.
  hostHapticPower();
  motor.set(8000);
  plays("stays off until it is set up anew", 0);
  motor.set(0);
  motor.set(8000);
  plays("which the next start does", 8000);
  motor.set(0);
  hostHapticChip(1);
  WsdmDrv2605 other(Wire);
  other.begin();
  check(hasFault(), "another chip at its address is a fault", 0);
  wait(other, 1000);
  check(hostHapticRegister(2) == 0, "and is written nothing", hostHapticRegister(2));
  check(!other.isOn(), "nor believed to be on", 0);
}

int main() {
  hostPrintsPins(false);
  hostClock(10000);
  strengths();
  stops();
  unheardStops();
  powerOff();
  enablePin();
  missing();
  printf(failures == 0 ? "all as it should be\n" : "%d failures\n", failures);
  return failures != 0;
}
