//! The characteristics of one peripheral: found by a profile, and how they are written.

use std::collections::BTreeSet;

use btleplug::api::{CharPropFlags, Characteristic, Service, WriteType};
use uuid::Uuid;

use super::profile::{OSSM_MODE, layouts, service_name};
use crate::device::peripheral::{Profile, short};

/// What a characteristic can do, as makers call it.
const PROPERTIES: &[(CharPropFlags, &str)] = &[
    (CharPropFlags::BROADCAST, "broadcast"),
    (CharPropFlags::READ, "read"),
    (CharPropFlags::WRITE, "write"),
    (CharPropFlags::WRITE_WITHOUT_RESPONSE, "write without response"),
    (CharPropFlags::NOTIFY, "notify"),
    (CharPropFlags::INDICATE, "indicate"),
    (CharPropFlags::AUTHENTICATED_SIGNED_WRITES, "signed write"),
    (CharPropFlags::EXTENDED_PROPERTIES, "extended"),
];

/// The characteristics of one peripheral.
#[derive(Clone, Debug)]
pub struct Characteristics {
    write: Characteristic,
    mode: Option<Characteristic>,
    /// Where it speaks.
    pub notify: Option<Characteristic>,
    without_response: Option<bool>,
}

/// Why a peripheral cannot be spoken with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProfileError {
    /// It is another kind of device.
    #[error("has no service {wanted}; it has {}", list(.has))]
    NoService {
        /// The service, or what it is part of.
        wanted: String,
        /// Its services.
        has: Vec<Uuid>,
    },
    /// The service is there and lacks a part.
    #[error("has no characteristic {} in service {}", short(*.wanted), short(*.service))]
    NoCharacteristic {
        /// The service.
        service: Uuid,
        /// The characteristic.
        wanted: Uuid,
    },
    /// A characteristic cannot do what is asked of it.
    #[error("characteristic {} cannot {what}", short(*.characteristic))]
    Cannot {
        /// The characteristic.
        characteristic: Uuid,
        /// What.
        what: &'static str,
    },
}

fn list(services: &[Uuid]) -> String {
    if services.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<String> = services
        .iter()
        .map(|service| match service_name(*service) {
            Some(name) => format!("{} ({name})", short(*service)),
            None => short(*service),
        })
        .collect();
    names.join(", ")
}

impl Characteristics {
    /// Finds a profile's characteristics among what a peripheral has. Frames are written without waiting for its
    /// confirmation where that is asked for, or where it gives none.
    ///
    /// # Errors
    /// What is missing, and what is there.
    pub fn of(
        profile: &Profile,
        services: &BTreeSet<Service>,
        without_response: Option<bool>,
    ) -> Result<Self, ProfileError> {
        let layouts = layouts(profile);
        let found = layouts.iter().find_map(|layout| {
            let service = services.iter().find(|service| service.uuid == layout.service)?;
            Some((layout, service))
        });
        let Some((layout, service)) = found else {
            return Err(ProfileError::NoService {
                wanted: match profile {
                    Profile::Custom(layout) => short(layout.service),
                    named => format!("of profile {named}"),
                },
                has: services.iter().map(|service| service.uuid).collect(),
            });
        };
        let characteristic = |uuid: Uuid| {
            let found = service.characteristics.iter().find(|c| c.uuid == uuid);
            found.cloned().ok_or(ProfileError::NoCharacteristic {
                service: service.uuid,
                wanted: uuid,
            })
        };
        let write = characteristic(layout.write)?;
        let notify = layout.notify.map(characteristic).transpose()?;
        let speaks = CharPropFlags::NOTIFY | CharPropFlags::INDICATE;
        if let Some(notify) = notify
            .as_ref()
            .filter(|notify| !notify.properties.intersects(speaks))
        {
            return Err(ProfileError::Cannot {
                characteristic: notify.uuid,
                what: "notify",
            });
        }
        let mode = layout.mode.map(characteristic).transpose()?;
        for written in [Some(&write), mode.as_ref()].into_iter().flatten() {
            write_type(written, without_response)?;
        }
        Ok(Self {
            write,
            mode,
            notify,
            without_response,
        })
    }

    /// Where a frame is written, and how.
    pub fn for_frame(&self, frame: &[u8]) -> (&Characteristic, WriteType) {
        let written = match &self.mode {
            Some(mode) if frame == OSSM_MODE => mode,
            _ => &self.write,
        };
        // Was found to be possible when this was made.
        let kind = write_type(written, self.without_response).unwrap_or(WriteType::WithResponse);
        (written, kind)
    }
}

