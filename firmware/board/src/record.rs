//! Settings as bytes for flash.
//!
//! ```text
//!   "WSDM"  version  0  length  sequence  CRC-32  │ key  length  value │ key  length  value │ …
//!     4        1     1     2       4        4     │  1     1           │
//! ```
//!
//! Numbers are little-endian. Length is that of everything behind the checksum, which covers all but itself. A value is
//! the text that a person would type, and is checked like it: flash that was written by other software, or by a later
//! version, must not make a board do what its console would refuse.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc};
use heapless::{String, Vec};

use crate::pins::Chip;
use crate::settings::{Invalid, Key, Settings, VALUE_MAX_BYTES};

const MAGIC: &[u8; 4] = b"WSDM";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
/// What flash is when it was erased.
pub(crate) const ERASED: u8 = 0xff;
/// The longest record: every setting at its longest fits.
pub const RECORD_MAX_BYTES: usize = 1_024;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why a record cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Something else is there.
    Foreign,
    /// Written by another version of the firmware.
    Version(u8),
    /// Changed since, or not written to its end.
    Checksum,
    /// Whole, but not what this version writes.
    Content,
    /// Whole, but with a value that is not taken.
    Value(Key, Invalid),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("what is there was not written by this firmware"),
            Self::Version(version) => write!(
                f,
                "they have the format {version}, which this firmware does not know"
            ),
            Self::Checksum => f.write_str("the checksum is wrong"),
            Self::Content => f.write_str("their content is not understood"),
            Self::Value(key, e) => write!(f, "{}: {e}", key.name()),
        }
    }
}

/// A number for each key that never changes.
const fn number(key: Key) -> u8 {
    match key {
        Key::Ssid => 1,
        Key::Password => 2,
        Key::Gateway => 3,
        Key::Token => 4,
        Key::Identifier => 5,
        Key::Device => 6,
        Key::Pins => 7,
        Key::Led => 8,
        Key::SilenceMs => 9,
        Key::Button => 10,
        Key::Limits => 11,
        Key::Battery => 12,
        Key::OtaPassword => 13,
        Key::Fingerprint => 14,
    }
}

/// Settings as bytes. The one with the highest sequence is the newest.
pub(crate) fn encode(settings: &Settings, sequence: u32) -> Option<Vec<u8, RECORD_MAX_BYTES>> {
    let mut record = Vec::new();
    record.extend_from_slice(&[0; HEADER_BYTES]).ok()?;
    for key in Key::ALL {
        let mut value = String::<VALUE_MAX_BYTES>::new();
        settings.write(key, &mut value).ok()?;
        record.push(number(key)).ok()?;
        record.push(u8::try_from(value.len()).ok()?).ok()?;
        record.extend_from_slice(value.as_bytes()).ok()?;
    }
    let len = u16::try_from(record.len() - HEADER_BYTES).ok()?;
    record.get_mut(..4)?.copy_from_slice(MAGIC);
    *record.get_mut(4)? = VERSION;
    record.get_mut(6..8)?.copy_from_slice(&len.to_le_bytes());
    record.get_mut(8..12)?.copy_from_slice(&sequence.to_le_bytes());
    let crc = checksum(record.get(..12)?, record.get(HEADER_BYTES..)?);
    record.get_mut(12..16)?.copy_from_slice(&crc.to_le_bytes());
    Some(record)
}

