//! The HTTP interface, for the page, for scripts and for the command line. Its description is made from this code, and
//! served as `/api/openapi.json`.

mod axes;
pub mod boards;
mod configuration;
mod device_settings;
mod fleet;
pub mod frames;
mod import;
pub(super) mod injector;
pub mod login;
pub mod origins;
mod problem;
mod request;
mod simulated;
mod udcf;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{InfoBuilder, License, OpenApi};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::metrics;
use super::view::{About, App, Device, Stopped, View};
use crate::defaults::FRAME_MAX_BYTES;
use problem::Refused;
pub use problem::{Problem, blocking};
pub(super) use request::InPath;

#[derive(utoipa::OpenApi)]
struct Described;

/// The devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Devices {
    /// Connected, gone and refused ones, by address.
    pub devices: Vec<Device>,
}

/// The connected apps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Apps {
    /// By number.
    pub apps: Vec<App>,
}

/// The answer to a request that may be refused, with this status.
fn answer<T: Serialize>(refused: StatusCode, result: Result<T, Problem>) -> Response {
    match result {
        Ok(result) => Json(result).into_response(),
        Err(problem) => problem.with_status(refused).into_response(),
    }
}

/// Creates the router. Streams end when the view's `stop` is cancelled. Each connection must add its own
/// `Extension(Arc<Injector>)`.
pub fn router(view: View) -> Router {
    let (router, openapi) = described();
    router
        .route("/api/openapi.json", get(|| async { Json(openapi) }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/metrics", get(scrape))
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(FRAME_MAX_BYTES))
        .with_state(view)
}

/// What to do if a method is refused.
pub(super) const METHODS_HINT: &str = "GET /api/openapi.json lists the methods of each path";

/// The answer if a path has no such method.
pub(super) async fn no_method(method: Method, uri: Uri) -> Response {
    let error = format!("{method} is no method of {}", uri.path());
    Problem::answer(StatusCode::METHOD_NOT_ALLOWED, error, Some(METHODS_HINT))
}

/// The description of the interface.
pub fn openapi() -> OpenApi {
    described().1
}

fn described() -> (Router<View>, OpenApi) {
    let mut base = Described::openapi();
    let mut license = License::new("BSD-3-Clause");
    license.identifier = Some("BSD-3-Clause".to_owned());
    base.info = InfoBuilder::new()
        .title("wsdm-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A running gateway: its devices, the apps that drive them, and stops. Where the page has a password or a token, \
             everything but POST /api/stop and /api/login needs a session's cookie, or Authorization: Bearer TOKEN.",
        ))
        .license(Some(license))
        .build();
    OpenApiRouter::with_openapi(base)
        .routes(routes!(about))
        .routes(routes!(devices))
        .routes(routes!(device, forget))
        .routes(routes!(login::state, login::log_in))
        .routes(routes!(login::log_out))
        .routes(routes!(stop))
        .routes(routes!(stop_device))
        .routes(routes!(fleet::show))
        .routes(routes!(fleet::stop))
        .routes(routes!(configuration::show))
        .routes(routes!(configuration::reload))
        .routes(routes!(apps))
        .routes(routes!(disconnect))
        .routes(routes!(simulated::list, simulated::start))
        .routes(routes!(simulated::stop))
        .routes(routes!(boards::ports))
        .routes(routes!(boards::bluetooth))
        .routes(routes!(boards::entries, boards::add))
        .routes(routes!(boards::bridge_udcf))
        .routes(routes!(boards::remove))
        .routes(routes!(origins::block))
        .routes(routes!(origins::questions))
        .routes(routes!(origins::answer))
        .routes(routes!(origins::origins))
        .routes(routes!(origins::forget_origin))
        .routes(routes!(udcf::protocols))
        .routes(routes!(udcf::add_name))
        .routes(routes!(udcf::migrate))
        .routes(routes!(import::import).layer(DefaultBodyLimit::max(import::BODY_MAX_BYTES)))
        .routes(routes!(axes::show, axes::change))
        .routes(routes!(device_settings::show, device_settings::change))
        .routes(routes!(frames::sessions))
        .routes(routes!(frames::frames, frames::send))
        .routes(routes!(frames::alive))
        .split_for_parts()
}

