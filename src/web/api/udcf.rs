//! The user device configuration file: which names have which protocol, and its migration.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::in_any_body;
use super::{Problem, Refused, answer, blocking};
use crate::advice::Advice;
use crate::udcf::edit::{self, add_to_text};
use crate::udcf::{Udcf, protocols};
use crate::web::view::View;
use crate::web::view::configuration::{Changed, FileText};

/// What errors call the file.
pub(super) const THE_FILE: &str = "the UDCF";

/// The protocols that the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Protocols {
    /// By name.
    pub protocols: Vec<Protocol>,
}

/// A protocol that the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Protocol {
    /// Its name in a UDCF.
    pub name: String,
    /// Whether a device that is known only by its websocket name has features.
    pub has_default: bool,
    /// How many models the server knows.
    pub models: usize,
    /// What its devices can do.
    pub outputs: Vec<String>,
    /// What its devices can report.
    pub inputs: Vec<String>,
}

/// A websocket name and its protocol.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NewName {
    /// What the device sends as its identifier.
    pub name: String,
    /// The protocol that it speaks.
    pub protocol: String,
}

/// List the protocols that the server knows, with what their devices can do.
#[utoipa::path(get, path = "/api/protocols", tag = "udcf", responses((status = OK, description = "the result", body = Protocols)))]
pub(super) async fn protocols() -> Response {
    // The first answer tries every protocol once.
    let list = tokio::task::spawn_blocking(|| {
        let all = protocols::all().map(|protocol| Protocol {
            name: protocol.name.clone(),
            has_default: protocol.has_default,
            models: protocol.models,
            outputs: protocol.outputs.iter().cloned().collect(),
            inputs: protocol.inputs.iter().cloned().collect(),
        });
        Protocols {
            protocols: all.collect(),
        }
    });
    match list.await {
        Ok(protocols) => Json(protocols).into_response(),
        Err(e) => Problem::answer(StatusCode::INTERNAL_SERVER_ERROR, e.to_string(), None),
    }
}

/// Add a websocket name under a protocol.
///
/// Devices with this identifier may connect from then on. A name of a protocol that the server does not have is moved. If
/// there is no UDCF yet, it is created.
#[utoipa::path(
    post, path = "/api/udcf/names", tag = "udcf",
    request_body = NewName,
    responses(
        (status = OK, description = "the result", body = Changed),
        (status = BAD_REQUEST, body = Problem, description = "the server has no such protocol, or no device can send the name"),
        (status = CONFLICT, body = Problem, description = "the file cannot be used, changed or written; it is unchanged"),
    ),
)]
pub(super) async fn add_name(
    State(view): State<View>,
    body: Result<Json<NewName>, JsonRejection>,
) -> Result<Response, Refused> {
    let hint = "send JSON such as {\"name\": \"MyVibe\", \"protocol\": \"lovense\"}";
    let NewName { name, protocol } = in_any_body(body, hint)?;
    if let Err(e) = edit::check(&protocol, &name) {
        let hint = e.hint();
        return Err(Problem::refuse(
            StatusCode::BAD_REQUEST,
            e.problem(),
            hint.as_deref(),
        ));
    }
    let add = move |text: &str| {
        let added = add_to_text(text, THE_FILE, &protocol, &name);
        added.map(|(text, _)| text).map_err(|e| Problem::of(&e))
    };
    let changed = view.configuration.change_udcf(Box::new(add)).await;
    Ok(answer(StatusCode::CONFLICT, changed))
}

/// Whether to change the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Migrate {
    /// Only show what would change.
    pub dry_run: bool,
}

/// What the migration of an older file changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Migration {
    /// The version of the file.
    pub version: u64,
    /// What becomes of it, in one sentence.
    pub summary: String,
    /// What is not carried over as it was, or will not work, one sentence each.
    pub warnings: Vec<String>,
    /// The file as it was written; `null` if it was not.
    pub changed: Option<Changed>,
}

impl Migration {
    /// The migration of a file; `None` if it is written in the newest version.
    pub(super) fn of(udcf: &Udcf) -> Option<Self> {
        udcf.is_migrated().then(|| Self {
            version: udcf.major(),
            summary: udcf
                .summary()
                .unwrap_or("it is written as an older version")
                .to_owned(),
            warnings: udcf.warnings().to_vec(),
            changed: None,
        })
    }
}

/// Migrate the UDCF to the newest version, in which single devices can be configured.
///
/// The old file is kept as a backup.
#[utoipa::path(
    post, path = "/api/udcf/migrate", tag = "udcf",
    request_body = Migrate,
    responses(
        (status = OK, description = "the result", body = Migration),
        (status = BAD_REQUEST, body = Problem, description = "the body cannot be read"),
        (status = CONFLICT, body = Problem, description = "the file is of the newest version, or cannot be used or written; it is unchanged"),
    ),
)]
pub(super) async fn migrate(
    State(view): State<View>,
    body: Result<Json<Migrate>, JsonRejection>,
) -> Result<Response, Refused> {
    let Migrate { dry_run } = in_any_body(body, "send JSON such as {\"dry_run\": true}")?;
    let (udcf, _) = read(&view).await.map_err(Problem::conflict)?;
    let Some(mut migration) = Migration::of(&udcf) else {
        return Err(Problem::refuse(
            StatusCode::CONFLICT,
            "the file is of the newest version",
            Some("nothing is to be done"),
        ));
    };
    if !dry_run {
        let migrate = |text: &str| {
            let udcf = Udcf::parse(text, THE_FILE).map_err(|e| Problem::of(&e))?;
            Ok(udcf.to_json())
        };
        let changed = view.configuration.change_udcf(Box::new(migrate)).await;
        migration.changed = Some(changed.map_err(Problem::conflict)?);
    }
    Ok(Json(migration).into_response())
}

/// Reads and parses the UDCF.
pub(super) async fn read(view: &View) -> Result<(Udcf, FileText), Problem> {
    let file = view.configuration.udcf().await?;
    blocking(move || {
        let name = file
            .path
            .as_ref()
            .map_or_else(|| THE_FILE.to_owned(), |path| path.display().to_string());
        let udcf = Udcf::parse(&file.text, &name).map_err(|e| Problem::of(&e))?;
        Ok((udcf, file))
    })
    .await
}
