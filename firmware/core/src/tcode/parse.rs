//! What one word of TCode means. No state.

use crate::device::{Channel, Kind, Level};

/// Digits that count; a servo resolves four.
const DIGITS_MAX: usize = 9;
/// The greatest preference of a range.
const PREFERENCE_MAX: u32 = 9_999;

/// How a move is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as the axis may.
    AtOnce,
    /// In so many milliseconds.
    Within(u32),
    /// At so many hundredths of the range a second.
    Speed(u32),
}

impl Pace {
    /// How long a move over the whole range would take, where nothing holds the axis back.
    pub(super) fn at_most_ms(self) -> u64 {
        match self {
            Self::AtOnce => 0,
            Self::Within(ms) => u64::from(ms),
            Self::Speed(hundredths) => 100_000 / u64::from(hundredths.max(1)),
        }
    }
}

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `D0`: which device are you?
    Device,
    /// `D1`: which TCode do you speak?
    Version,
    /// `D2`: which axes have you?
    Axes,
    /// `DSTOP`.
    Stop,
    /// `$L0-1000-9000`: the range that the user likes.
    Prefer(Channel, u16, u16),
    /// `L0500I1000`.
    Move(Channel, Level, Pace),
}

/// Reads a word, in capitals or not.
pub(super) fn command(word: &[u8]) -> Option<Command> {
    let is = |known: &[u8]| word.eq_ignore_ascii_case(known);
    match word {
        _ if is(b"D0") => Some(Command::Device),
        _ if is(b"D1") => Some(Command::Version),
        _ if is(b"D2") => Some(Command::Axes),
        _ if is(b"DSTOP") => Some(Command::Stop),
        [b'$', rest @ ..] => prefer(rest),
        [kind, index, rest @ ..] => movement(channel(*kind, *index)?, rest),
        _ => None,
    }
}

fn channel(kind: u8, index: u8) -> Option<Channel> {
    let kind = match kind.to_ascii_uppercase() {
        b'L' => Kind::Linear,
        b'R' => Kind::Rotate,
        b'V' => Kind::Vibrate,
        b'A' => Kind::Auxiliary,
        _ => return None,
    };
    index.is_ascii_digit().then(|| Channel::new(kind, index - b'0'))
}

fn movement(channel: Channel, rest: &[u8]) -> Option<Command> {
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (magnitude, rest) = rest.split_at(digits);
    let pace = match rest {
        [] => Pace::AtOnce,
        [b'I' | b'i', ms @ ..] => match number(ms)? {
            0 => Pace::AtOnce,
            ms => Pace::Within(ms),
        },
        [b'S' | b's', speed @ ..] => match number(speed)? {
            0 => Pace::AtOnce,
            speed => Pace::Speed(speed),
        },
        _ => return None,
    };
    Some(Command::Move(channel, fraction(magnitude)?, pace))
}

fn prefer(rest: &[u8]) -> Option<Command> {
    let mut parts = rest.split(|b| *b == b'-');
    let [kind, index] = *parts.next()? else {
        return None;
    };
    let preference = |digits: &[u8]| {
        let number = number(digits).filter(|number| *number <= PREFERENCE_MAX)?;
        u16::try_from(number).ok()
    };
    let (low, high) = (preference(parts.next()?)?, preference(parts.next()?)?);
    match parts.next() {
        None => Some(Command::Prefer(channel(kind, index)?, low, high)),
        Some(_) => None,
    }
}

/// The digits after "0."; at least one.
fn fraction(digits: &[u8]) -> Option<Level> {
    let counted = &digits[..digits.len().min(DIGITS_MAX)];
    let whole = counted.iter().fold(1_u32, |whole, _| whole.saturating_mul(10));
    Some(Level::of(number(counted)?, whole))
}

/// Digits only, nine at most: no more than eleven days in milliseconds.
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const L0: Channel = Channel::new(Kind::Linear, 0);

    #[test]
    fn a_magnitude_is_a_decimal_fraction() {
        for (text, thousandths) in [
            ("500", 500),
            ("5", 500),
            ("05", 50),
            ("9999", 1_000),
            ("000", 0),
            ("12345678999999", 123),
        ] {
            let level = fraction(text.as_bytes()).unwrap();
            assert_eq!(level.times(1_000), thousandths, "{text}");
        }
        assert_eq!(fraction(b""), None);
    }

    #[test]
    fn words_are_read() {
        assert_eq!(
            command(b"l05i1000"),
            Some(Command::Move(L0, Level::MIDDLE, Pace::Within(1_000)))
        );
        assert_eq!(
            command(b"L00S10"),
            Some(Command::Move(L0, Level::OFF, Pace::Speed(10)))
        );
        assert_eq!(
            command(b"L00I0"),
            Some(Command::Move(L0, Level::OFF, Pace::AtOnce))
        );
        assert_eq!(command(b"dstop"), Some(Command::Stop));
        assert_eq!(command(b"$L0-1000-9000"), Some(Command::Prefer(L0, 1_000, 9_000)));
        for wrong in [
            "L0",
            "L",
            "X05",
            "L0x",
            "L05I",
            "L05Ix",
            "L05S-1",
            "L05I9999999999",
            "D9",
            "$L0",
            "$Q0-1-2",
            "$L0-1-10000",
            "$L0-1-2-3",
            "$-1-2",
            "\u{1b}[2J",
            "hello",
            "L\u{b2}5",
        ] {
            assert_eq!(command(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_word_breaks_it(word in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = command(&word);
        }

        #[test]
        fn no_near_word_breaks_it(word in "[LRVAD$lrva][0-9]{0,12}[IS-]?[0-9-]{0,12}") {
            let _ = command(word.as_bytes());
        }
    }
}
