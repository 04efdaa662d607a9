//! Who may use the page's port.
//!
//! Any web page that its user visits can send requests to this machine. Cookies and ports do not tell such a page from the
//! gateway's own, and a name of its own may lead to a loopback address. So every request must name a host that is this
//! port's own, and every change and every websocket must come from a page of exactly that origin. Programs that are no
//! browsers send no origin, and may give orders but open no websocket.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::{Connection, assets, has_word};
use crate::web::api::{self, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What this machine calls itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The rules of one port.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Arc<Vec<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    status: StatusCode,
    error: &'static str,
    hint: &'static str,
}

impl Guard {
    /// The rules for a port that listens on these addresses; `names` are further names of this host, with or without a
    /// port.
    pub fn new(addresses: &[SocketAddr], names: &[String]) -> Self {
        let mut hosts = Vec::new();
        for address in addresses {
            hosts.push(address.to_string());
            if address.ip().is_loopback() {
                // A tunnel or a proxy may listen on another one of them.
                hosts.extend(LOOPBACK.map(|host| format!("{host}:{}", address.port())));
            }
            for name in names {
                // A port in a name is that of a proxy in front of this one.
                hosts.push(name.clone());
                hosts.push(format!("{name}:{}", address.port()));
            }
            // Browsers leave the usual port out.
            if address.port() == 80 {
                hosts.push(match address.ip() {
                    IpAddr::V4(ip) => ip.to_string(),
                    IpAddr::V6(ip) => format!("[{ip}]"),
                });
                if address.ip().is_loopback() {
                    hosts.extend(LOOPBACK.map(str::to_owned));
                }
            }
        }
        Self {
            hosts: Arc::new(hosts),
        }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let host = one(headers, &header::HOST).filter(|host| {
            let host = host.to_ascii_lowercase();
            self.hosts.contains(&host)
        });
        // A request to a proxy names its host in the first line too.
        let host = host.filter(|host| {
            uri.authority()
                .is_none_or(|named| named.as_str().eq_ignore_ascii_case(host))
        });
        let Some(host) = host else {
            return Err(Refused {
                status: StatusCode::MISDIRECTED_REQUEST,
                error: "this is not the name of a host that the page is served for",
                hint: "open http://127.0.0.1 with this port, or add the name to [page] hosts",
            });
        };
        let reads = [Method::GET, Method::HEAD].contains(method);
        if !reads && ![Method::POST, Method::PUT, Method::DELETE].contains(method) {
            return Err(Refused {
                status: StatusCode::METHOD_NOT_ALLOWED,
                error: "this method is not known",
                hint: if *method == Method::OPTIONS {
                    "requests from other web pages are not allowed, so there is nothing to ask for"
                } else {
                    api::METHODS_HINT
                },
            });
        }
        let is_upgrade = has_word(headers, header::CONNECTION, "upgrade");
        let site = one(headers, &SEC_FETCH_SITE);
        let foreign = Refused {
            status: StatusCode::FORBIDDEN,
            error: "only the gateway's own page may do this",
            hint: "scripts send no Origin header; other web pages connect to the port for apps",
        };
        match site {
            None | Some("same-origin" | "none") => {}
            // A link from elsewhere that opens the page.
            Some(_) if reads && uri.path() == "/" && one(headers, &SEC_FETCH_MODE) == Some("navigate") => {}
            Some(_) => return Err(foreign),
        }
        if headers.contains_key(header::ORIGIN) {
            let own = one(headers, &header::ORIGIN).is_some_and(|origin| {
                origin
                    .strip_prefix("http://")
                    .is_some_and(|origin| origin.eq_ignore_ascii_case(host))
            });
            if !own {
                return Err(foreign);
            }
        } else if is_upgrade || (!reads && site.is_some()) {
            return Err(foreign);
        }
        let has_body = headers.contains_key(header::CONTENT_TYPE);
        let is_plain = ["application/json", "application/octet-stream"]
            .iter()
            .any(|kind| one(headers, &header::CONTENT_TYPE) == Some(kind));
        if !reads && has_body && !is_plain {
            return Err(Refused {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                error: "the body is neither application/json nor application/octet-stream",
                hint: "set the Content-Type header",
            });
        }
        Ok(())
    }
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Refuses what may not pass, and adds the headers that keep a browser from doing more than the page needs.
pub(super) async fn check(
    State(guard): State<Guard>,
    Extension(connection): Extension<Connection>,
    request: Request,
    next: Next,
) -> Response {
    let checked = guard.check(request.method(), request.uri(), request.headers());
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(Refused { status, error, hint }) => {
            tracing::debug!(peer = %connection.peer, "a request for the page was refused: {error}");
            let mut answer = Problem::answer(status, error, Some(hint));
            if status == StatusCode::METHOD_NOT_ALLOWED {
                let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
                answer.headers_mut().insert(header::ALLOW, allowed);
            }
            answer
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, assets::policy());
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let addresses = ["127.0.0.1:54880", "[::1]:54880"].map(|a| a.parse().unwrap());
        Guard::new(&addresses, &["gateway.example".to_owned()])
    }

