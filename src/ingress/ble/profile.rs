//! Where a peripheral is written to, and where it speaks: services and characteristics, by profile.

use btleplug::api::bleuuid::uuid_from_u16;
use uuid::Uuid;

use crate::device::peripheral::{Layout, NAMED, NamePattern, Profile, Seen};
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

/// The layouts that a profile may have; a peripheral has one of them.
pub fn layouts(profile: &Profile) -> Vec<Layout> {
    let one = |service, write, notify| {
        vec![Layout {
            service,
            write,
            notify: Some(notify),
            mode: None,
        }]
    };
    match profile {
        Profile::Nus => one(NUS, NUS_WRITE, NUS_NOTIFY),
        Profile::Hm10 => one(
            uuid_from_u16(HM10),
            uuid_from_u16(HM10_BOTH),
            uuid_from_u16(HM10_BOTH),
        ),
        Profile::Lovense => protocols::btle_layouts("lovense"),
        Profile::Ossm => protocols::btle_layouts("ossm"),
        Profile::Custom(layout) => vec![*layout],
    }
}

/// The profiles that fit a peripheral, by the services that it advertises or by its name.
pub fn fitting(seen: &Seen) -> Vec<&'static str> {
    named(|profile| {
        let layouts = layouts(profile);
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
    named(|profile| layouts(profile).iter().any(|layout| layout.service == service))
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
        let of = |profile: Profile| layouts(&profile).iter().any(|layout| layout.service == service);
        if of(Profile::Ossm) {
            Some("OSSM")
        } else if of(Profile::Lovense) {
            Some("Lovense")
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_profile_has_a_layout_and_knows_its_own_service() {
        for (name, profile) in NAMED {
            let layouts = layouts(&profile);
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
        let ossm = layouts(&Profile::Ossm);
        assert!(ossm.iter().all(|layout| layout.mode.is_some()));
    }
}
