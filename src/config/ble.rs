//! The `[[ble]]` entries.

use std::time::Duration;

use ::bytes::Bytes;
use uuid::Uuid;

use super::layers::Reader;
use super::read::{Keys, text};
use super::table::{Key, Kind, Preset, Section, Unit, words};
use super::{board, bytes};
use crate::defaults;
use crate::device::handshake::{Address, Identifier};
use crate::device::language::Coalesce;
use crate::device::peripheral::{
    Layout, ManufacturerData, NAMED, NamePattern, PeripheralAddress, Profile, Wanted, parse_uuid, short,
};
use crate::link::framing::Framing;
use crate::text::hex;

/// What `min_rssi` may be, in dBm: what radios report.
const RSSI_RANGE: std::ops::RangeInclusive<i64> = -127..=20;

pub(super) static SECTION: Section = Section {
    name: "ble",
    repeated: true,
    help: "A board on Bluetooth LE, or every board of a kind. At least one of name, address, advertised_service and \
           manufacturer_data says which peripherals are meant; all that are given must fit. With an address, or a name \
           without *, that is one peripheral; otherwise each that fits is a device of its own. wsdm-gateway scan lists \
           what is there and which profile fits it.",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Form("Bluetooth address"),
            example: "\"AA:BB:CC:DD:EE:FF\"",
            help: "Bluetooth address of the peripheral; on macOS the id that wsdm-gateway scan shows",
            ..Key::BASE
        },
        Key {
            name: "name",
            example: "\"DIY-*\"",
            help: "Name of the peripheral, with * for any text; case matters",
            ..Key::BASE
        },
        Key {
            name: "advertised_service",
            kind: Kind::Form("UUID"),
            example: "\"ffe0\"",
            help: "A service that it advertises: 4 or 8 hexadecimal digits, or a whole UUID",
            ..Key::BASE
        },
        Key {
            name: "manufacturer_data.company",
            kind: Kind::Form("4 hexadecimal digits"),
            example: "\"005d\"",
            help: "Company whose manufacturer data it advertises",
            ..Key::BASE
        },
        Key {
            name: "manufacturer_data.data",
            kind: Kind::Form("hexadecimal digits"),
            example: "\"01ff\"",
            help: "What that data begins with",
            ..Key::BASE
        },
        Key {
            name: "min_rssi",
            kind: Kind::Number(Unit::Dbm, RSSI_RANGE),
            example: "-80",
            help: "Ignore peripherals whose signal is weaker than this; -80 is weak",
            ..Key::BASE
        },
        Key {
            name: "profile",
            kind: Kind::Choice(const { &words(&NAMED) }),
            default: Preset::Unset("service, write and notify"),
            example: "\"nus\"",
            help: "Use the service and characteristics of this profile; nus is the Nordic UART",
            ..Key::BASE
        },
        Key {
            name: "service",
            kind: Kind::Form("UUID"),
            example: "\"ffe0\"",
            alternative: true,
            help: "Or use this service: 4 or 8 hexadecimal digits, or a whole UUID",
            ..Key::BASE
        },
        Key {
            name: "write",
            kind: Kind::Form("UUID"),
            example: "\"ffe1\"",
            alternative: true,
            help: "Characteristic of that service to write frames to",
            ..Key::BASE
        },
        Key {
            name: "notify",
            kind: Kind::Form("UUID"),
            example: "\"ffe1\"",
            alternative: true,
            help: "Characteristic of that service that notifies; may be left out",
            ..Key::BASE
        },
        Key {
            name: "write_without_response",
            kind: Kind::Switch,
            default: Preset::Unset("only if the characteristic allows nothing else"),
            example: "true",
            help: "Write frames without waiting for the peripheral's confirmation",
            ..Key::BASE
        },
        Key {
            name: "pair",
            kind: Kind::Switch,
            default: Preset::Switch(false),
            help: "Pair with the peripheral first",
            ..Key::BASE
        },
        Key {
            note: "For boards whose frames are cut or joined on the way. Without a framing key: each notification is a \
                   frame.",
            ..board::DELIMITER
        },
        board::LENGTH_PREFIX,
        board::LENGTH_ORDER,
        board::IDLE,
        board::RAW,
        board::IDENTIFIER,
        Key {
            name: "device_address",
            default: Preset::Unset("the board's hello line, or its Bluetooth address"),
            example: "\"bench-1\"",
            help: "Which board it is, as in a handshake; if the entry means several, this is put before the Bluetooth \
                   address",
            ..Key::BASE
        },
        board::KEEPALIVE,
        board::ON_CLOSE,
        board::COALESCING,
        Key {
            name: "retry_min_ms",
            kind: Kind::milliseconds(defaults::BLE_RETRY_RANGE_MS),
            default: Preset::Time(defaults::BLE_RETRY_MIN),
            help: "First pause before connecting again; it doubles after each failure",
            ..Key::BASE
        },
        Key {
            name: "retry_max_ms",
            kind: Kind::milliseconds(defaults::BLE_RETRY_RANGE_MS),
            default: Preset::Time(defaults::BLE_RETRY_MAX),
            help: "Longest pause before connecting again",
            ..Key::BASE
        },
    ],
};

/// The keys of which at least one says which peripherals are meant.
const FINDERS: &[&str] = &[
    "address",
    "name",
    "advertised_service",
    "manufacturer_data.company",
];