/// What the gateway is and where it listens.
#[utoipa::path(get, path = "/api/gateway", tag = "gateway", responses((status = OK, description = "the result", body = About)))]
async fn about(State(view): State<View>) -> Json<About> {
    Json((*view.about).clone())
}

/// List the devices: connected, gone and refused.
#[utoipa::path(get, path = "/api/devices", tag = "devices", responses((status = OK, description = "the result", body = Devices)))]
async fn devices(State(view): State<View>) -> Json<Devices> {
    Json(Devices {
        devices: view.look().0,
    })
}

fn no_device(address: &str) -> Refused {
    Problem::refuse(
        StatusCode::NOT_FOUND,
        format!("no device has the address {address:?}"),
        Some("GET /api/devices lists them; an address in a path is percent-encoded"),
    )
}

/// Show one device.
#[utoipa::path(
    get, path = "/api/devices/{address}", tag = "devices",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses((status = OK, description = "the result", body = Device), (status = NOT_FOUND, description = "there is none", body = Problem)),
)]
async fn device(State(view): State<View>, InPath(address): InPath<String>) -> Response {
    let found = view.look().0.into_iter().find(|device| device.address == address);
    found.map_or_else(
        || no_device(&address).into_response(),
        |device| Json(device).into_response(),
    )
}

/// Forget a device that is gone or was refused.
#[utoipa::path(
    delete, path = "/api/devices/{address}", tag = "devices",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses((status = NO_CONTENT, description = "done"), (status = NOT_FOUND, description = "there is none", body = Problem)),
)]
async fn forget(State(view): State<View>, InPath(address): InPath<String>) -> Response {
    if view.registry.past().forget(&address) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        no_device(&address).into_response()
    }
}

/// Stop every device.
///
/// The answer comes when all have taken their stop, or after a few hundred milliseconds with those that did not.
#[utoipa::path(post, path = "/api/stop", tag = "stop", responses((status = OK, description = "the result", body = Stopped)))]
async fn stop(State(view): State<View>) -> Json<Stopped> {
    Json(view.stop_everything().await)
}

/// Stop one device.
#[utoipa::path(
    post, path = "/api/devices/{address}/stop", tag = "stop",
    params(("address" = String, Path, description = "the device's address, percent-encoded")),
    responses((status = OK, description = "the result", body = Stopped), (status = NOT_FOUND, description = "there is none", body = Problem)),
)]
async fn stop_device(State(view): State<View>, InPath(address): InPath<String>) -> Response {
    let stopped = view.stop_device(&address).await;
    stopped.map_or_else(
        || no_device(&address).into_response(),
        |stopped| Json(stopped).into_response(),
    )
}

/// List the connected apps.
#[utoipa::path(get, path = "/api/apps", tag = "apps", responses((status = OK, description = "the result", body = Apps)))]
async fn apps(State(view): State<View>) -> Json<Apps> {
    Json(Apps { apps: view.look().1 })
}

/// Disconnect an app. What it commanded last is stopped.
#[utoipa::path(
    post, path = "/api/apps/{id}/disconnect", tag = "apps",
    params(("id" = u64, Path, description = "the app's number")),
    responses((status = NO_CONTENT, description = "done"), (status = NOT_FOUND, description = "there is none", body = Problem)),
)]
async fn disconnect(State(view): State<View>, InPath(id): InPath<u64>) -> Response {
    if view.server.as_ref().is_some_and(|server| server.disconnect(id)) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let error = format!("no app of the number {id} is connected");
        Problem::answer(StatusCode::NOT_FOUND, error, Some("GET /api/apps lists them"))
    }
}

async fn scrape(State(view): State<View>) -> Response {
    match metrics::encode(&view).await {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(e) => Problem::answer(StatusCode::INTERNAL_SERVER_ERROR, e.to_string(), None),
    }
}
