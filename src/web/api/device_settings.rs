//! What the UDCF says of single devices: name, index, limits, and whether they may connect.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::in_any_body;
use super::udcf::{Migration, THE_FILE, read};
use super::{InPath, Problem, Refused, answer, no_device};
use crate::device::handshake::Address;
use crate::udcf::Udcf;
use crate::udcf::edit::device::{self, DeviceChange, DeviceEntry, Subject};
use crate::web::view::View;
use crate::web::view::configuration::Changed;

/// What the UDCF says of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceSettings {
    /// The file; `null` if there is no place for one.
    pub file: Option<String>,
    /// What the file says, and what can be set.
    pub entry: DeviceEntry,
    /// The migration that the file needs before a device can be changed in it; `null` if it needs none.
    pub migration: Option<Migration>,
}

/// Show what the UDCF says of a device, and what can be set.
#[utoipa::path(
    get, path = "/api/udcf/devices/{address}", tag = "udcf",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses(
        (status = OK, description = "the result", body = DeviceSettings),
        (status = NOT_FOUND, description = "there is no such device, or its protocol is not known", body = Problem),
        (status = CONFLICT, body = Problem, description = "the file cannot be used"),
    ),
)]
pub(super) async fn show(
    State(view): State<View>,
    InPath(address): InPath<String>,
) -> Result<Response, Refused> {
    let (udcf, file) = read(&view).await.map_err(Problem::conflict)?;
    let subject = subject(&view, &udcf, &address)?;
    let settings = device::show(&udcf, THE_FILE, &subject).map(|entry| DeviceSettings {
        file: file.path.map(|path| path.display().to_string()),
        entry,
        migration: Migration::of(&udcf),
    });
    let settings = settings.map_err(|e| Problem::of(&e));
    Ok(answer(StatusCode::CONFLICT, settings))
}

/// Change what the UDCF says of a device.
///
/// What is absent from the request stays as it is. A device without an entry gets one; if there is no UDCF yet, it is
/// created.
#[utoipa::path(
    put, path = "/api/udcf/devices/{address}", tag = "udcf",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    request_body = DeviceChange,
    responses(
        (status = OK, description = "the result", body = Changed),
        (status = BAD_REQUEST, body = Problem, description = "the body cannot be read"),
        (status = NOT_FOUND, description = "there is no such device, or its protocol is not known", body = Problem),
        (status = CONFLICT, body = Problem, description = "the change is not possible, or the file cannot be used, changed or written; it is unchanged"),
    ),
)]
pub(super) async fn change(
    State(view): State<View>,
    InPath(address): InPath<String>,
    body: Result<Json<DeviceChange>, JsonRejection>,
) -> Result<Response, Refused> {
    let hint = "send JSON such as {\"display_name\": \"Mine\"}; GET /api/openapi.json describes it";
    let wanted = in_any_body(body, hint)?;
    let (udcf, _) = read(&view).await.map_err(Problem::conflict)?;
    let subject = subject(&view, &udcf, &address)?;
    let change =
        move |text: &str| device::change(text, THE_FILE, &subject, &wanted).map_err(|e| Problem::of(&e));
    let changed = view.configuration.change_udcf(Box::new(change)).await;
    Ok(answer(StatusCode::CONFLICT, changed))
}

/// The device of this address.
///
/// # Errors
/// The answer if it cannot be configured.
fn subject(view: &View, udcf: &Udcf, address: &str) -> Result<Subject, Refused> {
    find(view, udcf, address).ok_or_else(|| unknown(view, address))
}

/// The device of this address: as the server lists it, or else as the file knows it.
fn find(view: &View, udcf: &Udcf, address: &str) -> Option<Subject> {
    let server = view.server.as_ref()?;
    let address = Address::new(address).ok()?;
    let session = view.registry.find(&address);
    if let Some(subject) = session
        .as_ref()
        .and_then(|session| server.subject(session.connection))
    {
        return Some(subject);
    }
    let past = view.registry.past().devices();
    let identifier = match &session {
        Some(session) => Some(session.handshake.identifier.as_str().to_owned()),
        None => past
            .into_iter()
            .find(|device| device.address == address.as_str())
            .map(|device| device.identifier),
    };
    let taken = server.listed().values().map(|listed| listed.index).collect();
    let absent = Subject::absent(udcf, address.as_str(), &identifier.unwrap_or_default())?;
    Some(Subject { taken, ..absent })
}

/// Why a device cannot be configured.
fn unknown(view: &View, address: &str) -> Refused {
    let (devices, _) = view.look();
    if !devices.iter().any(|device| device.address == address) {
        return no_device(address);
    }
    let (error, hint) = match view.server {
        None => (
            "devices are relayed: the server there decides about them",
            "configure them there",
        ),
        Some(_) => (
            "the protocol of this device is not known",
            "add its identifier under a protocol first",
        ),
    };
    Problem::refuse(StatusCode::NOT_FOUND, error, Some(hint))
}
