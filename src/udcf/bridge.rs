//! The serial and Bluetooth entries of a UDCF, as the `[[serial]]` and `[[ble]]` entries of a `gateway.toml`.
//!
//! Intiface's managers identify such a device by its port, or by the name that it advertises. So does the gateway: that
//! is the device's identifier, and a port is its address too, so that configurations and settings in the file apply to
//! it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Udcf, protocols};
use crate::device::handshake::{Address, Identifier};
use crate::device::peripheral::parse_uuid;

/// The placeholder in the server's own device base for a port that the user has yet to name.
const NO_PORT: &str = "default";
/// The port in an entry whose port the user has yet to name.
const EXAMPLE_PORT: &str = if cfg!(windows) { "COM3" } else { "/dev/ttyUSB0" };
/// The endpoints that carry frames; OSSM has one more, which its profile knows.
const CARRIED: [&str; 2] = ["tx", "rx"];

/// Where a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On a serial port.
    Serial,
    /// On Bluetooth LE.
    Ble,
}

impl Place {
    /// The section of gateway.toml.
    pub fn section(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Ble => "ble",
        }
    }
}

/// A board that a UDCF describes, as an entry of gateway.toml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bridged {
    /// Where it is.
    pub place: Place,
    /// Its port, or its name on Bluetooth, which may end with `*`.
    pub name: String,
    /// The protocol that it speaks.
    pub protocol: String,
    /// The identifier under which the gateway knows it.
    pub identifier: String,
    /// The entry, in TOML.
    pub toml: String,
    /// Why the entry does not work as it stands; `None` if it does.
    pub problem: Option<String>,
    /// What is not carried over, or works differently.
    pub remarks: Vec<String>,
}

impl Udcf {
    /// The boards on serial ports and on Bluetooth that this file describes, in its order.
    pub fn bridged(&self) -> Vec<Bridged> {
        let mut all: Vec<Bridged> = Vec::new();
        let declared = self.websocket_names();
        for (protocol, specifier) in self.other_specifiers() {
            for (place, name) in places(&specifier) {
                let is_free = |identifier: &str| {
                    let mut others = declared
                        .iter()
                        .map(|(name, protocol)| (name.as_str(), protocol.as_str()))
                        .chain(all.iter().map(|b| (b.identifier.as_str(), b.protocol.as_str())));
                    others.all(|(known, under)| known != identifier || under == protocol)
                };
                let identifier = if is_free(&name) {
                    name.clone()
                } else {
                    format!("{name} ({protocol})")
                };
                let mut bridged = Bridged {
                    problem: None,
                    remarks: Vec::new(),
                    toml: String::new(),
                    place,
                    name,
                    protocol: protocol.clone(),
                    identifier,
                };
                bridged.problem = bridged.general_problem(&all);
                match place {
                    Place::Serial => bridged.serial(&specifier["serial"]),
                    Place::Ble => bridged.ble(&specifier["btle"]),
                }
                all.push(bridged);
            }
        }
        all
    }

    /// The identifiers of [`Udcf::bridged`] that are no websocket name, with their protocols.
    pub(super) fn bridged_names(&self) -> Vec<(String, String)> {
        let declared = self.websocket_names();
        let mut names: Vec<(String, String)> = Vec::new();
        for bridged in self.bridged() {
            let name = (bridged.identifier, bridged.protocol);
            if !declared.contains(&name) && !names.contains(&name) && protocols::is_known(&name.1) {
                names.push(name);
            }
        }
        names
    }

    /// The entries of [`Udcf::bridged`] as text for a gateway.toml. An entry that does not work as it stands is commented
    /// out, with the reason. The text calls this file `file`.
    pub fn bridge_toml(&self, file: &str) -> String {
        let entries = self.bridged();
        if entries.is_empty() {
            return format!("# {file:?} has no entry for a serial port or for Bluetooth\n");
        }
        let mut text = format!("# boards of {file:?}; [udcf] path must name that file\n");
        for entry in &entries {
            text += &format!("\n# {}\n", entry.protocol.escape_debug());
            for remark in &entry.remarks {
                text += &format!("# {remark}\n");
            }
            match &entry.problem {
                None => text += &entry.toml,
                Some(problem) => {
                    text += &format!("# left out: {problem}\n");
                    for line in entry.toml.lines() {
                        text += &format!("# {line}\n");
                    }
                }
            }
        }
        text
    }
}

/// The boards of a specifier: one for its port, or one for each of its names.
fn places(specifier: &Value) -> Vec<(Place, String)> {
    if let Some(port) = specifier["serial"]["port"].as_str() {
        return vec![(Place::Serial, port.to_owned())];
    }
    let names = specifier["btle"]["names"].as_array();
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| (Place::Ble, name.to_owned())).collect()
}

impl fmt::Display for Bridged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} ({})",
            self.place.section(),
            self.name,
            self.protocol.escape_debug()
        )
    }
}

impl Bridged {
    /// A problem that does not depend on where the board is. `before` are the entries before this one.
    fn general_problem(&self, before: &[Self]) -> Option<String> {
        let Self { name, protocol, .. } = self;
        if !protocols::is_known(protocol) {
            return Some(format!("the server has no protocol {protocol:?}"));
        }
        let same = |other: &&Self| other.place == self.place && other.name == *name;
        if let Some(first) = before.iter().find(same) {
            return Some(format!("{name:?} is listed under {:?} already", first.protocol));
        }
        if let Err(e) = Identifier::new(self.identifier.as_str()) {
            return Some(format!("{name:?} does not fit a handshake: {e}"));
        }
        None
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problem.get_or_insert(problem.into());
    }

