//! Where a peripheral is written to, and where it speaks: services and characteristics, by profile.

use std::borrow::Cow;
use std::fmt;

use btleplug::api::bleuuid::{BleUuid, uuid_from_u16, uuid_from_u32};
use buttplug_server_device_config::Endpoint;
use uuid::Uuid;

use super::seen::Seen;
use super::wanted::NamePattern;
use crate::udcf::protocols;

/// The Nordic UART service, which most firmware for a UART over BLE offers.
pub(super) const NUS: Uuid = Uuid::from_u128(0x6e400001_b5a3_f393_e0a9_e50e24dcca9e);
pub(super) const NUS_WRITE: Uuid = Uuid::from_u128(0x6e400002_b5a3_f393_e0a9_e50e24dcca9e);
pub(super) const NUS_NOTIFY: Uuid = Uuid::from_u128(0x6e400003_b5a3_f393_e0a9_e50e24dcca9e);
/// The serial module HM-10 and its many copies: one characteristic for both directions.
const HM10: u16 = 0xffe0;
const HM10_BOTH: u16 = 0xffe1;
/// The value that OSSM takes on a characteristic of its own, which WSDM has no channel for.
pub(super) const OSSM_MODE: &[u8] = b"false";

/// Names of services that makers meet; those of profiles come from the profiles.
const SERVICES: &[(u16, &str)] = &[
    (0x1800, "Generic Access"),
    (0x1801, "Generic Attribute"),
    (0x180a, "Device Information"),
    (0x180d, "Heart Rate"),
    (0x180f, "Battery"),
    (0x1812, "Human Interface Device"),
    (0xfe59, "Nordic DFU"),
];

/// How a peripheral is spoken with.
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

/// Those with a name.
pub const NAMED: [(&str, Profile); 4] = [
    ("nus", Profile::Nus),
    ("hm10", Profile::Hm10),
    ("lovense", Profile::Lovense),
    ("ossm", Profile::Ossm),
];

/// A service, and which of its characteristics serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The service.
    pub service: Uuid,
    /// Where frames are written.
    pub write: Uuid,
    /// Where the peripheral speaks; `None` where it never does.
    pub notify: Option<Uuid>,
    /// Where the frame `false` is written instead: OSSM has a characteristic of its own for it.
    pub mode: Option<Uuid>,
}

impl Profile {
    /// The layouts that it may have; a peripheral has one of them.
    pub fn layouts(&self) -> Vec<Layout> {
        let one = |service, write, notify| {
            vec![Layout {
                service,
                write,
                notify: Some(notify),
                mode: None,
            }]
        };
        match self {
            Self::Nus => one(NUS, NUS_WRITE, NUS_NOTIFY),
            Self::Hm10 => one(
                uuid_from_u16(HM10),
                uuid_from_u16(HM10_BOTH),
                uuid_from_u16(HM10_BOTH),
            ),
            Self::Lovense => of_server("lovense"),
            Self::Ossm => of_server("ossm"),
            Self::Custom(layout) => vec![*layout],
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMED.iter().find(|(_, named)| named == self) {
            Some((name, _)) => f.write_str(name),
            None => f.write_str("as configured"),
        }
    }
}

/// The Buttplug server knows where the devices of its protocols are written to.
fn of_server(protocol: &str) -> Vec<Layout> {
    let layouts = protocols::btle_services(protocol);
    let layouts = layouts.into_iter().filter_map(|(service, endpoints)| {
        Some(Layout {
            service,
            write: *endpoints.get(&Endpoint::Tx)?,
            notify: endpoints.get(&Endpoint::Rx).copied(),
            mode: endpoints.get(&Endpoint::TxMode).copied(),
        })
    });
    layouts.collect()
}

/// The profiles that fit a peripheral, by the services that it advertises or by its name.
pub fn fitting(seen: &Seen) -> Vec<&'static str> {
    named(|profile| {
        let layouts = profile.layouts();
        let by_service = layouts
            .iter()
            .any(|layout| seen.services.contains(&layout.service));
        let names = match profile {
            Profile::Lovense => protocols::btle_names("lovense"),
            Profile::Ossm => protocols::btle_names("ossm"),
            Profile::Nus | Profile::Hm10 | Profile::Custom(_) => Vec::new(),
        };
        let is_named = |pattern: String| {
            seen.name
                .as_deref()
                .is_some_and(|name| NamePattern(pattern).fits(name))
        };
        by_service || names.into_iter().any(is_named)
    })
}

