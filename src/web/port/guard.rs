//! Who may use the page's port.
//!
//! Any web page that its user visits can send requests to this machine. Cookies and ports do not tell such a page from the
//! gateway's own, and a name of its own may lead to a loopback address. So every request must name a host that is this
//! port's own, and every change and every websocket must come from a page of exactly that origin. Programs that are no
//! browsers send no origin, and may give orders, but open a websocket only with a token, which [`super::access`] checks.

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
    /// Those of them that are names, which a proxy in front may serve with TLS.
    names: Arc<Vec<String>>,
    /// It listens at every address of the host.
    is_anywhere: bool,
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
        let (mut hosts, mut with_port) = (Vec::new(), Vec::new());
        for address in addresses {
            if !address.ip().is_unspecified() {
                hosts.extend(own_hosts(*address));
            }
            for name in names {
                // A port in a name is that of a proxy in front of this one.
                with_port.extend([name.clone(), format!("{name}:{}", address.port())]);
            }
        }
        hosts.extend(with_port.iter().cloned());
        Self {
            hosts: Arc::new(hosts),
            names: Arc::new(with_port),
            is_anywhere: addresses.iter().any(|address| address.ip().is_unspecified()),
        }
    }

    /// The rules for a connection to this address of the host. Where the port listens at every address, that is one of its
    /// hosts, but no name that leads to it is.
    fn at(&self, local: SocketAddr) -> Self {
        let mut here = self.clone();
        if self.is_anywhere {
            let local = SocketAddr::new(local.ip().to_canonical(), local.port());
            Arc::make_mut(&mut here.hosts).extend(own_hosts(local));
        }
        here
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
            let is_named = self.names.contains(&host.to_ascii_lowercase());
            let own = one(headers, &header::ORIGIN).is_some_and(|origin| {
                let by_tls = origin.strip_prefix("https://").filter(|_| is_named);
                (origin.strip_prefix("http://").or(by_tls))
                    .is_some_and(|origin| origin.eq_ignore_ascii_case(host))
            });
            if !own {
                return Err(foreign);
            }
        } else if (is_upgrade && !headers.contains_key(header::AUTHORIZATION)) || (!reads && site.is_some()) {
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

/// What a browser calls the host that it reached at this address.
fn own_hosts(address: SocketAddr) -> Vec<String> {
    // Without the scope of a link-local address, which no browser sends.
    let literal = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    // A tunnel or a proxy may listen on another loopback address.
    let loopback = LOOPBACK.into_iter().filter(|_| address.ip().is_loopback());
    let hosts = std::iter::once(literal).chain(loopback.map(str::to_owned));
    let with_port = hosts.map(|host| {
        let short = (address.port() == 80).then(|| host.clone());
        // Browsers leave the usual port out.
        std::iter::once(format!("{host}:{}", address.port())).chain(short)
    });
    with_port.flatten().collect()
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
    let guard = guard.at(connection.local);
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
        let program = [HOST, UPGRADE, ("authorization", "Bearer token")];
        assert_eq!(check(Method::GET, "/api/live", &program), 200);
        let page = [
            HOST,
            UPGRADE,
            ("authorization", "x"),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(check(Method::GET, "/api/live", &page), 403);
    }

    #[test]
    fn a_proxy_in_front_may_have_tls() {
        let named = ("host", "gateway.example");
        let by_tls = ("origin", "https://gateway.example");
        assert_eq!(check(Method::POST, "/api/stop", &[named, by_tls]), 200);
        let else_where = ("origin", "https://evil.example");
        assert_eq!(check(Method::POST, "/api/stop", &[named, else_where]), 403);
    }

    #[test]
    fn a_port_at_every_address_is_served_by_address() {
        let guard = Guard::new(
            &["0.0.0.0:54880".parse().unwrap(), "[::]:54880".parse().unwrap()],
            &["gateway.example".to_owned()],
        );
        for (local, host, is_served) in [
            ("192.168.1.5:54880", "192.168.1.5:54880", true),
            ("[::ffff:192.168.1.5]:54880", "192.168.1.5:54880", true),
            ("192.168.1.5:54880", "gateway.example:54880", true),
            ("192.168.1.5:54880", "192.168.1.6:54880", false),
            ("192.168.1.5:54880", "localhost:54880", false),
            ("192.168.1.5:54880", "0.0.0.0:54880", false),
            ("192.168.1.5:54880", "evil.example:54880", false),
            ("127.0.0.1:54880", "localhost:54880", true),
            ("[fe80::1%2]:54880", "[fe80::1]:54880", true),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            let guard = guard.at(local.parse().unwrap());
            let checked = guard.check(&Method::GET, &Uri::from_static("/"), &headers);
            assert_eq!(checked.is_ok(), is_served, "{host} at {local}");
        }
    }
}
