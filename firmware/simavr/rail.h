/* A linear rail on the pins of an Uno: what a stepper's driver, its carriage and a limit switch make of them. */
#ifndef RAIL_H
#define RAIL_H

#include <simavr/sim_avr.h>

/* Every step goes as a line into `file`: when its pulse began and ended, where the carriage stands after it, how long the
 * direction had been set, and whether the driver held the motor; times are in cycles of the board's clock. "at" and the time are a line now and then. The carriage
 * stands `start` steps from the switch at first. `limit` says what is with that: it works, it is missing, or it is always
 * closed. */
void rail_attach(avr_t *avr, const char *file, long start, const char *limit);

#endif