/// The profiles of which a service is part.
pub fn fitting_service(service: Uuid) -> Vec<&'static str> {
    named(|profile| profile.layouts().iter().any(|layout| layout.service == service))
}

fn named(fits: impl Fn(&Profile) -> bool) -> Vec<&'static str> {
    let fitting = NAMED.iter().filter(|(_, profile)| fits(profile));
    fitting.map(|(name, _)| *name).collect()
}

/// What a service is called, where it is known.
pub fn service_name(service: Uuid) -> Option<&'static str> {
    match service {
        NUS => return Some("Nordic UART"),
        _ if service == uuid_from_u16(HM10) => return Some("HM-10 UART"),
        _ => {}
    }
    let known = SERVICES
        .iter()
        .find(|(short, _)| uuid_from_u16(*short) == service);
    known.map(|(_, name)| *name).or_else(|| {
        let of = |profile: Profile| profile.layouts().iter().any(|layout| layout.service == service);
        if of(Profile::Ossm) {
            Some("OSSM")
        } else if of(Profile::Lovense) {
            Some("Lovense")
        } else {
            None
        }
    })
}

/// A UUID as it is written most shortly.
pub fn short(uuid: Uuid) -> String {
    uuid.to_short_string().trim_start_matches("0x").to_owned()
}

/// Reads a UUID: whole, or of 16 or 32 bits.
///
/// # Errors
/// What is wrong with it.
pub fn parse_uuid(text: &str) -> Result<Uuid, String> {
    let text = text.trim();
    let digits: Cow<'_, str> = text.strip_prefix("0x").unwrap_or(text).into();
    let parsed = match digits.len() {
        4 => u16::from_str_radix(&digits, 16).ok().map(uuid_from_u16),
        8 => u32::from_str_radix(&digits, 16).ok().map(uuid_from_u32),
        _ => Uuid::parse_str(&digits).ok(),
    };
    parsed.ok_or_else(|| {
        "is not a UUID: \"ffe0\", or all of it, such as \"6e400001-b5a3-f393-e0a9-e50e24dcca9e\"".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_taken_in_every_length() {
        let whole = "0000ffe0-0000-1000-8000-00805f9b34fb";
        for text in ["ffe0", "FFE0", "0xffe0", "0000ffe0", whole] {
            assert_eq!(parse_uuid(text).unwrap().to_string(), whole, "{text}");
        }
        for text in ["", "ffe", "xyzw", "6e400001-b5a3"] {
            assert!(parse_uuid(text).is_err(), "{text}");
        }
        assert_eq!(short(uuid_from_u16(0xffe0)), "ffe0");
        assert_eq!(short(NUS), NUS.to_string());
    }

    #[test]
    fn each_profile_has_a_layout_and_knows_its_own_service() {
        for (name, profile) in NAMED {
            let layouts = profile.layouts();
            assert!(!layouts.is_empty(), "{name}");
            for layout in layouts {
                assert!(fitting_service(layout.service).contains(&name), "{name}");
                assert!(service_name(layout.service).is_some(), "{name}");
            }
        }
        let hush = Seen {
            name: Some("LVS-Hush41".to_owned()),
            ..Seen::default()
        };
        assert_eq!(fitting(&hush), ["lovense"]);
        let ossm = Profile::Ossm.layouts();
        assert!(ossm.iter().all(|layout| layout.mode.is_some()));
    }
}
