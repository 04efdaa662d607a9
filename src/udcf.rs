//! User device configuration files: load, migrate, check, edit; and the device indexes that the gateway remembers.
//!
//! A UDCF of any major version from 2 to 5 becomes version 5 in memory. The user's file is written only on request: by
//! the `udcf` subcommands, and by the page.

mod affected;
pub mod axis;
pub mod bridge;
pub mod check;
mod depth;
mod directions;
pub mod directory;
mod doubles;
pub mod edit;
pub mod feasible;
mod findings;
mod ids;
mod indexes;
pub mod intiface;
mod mend;
mod migrate;
pub mod position;
mod probe;
pub mod protocols;
mod read;
mod remark;
mod same_index;
mod schema;
mod shape;
pub mod store;
pub mod tcode;

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use buttplug_server_device_config::{
    DeviceConfigurationManager, ProtocolCommunicationSpecifier, WebsocketSpecifier, load_protocol_configs,
};
use serde_json::{Value, json};

use crate::advice::{Advice, EXIT_USAGE};
use read::{parse_json, read, version};
use remark::{Places, Remark, step};

/// The supported versions.
pub const MAJORS: std::ops::RangeInclusive<u64> = 2..=5;
/// The version that the gateway writes.
pub const CURRENT_MAJOR: u64 = 5;
/// The server's own device base, without a user's part.
static BASE: LazyLock<DeviceConfigurationManager> = LazyLock::new(|| {
    let builder = load_protocol_configs(&None, &None, false);
    builder
        .and_then(|mut b| b.finish())
        .expect("the library loads its own device base")
});

/// The server's configuration: its own device base with a user's file on top.
pub type DeviceConfiguration = DeviceConfigurationManager;

/// Websocket names with their protocols.
type Names = Vec<(String, String)>;

/// A parsed UDCF, migrated to version 5 if it was older.
#[derive(Clone, Debug)]
pub struct Udcf {
    /// The file as version 5.
    value: Value,
    /// The major version in the file's header.
    major: u64,
    /// Whether it was written as an older version.
    is_migrated: bool,
    /// What was carried over of an older version.
    carried_over: Option<String>,
    summary: Option<String>,
    warnings: Vec<String>,
}

/// Why a UDCF cannot be used, at which file:line:column, with a hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct UdcfError {
    at: String,
    problem: String,
    hint: Option<String>,
}

