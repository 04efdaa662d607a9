//! The pins of motors and servos: PWM while all is well, low when it is not.

use core::sync::atomic::{AtomicU32, Ordering};

use esp_hal::gpio::{self, AnyPin, DriveMode, InputConfig, OutputConfig};
use esp_hal::ledc::channel::{self, ChannelHW as _, ChannelIFace as _};
use esp_hal::ledc::timer::{self, TimerIFace as _};
use esp_hal::ledc::{LSGlobalClkSource, Ledc, LowSpeed};
use esp_hal::peripherals::LEDC;
use esp_hal::time::Rate;
use esp_println::println;
use heapless::Vec;
use static_cell::StaticCell;
use wsdm_device::{Channel, Level};
use wsdm_device_board::{MOTOR, OUTPUTS_MAX, Output, Outputs, SERVO, Timer, bridge, duty};

use crate::sense;

/// The pins of all outputs, as bits. Everything else may be broken when this is looked at.
static PINS: AtomicU32 = AtomicU32::new(0);

/// The pin of this number.
///
/// # Safety
/// The chip has it, and whoever drives it besides does not mind.
unsafe fn pin(number: u8) -> AnyPin<'static> {
    // SAFETY: the caller's promise.
    unsafe { AnyPin::steal(number) }
}

/// Drives every output's pin low, and remembers which these are. Those that it remembered before and are no outputs now
/// are let go.
pub fn hold_low(outputs: &Outputs) {
    let before = PINS.load(Ordering::SeqCst);
    PINS.store(outputs.mask(), Ordering::SeqCst);
    all_low();
    for number in numbers(before & !outputs.mask()) {
        // SAFETY: as in `all_low`.
        let _ = gpio::Input::new(unsafe { pin(number) }, InputConfig::default());
    }
}

fn numbers(mask: u32) -> impl Iterator<Item = u8> {
    (0..32_u8).filter(move |number| mask & (1 << number) != 0)
}

/// Takes every output's pin from whatever drives it, and drives it low. For when all else fails: a motor's transistor
/// closes, a servo gets no pulses and goes limp.
pub fn all_low() {
    for number in numbers(PINS.load(Ordering::SeqCst)) {
        // SAFETY: the settings took this number, so the chip has it; and its driver is being overruled.
        let pin = unsafe { pin(number) };
        // It stays as it is when this is dropped.
        let _ = gpio::Output::new(pin, gpio::Level::Low, OutputConfig::default());
    }
}

/// A pin that something else drives.
pub fn input(number: u8) -> AnyPin<'static> {
    // SAFETY: the settings took this number, so the chip has it, and no output of theirs has it.
    unsafe { pin(number) }
}

/// An LED's pin.
pub fn lamp(led: wsdm_device_board::Led) -> gpio::Output<'static> {
    // SAFETY: the settings took this number, so the chip has it; no output has it, and nothing else asks for pins of
    // the chip's list.
    let pin = unsafe { pin(led.pin) };
    gpio::Output::new(pin, gpio::Level::from(led.inverted), OutputConfig::default())
}

type LowTimer = timer::Timer<'static, LowSpeed>;

/// The outputs under the device core.
pub struct Pwm(Vec<(Channel, Part, channel::Channel<'static, LowSpeed>), OUTPUTS_MAX>);

/// What a pin is of its output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Forwards,
    Reverse,
}

/// Each pin of an output.
fn parts(output: Output) -> impl Iterator<Item = (Channel, Part, u8)> {
    let of = move |part, pin| (output.channel, part, pin);
    let (first, second) = match output.reverse {
        None => (of(Part::All, output.pin), None),
        Some(pin) => (of(Part::Forwards, output.pin), Some(of(Part::Reverse, pin))),
    };
    [Some(first), second].into_iter().flatten()
}

impl Pwm {
    /// PWM on the pins that are set, all at 0. What cannot be had is told, and stays low.
    pub fn new(ledc: LEDC<'static>, outputs: &Outputs) -> Self {
        static MOTOR_TIMER: StaticCell<LowTimer> = StaticCell::new();
        static SERVO_TIMER: StaticCell<LowTimer> = StaticCell::new();
        const NUMBERS: [channel::Number; OUTPUTS_MAX] = [
            channel::Number::Channel0,
            channel::Number::Channel1,
            channel::Number::Channel2,
            channel::Number::Channel3,
            channel::Number::Channel4,
            channel::Number::Channel5,
        ];
        let mut ledc = Ledc::new(ledc);
        ledc.set_global_slow_clock(LSGlobalClkSource::APBClk);
        let motor = MOTOR_TIMER.init(ledc.timer(timer::Number::Timer0));
        let servo = SERVO_TIMER.init(ledc.timer(timer::Number::Timer1));
        start(motor, MOTOR, timer::config::Duty::Duty10Bit);
        start(servo, SERVO, timer::config::Duty::Duty14Bit);
        let (motor, servo) = (&*motor, &*servo);
        let mut channels = Vec::new();
        for ((of, part, pin_number), number) in outputs.iter().flat_map(parts).zip(NUMBERS) {
            // SAFETY: the settings took this number, so the chip has it; each is in the settings once, and what held
            // it low until now is gone.
            let mut channel = ledc.channel(number, unsafe { pin(pin_number) });
            let configured = channel.configure(channel::config::Config {
                timer: if of.is_position() && part == Part::All {
                    servo
                } else {
                    motor
                },
                duty_pct: 0,
                drive_mode: DriveMode::PushPull,
            });
            match configured {
                // As many as there are numbers.
                Ok(()) => drop(channels.push((of, part, channel))),
                Err(e) => println!("{of} stays off, no PWM on pin {pin_number}: {e:?}"),
            }
        }
        Self(channels)
    }
}

/// Starts a timer. One that cannot be is told again by each channel that needs it.
fn start(timer: &mut LowTimer, Timer { hz, bits }: Timer, duty: timer::config::Duty) {
    let started = timer.configure(timer::config::Config {
        duty,
        clock_source: timer::LSClockSource::APBClk,
        frequency: Rate::from_hz(hz),
    });
    if let Err(e) = started {
        println!("no PWM of {hz} Hz with {bits} bits: {e:?}");
    }
}

impl wsdm_device::Outputs for Pwm {
    fn set(&mut self, channel: Channel, level: Level) {
        let (_, counts) = duty(channel, level);
        let is_meant = |of: Channel, part| of == channel && part == Part::All;
        for (.., pwm) in self.0.iter().filter(|(of, part, _)| is_meant(*of, *part)) {
            pwm.set_duty_hw(counts);
        }
    }

    fn turn(&mut self, level: Level, is_reversed: bool) {
        let (forwards, reverse) = bridge(level, is_reversed);
        // What goes low does so before the other goes high.
        let mut duties = [(Part::Forwards, forwards), (Part::Reverse, reverse)];
        duties.sort_unstable_by_key(|(_, counts)| *counts);
        for (wanted, counts) in duties {
            for (.., pwm) in self.0.iter().filter(|(_, part, _)| *part == wanted) {
                pwm.set_duty_hw(counts);
            }
        }
    }

    fn charge(&self) -> Option<u8> {
        sense::battery()
    }
}
