//! User device configuration files: load, migrate, check, edit; and what the gateway learned.
//!
//! A UDCF of any major version from 2 to 5 becomes version 5 in memory; the user's file is never written here,
//! but by the `udcf` subcommands when somebody asks for it.

pub mod check;
pub mod edit;
mod migrate;
pub mod position;
pub mod protocols;
pub mod store;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use buttplug_server_device_config::{
    DeviceConfigurationManager, UserDeviceIdentifier, load_protocol_configs,
};
use serde_json::{Value, json};

use position::Position;

/// The published schema of version 5: `buttplug_server_device_config` 12.0.1, (c) Nonpolynomial Labs LLC,
/// BSD-3-Clause.
const SCHEMA: &str = include_str!("udcf/schema-v5.json");
/// The versions that are read.
pub const MAJORS: std::ops::RangeInclusive<u64> = 2..=5;
/// The version that is written.
pub const CURRENT_MAJOR: u64 = 5;
/// The whole of the server's own device base has half a megabyte.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).expect("the schema in this source is JSON");
    jsonschema::validator_for(&schema).expect("the schema in this source is a schema")
});

/// The server's own device base, without anything of a user.
static BASE: LazyLock<DeviceConfigurationManager> = LazyLock::new(|| {
    let builder = load_protocol_configs(&None, &None, false);
    builder
        .and_then(|mut b| b.finish())
        .expect("the library loads its own device base")
});

/// A UDCF that was read, and migrated to version 5 where it was older.
#[derive(Clone, Debug)]
pub struct Udcf {
    /// Version 5.
    value: Value,
    /// The major version that the file says it has.
    major: u64,
    summary: Option<String>,
    warnings: Vec<String>,
}

