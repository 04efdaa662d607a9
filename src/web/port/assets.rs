//! The files of the page, and the policy under which a browser runs them.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::web::api::Problem;

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $kind:expr,)*) => {
        &[$(Asset {
            path: concat!("/", $name),
            kind: $kind,
            content: include_bytes!(concat!("../page/", $name)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: &[Asset] = assets! {
    "index.html": HTML,
    "style.css": CSS,
    "vendor/pico.min.css": CSS,
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "apps.js": SCRIPT,
    "axes.js": SCRIPT,
    "boards.js": SCRIPT,
    "bridge.js": SCRIPT,
    "client.js": SCRIPT,
    "configure.js": SCRIPT,
    "device.js": SCRIPT,
    "devices.js": SCRIPT,
    "facts.js": SCRIPT,
    "fleet.js": SCRIPT,
    "format.js": SCRIPT,
    "framelog.js": SCRIPT,
    "html.js": SCRIPT,
    "import.js": SCRIPT,
    "live.js": SCRIPT,
    "login.js": SCRIPT,
    "mend.js": SCRIPT,
    "names.js": SCRIPT,
    "newboard.js": SCRIPT,
    "outputs.js": SCRIPT,
    "preview.js": SCRIPT,
    "protocols.js": SCRIPT,
    "questions.js": SCRIPT,
    "result.js": SCRIPT,
    "route.js": SCRIPT,
    "session.js": SCRIPT,
    "simulate.js": SCRIPT,
    "spark.js": SCRIPT,
    "stop.js": SCRIPT,
    "tryit.js": SCRIPT,
    "watch.js": SCRIPT,
    "vendor/buttplug.mjs": SCRIPT,
    "vendor/hooks.mjs": SCRIPT,
    "vendor/htm.mjs": SCRIPT,
    "vendor/preact.mjs": SCRIPT,
    "vendor/signals-core.mjs": SCRIPT,
    "vendor/signals.mjs": SCRIPT,
};

/// The text of the import map in the page. A browser runs it only if the policy has its hash.
fn import_map(page: &str) -> Option<&str> {
    let (_, after) = page.split_once("<script type=\"importmap\">")?;
    after.split_once("</script>").map(|(map, _)| map)
}

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let page = ASSETS.iter().find(|asset| asset.path == "/index.html");
    let map = page.and_then(|page| import_map(std::str::from_utf8(page.content).ok()?));
    let hash = map.map(|map| format!(" 'sha256-{}'", BASE64.encode(&Sha256::digest(map))));
    let policy = format!(
        "default-src 'none'; script-src 'self'{}; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri \
         'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash.unwrap_or_default()
    );
    HeaderValue::try_from(policy).expect("ASCII")
});

/// The value of Content-Security-Policy.
pub(super) fn policy() -> HeaderValue {
    POLICY.clone()
}

/// The file at a path.
fn find(path: &str) -> Option<&'static Asset> {
    let path = if path == "/" { "/index.html" } else { path };
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Whether there is a file of the page at this path.
pub(super) fn is_asset(path: &str) -> bool {
    find(path).is_some()
}

/// Serves a file of the page. A browser asks each time whether its copy is still the newest.
pub(super) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let Some(asset) = find(path) else {
        let error = format!("there is nothing at {path:?}");
        return Problem::answer(
            StatusCode::NOT_FOUND,
            error,
            Some("GET /api/openapi.json lists the paths"),
        );
    };
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = Problem::answer(StatusCode::METHOD_NOT_ALLOWED, "a file can only be read", None);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(header::ALLOW, allowed);
        return answer;
    }
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(asset.content)[..16]));
    let headers = [
        (header::CONTENT_TYPE, asset.kind.to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag.clone()),
    ];
    if is_known(request.headers(), &tag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.content).into_response()
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH);
    known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
        known
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == tag)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files that belong to the page's folder and are not served.
    const NOT_SERVED: &[&str] = &["vendor/vendored.json", "vendor/LICENSES.txt"];

    fn files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.push(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut found = Vec::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
        files(&folder, "", &mut found);
        found.retain(|name| !NOT_SERVED.contains(&name.as_str()));
        found.sort();
        let mut served: Vec<_> = ASSETS.iter().map(|asset| asset.path[1..].to_owned()).collect();
        served.sort();
        assert_eq!(served, found);
    }

    #[test]
    fn vendored_files_are_those_that_were_reviewed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page/vendor");
        let list = std::fs::read_to_string(folder.join("vendored.json")).unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let licences = std::fs::read_to_string(folder.join("LICENSES.txt")).unwrap();
        let mut listed = Vec::new();
        for entry in list.as_array().unwrap() {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            let content = std::fs::read(folder.join(text("file"))).unwrap();
            let sum = HEXLOWER.encode(&Sha256::digest(content));
            assert_eq!(sum, text("sha256"), "{}", text("file"));
            assert!(
                licences.contains(&text("name")),
                "{} has no licence text",
                text("name")
            );
            assert!(["MIT", "Apache-2.0", "BSD-3-Clause"].contains(&&*text("licence")));
            listed.push(format!("vendor/{}", text("file")));
        }
        listed.sort();
        let mut served: Vec<_> = ASSETS.iter().map(|asset| asset.path[1..].to_owned()).collect();
        served.retain(|name| name.starts_with("vendor/"));
        served.sort();
        assert_eq!(listed, served);
    }

    #[test]
    fn the_policy_has_the_hash_of_the_import_map() {
        let policy = policy();
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("script-src 'self' 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
