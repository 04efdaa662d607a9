//! Which pin does what, and which pins a chip has to give.

use core::fmt;

use wsdm_device::{AxisSettings, Channel, Kind, Motors};

/// As many pins of outputs as an ESP32-C3 or C6 has PWM channels.
pub const OUTPUTS_MAX: usize = 6;

/// What turns either way.
const ROTATION: Channel = Channel::new(Kind::Rotate, 0);

/// A chip's pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Its name, for people.
    pub name: &'static str,
    /// The pins that may be used. Left out are those of the flash, of USB and of the serial console.
    pub pins: &'static [u8],
    /// Those of them that measure a voltage.
    pub analogue: &'static [u8],
    /// The number that images for it have in their header.
    pub image: u16,
}

/// The ESP32-C3. 11 to 17 are the flash's, 18 and 19 are USB, 20 and 21 the serial console.
pub const ESP32C3: Chip = Chip {
    name: "ESP32-C3",
    pins: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    analogue: &[0, 1, 2, 3, 4],
    image: 5,
};

/// The ESP32-C6. 12 and 13 are USB, 16 and 17 the serial console, 24 to 30 are the flash's; 10, 11 and 14 are not led
/// out where the flash is in the package.
pub const ESP32C6: Chip = Chip {
    name: "ESP32-C6",
    pins: &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 18, 19, 20, 21, 22, 23,
    ],
    analogue: &[0, 1, 2, 3, 4, 5, 6],
    image: 13,
};

/// Why pins cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinError {
    /// Not of the form `V0=4`.
    Syntax,
    /// Not V0 to V3, L0 to L2, R0 to R2 or A0 to A2.
    Channel,
    /// The chip has no such pin to give.
    Pin,
    /// A pin or a channel that is named already.
    Twice,
    /// More than [`OUTPUTS_MAX`].
    TooMany,
    /// Two pins for something that does not turn either way.
    Bridge,
    /// Not of the form `9` or `9 opens`.
    Button,
    /// Not a pin that measures a voltage.
    Battery,
    /// A pin that something else has: an output, the button or the battery.
    Taken(u8),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken(pin) => return write!(f, "pin {pin} has another use: see pins, button and battery"),
            Self::Button => "the button is written 9, 9 opens or none",
            Self::Battery => {
                "the battery is a pin that measures, from 0 on: 0 to 4 (ESP32-C6: to 6), or none"
            }
            Self::Syntax => "pins are written V0=4 L0=5, the LED as 8, 8 inverted or none",
            Self::Channel => "a channel is one of V0 to V3, L0 to L2, R0 to R2, A0 to A2",
            Self::Pin => "this chip has no such pin to give",
            Self::Twice => "a pin or a channel is used twice",
            Self::TooMany => "this chip drives 6 pins at most",
            Self::Bridge => "two pins are for R0, a motor that turns either way: R0=5/6",
        })
    }
}

/// A channel and the pin that it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// What is moved.
    pub channel: Channel,
    /// The number of the GPIO.
    pub pin: u8,
    /// The second one, of an H-bridge: its motor turns the other way while this one is high.
    pub reverse: Option<u8>,
}

impl Output {
    /// Its pins.
    pub fn pins(self) -> impl Iterator<Item = u8> {
        [Some(self.pin), self.reverse].into_iter().flatten()
    }
}

/// Every output of a board; no pin and no channel is in it twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs(heapless::Vec<Output, OUTPUTS_MAX>);

