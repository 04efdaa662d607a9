//! Bluetooth LE peripherals as plain data: what a scan sees, which ones an entry matches, and the layout of their
//! services.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

/// A peripheral as the system reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its address, or the system's substitute if the system hides addresses (macOS).
    pub address: String,
    /// Its name, if it has reported one.
    pub name: Option<String>,
    /// Its signal strength in dBm; `None` if it was not received lately.
    pub rssi: Option<i16>,
    /// The services that it advertises, or that are known from a connection.
    pub services: Vec<Uuid>,
    /// Its manufacturer data, by company.
    pub manufacturer_data: HashMap<u16, Vec<u8>>,
    /// Whether this machine is connected to it, through this program or another.
    pub connected: bool,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            // Anyone within range may have chosen the name.
            Some(name) => write!(f, "ble {} {name:?}", self.address),
            None => write!(f, "ble {}", self.address),
        }
    }
}

/// A filter for peripherals: all given criteria must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The peripheral with this address; see [`Seen::address`].
    pub address: Option<PeripheralAddress>,
    /// Peripherals with this name.
    pub name: Option<NamePattern>,
    /// Peripherals that advertise this service.
    pub advertised_service: Option<Uuid>,
    /// Peripherals whose manufacturer data begins like this.
    pub manufacturer_data: Option<ManufacturerData>,
}

impl Wanted {
    /// Whether the filter matches this peripheral.
    pub fn takes(&self, seen: &Seen) -> bool {
        self.address
            .as_ref()
            .is_none_or(|wanted| wanted.0 == seen.address)
            && self
                .name
                .as_ref()
                .is_none_or(|wanted| seen.name.as_deref().is_some_and(|name| wanted.fits(name)))
            && self
                .advertised_service
                .is_none_or(|wanted| seen.services.contains(&wanted))
            && self.manufacturer_data.as_ref().is_none_or(|wanted| {
                let data = seen.manufacturer_data.get(&wanted.company);
                data.is_some_and(|data| data.starts_with(&wanted.data))
            })
    }

    /// Whether the filter names a single peripheral rather than a kind.
    pub fn is_one(&self) -> bool {
        self.address.is_some() || self.name.as_ref().is_some_and(|name| !name.0.contains('*'))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.as_ref().map(ToString::to_string);
        let name = self.name.as_ref().map(ToString::to_string);
        let service = self
            .advertised_service
            .map(|service| format!("service {}", short(service)));
        let company = self
            .manufacturer_data
            .as_ref()
            .map(|data| format!("manufacturer {:04x}", data.company));
        let words: Vec<String> = [address, name, service, company].into_iter().flatten().collect();
        f.write_str(&words.join(", "))
    }
}

/// The address of a peripheral as the system reports it: `AA:BB:CC:DD:EE:FF`, or a UUID on macOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeripheralAddress(String);

impl PeripheralAddress {
    /// Parses an address in any common notation.
    ///
    /// # Errors
    /// If it is no address; says why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let mac = mac(text);
        let id = Uuid::parse_str(text).ok();
        match (mac, id) {
            (Some(_), _) if cfg!(target_vendor = "apple") => Err(format!(
                "is the address {text}, and macOS keeps addresses to itself; take the id that wsdm-gateway scan \
                 shows, which is this machine's own"
            )),
            (Some(mac), _) => Ok(Self(mac)),
            (None, Some(id)) if cfg!(target_vendor = "apple") => Ok(Self(id.to_string())),
            (None, Some(_)) => Err(
                "is an id of macOS; here a peripheral is known by its address, such as AA:BB:CC:DD:EE:FF"
                    .to_owned(),
            ),
            (None, None) => {
                Err("is not an address such as AA:BB:CC:DD:EE:FF; wsdm-gateway scan shows them".to_owned())
            }
        }
    }
}

/// A MAC address in the systems' notation; also accepts dashes, or no separators.
fn mac(text: &str) -> Option<String> {
    let text = text.replace('-', ":");
    let parts: Vec<&str> = if text.contains(':') {
        text.split(':').collect()
    } else {
        // `None` if a multi-byte character is in the way.
        let pair = |at| text.get(at..at + 2);
        (0..text.len()).step_by(2).map(pair).collect::<Option<_>>()?
    };
    let hex = |part: &&str| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.len() != 6 || !parts.iter().all(hex) {
        return None;
    }
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("{:0>2}", part.to_ascii_uppercase()))
        .collect();
    Some(parts.join(":"))
}

impl fmt::Display for PeripheralAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name in which `*` matches any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(pub String);

impl NamePattern {
    /// Whether a name matches, case included.
    pub fn fits(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        // `split` yields at least one element.
        let Some(mut rest) = pieces.next().and_then(|start| name.strip_prefix(start)) else {
            return false;
        };
        let Some(end) = pieces.next_back() else {
            return rest.is_empty();
        };
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The beginning of manufacturer data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManufacturerData {
    /// The company's number.
    pub company: u16,
    /// Its first bytes.
    pub data: Vec<u8>,
}

/// The way to exchange frames with a peripheral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nordic UART.
    Nus,
    /// HM-10, FFE0 and FFE1.
    Hm10,
    /// A Lovense toy, or firmware that pretends to be one.
    Lovense,
    /// An Open Source Sex Machine.
    Ossm,
    /// As configured.
    Custom(Layout),
}

/// The profiles that have a name.
pub const NAMED: [(&str, Profile); 4] = [
    ("nus", Profile::Nus),
    ("hm10", Profile::Hm10),
    ("lovense", Profile::Lovense),
    ("ossm", Profile::Ossm),
];

/// A service, and the characteristics that carry frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The service.
    pub service: Uuid,
    /// The characteristic that frames are written to.
    pub write: Uuid,
    /// The characteristic that notifies; `None` if there is none.
    pub notify: Option<Uuid>,
    /// The characteristic that the frame `false` is written to instead: OSSM has one of its own for it.
    pub mode: Option<Uuid>,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMED.iter().find(|(_, named)| named == self) {
            Some((name, _)) => f.write_str(name),
            None => f.write_str("as configured"),
        }
    }
}

