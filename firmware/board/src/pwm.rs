//! What a level comes to on a pin: a share of each period for a motor, a pulse of 1 to 2 ms for a servo.

use wsdm_device::{Channel, Level};

/// A PWM timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Periods a second.
    pub hz: u32,
    /// It counts to two to the power of this in each.
    pub bits: u32,
}

/// For motors: beyond what is heard, and still something that a small MOSFET follows.
pub const MOTOR: Timer = Timer { hz: 20_000, bits: 10 };
/// For servos, of the analogue kind too. 14 bits are all that an ESP32-C3 counts: 819 steps from end to end.
pub const SERVO: Timer = Timer { hz: 50, bits: 14 };

/// A servo's pulse, in microseconds, at 0 and at 1.
const PULSE_US: (u32, u32) = (1_000, 2_000);

/// How much of a period the pin is high, in counts, and the timer that counts them.
pub const fn duty(channel: Channel, level: Level) -> (Timer, u32) {
    if channel.is_position() {
        let us = PULSE_US.0 + level.times(PULSE_US.1 - PULSE_US.0);
        // At most 2,000 * 50 * 16,384, which takes 31 bits.
        (SERVO, us * SERVO.hz * (1 << SERVO.bits) / 1_000_000)
    } else {
        (MOTOR, level.times(1 << MOTOR.bits))
    }
}

/// How long each pin of an H-bridge is high, in counts of [`MOTOR`]: the one that turns its motor forwards, and the one
/// that reverses it. Never both.
pub const fn bridge(level: Level, is_reversed: bool) -> (u32, u32) {
    let counts = level.times(1 << MOTOR.bits);
    if is_reversed { (0, counts) } else { (counts, 0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wsdm_device::Kind;

    use super::*;

    #[test]
    fn a_motor_is_off_at_0_and_fully_on_at_1() {
        let motor = Channel::new(Kind::Vibrate, 0);
        assert_eq!(duty(motor, Level::OFF), (MOTOR, 0));
        assert_eq!(duty(motor, Level::MIDDLE), (MOTOR, 512));
        assert_eq!(duty(motor, Level::FULL), (MOTOR, 1_024));
    }

    #[test]
    fn a_servo_gets_1_to_2_ms_50_times_a_second() {
        let servo = Channel::new(Kind::Linear, 0);
        assert_eq!(duty(servo, Level::OFF), (SERVO, 819));
        assert_eq!(duty(servo, Level::MIDDLE), (SERVO, 1_228));
        assert_eq!(duty(servo, Level::FULL), (SERVO, 1_638));
    }

    #[test]
    fn one_pin_of_a_bridge_is_low_at_least() {
        assert_eq!(bridge(Level::FULL, false), (1_024, 0));
        assert_eq!(bridge(Level::MIDDLE, true), (0, 512));
        assert_eq!(bridge(Level::OFF, true), (0, 0));
    }

    proptest! {
        #[test]
        fn no_level_leaves_the_range(level: u16, more: u16) {
            let (low, high) = (Level(level.min(more)), Level(level.max(more)));
            for kind in [Kind::Vibrate, Kind::Linear, Kind::Rotate, Kind::Auxiliary] {
                let channel = Channel::new(kind, 0);
                let ((timer, lower), (_, higher)) = (duty(channel, low), duty(channel, high));
                prop_assert!(lower <= higher);
                prop_assert!(higher <= 1 << timer.bits);
                prop_assert!(!channel.is_position() || (819..=1_638).contains(&lower));
            }
        }
    }
}
