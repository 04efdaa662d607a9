/* An Arduino Uno in software: runs an ATmega328P image in about real time, with its serial port on a pseudo-terminal.
 *
 *     simavr-uno IMAGE.elf LINK [STEPS START works|missing|closed [fast]]
 *
 * LINK becomes a symbolic link to the pseudo-terminal: plugging in. SIGTERM or SIGINT ends it and takes the link away;
 * so does any other end, but for the link. What the pins do is printed with the board's own clock:
 *
 *     ready /tmp/board
 *     pin 9 pwm 127 at 1234 ms, 0 ms after the last byte
 *     pin 9 pulse 1500 us at 20 ms, no byte yet
 *     pin 13 level 1 at 5 ms, no byte yet
 *     timer 1 at 31372 Hz
 *
 * With more arguments a stepper's rail is on its pins; rail.h says what they mean. "fast" runs it at some
 * times the speed, for a test that does not ask when something happens, but by which of the board's cycles. There is a limit:
 * the board's watchdog waits for signs of life by that clock, and who gives them is no faster than ours.
 *
 * SIGUSR1 presses a button from pin 12 to ground, and SIGUSR2 lets it go.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_ioport.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/sim_time.h>

#include "rail.h"

#define HERTZ 16000000
/* How much faster than ours its clock is where that is asked for. */
#define FASTER 4.0
/* How often the serial port and the pins are looked at; a byte takes 87 us at 115,200 baud. */
#define LOOK_US 80

/* Data addresses of the ATmega328P, from its data sheet. */
enum {
    DDRB = 0x24, PORTB = 0x25, DDRC = 0x27, PORTC = 0x28, DDRD = 0x2A, PORTD = 0x2B,
    TCCR0A = 0x44, TCCR0B = 0x45, OCR0A = 0x47, OCR0B = 0x48,
    TCCR1A = 0x80, TCCR1B = 0x81, ICR1 = 0x86, OCR1A = 0x88, OCR1B = 0x8A,
    TCCR2A = 0xB0, TCCR2B = 0xB1, OCR2A = 0xB3, OCR2B = 0xB4,
};

/* A pin, and the timer's output that can take it over. */
struct pin {
    uint8_t number;
    uint16_t ddr, port;
    uint8_t bit;
    uint16_t tccr, ocr;
    uint8_t com; /* in tccr: it is set while the timer has the pin */
    unsigned last;
    int known;
    unsigned seen; /* at the last look */
};

/* Without 0 and 1, which are the serial port's. */
static struct pin pins[] = {
    {2, DDRD, PORTD, 2, 0, 0, 0, 0, 0, 0},
    {3, DDRD, PORTD, 3, TCCR2A, OCR2B, 0x20, 0, 0, 0},
    {4, DDRD, PORTD, 4, 0, 0, 0, 0, 0, 0},
    {5, DDRD, PORTD, 5, TCCR0A, OCR0B, 0x20, 0, 0, 0},
    {6, DDRD, PORTD, 6, TCCR0A, OCR0A, 0x80, 0, 0, 0},
    {7, DDRD, PORTD, 7, 0, 0, 0, 0, 0, 0},
    {8, DDRB, PORTB, 0, 0, 0, 0, 0, 0, 0},
    {9, DDRB, PORTB, 1, TCCR1A, OCR1A, 0x80, 0, 0, 0},
    {10, DDRB, PORTB, 2, TCCR1A, OCR1B, 0x20, 0, 0, 0},
    {11, DDRB, PORTB, 3, TCCR2A, OCR2A, 0x80, 0, 0, 0},
    {12, DDRB, PORTB, 4, 0, 0, 0, 0, 0, 0},
    {13, DDRB, PORTB, 5, 0, 0, 0, 0, 0, 0},
};

static int wire = -1;
static avr_irq_t *board_hears;
static int board_listens = 1;
static avr_cycle_count_t last_byte;
static int heard;
static volatile sig_atomic_t stopping;
static volatile sig_atomic_t button_is_down;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static void on_button(int number)
{
    button_is_down = number == SIGUSR1;
}

static void press(avr_t *avr)
{
    static int was_down;
    const int is_down = button_is_down;
    if (is_down == was_down)
        return;
    was_down = is_down;
    /* As long as nothing outside pulls a pin, it has the level of its own pull-up resistor. */
    avr_ioport_external_t outside = {.name = 'B', .mask = is_down << 4, .value = 0};
    avr_ioctl(avr, AVR_IOCTL_IOPORT_SET_EXTERNAL('B'), &outside);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 4), !is_down);
}