/// The full UUID of a number of 16 or 32 bits.
pub const fn base_uuid(number: u32) -> Uuid {
    Uuid::from_u128(0x0000_1000_8000_0080_5f9b_34fb | (number as u128) << 96)
}

/// The shortest notation of a UUID.
pub fn short(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    let number = value >> 96;
    if value != base_uuid(number as u32).as_u128() {
        uuid.to_string()
    } else if number <= 0xffff {
        format!("{number:04x}")
    } else {
        format!("{number:08x}")
    }
}

/// Parses a UUID: whole, or of 16 or 32 bits.
///
/// # Errors
/// If it is no UUID; says why.
pub fn parse_uuid(text: &str) -> Result<Uuid, String> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let parsed = match digits.len() {
        4 => u16::from_str_radix(digits, 16).ok().map(|n| base_uuid(n.into())),
        8 => u32::from_str_radix(digits, 16).ok().map(base_uuid),
        _ => Uuid::parse_str(digits).ok(),
    };
    parsed.ok_or_else(|| {
        "is not a UUID: \"ffe0\", or all of it, such as \"6e400001-b5a3-f393-e0a9-e50e24dcca9e\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            address: "C0:FF:EE:00:00:01".to_owned(),
            name: Some("DIY-stroker".to_owned()),
            services: vec![Uuid::from_u128(1)],
            manufacturer_data: HashMap::from([(0x5d, vec![1, 2, 3])]),
            ..Seen::default()
        }
    }

    #[test]
    fn a_name_may_have_stars() {
        for (pattern, name, fits) in [
            ("DIY", "DIY", true),
            ("DIY", "DIY-1", false),
            ("DIY-*", "DIY-1", true),
            ("DIY-*", "DIY-", true),
            ("DIY-*", "diy-1", false),
            ("*", "", true),
            ("*-R?", "x-R?", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a*a", "a", false),
            ("*b", "ab", true),
            ("*ü*", "grün", true),
        ] {
            assert_eq!(
                NamePattern(pattern.to_owned()).fits(name),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let name = Some(NamePattern("DIY-*".to_owned()));
        let mut wanted = Wanted {
            name,
            ..Wanted::default()
        };
        assert!(wanted.takes(&seen()));
        assert!(!wanted.is_one());
        wanted.advertised_service = Some(Uuid::from_u128(1));
        wanted.manufacturer_data = Some(ManufacturerData {
            company: 0x5d,
            data: vec![1, 2],
        });
        assert!(wanted.takes(&seen()));
        wanted.manufacturer_data = Some(ManufacturerData {
            company: 0x5d,
            data: vec![2],
        });
        assert!(!wanted.takes(&seen()));
        let nameless = Seen { name: None, ..seen() };
        assert!(!wanted.takes(&nameless));
    }

    #[test]
    #[cfg(not(target_vendor = "apple"))]
    fn addresses_are_taken_as_people_write_them() {
        for text in [
            "c0:ff:ee:00:00:01",
            " C0:FF:EE:00:00:01",
            "C0-FF-EE-00-00-01",
            "c0ffee000001",
            "c0:ff:ee:0:0:1",
        ] {
            let wanted = Wanted {
                address: Some(PeripheralAddress::parse(text).unwrap()),
                ..Wanted::default()
            };
            assert!(wanted.takes(&seen()) && wanted.is_one(), "{text}");
        }
        for text in [
            "",
            "C0:FF",
            "C0:FF:EE:00:00:0G",
            "C0:FF:EE:00:00:+1",
            "C0:FF:EE:00:00:01:02",
            "c0ffee00001",
            // As long as an address, but with a character across two of its pairs.
            "c0ffee0é00a",
            "4d3c1a52-8b5e-4b0e-9b0a-0d6f8d7a1c11",
        ] {
            assert!(PeripheralAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uuids_are_taken_in_every_length() {
        let whole = "0000ffe0-0000-1000-8000-00805f9b34fb";
        for text in ["ffe0", "FFE0", "0xffe0", "0000ffe0", whole] {
            assert_eq!(parse_uuid(text).unwrap().to_string(), whole, "{text}");
        }
        for text in ["", "ffe", "xyzw", "6e400001-b5a3"] {
            assert!(parse_uuid(text).is_err(), "{text}");
        }
        assert_eq!(short(base_uuid(0xffe0)), "ffe0");
        assert_eq!(short(base_uuid(0x1234_5678)), "12345678");
        for long in [
            "6e400001-b5a3-f393-e0a9-e50e24dcca9e",
            "12345678-9000-1000-8000-00805f9b34fb",
        ] {
            assert_eq!(short(parse_uuid(long).unwrap()), long);
        }
    }
}
