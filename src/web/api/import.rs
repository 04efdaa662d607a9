//! A file that a person brings, such as Intiface's own, in place of the UDCF.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::in_any_body;
use super::udcf::THE_FILE;
use super::{Problem, Refused};
use crate::text::printable;
use crate::udcf::check::{Report, report};
use crate::udcf::{Udcf, UdcfError};
use crate::web::view::View;
use crate::web::view::configuration::{Changed, FileText};

/// The largest file, in bytes. The server's own list of all devices is smaller.
const FILE_MAX_BYTES: usize = 1024 * 1024;
/// The largest body: in JSON, a file is longer by its line ends and quotes.
pub(super) const BODY_MAX_BYTES: usize = 2 * FILE_MAX_BYTES;
/// What is shown of a file's name.
const NAME_MAX_CHARS: usize = 100;

const BODY_HINT: &str = r#"send JSON such as {"text": "{…}", "dry_run": true}"#;
const SIZE_HINT: &str = "a device configuration file has at most 1 MiB; remove what you do not need";

/// A file to use as the UDCF.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewFile {
    /// Its text: a device configuration of any version from 2 to 5.
    pub text: String,
    /// What answers call it.
    pub name: Option<String>,
    /// Only show what it describes.
    pub dry_run: bool,
}

/// What a file describes, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// The version in its header.
    pub version: u64,
    /// Whether it is migrated to the newest version; otherwise it is written as it is, byte for byte.
    pub is_migrated: bool,
    /// What migration does, in one sentence; `null` for a file of the newest version.
    pub summary: Option<String>,
    /// What is not carried over as it was, or will not work, one sentence each.
    pub warnings: Vec<String>,
    /// The identifiers that devices may send.
    pub names: Vec<ImportedName>,
    /// The boards on serial ports and on Bluetooth.
    pub boards: Vec<ImportedBoard>,
    /// The devices with settings of their own.
    pub devices: Vec<ImportedDevice>,
    /// The identifiers of the UDCF before that this file lacks: devices that send them are refused.
    pub refused_names: Vec<String>,
    /// Where it is written.
    pub file: Option<String>,
    /// Whether there is a UDCF before, which is kept as a backup.
    pub replaces: bool,
    /// The file as it was written; `null` if it was not.
    pub changed: Option<Changed>,
}

/// An identifier that devices may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedName {
    /// The identifier.
    pub name: String,
    /// The protocol of such a device.
    pub protocol: String,
    /// Its features; empty if they come from its model.
    pub features: Vec<String>,
}

/// A board on a serial port or on Bluetooth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedBoard {
    /// `serial` or `ble`.
    pub section: String,
    /// Its port, or its name on Bluetooth.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// Its features; empty if they come from its model.
    pub features: Vec<String>,
    /// Why it cannot be bridged as it stands.
    pub problem: Option<String>,
}

/// A device with settings of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedDevice {
    /// Its address.
    pub address: String,
    /// Its protocol.
    pub protocol: String,
    /// The name that apps show.
    pub display_name: Option<String>,
    /// As soon as one device is allowed, all others are refused.
    pub allow: bool,
    /// It may not connect.
    pub deny: bool,
    /// Its features, within its limits.
    pub features: Vec<String>,
}

impl Import {
    /// What using a file in place of `before` does.
    fn of(udcf: &Udcf, report: Report, before: &FileText) -> Self {
        let names: Vec<ImportedName> = (report.websocket.into_iter())
            .map(|name| ImportedName {
                name: name.name,
                protocol: name.protocol,
                features: name.features,
            })
            .collect();
        // One that cannot be read admits nobody.
        let old = Udcf::parse(&before.text, THE_FILE).map(|old| old.served_names().0);
        let mut refused_names: Vec<String> = (old.unwrap_or_default().into_iter())
            .map(|(name, _)| name)
            .filter(|old| !names.iter().any(|new| new.name == *old))
            .collect();
        refused_names.dedup();
        let boards = report.bridge.into_iter().map(|board| ImportedBoard {
            section: board.place.section().to_owned(),
            name: board.name,
            protocol: board.protocol,
            features: board.features,
            problem: board.problem,
        });
        let devices = report.devices.into_iter().map(|device| ImportedDevice {
            address: device.address,
            protocol: device.protocol,
            display_name: device.display_name,
            allow: device.allow,
            deny: device.deny,
            features: device.features,
        });
        Self {
            version: report.version,
            is_migrated: udcf.is_migrated(),
            summary: udcf.carried_over().map(str::to_owned),
            warnings: report.warnings,
            boards: boards.collect(),
            devices: devices.collect(),
            names,
            refused_names,
            file: before.path.as_deref().map(|path| path.display().to_string()),
            replaces: before.exists,
            changed: None,
        }
    }
}

/// Parses a file; `name` is what problems call it.
fn read(text: &str, name: &str, before: &FileText) -> Result<(Udcf, Import), UdcfError> {
    let udcf = Udcf::parse(text, name)?;
    let import = Import::of(&udcf, report(&udcf)?, before);
    Ok((udcf, import))
}

/// What answers call the file: its name without a folder, on one line.
fn shown(name: Option<&str>) -> String {
    let name = name.and_then(|name| Path::new(name).file_name()?.to_str());
    let name: String = name.unwrap_or_default().chars().take(NAME_MAX_CHARS).collect();
    match name.as_str() {
        "" => "the file".to_owned(),
        name => printable(name.as_bytes()),
    }
}

/// Use another file as the UDCF.
///
/// A file of an older version is migrated; one of the newest version is written as it is. It is applied at once, and the
/// UDCF before is kept as a backup. With `dry_run`, the answer only tells what the file describes.
#[utoipa::path(
    post, path = "/api/udcf/import", tag = "udcf",
    request_body = NewFile,
    responses(
        (status = OK, description = "the result", body = Import),
        (status = BAD_REQUEST, body = Problem, description = "this is no device configuration that can be used: its first problem, with its place"),
        (status = PAYLOAD_TOO_LARGE, body = Problem, description = "the file is larger than 1 MiB"),
        (status = CONFLICT, body = Problem, description = "the file cannot be written; the one before is unchanged"),
    ),
)]
pub(super) async fn import(
    State(view): State<View>,
    body: Result<Json<NewFile>, JsonRejection>,
) -> Result<Response, Refused> {
    let NewFile { text, name, dry_run } = match body {
        Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(too_large()),
        body => in_any_body(body, BODY_HINT)?,
    };
    if text.len() > FILE_MAX_BYTES {
        return Err(too_large());
    }
    let before = view.configuration.udcf().await.map_err(Problem::conflict)?;
    let name = shown(name.as_deref());
    let reading = tokio::task::spawn_blocking(move || {
        let (udcf, import) = read(&text, &name, &before).map_err(|e| Problem::of(&e))?;
        let new = if udcf.is_migrated() { udcf.to_json() } else { text };
        Ok::<_, Problem>((new, import))
    });
    let (new, mut import) = match reading.await {
        Ok(read) => read.map_err(|problem| problem.with_status(StatusCode::BAD_REQUEST))?,
        Err(e) => return Err(Problem::fault(&e).with_status(StatusCode::INTERNAL_SERVER_ERROR)),
    };
    if !dry_run {
        let changed = view.configuration.change_udcf(Box::new(move |_| Ok(new))).await;
        import.changed = Some(changed.map_err(Problem::conflict)?);
    }
    Ok(Json(import).into_response())
}

fn too_large() -> Refused {
    Problem::refuse(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the file is larger than 1 MiB",
        Some(SIZE_HINT),
    )
}