/// Why a UDCF cannot be used: file:line:column, and a hint.
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

    /// One line on what to do.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// Where: `file:line:column`, or the file's name.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What is wrong, without the place.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl Udcf {
    /// The one that serves when the user names none: `LVSDevice` is lovense, `TCodeDevice` is tcode-v03.
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
            summary: None,
            warnings: Vec::new(),
        }
    }

    /// Reads a file of any version from 2 to 5.
    ///
    /// # Errors
    /// What cannot be used, where, and what to do.
    pub fn load(path: &Path) -> Result<Self, UdcfError> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// Reads the text of a file; `name` is how errors call it.
    ///
    /// # Errors
    /// As [`Udcf::load`].
    pub fn parse(text: &str, name: &str) -> Result<Self, UdcfError> {
        let original = parse_json(text, name)?;
        let place = |pointer: &str| format!("{name}{}", Position::of(text, pointer));
        let major = version(&original)
            .map_err(|(pointer, problem, hint)| UdcfError::new(place(pointer), problem, Some(hint)))?;
        let mut warnings = Vec::new();
        let value = if major == CURRENT_MAJOR && !migrate::is_old_body(&original) {
            let mut value = original;
            drop_comments(&mut value, &mut warnings);
            if let Some(fault) = schema_fault(&value) {
                return Err(UdcfError::new(place(&fault.pointer), fault.problem, fault.hint));
            }
            value
        } else {
            migrate::migrate(original, major, &mut warnings)
        };
        let summary = (major != CURRENT_MAJOR).then(|| {
            let lost = match warnings.len() {
                0 => "everything was carried over".to_owned(),
                1 => "1 thing was not carried over as it was".to_owned(),
                n => format!("{n} things were not carried over as they were"),
            };
            format!("{name}: version {major} was read as version {CURRENT_MAJOR}, in memory; {lost}")
        });
        let mut udcf = Self {
            value,
            major,
            summary,
            warnings,
        };
        let dcm = udcf
            .load_into_library()
            .map_err(|problem| UdcfError::new(name, problem, None))?;
        let found = udcf.what_the_library_skipped(&dcm);
        udcf.warnings.extend(found);
        for warning in &mut udcf.warnings {
            *warning = format!("{name}: {warning}");
        }
        Ok(udcf)
    }

    /// One line about what the migration did; `None` where the file was version 5 already.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// What could not be carried over, or will not work, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The major version that the file says it has.
    pub fn major(&self) -> u64 {
        self.major
    }

    /// The file as version 5, for people.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.value)
    }

    /// The protocols section, name and entry, in the file's order.
    fn protocols(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.value["user_configs"]["protocols"]
            .as_object()
            .into_iter()
            .flatten()
    }

    /// Every `websocket` name, with its protocol, in the file's order.
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

    /// The server's configuration: its own device base, and this file over it.
    ///
    /// # Errors
    /// What the server's loader says; [`Udcf::parse`] has asked it before.
    pub fn device_configuration(&self) -> Result<Arc<DeviceConfigurationManager>, UdcfError> {
        self.load_into_library()
            .map(Arc::new)
            .map_err(|problem| UdcfError::new("UDCF", problem, None))
    }

    fn load_into_library(&self) -> Result<DeviceConfigurationManager, String> {
        let text = Some(self.value.to_string());
        let load = || load_protocol_configs(&None, &text, false).and_then(|mut builder| builder.finish());
        // The loader has places that panic on what it did not expect.
        std::panic::catch_unwind(AssertUnwindSafe(load))
            .map_err(|_| "the server's loader fails on this file".to_owned())?
            .map_err(|e| format!("the server's loader refuses this file: {e}"))
    }

    /// The loader passes over some entries and only logs it, or says nothing at all.
    fn what_the_library_skipped(&self, dcm: &DeviceConfigurationManager) -> Vec<String> {
        let mut warnings = Vec::new();
        for (protocol, entry) in self.protocols() {
            if !protocols::is_known(protocol) {
                let nearest = protocols::nearest(protocol)
                    .map(|n| format!("; did you mean {n:?}?"))
                    .unwrap_or_default();
                warnings.push(format!(
                    "the server has no protocol {protocol:?}: its entries do nothing{nearest}"
                ));
            } else if !protocols::has_default(protocol) {
                for (name, _) in self.websocket_names().iter().filter(|(_, p)| p == protocol) {
                    let configured = entry["configurations"].as_array().into_iter().flatten().any(|c| {
                        c["identifier"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .any(|i| i.as_str() == Some(name))
                    });
                    if !configured && !protocols::has_configuration(protocol, name) {
                        warnings.push(format!(
                            "protocol {protocol:?} has no default features: unless it finds out the model by itself, \
                             {name:?} needs a configurations entry whose identifier is {name:?}"
                        ));
                    }
                }
            }
        }
        let names = self.websocket_names();
        for (i, (name, protocol)) in names.iter().enumerate() {
            if let Some((_, first)) = names[..i].iter().find(|(n, _)| n == name) {
                warnings.push(format!(
                    "the websocket name {name:?} stands under {first:?} and under {protocol:?}: the server takes one \
                     of them, and nobody can say which"
                ));
            }
        }
        let mut indexes = std::collections::BTreeMap::new();
        for device in self.value["user_configs"]["devices"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |field: &str| device["identifier"][field].as_str().map(str::to_owned);
            let (Some(address), Some(protocol)) = (text("address"), text("protocol")) else {
                continue;
            };
            let id = UserDeviceIdentifier::new(&address, &protocol, &text("identifier"));
            match dcm.user_device_definitions().get(&id) {
                None => warnings.push(format!(
                    "the server passes over the device {address:?} ({protocol}): its base_id or its features do not \
                     match what the server knows; leave the entry out, or let `udcf migrate` look it up again"
                )),
                Some(definition) => {
                    if let Some(other) = indexes.insert(definition.index(), address.clone()) {
                        warnings.push(format!(
                            "the devices {other:?} and {address:?} have the same index {}: when both are connected, \
                             one throws the other out; give one another index",
                            definition.index()
                        ));
                    }
                }
            }
        }
        warnings
    }
}

/// Reads a file that should be JSON text.
fn read(path: &Path) -> Result<String, UdcfError> {
    let name = path.display();
    let hint = |text: &str| Some(text.to_owned());
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return Err(UdcfError::new(
                name,
                "is a directory, not a file",
                hint("name the file in it"),
            ));
        }
        Ok(meta) if meta.len() > MAX_BYTES => {
            let problem = format!("has {} bytes, at most {MAX_BYTES} are read", meta.len());
            return Err(UdcfError::new(name, problem, hint("this is hardly a UDCF")));
        }
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::NotFound => hint(
                "look at the path; `wsdm-gateway udcf add --protocol lovense --websocket NAME FILE` makes a new file",
            ),
            std::io::ErrorKind::PermissionDenied => hint("this user may not read it: look at its owner and mode"),
            _ => None,
        };
        UdcfError::new(&name, format!("cannot be read: {e}"), hint)
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..at]).into_owned();
        let at = format!("{name}{}", Position::at(&before, before.len()));
        UdcfError::new(
            at,
            "is not UTF-8",
            hint("save the file as UTF-8, without a byte order mark"),
        )
    })
}

