#include "rail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <simavr/avr_ioport.h>
#include <simavr/sim_time.h>

/* How often the time is written, so that rest can be told from a machine that is slow. */
#define BEAT_US 20000

/* The pins of a CNC shield's X axis: 2, 5, 8 and 9 of the Uno. */
enum { STEP = 2, DIRECTION = 5, ENABLE = 0, LIMIT = 1 };

static avr_t *board;
static FILE *steps;
static avr_irq_t *switch_pin;
static long place;
static int works, closed;
static int pulse, forward, held;
static avr_cycle_count_t pulse_began, direction_changed;

static void show_switch(void)
{
    /* To ground while it is closed; otherwise the board's own resistor pulls it up. */
    avr_ioport_external_t level = {.name = 'B', .mask = 1 << LIMIT, .value = closed ? 0 : 1 << LIMIT};
    avr_ioctl(board, AVR_IOCTL_IOPORT_SET_EXTERNAL('B'), &level);
    avr_raise_irq(switch_pin, !closed);
}

static void on_step(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)param;
    if (pulse == (int)value)
        return;
    pulse = value;
    if (pulse) {
        pulse_began = board->cycle;
        if (held)
            place += forward ? 1 : -1;
        if (works && closed != (place <= 0)) {
            closed = place <= 0;
            show_switch();
        }
        return;
    }
    fprintf(steps, "%llu %llu %ld %llu %d\n", (unsigned long long)pulse_began, (unsigned long long)board->cycle, place,
            (unsigned long long)(pulse_began - direction_changed), held);
    fflush(steps);
}

static void on_direction(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)param;
    if (forward != (int)value)
        direction_changed = board->cycle;
    forward = value;
}

static void on_enable(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)param;
    held = !value;
}

static avr_cycle_count_t beat(struct avr_t *avr, avr_cycle_count_t when, void *param)
{
    (void)param;
    fprintf(steps, "at %llu\n", (unsigned long long)avr->cycle);
    fflush(steps);
    return when + avr_usec_to_cycles(avr, BEAT_US);
}

static avr_irq_t *pin(char port, int bit) { return avr_io_getirq(board, AVR_IOCTL_IOPORT_GETIRQ(port), bit); }

void rail_attach(avr_t *avr, const char *file, long start, const char *limit)
{
    board = avr;
    place = start;
    works = strcmp(limit, "works") == 0;
    closed = strcmp(limit, "closed") == 0 || (works && start <= 0);
    steps = fopen(file, "w");
    if (!steps) {
        fprintf(stderr, "simavr-uno: %s: %s\n", file, strerror(errno));
        exit(1);
    }
    avr_irq_register_notify(pin('D', STEP), on_step, NULL);
    avr_irq_register_notify(pin('D', DIRECTION), on_direction, NULL);
    avr_irq_register_notify(pin('B', ENABLE), on_enable, NULL);
    switch_pin = pin('B', LIMIT);
    show_switch();
    avr_cycle_timer_register_usec(avr, BEAT_US, beat, NULL);
}