/// The settings in these bytes, and their sequence; `None` where they were erased and not written since.
pub(crate) fn decode(bytes: &[u8], chip: &Chip) -> Result<Option<(u32, Settings)>, Broken> {
    if bytes.iter().all(|byte| *byte == ERASED) {
        return Ok(None);
    }
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Broken::Foreign)?;
    let [m0, m1, m2, m3, version, _, l0, l1, s0, s1, s2, s3, c0, c1, c2, c3] = *header;
    let len = usize::from(u16::from_le_bytes([l0, l1]));
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    if [m0, m1, m2, m3] != *MAGIC {
        // What would be whole but for that is no other firmware's.
        let mut mended = *header;
        mended[..4].copy_from_slice(MAGIC);
        let is_ours = rest
            .get(..len)
            .is_some_and(|body| checksum(&mended[..12], body) == crc);
        return Err(if is_ours {
            Broken::Checksum
        } else {
            Broken::Foreign
        });
    }
    if version != VERSION {
        return Err(Broken::Version(version));
    }
    let body = rest.get(..len).ok_or(Broken::Checksum)?;
    if checksum(&header[..12], body) != crc {
        return Err(Broken::Checksum);
    }
    let mut settings = Settings::default();
    let mut rest = body;
    while let [tag, len, behind @ ..] = rest {
        let key = Key::ALL
            .into_iter()
            .find(|key| number(*key) == *tag)
            .ok_or(Broken::Content)?;
        let (value, behind) = behind
            .split_at_checked(usize::from(*len))
            .ok_or(Broken::Content)?;
        let value = core::str::from_utf8(value).map_err(|_| Broken::Content)?;
        settings
            .set(key, value, chip)
            .map_err(|e| Broken::Value(key, e))?;
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(Broken::Content);
    }
    Ok(Some((u32::from_le_bytes([s0, s1, s2, s3]), settings)))
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header);
    digest.update(body);
    digest.finalize()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pins::{ESP32C3, ESP32C6};

    /// Any settings that can be set.
    pub(crate) fn any_settings() -> impl Strategy<Value = Settings> {
        let values: std::vec::Vec<_> = Key::ALL.into_iter().map(any_value).collect();
        values.prop_map(|values| {
            let mut settings = Settings::default();
            for (key, value) in Key::ALL.into_iter().zip(values) {
                settings.set(key, &value, &ESP32C3).unwrap();
            }
            settings
        })
    }

    /// A value that no other setting contradicts.
    fn any_value(key: Key) -> impl Strategy<Value = std::string::String> {
        let pattern = match key {
            Key::Ssid => "[ -~]{0,32}",
            Key::Password | Key::OtaPassword => "([ -~]{8,63})?",
            Key::Gateway => "mdns|[a-z]{1,20}(:[1-9][0-9]{1,3})?",
            Key::Token => "[ -~\u{e4}]{0,60}",
            Key::Identifier => "[ -~]{0,64}",
            Key::Device => "lovense|tcode",
            Key::Pins => "(V0=[0-3])?( V1=[4-6])?( L0=[7-9])?",
            Key::Led => "none|10|10 inverted",
            Key::SilenceMs => "[5-9][0-9]{2}|[1-9][0-9]{3}",
            Key::Button => "none|10|10 opens",
            Key::Limits => "(V0=[1-9]0? )?(L0=[1-4]0-[5-9]0)?",
            Key::Battery => "none",
            Key::Fingerprint => "none|[0-9a-f]{64}",
        };
        proptest::string::string_regex(pattern).unwrap()
    }

    #[test]
    fn the_longest_settings_fit() {
        let mut settings = Settings::default();
        for (key, len) in [
            (Key::Ssid, 32),
            (Key::Password, 63),
            (Key::Gateway, 123),
            (Key::Token, 128),
            (Key::Identifier, 64),
            (Key::OtaPassword, 63),
        ] {
            settings.set(key, &"x".repeat(len), &ESP32C6).unwrap();
        }
        let pins = "V0=10 V1=11 L0=14 L1=15 R0=18 A0=19";
        settings.set(Key::Pins, pins, &ESP32C6).unwrap();
        let limits = "L0=10-90 L1=10-90 L2=10-90 R0=100 R1=100 V0=100";
        settings.set(Key::Limits, limits, &ESP32C6).unwrap();
        settings.set(Key::Fingerprint, &"f".repeat(64), &ESP32C6).unwrap();
        let record = encode(&settings, u32::MAX).unwrap();
        assert_eq!(decode(&record, &ESP32C6), Ok(Some((u32::MAX, settings))));
    }

    #[test]
    fn erased_flash_is_no_error() {
        assert_eq!(decode(&[ERASED; 64], &ESP32C3), Ok(None));
        assert_eq!(decode(&[0; 64], &ESP32C3), Err(Broken::Foreign));
    }

    /// What was saved before there were these settings goes on being used.
    #[test]
    fn a_record_without_the_newer_settings_is_read() {
        let mut body = std::vec::Vec::new();
        for (tag, value) in [(7_u8, "V0=9"), (6, "tcode")] {
            body.extend_from_slice(&[tag, value.len() as u8]);
            body.extend_from_slice(value.as_bytes());
        }
        let mut bytes = [
            &b"WSDM\x01\0"[..],
            &(body.len() as u16).to_le_bytes(),
            &[3, 0, 0, 0],
        ]
        .concat();
        let crc = checksum(&bytes, &body);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&body);
        let (sequence, settings) = decode(&bytes, &ESP32C3).unwrap().unwrap();
        assert_eq!((sequence, settings.button(), settings.battery()), (3, None, None));
        assert!(settings.outputs().uses(9));
    }

    #[test]
    fn another_version_is_told() {
        let mut record = encode(&Settings::default(), 1).unwrap();
        record[4] = 2;
        assert_eq!(decode(&record, &ESP32C3), Err(Broken::Version(2)));
    }

    #[test]
    fn pins_of_another_chip_are_told() {
        let mut settings = Settings::default();
        settings.set(Key::Pins, "V0=22", &ESP32C6).unwrap();
        let record = encode(&settings, 1).unwrap();
        let broken = decode(&record, &ESP32C3).unwrap_err();
        assert!(
            matches!(broken, Broken::Value(Key::Pins, Invalid::Pins(_))),
            "{broken}"
        );
    }

    proptest! {
        #[test]
        fn settings_survive(settings in any_settings(), sequence: u32, behind in 0_usize..100) {
            let mut bytes = encode(&settings, sequence).unwrap().to_vec();
            bytes.resize(bytes.len() + behind, ERASED);
            prop_assert_eq!(decode(&bytes, &ESP32C3), Ok(Some((sequence, settings))));
        }

        #[test]
        fn every_changed_byte_is_noticed(settings in any_settings(), at: prop::sample::Index, with in 1_u8..) {
            let mut bytes = encode(&settings, 7).unwrap().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            prop_assert!(decode(&bytes, &ESP32C3).is_err());
        }

        #[test]
        fn a_cut_record_is_noticed(settings in any_settings(), at: prop::sample::Index) {
            let whole = encode(&settings, 7).unwrap();
            let mut bytes = whole.to_vec();
            let at = 1 + at.index(bytes.len() - 1);
            bytes[at..].fill(ERASED);
            // What was cut off may have been nothing but what erased flash is.
            prop_assert!(bytes[..] == whole[..] || decode(&bytes, &ESP32C3).is_err());
        }

        #[test]
        fn no_bytes_break_it(bytes: std::vec::Vec<u8>, len: u16) {
            let _ = decode(&bytes, &ESP32C3);
            let mut bytes = [b"WSDM\x01\0".as_slice(), &len.to_le_bytes(), &[0; 8], &bytes].concat();
            let end = bytes.len().min(16 + usize::from(len));
            bytes[6..8].copy_from_slice(&((end - 16) as u16).to_le_bytes());
            let crc = checksum(&bytes[..12], &bytes[16..end]);
            bytes[12..16].copy_from_slice(&crc.to_le_bytes());
            let _ = decode(&bytes, &ESP32C3);
        }
    }
}