static void die(const char *what)
{
    fprintf(stderr, "simavr-uno: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void on_byte(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)param;
    uint8_t byte = value;
    /* A wire that nobody reads loses bytes, like a real one. */
    while (write(wire, &byte, 1) < 0 && errno == EINTR) {
    }
}

static void on_xon(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)value, (void)param;
    board_listens = 1;
}

static void on_xoff(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq, (void)value, (void)param;
    board_listens = 0;
}

static unsigned word_at(const avr_t *avr, uint16_t address)
{
    return avr->data[address] | avr->data[address + 1] << 8;
}

/* What is on a pin now: not what a register holds. analogWrite(0) and analogWrite(255) leave the timer's register
 * alone and take the pin away from it. */
static void look_at(const avr_t *avr, struct pin *pin)
{
    const uint8_t mask = 1 << pin->bit;
    const char *how = pin->ocr ? "pwm" : "level", *unit = "";
    unsigned value = 0;
    if (!(avr->data[pin->ddr] & mask)) {
        /* Nobody drives it. */
        if (!pin->known)
            return;
    } else if (pin->tccr && avr->data[pin->tccr] & pin->com) {
        if (pin->tccr == TCCR1A) {
            value = word_at(avr, pin->ocr);
            /* A servo's pulse: Timer 1 counts to ICR1 (its mode 14), an eighth of the clock at a time. */
            if ((avr->data[TCCR1B] & 0x1F) == 0x1A && (avr->data[TCCR1A] & 3) == 2) {
                how = "pulse", unit = " us";
                value = value * 8 / (HERTZ / 1000000);
            }
        } else {
            value = avr->data[pin->ocr];
        }
    } else if (avr->data[pin->port] & mask) {
        value = pin->ocr ? 255 : 1;
    }
    /* A program writes a register of 16 bits in two halves. The timer takes them at once; a look in between sees one new
     * half beside an old one, which no second look does. */
    if (pin->seen != value) {
        pin->seen = value;
        return;
    }
    if (pin->known && pin->last == value)
        return;
    pin->known = 1;
    pin->last = value;
    const avr_cycle_count_t ms = HERTZ / 1000;
    printf("pin %u %s %u%s at %llu ms, ", pin->number, how, value, unit, (unsigned long long)(avr->cycle / ms));
    if (heard)
        printf("%llu ms after the last byte\n", (unsigned long long)((avr->cycle - last_byte) / ms));
    else
        printf("no byte yet\n");
    fflush(stdout);
}

/* How often a timer makes pulses, if it makes some; 0 while it stands still. */
static unsigned pulses_a_second(const avr_t *avr, int timer)
{
    static const uint16_t divisors[] = {0, 1, 8, 64, 256, 1024, 0, 0}, divisors_2[] = {0, 1, 8, 32, 64, 128, 256, 1024};
    static const uint16_t controls[] = {TCCR0A, TCCR1A, TCCR2A};
    const uint8_t mode = avr->data[controls[timer]] & 3, control = avr->data[controls[timer] + 1];
    const unsigned divisor = (timer == 2 ? divisors_2 : divisors)[control & 7];
    if (divisor == 0 || mode == 0)
        return 0;
    /* Timer 1 counts to ICR1 in its mode 14. Otherwise all count to 255: up, or up and down. */
    if (timer == 1 && mode == 2 && (control & 0x18) == 0x18)
        return HERTZ / divisor / (word_at(avr, ICR1) + 1);
    const int is_fast = timer == 1 ? control & 0x08 : mode == 3;
    return HERTZ / divisor / (is_fast ? 256 : 510);
}

static void look_at_timers(const avr_t *avr)
{
    static unsigned seen[3], last[3];
    for (int timer = 0; timer < 3; timer++) {
        const unsigned hertz = pulses_a_second(avr, timer);
        /* As with pins: a program sets a timer up by several registers. */
        const int settled = seen[timer] == hertz;
        seen[timer] = hertz;
        if (!settled || last[timer] == hertz)
            continue;
        last[timer] = hertz;
        printf("timer %d at %u Hz\n", timer, hertz);
        fflush(stdout);
    }
}

