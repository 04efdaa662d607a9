//! Edits what a file of version 5 says of one device: its name and index, whether it may connect, and its limits.

mod limits;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use buttplug_server_device_config::ServerDeviceDefinition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::udcf::migrate::{Base, base_of};
use crate::udcf::{Udcf, UdcfError, protocols, tcode};
pub use limits::Limit;
pub use write::change;

/// A device that a file may have an entry for.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its address.
    pub address: String,
    /// Its protocol.
    pub protocol: String,
    /// The model, or the websocket name where the protocol has no models; `None` if it is not known.
    pub identifier: Option<String>,
    /// The index under which the server lists it.
    pub index: Option<u32>,
    /// Its definition, if it is in no file: the board listed its own axes.
    pub own: Option<Arc<ServerDeviceDefinition>>,
    /// The indexes of other devices.
    pub taken: Vec<u32>,
}

/// What a file says of a device, and what its definition offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceEntry {
    /// Whether the file has an entry for it.
    pub is_in_file: bool,
    /// Its protocol.
    pub protocol: String,
    /// Its model, or its websocket name; `null` if the model is not known before it connects: then it can be allowed or
    /// denied, and nothing else.
    pub identifier: Option<String>,
    /// The name of its definition.
    pub name: String,
    /// The name that apps show instead.
    pub display_name: Option<String>,
    /// It may connect. As soon as one device of a file is allowed, all others are refused.
    pub allow: bool,
    /// It may not connect.
    pub deny: bool,
    /// The addresses of the devices that are allowed.
    pub allowed: Vec<String>,
    /// Its index in the Buttplug server; `null` if it has none yet.
    pub index: Option<u32>,
    /// Its outputs, and their limits.
    pub limits: Vec<Limit>,
}

/// What to change of a device. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceChange {
    /// The name that apps show; an empty one removes it.
    pub display_name: Option<String>,
    /// Whether it may connect. As soon as one device of a file is allowed, all others are refused.
    pub allow: Option<bool>,
    /// Whether it may not connect.
    pub deny: Option<bool>,
    /// Its index in the Buttplug server.
    pub index: Option<u32>,
    /// Limits of its outputs.
    pub limits: Vec<LimitChange>,
}

/// A change of a limit. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitChange {
    /// The index of the feature.
    pub feature: u32,
    /// The kind of output, such as `vibrate`.
    pub kind: String,
    /// The lower end, in steps of the device.
    pub low: Option<u32>,
    /// The upper end, in steps of the device.
    pub high: Option<u32>,
    /// No app may use it.
    pub is_off: Option<bool>,
    /// Positions count from the other end.
    pub is_reversed: Option<bool>,
}

impl Subject {
    /// A device that is not listed now, by the identifier that it sent; `None` if the file does not know it.
    pub fn absent(udcf: &Udcf, address: &str, identifier: &str) -> Option<Self> {
        let subject = |protocol: &str, identifier: Option<&str>| Self {
            address: address.to_owned(),
            protocol: protocol.to_owned(),
            identifier: identifier.map(str::to_owned),
            index: None,
            own: None,
            taken: Vec::new(),
        };
        let id = |entry: &Value, key: &str| entry["identifier"][key].as_str().map(str::to_owned);
        let mut entries = entries(&udcf.value["user_configs"]["devices"]);
        if let Some((_, entry)) = entries.find(|(_, entry)| id(entry, "address").as_deref() == Some(address))
        {
            return Some(subject(
                &id(entry, "protocol")?,
                id(entry, "identifier").as_deref(),
            ));
        }
        let names = udcf.websocket_names().into_iter().chain(udcf.bridged_names());
        let mut names = names.filter(|(name, protocol)| name == identifier && protocols::is_known(protocol));
        let (name, protocol) = names.next()?;
        Some(subject(
            &protocol,
            Some(name.as_str()).filter(|_| !protocols::has_models(&protocol)),
        ))
    }

    /// The position of its entry in a list of devices.
    fn position(&self, devices: &Value) -> Option<usize> {
        let is_of_address = |entry: &Value| {
            entry["identifier"]["address"] == self.address && entry["identifier"]["protocol"] == self.protocol
        };
        let mut exact = entries(devices).filter(|(_, entry)| {
            is_of_address(entry) && entry["identifier"]["identifier"].as_str() == self.identifier.as_deref()
        });
        let exact = exact.next().map(|(at, _)| at);
        // A board that was asked for its axes takes the entry of its address, whatever identifier that has.
        let mut of_address = entries(devices).filter(|(_, entry)| is_of_address(entry));
        exact.or_else(|| {
            of_address
                .next()
                .filter(|_| self.protocol == tcode::PROTOCOL)
                .map(|(at, _)| at)
        })
    }

    /// What the entry says in its `identifier`.
    fn id(&self) -> Value {
        let mut id = json!({ "address": self.address, "protocol": self.protocol });
        if let Some(identifier) = &self.identifier {
            id["identifier"] = identifier.as_str().into();
        }
        id
    }

    /// The definition that its entry builds on; `None` if there is none, or if only the board has one.
    fn base(&self, user_configs: &Value, entry: Option<&Value>) -> Option<Base> {
        match (entry, &self.own) {
            (Some(entry), _) => base_of(user_configs, entry),
            (None, Some(_)) => None,
            (None, None) => base_of(user_configs, &json!({ "identifier": self.id() })),
        }
    }
}

/// What a file says of a device, in any version. Errors call the file `file`.
///
/// # Errors
/// If the server has no definition for the device.
pub fn show(udcf: &Udcf, file: &str, subject: &Subject) -> Result<DeviceEntry, UdcfError> {
    let user = &udcf.value["user_configs"];
    let devices = &user["devices"];
    let entry = subject.position(devices).map(|at| &devices[at]);
    let (base, limits) = match (subject.base(user, entry), &subject.own) {
        (Some(base), _) => {
            let limits = limits::of(&base, entry);
            (base, limits)
        }
        (None, Some(own)) => limits::own(&subject.protocol, own),
        (None, None) => {
            let called = format!("{:?} ({})", subject.address, subject.protocol);
            return Err(UdcfError::new(
                file,
                format!("the server has no definition for the device {called}"),
                "take its entry out of the file; it gets a new one".to_owned(),
            ));
        }
    };
    let settings = entry.map_or(&Value::Null, |entry| &entry["config"]["user_config"]);
    let says = |key: &str| {
        let of_address = entries(devices).filter(|(_, e)| e["identifier"]["address"] == subject.address);
        of_address
            .into_iter()
            .any(|(_, entry)| entry["config"]["user_config"][key] == true)
    };
    let allowed = entries(devices).filter(|(_, entry)| entry["config"]["user_config"]["allow"] == true);
    let mut allowed: Vec<String> = allowed
        .filter_map(|(_, entry)| entry["identifier"]["address"].as_str().map(str::to_owned))
        .collect();
    allowed.dedup();
    let is_known = subject.identifier.is_some();
    Ok(DeviceEntry {
        is_in_file: entry.is_some(),
        protocol: subject.protocol.clone(),
        identifier: subject.identifier.clone(),
        name: base.name,
        display_name: settings["display_name"].as_str().map(str::to_owned),
        allow: says("allow"),
        deny: says("deny"),
        allowed,
        index: settings["index"]
            .as_u64()
            .and_then(|index| index.try_into().ok())
            .or(subject.index),
        limits: if is_known { limits } else { Vec::new() },
    })
}

/// The elements of a list with their positions.
fn entries(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}
