//! The `[[ble]]` entries.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::entry::Entry;
use super::layers::{Given, Reader, text};
use crate::defaults;
use crate::device::handshake::{Address, Identifier};
use crate::device::language::Coalesce;
use crate::ingress::ble::profile::{Layout, NAMED, Profile, parse_uuid, short};
use crate::ingress::ble::wanted::{ManufacturerData, NamePattern, PeripheralAddress, Wanted};
use crate::link::framing::Framing;

/// What an entry may hold.
pub(super) const KEYS: &[&str] = &[
    "address",
    "name",
    "advertised_service",
    "manufacturer_data.company",
    "manufacturer_data.data",
    "min_rssi",
    "profile",
    "service",
    "write",
    "notify",
    "write_without_response",
    "framing.delimiter",
    "framing.length_prefix",
    "framing.length_order",
    "framing.idle_ms",
    "framing.raw",
    "pair",
    "identifier",
    "device_address",
    "keepalive_ms",
    "on_close",
    "coalesce",
    "retry_min_ms",
    "retry_max_ms",
];

/// The keys of which at least one says which peripherals are meant.
const FINDERS: &[&str] = &[
    "address",
    "name",
    "advertised_service",
    "manufacturer_data.company",
];

/// What `min_rssi` may be, in dBm: what radios can tell.
const RSSI_RANGE: std::ops::RangeInclusive<i64> = -127..=20;

/// A `[[ble]]` entry: a peripheral, or every peripheral of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BleSettings {
    /// Which peripherals.
    pub wanted: Wanted,
    /// Those that are received more weakly than this are left alone, in dBm.
    pub min_rssi: Option<i16>,
    /// How they are spoken with.
    pub profile: Profile,
    /// Frames are written without waiting for the peripheral's confirmation; `None` waits where it confirms.
    pub write_without_response: Option<bool>,
    /// It is paired with before anything else.
    pub pair: bool,
    /// How its bytes are cut into frames; `None` takes each notification for a frame.
    pub framing: Option<Framing>,
    /// What the device is; `None` waits for its hello line.
    pub identifier: Option<Identifier>,
    /// Which device it is; where the entry means several, what their own addresses are put behind.
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
    let mut entries = Vec::new();
    while reader.is_given(&format!("ble.{}", entries.len())) {
        entries.push(entry(reader, entries.len()));
    }
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

fn entry(reader: &mut Reader, n: usize) -> BleSettings {
    let mut entry = Entry {
        reader,
        section: "ble",
        n,
    };
    let retry = defaults::BLE_RETRY_RANGE_MS;
    let settings = BleSettings {
        wanted: wanted(&mut entry),
        min_rssi: min_rssi(&mut entry),
        profile: profile(&mut entry),
        write_without_response: entry.flag("write_without_response", "as the characteristic allows"),
        pair: entry.flag("pair", "false").unwrap_or(false),
        framing: entry.framing(),
        identifier: entry.name("identifier", "the board's hello line", Identifier::new),
        address: entry.name(
            "device_address",
            "the board's hello line, or its Bluetooth address",
            Address::new,
        ),
        keepalive: entry.keepalive(),
        on_close: entry.on_close(),
        coalesce: entry.coalesce(),
        retry_min: Duration::from_millis(entry.number(
            "retry_min_ms",
            defaults::BLE_RETRY_MIN.as_millis() as u64,
            retry.clone(),
            "ms",
        )),
        retry_max: Duration::from_millis(entry.number(
            "retry_max_ms",
            defaults::BLE_RETRY_MAX.as_millis() as u64,
            retry,
            "ms",
        )),
    };
    if settings.retry_min > settings.retry_max {
        entry.problem("retry_min_ms", "is more than retry_max_ms");
    }
    settings
}

fn wanted(entry: &mut Entry<'_>) -> Wanted {
    if !FINDERS.iter().any(|key| entry.is_given(key)) {
        entry.problem(
            "",
            "says no peripheral: name = \"DIY-*\", or address, advertised_service or manufacturer_data; \
             wsdm-gateway scan lists what is there",
        );
    }
    let address = entry.parsed("address", |given| PeripheralAddress::parse(text(given)?));
    let name = entry.parsed("name", |given| Ok(NamePattern(text(given)?.to_owned())));
    Wanted {
        address,
        name,
        advertised_service: uuid(entry, "advertised_service"),
        manufacturer_data: manufacturer_data(entry),
    }
}

fn manufacturer_data(entry: &mut Entry<'_>) -> Option<ManufacturerData> {
    let data = entry.parsed("manufacturer_data.data", hex);
    if !entry.is_given("manufacturer_data.company") {
        if entry.is_given("manufacturer_data.data") {
            entry.problem("manufacturer_data.data", "says nothing without company");
        }
        return None;
    }
    let company = entry.id("manufacturer_data.company", "a company's number", "005d")?;
    Some(ManufacturerData {
        company,
        data: data.map(|Hex(data)| data).unwrap_or_default(),
    })
}

fn min_rssi(entry: &mut Entry<'_>) -> Option<i16> {
    let (low, high) = (RSSI_RANGE.start(), RSSI_RANGE.end());
    entry.parsed("min_rssi", |given| {
        let dbm = match given {
            Given::Integer(dbm) => Some(*dbm),
            Given::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        dbm.filter(|dbm| RSSI_RANGE.contains(dbm))
            .map(|dbm| dbm as i16)
            .ok_or_else(|| format!("is not a whole number of dBm from {low} to {high}; -80 is weak"))
    })
}

fn profile(entry: &mut Entry<'_>) -> Profile {
    let named = entry.optional("profile", "none: service, write and notify", &NAMED);
    let service = uuid(entry, "service");
    let write = uuid(entry, "write");
    let notify = uuid(entry, "notify");
    let parts = ["service", "write", "notify"];
    let given = parts.into_iter().find(|key| entry.is_given(key));
    match (entry.is_given("profile"), given) {
        (true, Some(part)) => {
            entry.problem(
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
                if !entry.is_given(part) {
                    entry.problem("", problem);
                }
            }
        }
        (false, None) => entry.problem(
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

fn uuid(entry: &mut Entry<'_>, name: &str) -> Option<Uuid> {
    entry
        .parsed(name, |given| Ok(Shortened(parse_uuid(text(given)?)?)))
        .map(|Shortened(uuid)| uuid)
}

/// A UUID that is shown in its shortest form.
struct Shortened(Uuid);

impl std::fmt::Display for Shortened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&short(self.0))
    }
}

/// Bytes that are shown as they are written.
struct Hex(Vec<u8>);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn hex(given: &Given) -> Result<Hex, String> {
    let digits: Vec<char> = text(given)?.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
    let even = digits.len().is_multiple_of(2) && digits.iter().all(char::is_ascii_hexdigit);
    let bytes = even
        .then(|| digits.chunks(2).map(byte).collect::<Option<_>>())
        .flatten();
    bytes
        .map(Hex)
        .ok_or_else(|| "is not a row of bytes, two hexadecimal digits each, such as \"01ff\"".to_owned())
}