fn parse_json(text: &str, name: &str) -> Result<Value, UdcfError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        let hint = "the least that a UDCF has is {\"version\": {\"major\": 5, \"minor\": 0}}";
        return Err(UdcfError::new(
            format!("{name}:1:1"),
            "is empty",
            Some(hint.to_owned()),
        ));
    }
    serde_json::from_str(text).map_err(|e| {
        let at = format!("{name}:{}:{}", e.line(), e.column());
        let problem = e.to_string();
        // The place stands in front already.
        let problem = problem.split(" at line ").next().unwrap_or_default();
        UdcfError::new(
            at,
            format!("not JSON: {problem}"),
            Some(syntax_hint(text, e.line(), problem)),
        )
    })
}

/// What people do who write JSON by hand.
fn syntax_hint(text: &str, line: usize, problem: &str) -> String {
    let around: Vec<&str> = text
        .lines()
        .skip(line.saturating_sub(2))
        .take(2)
        .map(str::trim)
        .collect();
    let has_comment = around
        .iter()
        .any(|l| l.starts_with("//") || l.starts_with("/*") || l.starts_with('#'));
    if has_comment {
        "JSON has no comments: take them out".to_owned()
    } else if problem.contains("trailing comma") {
        "take the comma before the closing bracket out".to_owned()
    } else if problem.contains("EOF") {
        "the file ends too early: a bracket or a quote is not closed".to_owned()
    } else if problem.contains("trailing characters") {
        "the file goes on after its last bracket: perhaps the first line lacks a {".to_owned()
    } else if problem.contains("key must be a string") || around.iter().any(|l| l.contains('\'')) {
        "names and texts stand in double quotes".to_owned()
    } else if problem.contains("expected `,`") {
        "a comma is missing, here or at the end of the line before".to_owned()
    } else {
        "an editor that knows JSON shows the place".to_owned()
    }
}

/// The major version, or the pointer, what is wrong there, and what to do.
fn version(value: &Value) -> Result<u64, (&'static str, String, String)> {
    let example = || "add \"version\": { \"major\": 5, \"minor\": 0 }".to_owned();
    if !value.is_object() {
        return Err((
            "",
            "is JSON, but not an object".to_owned(),
            "a UDCF begins with { \"version\": ...".to_owned(),
        ));
    }
    match value.get("version") {
        None => return Err(("", "has no \"version\"".to_owned(), example())),
        Some(v) if !v.is_object() => {
            return Err(("/version", "\"version\" is not an object".to_owned(), example()));
        }
        Some(_) => {}
    }
    match &value["version"]["major"] {
        Value::Null => Err(("/version", "\"version\" has no \"major\"".to_owned(), example())),
        Value::Number(n) if n.as_u64().is_some_and(|n| MAJORS.contains(&n)) => {
            Ok(n.as_u64().unwrap_or(CURRENT_MAJOR))
        }
        Value::Number(n) => Err((
            "/version/major",
            format!(
                "major version {n} is not known; {} to {} are",
                MAJORS.start(),
                MAJORS.end()
            ),
            "for a newer version, look for a newer wsdm-gateway".to_owned(),
        )),
        other => Err((
            "/version/major",
            format!("\"major\" is {other}, not a number"),
            "write 5, without quotes".to_owned(),
        )),
    }
}

/// A comment at the top is fatal for the server's loader, and harmless.
fn drop_comments(value: &mut Value, warnings: &mut Vec<String>) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    let comments: Vec<String> = object.keys().filter(|k| is_comment(k)).cloned().collect();
    for comment in comments {
        object.shift_remove(&comment);
        warnings.push(format!(
            "{comment:?} at the top is passed over; Intiface refuses a file that has it"
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

/// Something that the schema does not take.
struct Fault {
    pointer: String,
    problem: String,
    hint: Option<String>,
}

/// The first fault by the published schema, the deepest one of its place.
fn schema_fault(value: &Value) -> Option<Fault> {
    let error = VALIDATOR.iter_errors(value).next()?;
    let pointer = error.instance_path().to_string();
    let problem = error.to_string();
    // The text begins with the whole offending value, which may be the whole file.
    let problem = match problem.char_indices().nth(300) {
        Some((cut, _)) => format!("{}...", &problem[..cut]),
        None => problem,
    };
    let hint = if problem.contains("\"name\" is a required") && pointer.contains("websocket") {
        Some("a websocket entry is {\"websocket\": {\"name\": \"...\"}}".to_owned())
    } else if problem.contains("names") && pointer.contains("websocket") {
        Some(
            "version 5 has one {\"websocket\": {\"name\": \"...\"}} for each name; `names` is version 2"
                .to_owned(),
        )
    } else if problem.contains("user-configs") {
        Some("versions 4 and 5 write user_configs, with an underscore".to_owned())
    } else {
        None
    };
    Some(Fault {
        pointer,
        problem,
        hint,
    })
}
