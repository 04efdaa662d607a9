//! Boards on wires and on Bluetooth: what is there, and the entries of gateway.toml that bridge it.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::request::in_body;
use super::{InPath, Problem, Refused, answer};
use crate::config::edit::{self, EditError, Keys, Value};
use crate::web::view::View;
use crate::web::view::boards::{Entries, Peripheral, SerialPort};
use crate::web::view::configuration::{Changed, Edit};

/// How long a scan looks if the request does not say so. A peripheral that saves power advertises every few seconds.
const SCAN_SECONDS: u64 = 4;
const SCAN_SECONDS_MAX: u64 = 30;

/// The serial ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ports {
    /// Those that exist, by name, then those that only entries name.
    pub ports: Vec<SerialPort>,
}

/// What a scan saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peripherals {
    /// The nearest first.
    pub peripherals: Vec<Peripheral>,
}

/// How to scan.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
pub struct ScanFor {
    /// How many seconds, from 1 to 30; 4 if left out.
    #[param(minimum = 1, maximum = 30)]
    pub seconds: Option<u64>,
}

/// An entry to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewEntry {
    /// `serial`, `ble` or `dial`.
    pub section: String,
    /// Its keys, as in the configuration reference; `framing.delimiter` for one in a table. Bytes are text, or
    /// `{"hex": "05 80"}`.
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    pub keys: Keys,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// The lines.
    pub toml: String,
    /// The number of the first one, from 1.
    pub line: usize,
    /// What the change came to.
    pub changed: Changed,
}

/// Which entry is meant.
#[derive(Clone, Debug, Deserialize, IntoParams)]
pub struct Tagged {
    /// The entry's tag: the request is refused if it changed meanwhile.
    pub tag: Option<String>,
}

/// Whether the boards of the UDCF are bridged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BridgeUdcf {
    /// Bridge them.
    pub bridge: bool,
}

/// A mark that changes with the text of an entry.
pub fn tag(toml: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(toml)[..6])
}

/// Why a gateway.toml was not edited, for people.
pub fn not_edited(error: &EditError) -> Problem {
    let hint = match error {
        EditError::Unreadable { .. } => {
            Some("correct gateway.toml by hand; wsdm-gateway check shows its problems")
        }
        EditError::NoSection(_) | EditError::NoKey(_) => {
            Some("docs/configuration-reference.md lists the keys")
        }
        EditError::NoEntry(..) => Some("GET /api/entries lists them"),
        EditError::Form(_) | EditError::Kind(_) => {
            Some("edit gateway.toml by hand; changes are applied at once")
        }
    };
    let error = match error {
        EditError::Unreadable { .. } => format!("gateway.toml, {error}"),
        error => error.to_string(),
    };
    Problem {
        error,
        hint: hint.map(str::to_owned),
    }
}

/// List the serial ports that exist now, and which entry takes each. Opens none of them.
#[utoipa::path(
    get, path = "/api/ports", tag = "boards",
    responses((status = OK, description = "the result", body = Ports), (status = SERVICE_UNAVAILABLE, description = "the system does not tell", body = Problem)),
)]
pub(super) async fn ports(State(view): State<View>) -> Response {
    let ports = view.boards.ports().await.map(|ports| Ports { ports });
    answer(StatusCode::SERVICE_UNAVAILABLE, ports)
}

/// Scan for Bluetooth LE peripherals, and list those that were seen.
#[utoipa::path(
    get, path = "/api/bluetooth", tag = "boards", params(ScanFor),
    responses(
        (status = OK, description = "the result", body = Peripherals),
        (status = BAD_REQUEST, description = "this is no time for a scan", body = Problem),
        (status = SERVICE_UNAVAILABLE, description = "there is no Bluetooth", body = Problem),
    ),
)]
pub(super) async fn bluetooth(
    State(view): State<View>,
    query: Result<Query<ScanFor>, QueryRejection>,
) -> Response {
    let seconds = match query {
        Ok(Query(ScanFor { seconds })) => seconds.unwrap_or(SCAN_SECONDS),
        Err(e) => return Problem::answer(e.status(), e.body_text(), Some("such as ?seconds=4")),
    };
    if !(1..=SCAN_SECONDS_MAX).contains(&seconds) {
        let error = format!("a scan takes 1 to {SCAN_SECONDS_MAX} seconds, not {seconds}");
        return Problem::answer(StatusCode::BAD_REQUEST, error, Some("such as ?seconds=4"));
    }
    let seen = view.boards.scan(Duration::from_secs(seconds)).await;
    let seen = seen.map(|peripherals| Peripherals { peripherals });
    answer(StatusCode::SERVICE_UNAVAILABLE, seen)
}

/// List the entries of gateway.toml, and the boards that the UDCF describes.
#[utoipa::path(
    get, path = "/api/entries", tag = "boards",
    responses((status = OK, description = "the result", body = Entries), (status = CONFLICT, description = "gateway.toml cannot be read", body = Problem)),
)]
pub(super) async fn entries(State(view): State<View>) -> Response {
    answer(StatusCode::CONFLICT, view.boards.entries().await)
}

