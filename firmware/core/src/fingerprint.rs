//! The certificate by which a board knows its gateway.

use core::fmt;

/// The SHA-256 of a certificate. Displayed as 64 digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// This one.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, in any case, and with colons between them as other programs write it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut digits = 0_usize;
        for c in text.trim().chars().filter(|c| *c != ':') {
            let digit = u8::try_from(c.to_digit(16)?).ok()?;
            let byte = bytes.get_mut(digits / 2)?;
            *byte = *byte << 4 | digit;
            digits += 1;
        }
        (digits == 2 * bytes.len()).then_some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_read_as_programs_write_it() {
        let lower = "0123456789abcdef".repeat(4);
        let fingerprint = Fingerprint::parse(&lower).unwrap();
        assert_eq!(fingerprint.to_string(), lower);
        let colons = lower.to_uppercase();
        let pairs: Vec<&str> = (0..32).map(|n| &colons[2 * n..2 * n + 2]).collect();
        assert_eq!(Fingerprint::parse(&pairs.join(":")), Some(fingerprint));
        for wrong in [
            "",
            ":",
            "0123",
            &lower[1..],
            &format!("{lower}0"),
            &lower.replace('a', "g"),
        ] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 32], noise in "\\PC{0,70}") {
            let fingerprint = Fingerprint::new(bytes);
            prop_assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
            let _ = Fingerprint::parse(&noise);
        }
    }
}