impl UdcfError {
    fn new(at: impl ToString, problem: impl Into<String>, hint: impl Into<Option<String>>) -> Self {
        Self {
            at: at.to_string(),
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// The place: `file:line:column`, or the file's name.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The problem, without the place.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl Advice for UdcfError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.hint.as_deref().map(Cow::Borrowed)
    }

    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

impl Udcf {
    /// The default if the user names no file: `LVSDevice` is lovense, `TCodeDevice` is tcode-v03.
    pub fn builtin() -> Self {
        let value = json!({
            "version": { "major": CURRENT_MAJOR, "minor": 0 },
            "user_configs": { "protocols": {
                "lovense": { "communication": [{ "websocket": { "name": "LVSDevice" } }] },
                "tcode-v03": { "communication": [{ "websocket": { "name": "TCodeDevice" } }] },
            }},
        });
        Self {
            value,
            major: CURRENT_MAJOR,
            is_migrated: false,
            carried_over: None,
            summary: None,
            warnings: Vec::new(),
        }
    }

    /// Loads a file of any version from 2 to 5.
    ///
    /// # Errors
    /// The first problem that makes the file unusable, its place, and a hint.
    pub fn load(path: &Path) -> Result<Self, UdcfError> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// Parses the text of a file; errors call it `name`.
    ///
    /// # Errors
    /// As [`Udcf::load`].
    pub fn parse(text: &str, name: &str) -> Result<Self, UdcfError> {
        let mut original = parse_json(text, name)?;
        let mut places = Places::new(name, text);
        let mut remarks = places.repeated_keys();
        let (major, remark) = version(&mut original)
            .map_err(|(pointer, problem, hint)| UdcfError::new(places.place(pointer), problem, Some(hint)))?;
        remarks.extend(remark);
        let nulls = drop_nulls(&mut original);
        if nulls > 0 && major == CURRENT_MAJOR {
            remarks.push(Remark::of_the_file(format!(
                "{nulls} null{} treated as absent; Intiface, which writes such files, refuses them",
                if nulls == 1 { " is" } else { "s are" }
            )));
        }
        remarks.extend(mend::mend(&mut original, major, &mut places));
        let migrated = major != CURRENT_MAJOR || migrate::is_old_body(&original);
        let mut origins = None;
        let value = if migrated {
            let migrated = migrate::migrate(&original, major);
            remarks.extend(migrated.remarks);
            origins = Some(migrated.origins);
            migrated.value
        } else {
            current(original, &mut remarks).map_err(|fault| fault.at(&places))?
        };
        let lost = shape::ignored_keys(&value)
            .into_iter()
            .chain(doubles::duplicates(&value));
        remarks.extend(lost.map(|remark| Remark {
            pointer: match &origins {
                None => remark.pointer,
                Some(origins) => remark.pointer.and_then(|at| origins.of(&at).map(str::to_owned)),
            },
            ..remark
        }));
        let mut udcf = Self {
            value,
            major,
            is_migrated: migrated,
            carried_over: None,
            summary: None,
            warnings: Vec::new(),
        };
        let dcm = udcf.load_into_library().or_else(|problem| {
            // An older file keeps all valid entries; in a file of version 5, a pointer is a place in the text.
            let most = if migrated { usize::MAX } else { 1 };
            let refused = udcf.refused_entries(most);
            match (refused.first(), &mut origins) {
                (None, _) => return Err(UdcfError::new(name, problem, None)),
                (Some((pointer, problem)), None) => {
                    let lack = schema::lack(&udcf.value, pointer);
                    let lack = lack.or_else(|| schema::beside_a_kind(&udcf.value, pointer));
                    return Err(lack.map_or_else(
                        || UdcfError::new(places.place(pointer), problem, None),
                        |fault| fault.at(&places),
                    ));
                }
                (Some(_), Some(origins)) => {
                    // From last to first, so that the remaining pointers stay valid.
                    let left_out = refused.iter().rev().map(|(pointer, problem)| {
                        let (list, index, entry) = udcf.take_out(pointer);
                        Remark {
                            pointer: origins.remove(list, index),
                            ..Remark::of_the_file(format!("left out of {list}: {entry}: {problem}"))
                        }
                    });
                    let left_out: Vec<Remark> = left_out.collect();
                    remarks.extend(left_out.into_iter().rev());
                }
            }
            udcf.load_into_library()
                .map_err(|problem| UdcfError::new(name, problem, None))
        })?;
        udcf.carried_over =
            (major != CURRENT_MAJOR).then(|| match remarks.iter().filter(|remark| !remark.is_note).count() {
                0 => "everything was carried over".to_owned(),
                1 => "1 thing was not carried over as it was".to_owned(),
                n => format!("{n} things were not carried over as they were"),
            });
        udcf.summary = udcf.carried_over.as_ref().map(|carried_over| {
            format!("{name}: version {major} was read as version {CURRENT_MAJOR}, in memory; {carried_over}")
        });
        udcf.warnings = remarks.iter().map(|remark| places.line(remark)).collect();
        let found = udcf.loader_warnings(&dcm);
        udcf.warnings
            .extend(found.into_iter().map(|warning| format!("{name}: {warning}")));
        Ok(udcf)
    }

    /// A one-line summary of the migration; `None` if the file was version 5 already.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// What was carried over of an older version, in one sentence; `None` if the file was version 5 already.
    pub fn carried_over(&self) -> Option<&str> {
        self.carried_over.as_deref()
    }

    /// What was not carried over or will not work, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The major version in the file's header.
    pub fn major(&self) -> u64 {
        self.major
    }

    /// Whether the file is written as an older version than the gateway writes, whatever its header says.
    pub fn is_migrated(&self) -> bool {
        self.is_migrated
    }

    /// The file as version 5, formatted for reading.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.value)
    }

    /// The protocols section, as name and entry, in the file's order.
    fn protocols(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.value["user_configs"]["protocols"]
            .as_object()
            .into_iter()
            .flatten()
    }

    /// The names that identify devices of a protocol, of every kind.
    fn names_of(&self, protocol: &str) -> impl Iterator<Item = String> {
        let specifiers = self.value["user_configs"]["protocols"][protocol]["communication"].as_array();
        specifiers.into_iter().flatten().flat_map(names)
    }

    /// Entries that identify devices by something other than a websocket name: protocol and entry.
    pub fn other_specifiers(&self) -> Vec<(String, Value)> {
        let all = self.protocols().flat_map(|(protocol, entry)| {
            let entries = entry["communication"].as_array().into_iter().flatten();
            entries
                .filter(|e| e.get("websocket").is_none())
                .map(|e| (protocol.clone(), e.clone()))
        });
        all.collect()
    }

    /// All `websocket` names with their protocols, in the file's order.
    pub fn websocket_names(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for (protocol, entry) in self.protocols() {
            for specifier in entry["communication"].as_array().into_iter().flatten() {
                if let Some(name) = specifier["websocket"]["name"].as_str() {
                    names.push((name.to_owned(), protocol.clone()));
                }
            }
        }
        names
    }

    /// The same in two lists: names that devices may send, and those without effect, since the server lacks their protocol.
    pub fn served_names(&self) -> (Names, Names) {
        let names = self.websocket_names().into_iter();
        names.partition(|(_, protocol)| protocols::is_implemented(protocol))
    }

    /// The server's configuration: its own device base with this file on top. Boards on serial ports and on Bluetooth
    /// are known by websocket names too, since every device is announced by one.
    ///
    /// # Errors
    /// The loader's error; [`Udcf::parse`] has already tried it once.
    pub fn device_configuration(&self) -> Result<Arc<DeviceConfigurationManager>, UdcfError> {
        let refused = |problem| UdcfError::new("UDCF", problem, None);
        let loaded = self.load_into_library().map_err(refused)?;
        for (name, protocol) in self.bridged_names() {
            let specifier = ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(&name));
            loaded
                .add_user_communication_specifier(&protocol, &specifier)
                .map_err(|e| refused(e.to_string()))?;
        }
        Ok(Arc::new(loaded))
    }