/// Bridge a board: add an entry to gateway.toml.
#[utoipa::path(
    post, path = "/api/entries", tag = "boards", request_body = NewEntry,
    responses((status = CREATED, description = "it was added", body = Written), (status = BAD_REQUEST, description = "it cannot be added", body = Problem)),
)]
pub(super) async fn add(
    State(view): State<View>,
    entry: Result<Json<NewEntry>, JsonRejection>,
) -> Result<Response, Refused> {
    let hint =
        r#"send {"section": "serial", "keys": {"port": "/dev/ttyUSB0"}} with Content-Type: application/json"#;
    let NewEntry { section, keys } = in_body(entry, hint)?;
    let written = Arc::new(OnceLock::new());
    let wrote = written.clone();
    let edit: Edit = Box::new(move |text| {
        let added = edit::add(text, &section, &keys).map_err(|e| not_edited(&e))?;
        // The only one that sets it.
        let _ = wrote.set((added.toml, added.line));
        Ok(added.text)
    });
    let changed = view.configuration.change_gateway_toml(edit).await;
    let changed = changed.map_err(|problem| problem.with_status(StatusCode::BAD_REQUEST))?;
    let (toml, line) = written.get().cloned().unwrap_or_default();
    Ok((StatusCode::CREATED, Json(Written { toml, line, changed })).into_response())
}

/// Remove an entry from gateway.toml.
#[utoipa::path(
    delete, path = "/api/entries/{section}/{n}", tag = "boards",
    params(
        ("section" = String, Path, description = "serial, ble or dial"),
        ("n" = usize, Path, description = "the entry's number in its section, from 0"),
        Tagged,
    ),
    responses(
        (status = OK, description = "it was removed", body = Changed),
        (status = BAD_REQUEST, description = "it cannot be removed", body = Problem),
        (status = NOT_FOUND, description = "there is none", body = Problem),
        (status = CONFLICT, description = "it is another one now", body = Problem),
    ),
)]
pub(super) async fn remove(
    State(view): State<View>,
    InPath((section, n)): InPath<(String, usize)>,
    query: Result<Query<Tagged>, QueryRejection>,
) -> Response {
    let wanted = match query {
        Ok(Query(Tagged { tag })) => tag,
        Err(e) => return Problem::answer(e.status(), e.body_text(), Some("GET /api/entries lists the tags")),
    };
    let status = Arc::new(AtomicU16::new(StatusCode::BAD_REQUEST.as_u16()));
    let failed = status.clone();
    let edit: Edit = Box::new(move |text| {
        let removed = edit::entries(text).and_then(|entries| {
            let entry = entries
                .into_iter()
                .find(|entry| entry.section == section && entry.n == n);
            let is_same = |toml: &str| wanted.is_none_or(|wanted| wanted == tag(toml));
            if entry.is_some_and(|entry| !is_same(&entry.toml)) {
                return Ok(None);
            }
            edit::remove(text, &section, n).map(Some)
        });
        match removed {
            Ok(Some(text)) => Ok(text),
            Ok(None) => {
                failed.store(StatusCode::CONFLICT.as_u16(), Ordering::Relaxed);
                Err(Problem {
                    error: format!("{section}.{n} has changed meanwhile"),
                    hint: Some("GET /api/entries lists what is there now".to_owned()),
                })
            }
            Err(e) => {
                if matches!(e, EditError::NoEntry(..)) {
                    failed.store(StatusCode::NOT_FOUND.as_u16(), Ordering::Relaxed);
                }
                Err(not_edited(&e))
            }
        }
    });
    let changed = view.configuration.change_gateway_toml(edit).await;
    let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap_or(StatusCode::BAD_REQUEST);
    answer(status, changed)
}

/// Bridge the boards that the UDCF describes, or stop that: set `bridge` under `[udcf]`.
#[utoipa::path(
    post, path = "/api/entries/udcf", tag = "boards", request_body = BridgeUdcf,
    responses((status = OK, description = "done", body = Changed), (status = BAD_REQUEST, description = "it cannot be set", body = Problem)),
)]
pub(super) async fn bridge_udcf(
    State(view): State<View>,
    order: Result<Json<BridgeUdcf>, JsonRejection>,
) -> Result<Response, Refused> {
    let hint = r#"send {"bridge": true} with Content-Type: application/json"#;
    let BridgeUdcf { bridge } = in_body(order, hint)?;
    let edit: Edit = Box::new(move |text| {
        edit::set(text, "udcf", "bridge", Some(&Value::Boolean(bridge))).map_err(|e| not_edited(&e))
    });
    let changed = view.configuration.change_gateway_toml(edit).await;
    Ok(answer(StatusCode::BAD_REQUEST, changed))
}