impl Outputs {
    /// Reads `V0=4 L0=5`, and `R0=6/7` for an H-bridge; nothing at all is no output.
    ///
    /// # Errors
    /// What the chip cannot do.
    pub fn parse(text: &str, chip: &Chip) -> Result<Self, PinError> {
        let mut outputs = Self::default();
        for word in text.split_ascii_whitespace() {
            let (name, pin) = word.split_once('=').ok_or(PinError::Syntax)?;
            let channel = channel(name).ok_or(PinError::Channel)?;
            let (pin, reverse) = match pin.split_once('/') {
                None => (number(pin, chip)?, None),
                Some(_) if channel != ROTATION => return Err(PinError::Bridge),
                Some((pin, reverse)) => (number(pin, chip)?, Some(number(reverse, chip)?)),
            };
            let output = Output {
                channel,
                pin,
                reverse,
            };
            let is_taken = |pin: u8| outputs.uses(pin) || reverse == Some(output.pin);
            if outputs.0.iter().any(|other| other.channel == channel) || output.pins().any(is_taken) {
                return Err(PinError::Twice);
            }
            outputs.0.push(output).map_err(|_| PinError::TooMany)?;
            if outputs.iter().flat_map(Output::pins).count() > OUTPUTS_MAX {
                return Err(PinError::TooMany);
            }
        }
        Ok(outputs)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Output> {
        self.0.iter().copied()
    }

    /// The motors that these make of a lovense device: as many as its highest channel says.
    pub fn motors(&self) -> Motors {
        let has = |index| {
            self.iter()
                .any(|output| output.channel == Channel::new(Kind::Vibrate, index))
        };
        let has_rotation = self.iter().any(|output| output.reverse.is_some());
        match (has(2), has(1), has_rotation) {
            (_, true, true) => Motors::TwoAndRotation,
            (_, false, true) => Motors::OneAndRotation,
            (true, _, false) => Motors::Three,
            (false, true, false) => Motors::Two,
            (false, false, false) => Motors::One,
        }
    }

    /// The axes that these make of a TCode device. TCode has angles, and nothing that turns on and on.
    pub fn axes(&self) -> heapless::Vec<AxisSettings, OUTPUTS_MAX> {
        self.iter()
            .filter(|output| output.reverse.is_none())
            .map(|output| AxisSettings::new(output.channel.kind, output.channel.index))
            .collect()
    }

    /// Whether this pin is one of them.
    pub fn uses(&self, pin: u8) -> bool {
        self.iter().flat_map(Output::pins).any(|used| used == pin)
    }

    /// The pins as bits: what must go low when everything fails.
    pub fn mask(&self) -> u32 {
        // No chip here has a pin over 31; one that had could not be in the mask.
        self.iter()
            .flat_map(Output::pins)
            .filter_map(|pin| 1_u32.checked_shl(u32::from(pin)))
            .fold(0, |mask, bit| mask | bit)
    }
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, output) in self.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}={}", output.channel, output.pin)?;
            if let Some(reverse) = output.reverse {
                write!(f, "/{reverse}")?;
            }
        }
        Ok(())
    }
}

/// The status LED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Led {
    /// The number of the GPIO.
    pub pin: u8,
    /// It is lit when the pin is low, as on many small boards.
    pub inverted: bool,
}

impl Led {
    /// Reads `8`, `8 inverted` or `none`.
    ///
    /// # Errors
    /// What the chip cannot do.
    pub fn parse(text: &str, chip: &Chip) -> Result<Option<Self>, PinError> {
        let mut words = text.split_ascii_whitespace();
        let pin = words.next().ok_or(PinError::Syntax)?;
        let inverted = match (words.next(), words.next()) {
            (None, None) => false,
            (Some("inverted"), None) => true,
            _ => return Err(PinError::Syntax),
        };
        match pin {
            "none" if !inverted => Ok(None),
            pin => Ok(Some(Self {
                pin: number(pin, chip)?,
                inverted,
            })),
        }
    }
}

impl fmt::Display for Led {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.pin, if self.inverted { " inverted" } else { "" })
    }
}

pub(crate) fn number(text: &str, chip: &Chip) -> Result<u8, PinError> {
    let pin = text.parse().map_err(|_| PinError::Syntax)?;
    if chip.pins.contains(&pin) {
        Ok(pin)
    } else {
        Err(PinError::Pin)
    }
}