/// The confirmation is what tells that the last frame left, so that the next one is the newest: taken where there is one.
fn write_type(
    characteristic: &Characteristic,
    without_response: Option<bool>,
) -> Result<WriteType, ProfileError> {
    let can = |flag| characteristic.properties.contains(flag);
    let (with, without) = (
        can(CharPropFlags::WRITE),
        can(CharPropFlags::WRITE_WITHOUT_RESPONSE),
    );
    let what = match (without_response, with, without) {
        (None | Some(false), true, _) => return Ok(WriteType::WithResponse),
        (None | Some(true), _, true) => return Ok(WriteType::WithoutResponse),
        (_, false, false) => "be written",
        (Some(true), true, false) => "be written without response, as the entry says",
        (Some(false), false, true) => "be written with response, as the entry says",
    };
    Err(ProfileError::Cannot {
        characteristic: characteristic.uuid,
        what,
    })
}

/// What a characteristic can do.
pub fn properties(characteristic: &Characteristic) -> Vec<&'static str> {
    let has = |flag| characteristic.properties.contains(flag);
    let named = PROPERTIES.iter().filter(|(flag, _)| has(*flag));
    named.map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use btleplug::api::bleuuid::uuid_from_u16;

    use super::*;
    use crate::ingress::ble::profile::{NUS, NUS_NOTIFY, NUS_WRITE};

    fn service(uuid: Uuid, characteristics: &[(Uuid, CharPropFlags)]) -> Service {
        let characteristics = characteristics.iter().map(|(c, properties)| Characteristic {
            uuid: *c,
            service_uuid: uuid,
            properties: *properties,
            descriptors: BTreeSet::new(),
        });
        Service {
            uuid,
            primary: true,
            characteristics: characteristics.collect(),
        }
    }

    #[test]
    fn the_frame_false_goes_to_the_second_characteristic_of_an_ossm_and_of_nothing_else() {
        let layout = layouts(&Profile::Ossm).remove(0);
        let write = CharPropFlags::WRITE;
        let services = BTreeSet::from([service(
            layout.service,
            &[
                (layout.write, write),
                (layout.mode.unwrap(), write),
                (layout.notify.unwrap(), CharPropFlags::NOTIFY),
            ],
        )]);
        let found = Characteristics::of(&Profile::Ossm, &services, None).unwrap();
        assert_eq!(found.for_frame(b"false").0.uuid, layout.mode.unwrap());
        assert_eq!(found.for_frame(b"go:menu").0.uuid, layout.write);
        let nus = BTreeSet::from([service(
            NUS,
            &[(NUS_WRITE, write), (NUS_NOTIFY, CharPropFlags::NOTIFY)],
        )]);
        let found = Characteristics::of(&Profile::Nus, &nus, None).unwrap();
        assert_eq!(found.for_frame(b"false").0.uuid, NUS_WRITE);
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        let battery = service(uuid_from_u16(0x180f), &[]);
        let error = Characteristics::of(&Profile::Nus, &BTreeSet::from([battery]), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "has no service of profile nus; it has 180f (Battery)"
        );
        let mute = service(NUS, &[(NUS_WRITE, CharPropFlags::WRITE)]);
        let error = Characteristics::of(&Profile::Nus, &BTreeSet::from([mute]), None).unwrap_err();
        assert!(error.to_string().contains("6e400003"), "{error}");
        let read_only = service(
            NUS,
            &[
                (NUS_WRITE, CharPropFlags::READ),
                (NUS_NOTIFY, CharPropFlags::NOTIFY),
            ],
        );
        let error = Characteristics::of(&Profile::Nus, &BTreeSet::from([read_only]), None).unwrap_err();
        assert!(error.to_string().contains("be written"), "{error}");
    }

    #[test]
    fn a_frame_is_written_as_the_characteristic_can_and_as_the_entry_asks() {
        let (with, without) = (CharPropFlags::WRITE, CharPropFlags::WRITE_WITHOUT_RESPONSE);
        for (properties, asked, wanted) in [
            (with | without, None, Some(WriteType::WithResponse)),
            (with | without, Some(true), Some(WriteType::WithoutResponse)),
            (with | without, Some(false), Some(WriteType::WithResponse)),
            (with, None, Some(WriteType::WithResponse)),
            (without, None, Some(WriteType::WithoutResponse)),
            (with, Some(true), None),
            (without, Some(false), None),
        ] {
            let write = Characteristic {
                uuid: NUS_WRITE,
                service_uuid: NUS,
                properties,
                descriptors: BTreeSet::new(),
            };
            assert_eq!(write_type(&write, asked).ok(), wanted, "{properties:?} {asked:?}");
        }
    }
}