    fn line(&mut self, key: &str, value: impl Into<toml::Value>) {
        self.toml += &format!("{key} = {}\n", value.into());
    }

    fn serial(&mut self, serial: &Value) {
        let name = self.name.clone();
        let mut port = name.as_str();
        if let Some(problem) = port_problem(port, cfg!(windows)) {
            self.problem(format!(
                "{problem}; `wsdm-gateway ports` lists the ports of this machine: put one here, and keep the identifier"
            ));
            port = EXAMPLE_PORT;
        }
        if let Err(e) = Address::new(name.as_str()) {
            self.problem(format!("{name:?} does not fit a handshake: {e}"));
        }
        self.toml = "[[serial]]\n".to_owned();
        self.line("port", port);
        if let Some(rate) = serial["baud_rate"].as_i64() {
            self.line("baud_rate", rate);
        }
        for key in ["data_bits", "stop_bits"] {
            if let Some(bits) = serial[key].as_u64() {
                self.line(key, bits.to_string());
            }
        }
        let parity = serial["parity"].as_str().unwrap_or("N");
        match parity.to_ascii_uppercase().as_str() {
            "N" => self.line("parity", "none"),
            "O" => self.line("parity", "odd"),
            "E" => self.line("parity", "even"),
            _ => {
                self.problem(format!("parity {parity:?} is none of N, O and E"));
                self.line("parity", "none");
            }
        }
        self.line("identifier", self.identifier.clone());
        self.line("address", name);
    }

    fn ble(&mut self, btle: &Value) {
        self.toml = "[[ble]]\n".to_owned();
        self.line("name", self.name.clone());
        for (key, what) in [
            ("manufacturer_data", "manufacturer data"),
            ("advertised_services", "an advertised service"),
        ] {
            if btle[key].as_array().is_some_and(|list| !list.is_empty()) {
                self.remarks
                    .push(format!("found by its name only; Intiface finds it by {what} too"));
            }
        }
        let services: Vec<(&String, &Value)> = btle["services"].as_object().into_iter().flatten().collect();
        let writable: Vec<&(&String, &Value)> =
            services.iter().filter(|(_, e)| e["tx"].is_string()).collect();
        if let Some(profile) = self.profile(&writable) {
            self.line("profile", profile);
        } else {
            match writable.first() {
                Some((service, endpoints)) => {
                    self.line("service", service.as_str());
                    self.line("write", endpoints["tx"].as_str().unwrap_or_default());
                    if let Some(notify) = endpoints["rx"].as_str() {
                        self.line("notify", notify);
                    }
                }
                None => {
                    self.problem("none of its services has a tx characteristic, to which frames are written");
                    self.line("profile", "nus");
                }
            }
            if writable.len() > 1 {
                self.remarks.push(format!(
                    "service is the first of {} with tx; put another one here if the board has that one",
                    writable.len()
                ));
            }
            let others = services
                .iter()
                .flat_map(|(_, e)| e.as_object().into_iter().flatten());
            let mut others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
            others.retain(|name| !CARRIED.contains(name));
            if !others.is_empty() {
                self.remarks.push(format!(
                    "only tx and rx carry frames; without effect: {}",
                    others.join(", ")
                ));
            }
        }
        self.line("identifier", self.identifier.clone());
    }

    /// The profile of this protocol, if all of these services are the protocol's own.
    fn profile(&self, services: &[&(&String, &Value)]) -> Option<&'static str> {
        let profile = ["lovense", "ossm"]
            .into_iter()
            .find(|name| *name == self.protocol)?;
        let own = protocols::btle_layouts(profile);
        let is_own = |service: &str| {
            parse_uuid(service).is_ok_and(|service| own.iter().any(|layout| layout.service == service))
        };
        (!services.is_empty() && services.iter().all(|(service, _)| is_own(service))).then_some(profile)
    }
}

/// Why a port cannot have this name on this system; `None` if it can.
fn port_problem(port: &str, windows: bool) -> Option<String> {
    let of_windows = |port: &str| {
        let digits = port
            .get(..3)
            .filter(|com| com.eq_ignore_ascii_case("COM"))
            .map(|_| &port[3..]);
        digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    if port.eq_ignore_ascii_case(NO_PORT) || port.is_empty() {
        return Some(format!("{port:?} names no port: it is a placeholder"));
    }
    match (windows, of_windows(port)) {
        (false, true) => Some(format!("{port:?} is how Windows names a port")),
        (false, false) if !port.contains('/') => Some(format!("{port:?} is not the path of a port")),
        (true, false) if port.starts_with('/') => {
            Some(format!("{port:?} is how Linux and macOS name a port"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_another_system_is_explained() {
        for (port, windows, works) in [
            ("/dev/ttyUSB0", false, true),
            ("/dev/ttyUSB0", true, false),
            ("COM4", true, true),
            ("com12", true, true),
            ("COM4", false, false),
            ("ttyUSB0", false, false),
            ("default", false, false),
            ("default", true, false),
            ("", true, false),
            ("COMé", false, false),
        ] {
            assert_eq!(port_problem(port, windows).is_none(), works, "{port:?} {windows}");
        }
    }
}