    fn load_into_library(&self) -> Result<DeviceConfigurationManager, String> {
        let text = Some(self.value.to_string());
        let load = || load_protocol_configs(&None, &text, false).and_then(|mut builder| builder.finish());
        // The loader panics on some unexpected input.
        std::panic::catch_unwind(AssertUnwindSafe(load))
            .map_err(|_| "the server's loader fails on this file".to_owned())?
            .map_err(|e| {
                let problem = e.to_string();
                // The place is in our serialised text, which the user never saw.
                let problem = problem.split(" at line ").next().unwrap_or_default();
                format!("the server's loader refuses this file: {problem}")
            })
    }
}

/// The names that a specifier of version 5 identifies devices by: a websocket name, a port, names on Bluetooth.
fn names(specifier: &Value) -> Vec<String> {
    let one = (specifier["websocket"]["name"].as_str()).or(specifier["serial"]["port"].as_str());
    let many = specifier["btle"]["names"].as_array().into_iter().flatten();
    let many = many.filter_map(Value::as_str);
    one.into_iter().chain(many).map(str::to_owned).collect()
}

/// Prepares a file of version 5 for the server's loader: what the loader would reject or lose although its meaning is
/// clear is put right.
fn current(mut value: Value, remarks: &mut Vec<Remark>) -> Result<Value, schema::Fault> {
    drop_comments(&mut value, remarks);
    if value["version"].get("minor").is_none() {
        value["version"]["minor"] = 0.into();
        let text = "\"version\" has no \"minor\": read as 0; Intiface refuses a file without it";
        remarks.push(Remark::at("/version", text));
    }
    if let Some(fault) = depth::fault(&value) {
        return Err(fault);
    }
    if let Some(fault) = schema::fault(&value) {
        // A device inherits from its configuration, so a fault in that one is reported first.
        return Err(schema::lack_of_configurations(&value).unwrap_or(fault));
    }
    let mut ids = HashMap::new();
    let protocols = value
        .pointer_mut("/user_configs/protocols")
        .and_then(Value::as_object_mut);
    for (protocol, entry) in protocols.into_iter().flatten() {
        let at = step(&step("/user_configs/protocols", protocol), "configurations");
        let configurations = entry.get_mut("configurations").and_then(Value::as_array_mut);
        for (i, configuration) in configurations.into_iter().flatten().enumerate() {
            let joined = same_index::join(configuration, protocol, &step(&at, i));
            remarks.extend(joined.remarks);
            remarks.extend(joined.clashes);
            ids.extend(joined.ids);
        }
    }
    let devices = value
        .pointer_mut("/user_configs/devices")
        .and_then(Value::as_array_mut);
    for device in devices.into_iter().flatten().filter(|_| !ids.is_empty()) {
        same_index::follow(device, &ids);
    }
    Ok(value)
}

/// Removes members that are null, which some programs write for absent ones; returns their number.
fn drop_nulls(value: &mut Value) -> usize {
    match value {
        Value::Object(members) => {
            let before = members.len();
            members.retain(|_, member| !member.is_null());
            before - members.len() + members.values_mut().map(drop_nulls).sum::<usize>()
        }
        Value::Array(elements) => elements.iter_mut().map(drop_nulls).sum(),
        _ => 0,
    }
}

/// Removes harmless comments at the top level, which the server's loader rejects.
fn drop_comments(value: &mut Value, remarks: &mut Vec<Remark>) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    let comments: Vec<String> = object.keys().filter(|k| is_comment(k)).cloned().collect();
    for comment in comments {
        object.shift_remove(&comment);
        remarks.push(Remark::at(
            step("", &comment),
            format!("{comment:?} at the top is ignored; Intiface refuses a file that has it"),
        ));
    }
}

fn is_comment(key: &str) -> bool {
    key == "$schema"
        || key == "comment"
        || key.starts_with("$comment")
        || key.starts_with("//")
        || key.starts_with('_')
}
