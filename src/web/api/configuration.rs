//! The configuration files: which there are, whether they are in force, and reading them again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Problem, answer};
use crate::web::view::View;
use crate::web::view::configuration::{Changed, FileText};

/// The configuration files of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Files {
    /// gateway.toml.
    pub gateway_toml: File,
    /// The user device configuration file.
    pub udcf: File,
    /// Why the newest files are not in force; `null` if they are.
    pub problem: Option<Problem>,
}

/// A configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Where it is, or where a change creates it; `null` if the user has no home directory.
    pub path: Option<String>,
    /// Whether it exists.
    pub exists: bool,
}

impl From<FileText> for File {
    fn from(file: FileText) -> Self {
        Self {
            path: file.path.map(|path| path.display().to_string()),
            exists: file.exists,
        }
    }
}

/// Name the configuration files, and say whether they are in force.
#[utoipa::path(
    get, path = "/api/configuration", tag = "configuration",
    responses((status = OK, description = "the result", body = Files), (status = CONFLICT, description = "a file cannot be read", body = Problem)),
)]
pub(super) async fn show(State(view): State<View>) -> Response {
    let configuration = &view.configuration;
    let (gateway_toml, udcf) = tokio::join!(configuration.gateway_toml(), configuration.udcf());
    let files = gateway_toml.and_then(|gateway_toml| {
        Ok(Files {
            gateway_toml: gateway_toml.into(),
            udcf: udcf?.into(),
            problem: configuration.problem(),
        })
    });
    answer(StatusCode::CONFLICT, files)
}

/// Read the configuration files again and apply them.
///
/// A file that cannot be used changes nothing.
#[utoipa::path(
    post, path = "/api/reload", tag = "configuration",
    responses((status = OK, description = "the result", body = Changed), (status = CONFLICT, description = "a file cannot be used; what was in force stays", body = Problem)),
)]
pub(super) async fn reload(State(view): State<View>) -> Response {
    answer(StatusCode::CONFLICT, view.configuration.reload().await)
}
