//! Which peripherals an entry means.

use std::fmt;

use btleplug::api::BDAddr;
use uuid::Uuid;

use super::seen::Seen;

/// Which peripherals are meant: all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// This one; see [`Seen::address`].
    pub address: Option<PeripheralAddress>,
    /// Those of this name.
    pub name: Option<NamePattern>,
    /// Those that advertise this service.
    pub advertised_service: Option<Uuid>,
    /// Those whose maker's data begins like this.
    pub manufacturer_data: Option<ManufacturerData>,
}

impl Wanted {
    /// Whether this peripheral is meant.
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

    /// Whether it means one peripheral, and not all of a kind.
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
            .map(|service| format!("service {}", super::profile::short(service)));
        let company = self
            .manufacturer_data
            .as_ref()
            .map(|data| format!("manufacturer {:04x}", data.company));
        let words: Vec<String> = [address, name, service, company].into_iter().flatten().collect();
        f.write_str(&words.join(", "))
    }
}

/// The address of a peripheral as the system has it: `AA:BB:CC:DD:EE:FF`, and on macOS a UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeripheralAddress(String);

impl PeripheralAddress {
    /// Reads an address as people write it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let mac = text.replace('-', ":").parse::<BDAddr>().ok();
        let id = Uuid::parse_str(text).ok();
        match (mac, id) {
            (Some(_), _) if cfg!(target_vendor = "apple") => Err(format!(
                "is the address {text}, and macOS keeps addresses to itself; take the id that wsdm-gateway scan \
                 shows, which is this machine's own"
            )),
            (Some(mac), _) => Ok(Self(mac.to_string())),
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

impl fmt::Display for PeripheralAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(pub String);

impl NamePattern {
    /// Whether a name is meant; upper and lower case count.
    pub fn fits(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        // `split` gives at least one.
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

/// How a maker's data begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManufacturerData {
    /// The company's number.
    pub company: u16,
    /// Its first bytes.
    pub data: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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
        for text in ["c0:ff:ee:00:00:01", " C0:FF:EE:00:00:01", "C0-FF-EE-00-00-01"] {
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
            "4d3c1a52-8b5e-4b0e-9b0a-0d6f8d7a1c11",
        ] {
            assert!(PeripheralAddress::parse(text).is_err(), "{text}");
        }
    }
}