pub(crate) fn channel(name: &str) -> Option<Channel> {
    let (kind, last) = match name.get(..1)? {
        "V" | "v" => (Kind::Vibrate, 3),
        "L" | "l" => (Kind::Linear, 2),
        "R" | "r" => (Kind::Rotate, 2),
        "A" | "a" => (Kind::Auxiliary, 2),
        _ => return None,
    };
    match name.get(1..)?.as_bytes() {
        [digit @ b'0'..=b'3'] if digit - b'0' <= last => Some(Channel::new(kind, digit - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outputs_are_read_and_written() {
        let outputs = Outputs::parse(" V0=4  l0=5 ", &ESP32C3).unwrap();
        assert_eq!(outputs.to_string(), "V0=4 L0=5");
        let vibrators = outputs
            .iter()
            .filter(|output| output.channel.kind == Kind::Vibrate);
        assert_eq!(vibrators.count(), 1);
        assert_eq!(outputs.mask(), 0b11_0000);
        assert_eq!(Outputs::parse("", &ESP32C3), Ok(Outputs::default()));
    }

    #[test]
    fn the_highest_motor_counts() {
        for (pins, motors) in [
            ("", Motors::One),
            ("V0=1 L2=2", Motors::One),
            ("V1=1", Motors::Two),
            ("V0=1 V2=2", Motors::Three),
            ("V0=1 V3=2", Motors::One),
            ("R0=1/2", Motors::OneAndRotation),
            ("V0=3 V1=4 R0=1/2", Motors::TwoAndRotation),
            ("V0=3 R0=1", Motors::One),
        ] {
            assert_eq!(Outputs::parse(pins, &ESP32C3).unwrap().motors(), motors, "{pins}");
        }
    }

    #[test]
    fn what_a_chip_cannot_do_is_told() {
        for (text, wanted) in [
            ("V0", PinError::Syntax),
            ("V0=x", PinError::Syntax),
            ("V0=-1", PinError::Syntax),
            ("V4=1", PinError::Channel),
            ("L3=1", PinError::Channel),
            ("X0=1", PinError::Channel),
            ("\u{e4}0=1", PinError::Channel),
            ("V00=1", PinError::Channel),
            ("V0=18", PinError::Pin),
            ("V0=1 V0=2", PinError::Twice),
            ("V0=1 V1=1", PinError::Twice),
            ("V0=0 V1=1 V2=2 V3=3 L0=4 L1=5 L2=6", PinError::TooMany),
        ] {
            assert_eq!(Outputs::parse(text, &ESP32C3), Err(wanted), "{text}");
        }
        assert!(Outputs::parse("V0=18", &ESP32C6).is_ok());
    }

    #[test]
    fn an_h_bridge_has_two_pins_that_nothing_else_has() {
        let outputs = Outputs::parse("V0=4 R0=5/6", &ESP32C3).unwrap();
        assert_eq!(outputs.to_string(), "V0=4 R0=5/6");
        assert_eq!(outputs.mask(), 0b111_0000);
        assert!(outputs.uses(5) && outputs.uses(6));
        assert_eq!(outputs.axes().len(), 1);
        for (text, wanted) in [
            ("V0=5/6", PinError::Bridge),
            ("R1=5/6", PinError::Bridge),
            ("R0=5/5", PinError::Twice),
            ("R0=5/6 V0=6", PinError::Twice),
            ("V0=6 R0=5/6", PinError::Twice),
            ("R0=5/", PinError::Syntax),
            ("R0=5/6/7", PinError::Syntax),
            ("R0=5/18", PinError::Pin),
            ("R0=0/1 V0=2 V1=3 L0=4 L1=5 L2=6", PinError::TooMany),
            ("V0=2 V1=3 L0=4 L1=5 L2=6 R0=0/1", PinError::TooMany),
        ] {
            assert_eq!(Outputs::parse(text, &ESP32C3), Err(wanted), "{text}");
        }
    }

    #[test]
    fn an_led_may_be_inverted_or_missing() {
        let led = Led::parse("8 inverted", &ESP32C3).unwrap().unwrap();
        assert_eq!((led.pin, led.inverted), (8, true));
        assert_eq!(led.to_string(), "8 inverted");
        assert_eq!(Led::parse("none", &ESP32C3), Ok(None));
        assert_eq!(Led::parse("8 low", &ESP32C3), Err(PinError::Syntax));
        assert_eq!(Led::parse("none inverted", &ESP32C3), Err(PinError::Syntax));
        assert_eq!(Led::parse("", &ESP32C3), Err(PinError::Syntax));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[VLRAvlra0-9=/ \\PC]{0,40}") {
            if let Ok(outputs) = Outputs::parse(&text, &ESP32C6) {
                prop_assert_eq!(Outputs::parse(&outputs.to_string(), &ESP32C6), Ok(outputs));
            }
            if let Ok(Some(led)) = Led::parse(&text, &ESP32C6) {
                prop_assert_eq!(Led::parse(&led.to_string(), &ESP32C6), Ok(Some(led)));
            }
        }
    }
}