static avr_cycle_count_t look(struct avr_t *avr, avr_cycle_count_t when, void *param)
{
    (void)param;
    uint8_t byte;
    if (board_listens && read(wire, &byte, 1) == 1) {
        last_byte = avr->cycle;
        heard = 1;
        avr_raise_irq(board_hears, byte);
    }
    press(avr);
    for (size_t i = 0; i < sizeof(pins) / sizeof(*pins); i++)
        look_at(avr, &pins[i]);
    look_at_timers(avr);
    return when + avr_usec_to_cycles(avr, LOOK_US);
}

static void (*reset_of_the_chip)(struct avr_t *avr);

static void on_reset(struct avr_t *avr)
{
    if (reset_of_the_chip)
        reset_of_the_chip(avr);
    avr_cycle_timer_register_usec(avr, LOOK_US, look, NULL);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Made under another name and moved into place: whoever waits for the link never sees half of it. */
static void plug_in(const char *link, const char *name)
{
    char fresh[4096];
    if (snprintf(fresh, sizeof(fresh), "%s.new", link) >= (int)sizeof(fresh))
        errno = ENAMETOOLONG, die(link);
    unlink(fresh);
    if (symlink(name, fresh) != 0 || rename(fresh, link) != 0)
        die(link);
}

static avr_t *board(const char *image)
{
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof(firmware));
    if (elf_read_firmware(image, &firmware) != 0) {
        fprintf(stderr, "simavr-uno: %s is no image\n", image);
        exit(1);
    }
    avr_t *avr = avr_make_mcu_by_name("atmega328p");
    if (!avr) {
        fprintf(stderr, "simavr-uno: this libsimavr knows no ATmega328P\n");
        exit(1);
    }
    avr_init(avr);
    avr->log = LOG_ERROR;
    firmware.frequency = HERTZ;
    avr_load_firmware(avr, &firmware);
    return avr;
}

static void wire_up(avr_t *avr)
{
    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_GET_FLAGS('0'), &flags);
    /* Neither echoed on stdout, nor slept in. */
    flags &= ~(AVR_UART_FLAG_STDIO | AVR_UART_FLAG_POLL_SLEEP);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    board_hears = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    const struct {
        int irq;
        avr_irq_notify_t notify;
    } wires[] = {{UART_IRQ_OUTPUT, on_byte}, {UART_IRQ_OUT_XON, on_xon}, {UART_IRQ_OUT_XOFF, on_xoff}};
    for (size_t i = 0; i < sizeof(wires) / sizeof(*wires); i++)
        avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), wires[i].irq), wires[i].notify, NULL);
    /* A restart, by the chip's watchdog, takes every timer of the simulation away. */
    reset_of_the_chip = avr->reset;
    avr->reset = on_reset;
    avr_cycle_timer_register_usec(avr, LOOK_US, look, NULL);
}

int main(int count, char **arguments)
{
    if (count != 3 && count != 6 && count != 7) {
        fprintf(stderr, "usage: simavr-uno IMAGE.elf LINK [STEPS START works|missing|closed [fast]]\n");
        return 2;
    }
    const double pace = count == 7 ? FASTER : 1;
    const char *link = arguments[2];
    avr_t *avr = board(arguments[1]);

    wire = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (wire < 0 || grantpt(wire) != 0 || unlockpt(wire) != 0)
        die("no pseudo-terminal");
    const char *name = ptsname(wire);
    /* Held open, so that the board does not notice who opens and closes it. */
    const int other_end = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    if (other_end < 0 || tcgetattr(other_end, &raw) != 0)
        die(name);
    cfmakeraw(&raw);
    tcsetattr(other_end, TCSANOW, &raw);

    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = on_button;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);

    wire_up(avr);
    if (count >= 6)
        rail_attach(avr, arguments[3], atol(arguments[4]), arguments[5]);
    plug_in(link, name);
    printf("ready %s\n", link);
    fflush(stdout);

    /* Real time, as far as this machine keeps up. What it lost is lost: a board that catches up would run its clock
     * faster than the gateway's, and its watchdog with it. */
    double began = seconds();
    int state = cpu_Running;
    for (unsigned turn = 1; !stopping && state != cpu_Done && state != cpu_Crashed; turn++) {
        state = avr_run(avr);
        if (turn % 4096 != 0)
            continue;
        const double ahead = (double)avr->cycle / HERTZ / pace - (seconds() - began);
        if (ahead > 0.001)
            usleep(ahead * 1e6);
        else if (ahead < -0.02)
            began -= ahead;
    }
    unlink(link);
    if (!stopping) {
        fprintf(stderr, "simavr-uno: the image ended\n");
        return 1;
    }
    return 0;
}
