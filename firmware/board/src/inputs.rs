//! What a board senses: its stop button, and the charge of its battery.

use core::fmt;

use crate::pins::{Chip, PinError, number};

/// The stop button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Button {
    /// The number of the GPIO, which is pulled up.
    pub pin: u8,
    /// Pressed it opens, where others close to ground. Then a wire that breaks stops everything, too.
    pub opens: bool,
}

impl Button {
    /// Reads `9`, `9 opens` or `none`.
    ///
    /// # Errors
    /// What the chip cannot do.
    pub fn parse(text: &str, chip: &Chip) -> Result<Option<Self>, PinError> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("none"), None, None) => Ok(None),
            (Some(pin), opens @ (None | Some("opens")), None) => Ok(Some(Self {
                pin: number(pin, chip).map_err(button_error)?,
                opens: opens.is_some(),
            })),
            _ => Err(PinError::Button),
        }
    }

    /// Whether it is pressed where its pin is high.
    pub const fn is_pressed(self, is_high: bool) -> bool {
        self.opens == is_high
    }
}

fn button_error(e: PinError) -> PinError {
    if e == PinError::Syntax {
        PinError::Button
    } else {
        e
    }
}

impl fmt::Display for Button {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.pin, if self.opens { " opens" } else { "" })
    }
}

/// Reads the pin that gets half of the battery's voltage, such as `0`, or `none`.
///
/// # Errors
/// The chip cannot measure there.
pub fn parse_battery(text: &str, chip: &Chip) -> Result<Option<u8>, PinError> {
    if text.trim() == "none" {
        return Ok(None);
    }
    let pin = text.trim().parse().map_err(|_| PinError::Battery)?;
    if chip.analogue.contains(&pin) {
        Ok(Some(pin))
    } else {
        Err(PinError::Battery)
    }
}

/// A lithium cell's voltage in millivolts, and its charge in percent there.
const CELL: [(u32, u32); 7] = [
    (3_300, 0),
    (3_600, 10),
    (3_700, 30),
    (3_800, 50),
    (3_900, 70),
    (4_000, 80),
    (4_150, 100),
];

/// The charge of one lithium cell, in percent, from half of its voltage.
pub fn charge(half_mv: u32) -> u8 {
    let mv = half_mv.saturating_mul(2);
    let above = CELL.iter().position(|(at, _)| *at >= mv).unwrap_or(CELL.len());
    let percent = match (above.checked_sub(1).and_then(|at| CELL.get(at)), CELL.get(above)) {
        (None, _) => 0,
        (_, None) => 100,
        (Some((mv_low, low)), Some((mv_high, high))) => {
            low + (high - low) * (mv - mv_low) / (mv_high - mv_low)
        }
    };
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pins::ESP32C3;

    #[test]
    fn a_button_closes_or_opens() {
        let button = Button::parse("9", &ESP32C3).unwrap().unwrap();
        assert!(button.is_pressed(false) && !button.is_pressed(true));
        let button = Button::parse(" 9  opens ", &ESP32C3).unwrap().unwrap();
        assert!(button.is_pressed(true) && !button.is_pressed(false));
        assert_eq!(button.to_string(), "9 opens");
        assert_eq!(Button::parse("none", &ESP32C3), Ok(None));
        for (text, wanted) in [
            ("", PinError::Button),
            ("x", PinError::Button),
            ("9 closes", PinError::Button),
            ("none opens", PinError::Button),
            ("9 opens now", PinError::Button),
            ("18", PinError::Pin),
        ] {
            assert_eq!(Button::parse(text, &ESP32C3), Err(wanted), "{text}");
        }
    }

    #[test]
    fn a_battery_is_measured_where_the_chip_can() {
        assert_eq!(parse_battery("0", &ESP32C3), Ok(Some(0)));
        assert_eq!(parse_battery("none", &ESP32C3), Ok(None));
        for text in ["5", "", "x", "0 1"] {
            assert_eq!(parse_battery(text, &ESP32C3), Err(PinError::Battery), "{text}");
        }
    }

    #[test]
    fn a_cell_is_full_or_empty_at_its_ends() {
        for (mv, percent) in [
            (0, 0),
            (3_300, 0),
            (3_650, 20),
            (3_850, 60),
            (4_150, 100),
            (5_000, 100),
        ] {
            assert_eq!(charge(mv / 2), percent, "{mv} mV");
        }
    }

    proptest! {
        #[test]
        fn more_voltage_is_no_less_charge(mv: u32, more: u32) {
            prop_assert!(charge(mv) <= charge(mv.saturating_add(more)));
            prop_assert!(charge(mv) <= 100);
        }
    }
}