    fn check(method: Method, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        guard()
            .check(&method, &path.parse().unwrap(), &map)
            .map_or_else(|e| e.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_own_hosts_are_served() {
        for host in [
            "127.0.0.1:54880",
            "localhost:54880",
            "LocalHost:54880",
            "[::1]:54880",
            "gateway.example",
            "gateway.example:54880",
        ] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:54881",
            "evil.example:54880",
            "localhost:54880.evil.example",
            "localhost.:54880",
            "",
            "127.0.0.1:54880 ",
            "user@127.0.0.1:54880",
        ] {
            assert_eq!(check(Method::GET, "/", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(check(Method::GET, "/", &[]), 421);
        let host = [("host", "localhost:54880")];
        assert_eq!(check(Method::GET, "http://localhost:54880/", &host), 200);
        assert_eq!(check(Method::GET, "http://evil.example/", &host), 421);
        let twice = [("host", "localhost:54880"), ("host", "localhost:54880")];
        assert_eq!(check(Method::GET, "/", &twice), 421);
    }

    #[test]
    fn changes_and_websockets_come_from_the_own_page() {
        const HOST: (&str, &str) = ("host", "localhost:54880");
        const UPGRADE: (&str, &str) = ("connection", "keep-alive, Upgrade");
        let own = ("origin", "http://localhost:54880");
        assert_eq!(check(Method::POST, "/api/stop", &[HOST]), 200, "curl");
        assert_eq!(check(Method::POST, "/api/stop", &[HOST, own]), 200);
        assert_eq!(check(Method::GET, "/api/live", &[HOST, own, UPGRADE]), 200);
        for origin in [
            "null",
            "http://localhost:54881",
            "http://127.0.0.1:54880",
            "https://localhost:54880",
            "http://localhost:54880.evil.example",
            "http://localhost:54880/",
            "",
        ] {
            let other = ("origin", origin);
            assert_eq!(check(Method::POST, "/api/stop", &[HOST, other]), 403, "{origin}");
            assert_eq!(
                check(Method::GET, "/api/live", &[HOST, other, UPGRADE]),
                403,
                "{origin}"
            );
        }
        assert_eq!(check(Method::GET, "/api/live", &[HOST, UPGRADE]), 403);
        let twice = [HOST, own, ("origin", "http://evil.example")];
        assert_eq!(check(Method::POST, "/api/stop", &twice), 403);
        for site in ["same-site", "cross-site", "else"] {
            let site = ("sec-fetch-site", site);
            assert_eq!(check(Method::POST, "/api/stop", &[HOST, site, own]), 403);
            assert_eq!(check(Method::GET, "/api/devices", &[HOST, site]), 403);
            assert_eq!(check(Method::GET, "/", &[HOST, site]), 403);
            let link = [HOST, site, ("sec-fetch-mode", "navigate")];
            assert_eq!(check(Method::GET, "/", &link), 200, "a link opens the page");
            assert_eq!(check(Method::GET, "/api/devices", &link), 403);
        }
        let no_origin = [HOST, ("sec-fetch-site", "same-origin")];
        assert_eq!(
            check(Method::POST, "/api/stop", &no_origin),
            403,
            "a browser names one"
        );
        assert_eq!(check(Method::OPTIONS, "/api/stop", &[HOST, own]), 405);
        let form = [HOST, own, ("content-type", "text/plain")];
        assert_eq!(check(Method::POST, "/api/stop", &form), 415);
    }
}