/// A `[[ble]]` entry: a peripheral, or every peripheral of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BleSettings {
    /// Which peripherals.
    pub wanted: Wanted,
    /// Peripherals whose signal is weaker than this, in dBm, are ignored.
    pub min_rssi: Option<i16>,
    /// How they are spoken with.
    pub profile: Profile,
    /// Frames are written without waiting for the peripheral's confirmation; `None` waits if it confirms.
    pub write_without_response: Option<bool>,
    /// It is paired with before anything else.
    pub pair: bool,
    /// How its bytes are cut into frames; `None` takes each notification for a frame.
    pub framing: Option<Framing>,
    /// What the device is; `None` waits for its hello line.
    pub identifier: Option<Identifier>,
    /// Which device it is; if the entry means several, the prefix of their own addresses.
    pub address: Option<Address>,
    /// The silence after which the board's watchdog wants a sign of life; `None` is what its hello line asks for.
    pub keepalive: Option<Duration>,
    /// What is sent when control is lost, in place of what its protocol is known to take.
    pub on_close: Option<Bytes>,
    /// Which commands supersede older ones; `None` is what its protocol is known for.
    pub coalesce: Option<Coalesce>,
    /// The first pause before it is connected again.
    pub retry_min: Duration,
    /// The longest one.
    pub retry_max: Duration,
}

/// Reads every entry.
pub(super) fn entries(reader: &mut Reader) -> Vec<BleSettings> {
    let entries = Keys::entries(reader, &SECTION, entry);
    for n in 1..entries.len() {
        let wanted = &entries[n].wanted;
        // One that says nothing, or nothing right, has its own problem.
        if *wanted == Wanted::default() {
            continue;
        }
        if let Some(first) = (0..n).find(|first| entries[*first].wanted == *wanted) {
            reader.problem(
                &format!("ble.{n}"),
                format!("is for the same peripherals as ble.{first}; one of them would never get any"),
            );
        }
    }
    entries
}

fn entry(keys: &mut Keys<'_>) -> BleSettings {
    let settings = BleSettings {
        wanted: wanted(keys),
        min_rssi: keys.number("min_rssi").and_then(|dbm| i16::try_from(dbm).ok()),
        profile: profile(keys),
        write_without_response: keys.switch("write_without_response"),
        pair: keys.switch("pair").unwrap_or_default(),
        framing: keys.framing(),
        identifier: keys.identifier("identifier"),
        address: keys.board_address("device_address"),
        keepalive: keys.keepalive(),
        on_close: keys.on_close(),
        coalesce: keys.coalesce(),
        retry_min: keys.time("retry_min_ms"),
        retry_max: keys.time("retry_max_ms"),
    };
    if settings.retry_min > settings.retry_max {
        keys.problem("retry_min_ms", "is more than retry_max_ms");
    }
    settings
}

fn wanted(keys: &mut Keys<'_>) -> Wanted {
    if !FINDERS.iter().any(|key| keys.is_given(key)) {
        keys.problem(
            "",
            "says no peripheral: name = \"DIY-*\", or address, advertised_service or manufacturer_data; \
             wsdm-gateway scan lists what is there",
        );
    }
    let address = keys.read(
        "address",
        |given| PeripheralAddress::parse(text(given)?),
        ToString::to_string,
    );
    let name = keys.read(
        "name",
        |given| text(given).map(|name| NamePattern(name.to_owned())),
        ToString::to_string,
    );
    Wanted {
        address,
        name,
        advertised_service: uuid(keys, "advertised_service"),
        manufacturer_data: manufacturer_data(keys),
    }
}

fn manufacturer_data(keys: &mut Keys<'_>) -> Option<ManufacturerData> {
    let data = keys.read(
        "manufacturer_data.data",
        |given| bytes::from_hex(text(given)?),
        |data| hex(data),
    );
    if !keys.is_given("manufacturer_data.company") {
        if keys.is_given("manufacturer_data.data") {
            keys.problem("manufacturer_data.data", "says nothing without company");
        }
        return None;
    }
    let company = keys.id("manufacturer_data.company", "a company's number")?;
    Some(ManufacturerData {
        company,
        data: data.unwrap_or_default(),
    })
}

fn profile(keys: &mut Keys<'_>) -> Profile {
    let named = keys.choice("profile", &NAMED);
    let service = uuid(keys, "service");
    let write = uuid(keys, "write");
    let notify = uuid(keys, "notify");
    let parts = ["service", "write", "notify"];
    let given = parts.into_iter().find(|key| keys.is_given(key));
    match (keys.is_given("profile"), given) {
        (true, Some(part)) => {
            keys.problem(
                part,
                "stands beside profile, which says that already; leave one of them out",
            );
        }
        (false, Some(_)) => {
            for (part, problem) in [
                (
                    "service",
                    "says no service: service and write belong together; notify may be left out",
                ),
                (
                    "write",
                    "says not where to write: service and write belong together; notify may be left out",
                ),
            ] {
                // What is missing has no place of its own.
                if !keys.is_given(part) {
                    keys.problem("", problem);
                }
            }
        }
        (false, None) => keys.problem(
            "",
            "does not say how to speak with it: profile = \"nus\", \"hm10\", \"lovense\" or \"ossm\"; or service, \
             write and notify; wsdm-gateway scan --connect ADDRESS shows what it has",
        ),
        (true, None) => {}
    }
    match (named, service, write) {
        (Some(profile), _, _) => profile,
        (None, Some(service), Some(write)) => Profile::Custom(Layout {
            service,
            write,
            notify,
            mode: None,
        }),
        // A problem has been noted.
        (None, _, _) => Profile::Nus,
    }
}

fn uuid(keys: &mut Keys<'_>, name: &str) -> Option<Uuid> {
    keys.read(name, |given| parse_uuid(text(given)?), |uuid| short(*uuid))
}
