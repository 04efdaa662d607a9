//! Who may use the page's port where it has a password or a token.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use common::bare_http::{Answer, ask, post, send};
use common::json_client::JsonClient;
use common::{ANY_PORT, RawDevice, Running, page_at, settings, within};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wsdm_gateway::config::{PageSettings, Secret, Settings};

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PASSWORD: &str = "correct horse";
const TOKEN: &str = "battery-staple";
const BEARER: (&str, &str) = ("Authorization", "Bearer battery-staple");

/// What needs no session, by method and path. A new route is not here, and so needs one.
const OPEN: [(&str, &str); 3] = [
    ("get", "/api/login"),
    ("post", "/api/login"),
    ("post", "/api/stop"),
];

async fn guarded() -> Running {
    Running::start(Settings {
        page: Some(PageSettings {
            password: Some(Secret(PASSWORD.to_owned())),
            token: Some(Secret(TOKEN.to_owned())),
            ..page_at(ANY_PORT)
        }),
        ..settings()
    })
    .await
}

async fn try_password(page: SocketAddr, password: &str) -> Answer {
    post(page, "/api/login", &[], &json!({"password": password})).await
}

/// Logs in; returns the cookie.
async fn log_in(page: SocketAddr) -> String {
    let answer = try_password(page, PASSWORD).await;
    assert_eq!(answer.status, 204, "{}", answer.body);
    let cookie = answer.header("Set-Cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// A request for a websocket of the page, with these headers.
fn socket(page: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Request<()> {
    let mut request = format!("ws://{page}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// The same as a browser makes it, with this cookie.
fn own_socket(page: SocketAddr, path: &str, cookie: &str) -> Request<()> {
    socket(
        page,
        path,
        &[("Origin", &format!("http://{page}")), ("Cookie", cookie)],
    )
}

/// The status with which a websocket is answered.
async fn upgraded(request: Request<()>) -> u16 {
    match within("an answer", connect_async(request)).await {
        Ok(_) => 101,
        Err(WsError::Http(answer)) => answer.status().as_u16(),
        Err(e) => panic!("{e}"),
    }
}

/// An open page, after its snapshot.
async fn live(page: SocketAddr, cookie: &str) -> Ws {
    let opened = connect_async(own_socket(page, "/api/live", cookie));
    let (mut ws, _) = within("the websocket opens", opened).await.unwrap();
    let first = within("the snapshot", ws.next()).await.unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("snapshot"));
    ws
}

/// The code with which a websocket is closed.
async fn closed(ws: &mut Ws) -> u16 {
    within("a Close frame", async {
        loop {
            match ws.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn every_route_needs_a_session_but_stop_and_login_itself() {
    let gateway = guarded().await;
    let page = gateway.page();
    let cookie = log_in(page).await;
    let session = [("Cookie", &*cookie)];
    for path in ["/api/openapi.json", "/metrics", "/no-such-path"] {
        let refused = ask(page, "GET", path, &[]).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.json()["hint"].is_string(), "{path}");
        for headers in [session, [BEARER]] {
            let wanted = if path == "/no-such-path" { 404 } else { 200 };
            assert_eq!(ask(page, "GET", path, &headers).await.status, wanted, "{path}");
        }
    }
    for path in ["/", "/index.html", "/app.js", "/healthz"] {
        assert_eq!(ask(page, "GET", path, &[]).await.status, 200, "{path}");
    }
    let openapi = ask(page, "GET", "/api/openapi.json", &session).await.json();
    let mut open = HashSet::new();
    let mut routes = 0;
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let filled = path.replace("{address}", "nobody").replace("{id}", "999");
            let upper = method.to_uppercase();
            let length = ("Content-Length", "0");
            let without = ask(page, &upper, &filled, &[length]).await;
            if without.status != 401 {
                open.insert((method.clone(), path.clone()));
            }
            for wrong in ["wsdm-gateway=1", &format!("{cookie}x")] {
                let answer = ask(page, &upper, &filled, &[length, ("Cookie", wrong)]).await;
                assert_eq!(answer.status, without.status, "{method} {path} with {wrong}");
            }
            let with = ask(page, &upper, &filled, &[length, BEARER]).await;
            assert_ne!(with.status, 401, "{method} {path} with the token");
            routes += 1;
        }
    }
    assert!(routes > 15, "{routes} routes");
    let wanted = OPEN.map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(open, HashSet::from(wanted));
    let secrets = [PASSWORD, TOKEN, cookie.split_once('=').unwrap().1];
    for path in ["/api/gateway", "/api/login", "/api/openapi.json", "/metrics"] {
        let body = ask(page, "GET", path, &session).await.body;
        assert!(
            secrets.iter().all(|secret| !body.contains(secret)),
            "{path}: {body}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_a_cookie_that_scripts_of_a_page_do_not_see() {
    let gateway = guarded().await;
    let page = gateway.page();
    let before = ask(page, "GET", "/api/login", &[]).await.json();
    let state =
        |is_admitted: bool| json!({"is_required": true, "has_password": true, "is_admitted": is_admitted});
    assert_eq!(before, state(false));
    let answer = try_password(page, PASSWORD).await;
    let cookie = answer.header("Set-Cookie").unwrap();
    let parts: Vec<_> = cookie.split("; ").collect();
    let (name, value) = parts[0].split_once('=').unwrap();
    assert_eq!(name, format!("wsdm-gateway-{}", page.port()));
    assert!(value.len() >= 43, "256 bits: {value}");
    assert_eq!(parts[1..], ["HttpOnly", "SameSite=Strict", "Path=/"]);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_ne!(
        log_in(page).await,
        parts[0],
        "each session has a cookie of its own"
    );
    let session = [("Cookie", parts[0])];
    let after = ask(page, "GET", "/api/login", &session).await.json();
    assert_eq!(after, state(true));

    for body in [
        json!({}),
        json!({"password": 12_345_678}),
        json!([]),
        json!({"password": PASSWORD, "code": "x"}),
    ] {
        let refused = post(page, "/api/login", &[], &body).await;
        assert!([400, 422].contains(&refused.status), "{body}: {}", refused.status);
        assert!(!refused.body.contains("12345678"), "{}", refused.body);
    }
    let out = ask(page, "POST", "/api/logout", &session).await;
    assert_eq!(out.status, 204, "{}", out.body);
    assert!(out.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(ask(page, "GET", "/api/devices", &session).await.status, 401);
    gateway.stop().await;
}

#[tokio::test]
async fn another_web_page_cannot_log_in_or_use_a_session() {
    let gateway = guarded().await;
    let page = gateway.page();
    let cookie = log_in(page).await;
    let own = format!("http://{page}");
    let right = json!({"password": PASSWORD});
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = post(page, "/api/login", &[("Origin", origin)], &right).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert_eq!(refused.header("Set-Cookie"), None);
        let headers = [("Origin", origin), ("Cookie", &*cookie)];
        assert_eq!(ask(page, "POST", "/api/stop", &headers).await.status, 403);
        assert_eq!(
            upgraded(socket(
                page,
                "/api/live",
                &[("Origin", origin), ("Cookie", &cookie)]
            ))
            .await,
            403
        );
    }
    let rebound = format!("evil.example:{}", page.port());
    let refused = post(page, "/api/login", &[("Host", &rebound)], &right).await;
    assert_eq!(refused.status, 421);
    let refused = send(
        page,
        "POST",
        "/api/login",
        &[("Content-Type", "text/plain"), ("Content-Length", "2")],
        "{}",
    )
    .await;
    assert_eq!(refused.status, 415);
    let admitted = post(page, "/api/login", &[("Origin", &own)], &right).await;
    assert_eq!(admitted.status, 204);
    gateway.stop().await;
}

#[tokio::test]
async fn passwords_cannot_be_tried_one_after_the_other() {
    let gateway = guarded().await;
    let page = gateway.page();
    let mut tries = JoinSet::new();
    for n in 0..60 {
        tries.spawn(async move { try_password(page, &format!("wrong horse {n}")).await });
    }
    let answers = tries.join_all().await;
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(tried <= 8, "{tried} passwords were tried");
    let held_up = answers.iter().filter(|answer| answer.status == 429);
    assert_eq!(held_up.clone().count(), 60 - tried);
    for answer in held_up {
        let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(answer.json()["error"].as_str().unwrap().contains("wait"));
    }
    // Also the right one waits, and says nothing about it; stop and the token do not.
    let begun = Instant::now();
    let mut answer = try_password(page, PASSWORD).await;
    assert_eq!(answer.status, 429);
    assert_eq!(ask(page, "POST", "/api/stop", &[]).await.status, 200);
    assert_eq!(ask(page, "GET", "/api/devices", &[BEARER]).await.status, 200);
    within("the right one is let in", async {
        while answer.status == 429 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            answer = try_password(page, PASSWORD).await;
        }
    })
    .await;
    assert_eq!(answer.status, 204, "after {:?}", begun.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn scripts_send_a_token() {
    let gateway = guarded().await;
    let page = gateway.page();
    assert_eq!(ask(page, "GET", "/api/devices", &[BEARER]).await.status, 200);
    let query = format!("/api/devices?token={TOKEN}");
    assert_eq!(ask(page, "GET", &query, &[]).await.status, 401);
    for wrong in [
        "Bearer",
        "Bearer ",
        "Bearer battery-stapl",
        "Basic battery-staple",
        PASSWORD,
    ] {
        let refused = ask(page, "GET", "/api/devices", &[("Authorization", wrong)]).await;
        assert_eq!(refused.status, 401, "{wrong}");
        assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
    }
    let cookie = log_in(page).await;
    for path in ["/api/live", "/buttplug"] {
        for (headers, status) in [
            (vec![], 403),
            (vec![("Cookie", &*cookie)], 403),
            (vec![("Authorization", "Bearer x")], 403),
            (vec![BEARER], 101),
            (vec![("Origin", "http://evil.example"), BEARER], 403),
        ] {
            assert_eq!(
                upgraded(socket(page, path, &headers)).await,
                status,
                "{path} {headers:?}"
            );
        }
        assert_eq!(upgraded(own_socket(page, path, "")).await, 401);
        assert_eq!(upgraded(own_socket(page, path, &cookie)).await, 101);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_end_of_a_session_closes_its_websockets_and_stops_what_it_drove() {
    let gateway = guarded().await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut other = RawDevice::lovense(&gateway.devices(), "other").await;
    let (cookie, another) = (log_in(page).await, log_in(page).await);
    let mut stays = live(page, &another).await;
    let mut leaves = live(page, &cookie).await;
    let mut driver = JsonClient::connect(own_socket(page, "/buttplug", &cookie), 4).await;
    within("both are listed", async {
        while driver.device_indexes().await.len() < 2 {}
    })
    .await;
    for index in driver.device_indexes().await {
        let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 20}}});
        driver.call("OutputCmd", vibrate).await;
    }
    toy.expect("Vibrate:20;").await;
    other.expect("Vibrate:20;").await;
    let frame = json!({"send": {"id": 1, "address": "toy", "hex": "566962726174653a373b", "as": "gateway"}});
    leaves.send(Message::text(frame.to_string())).await.unwrap();
    toy.expect("Vibrate:7;").await;
    // A stream ends with its session, too.
    let mut stream = TcpStream::connect(page).await.unwrap();
    let follow = format!(
        "GET /api/devices/toy/frames?follow HTTP/1.1\r\nHost: {page}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(follow.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");

    let out = ask(page, "POST", "/api/logout", &[("Cookie", &cookie)]).await;
    assert_eq!(out.status, 204);
    assert_eq!(closed(&mut leaves).await, 4401);
    within("the app's websocket is closed", driver.closed()).await;
    toy.expect("Vibrate:0;").await;
    other.expect("Vibrate:0;").await;
    let mut rest = Vec::new();
    within("the stream ends", stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(upgraded(own_socket(page, "/buttplug", &cookie)).await, 401);
    // The other session has noticed nothing.
    let next = within("a change", stays.next()).await.unwrap().unwrap();
    assert!(next.is_text(), "{next:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_connection_sent_stops_with_its_session() {
    let gateway = guarded().await;
    let page = gateway.page();
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let cookie = log_in(page).await;
    let mut kept_open = TcpStream::connect(page).await.unwrap();
    let request = format!(
        "POST /api/devices/toy/frames HTTP/1.1\r\nHost: {page}\r\nCookie: {cookie}\r\nContent-Type: \
         application/octet-stream\r\nContent-Length: 10\r\n\r\nVibrate:9;"
    );
    kept_open.write_all(request.as_bytes()).await.unwrap();
    toy.expect("Vibrate:9;").await;
    let begun = Instant::now();
    ask(page, "POST", "/api/logout", &[("Cookie", &cookie)]).await;
    toy.expect("Vibrate:0;").await;
    // A connection that asks nothing ends by itself after 5 s.
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
    let mut rest = Vec::new();
    within("the connection ends", kept_open.read_to_end(&mut rest))
        .await
        .unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_program_with_the_token_is_an_app_without_an_origin() {
    let gateway = guarded().await;
    let page = gateway.page();
    let _app = JsonClient::connect(socket(page, "/buttplug", &[BEARER]), 4).await;
    let apps = ask(page, "GET", "/api/apps", &[BEARER]).await.json();
    let app = &apps["apps"][0];
    assert_eq!(
        (&app["origin"], &app["is_page"]),
        (&json!(null), &json!(false)),
        "{apps}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_for_tls_only() {
    let mut settings = settings();
    settings.page = Some(PageSettings {
        password: Some(Secret(PASSWORD.to_owned())),
        hosts: vec!["gateway.example".to_owned()],
        ..page_at(ANY_PORT)
    });
    let gateway = Running::start(settings).await;
    let page = gateway.page();
    let headers = [("Host", "gateway.example"), ("Origin", "https://gateway.example")];
    let answer = post(page, "/api/login", &headers, &json!({"password": PASSWORD})).await;
    let cookie = answer.header("Set-Cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let mut request = own_socket(page, "/api/live", cookie);
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(upgraded(request).await, 101);
    let by_address = [("Origin", &*format!("https://{page}")), ("Content-Length", "0")];
    assert_eq!(ask(page, "POST", "/api/stop", &by_address).await.status, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn with_a_token_alone_nobody_logs_in_by_password() {
    let gateway = Running::start(Settings {
        page: Some(PageSettings {
            token: Some(Secret(TOKEN.to_owned())),
            ..page_at(ANY_PORT)
        }),
        ..settings()
    })
    .await;
    let page = gateway.page();
    let state = ask(page, "GET", "/api/login", &[]).await.json();
    assert_eq!(
        (&state["is_required"], &state["has_password"]),
        (&json!(true), &json!(false))
    );
    let refused = try_password(page, TOKEN).await;
    assert_eq!(refused.status, 404);
    assert!(refused.json()["hint"].as_str().unwrap().contains("password"));
    assert_eq!(ask(page, "GET", "/api/devices", &[]).await.status, 401);
    assert_eq!(ask(page, "GET", "/api/devices", &[BEARER]).await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn without_either_nothing_is_asked_for() {
    let gateway = Running::start(Settings {
        page: Some(page_at(ANY_PORT)),
        ..settings()
    })
    .await;
    let page = gateway.page();
    let state = ask(page, "GET", "/api/login", &[]).await.json();
    assert_eq!(
        state,
        json!({"is_required": false, "has_password": false, "is_admitted": true})
    );
    assert_eq!(try_password(page, PASSWORD).await.status, 404);
    assert_eq!(ask(page, "POST", "/api/logout", &[]).await.status, 404);
    assert_eq!(upgraded(own_socket(page, "/api/live", "")).await, 101);
    assert_eq!(upgraded(socket(page, "/api/live", &[BEARER])).await, 403);
    gateway.stop().await;
}

#[cfg(unix)]
mod process {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Output;

    use rustix::process::Signal;
    use tempfile::TempDir;

    use super::*;
    use crate::common::log::Log;
    use crate::common::process::{Process, command, run};
    use crate::common::wait_until;

    async fn output(home: &TempDir, args: &[&str], password: Option<&str>) -> Output {
        let mut command = command(home.path(), args);
        if let Some(password) = password {
            command.env("WSDM_GATEWAY_PAGE_PASSWORD", password);
        }
        within("the program ends", command.output()).await.unwrap()
    }

    /// An address of this host that the network reaches, if it has any.
    fn network_address() -> Option<std::net::IpAddr> {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_loopback()).then_some(ip)
    }

    #[tokio::test]
    async fn off_loopback_the_gateway_does_not_start_without_a_password() {
        let home = TempDir::new().unwrap();
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:54880", "127.0.0.1:0,0.0.0.0:0"] {
            let refused = output(&home, &["run", "--page-listen", address], None).await;
            let said = String::from_utf8(refused.stderr).unwrap();
            assert_eq!(refused.status.code(), Some(2), "{address}: {said}");
            assert!(said.contains("set password under [page]"), "{said}");
        }
        let short = output(&home, &["run"], Some("hunter2")).await;
        let said = String::from_utf8(short.stderr).unwrap();
        assert_eq!(short.status.code(), Some(2), "{said}");
        assert!(
            said.contains("8 characters") && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn check_and_the_log_hide_the_password_and_say_who_can_reach_the_page() {
        let home = TempDir::new().unwrap();
        let checked = output(&home, &["check", "--page-token", TOKEN], Some(PASSWORD)).await;
        let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
        assert!(checked.status.success(), "{said}");
        assert!(said.contains("page.password") && said.contains("***"), "{said}");
        assert!(!said.contains(PASSWORD) && !said.contains(TOKEN), "{said}");

        let mut command = run(home.path());
        command
            .args(["--page-listen", "0.0.0.0:0"])
            .env("WSDM_GATEWAY_PAGE_PASSWORD", PASSWORD)
            .env("WSDM_GATEWAY_PAGE_TOKEN", TOKEN)
            .env("WSDM_GATEWAY_LOG", "debug");
        let mut gateway = Process::spawn(command).await;
        let mut log = Log::of(&mut gateway.child);
        log.expect(&[
            "the page: 0.0.0.0:",
            "reachable by everybody on the network who knows the password or the token",
        ])
        .await;
        let page = gateway.page_address();
        assert!(
            page.ip().is_loopback(),
            "one that a browser here can open: {page}"
        );
        for ip in [Some(page.ip()), network_address()].into_iter().flatten() {
            let page = SocketAddr::new(ip, page.port());
            assert_eq!(ask(page, "GET", "/api/devices", &[]).await.status, 401);
            let rebound = format!("evil.example:{}", page.port());
            assert_eq!(ask(page, "GET", "/", &[("Host", &rebound)]).await.status, 421);
            assert_eq!(try_password(page, "wrong horse").await.status, 401);
            let cookie = log_in(page).await;
            assert_eq!(
                ask(page, "GET", "/api/devices", &[("Cookie", &cookie)])
                    .await
                    .status,
                200
            );
            assert_eq!(upgraded(own_socket(page, "/api/live", &cookie)).await, 101);
            let out = ask(page, "POST", "/api/logout", &[("Cookie", &cookie)]).await;
            assert_eq!(out.status, 204);
            let secret = cookie.split_once('=').unwrap().1.to_owned();
            log.expect(&["logged out of the page"]).await;
            assert!(!log.text().contains(&secret), "{}", log.text());
        }
        // The command line needs neither.
        let stopped = output(&home, &["stop"], None).await;
        assert!(stopped.status.success(), "{stopped:?}");
        gateway.signal(Signal::TERM);
        log.rest().await;
        let all = log.text();
        assert!(all.contains("the password is wrong"), "{all}");
        for secret in [PASSWORD, TOKEN, "wrong horse"] {
            assert!(!all.contains(secret), "{all}");
        }
    }

    #[tokio::test]
    async fn the_browser_that_the_gateway_opens_is_logged_in_once() {
        let home = TempDir::new().unwrap();
        let (opened, script) = (home.path().join("opened"), home.path().join("xdg-open"));
        let path = opened.display();
        let text = format!("#!/bin/sh\necho \"$1\" > {path}.new\nmv {path}.new {path}\n");
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = run(home.path());
        command
            .arg("--open")
            .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()))
            .env("WSDM_GATEWAY_PAGE_PASSWORD", PASSWORD)
            .env("WSDM_GATEWAY_LOG", "debug");
        let mut gateway = Process::spawn(command).await;
        wait_until("the page is opened", || opened.exists()).await;
        let url = std::fs::read_to_string(&opened).unwrap();
        let (start, code) = url.trim().split_once("#code=").unwrap();
        assert_eq!(start, gateway.page);
        assert!(code.len() >= 22, "128 bits: {code}");
        let page = gateway.page_address();
        let by = |code: &str| json!({ "code": code });
        assert_eq!(post(page, "/api/login", &[], &by("x")).await.status, 401);
        let admitted = post(page, "/api/login", &[], &by(code)).await;
        assert_eq!(admitted.status, 204);
        let cookie = admitted.header("Set-Cookie").unwrap().split(';').next().unwrap();
        assert_eq!(
            ask(page, "GET", "/api/devices", &[("Cookie", cookie)])
                .await
                .status,
            200
        );
        let again = post(page, "/api/login", &[], &by(code)).await;
        assert_eq!((again.status, again.header("Set-Cookie")), (401, None));
        let code = code.to_owned();
        gateway.signal(Signal::TERM);
        let mut log = Log::of(&mut gateway.child);
        log.rest().await;
        assert!(!log.text().contains(&code), "{}", log.text());
    }

    #[tokio::test]
    async fn a_browser_that_does_not_start_leaves_the_code_out_of_the_log() {
        let home = TempDir::new().unwrap();
        let mut command = run(home.path());
        command
            .arg("--open")
            .env("PATH", home.path())
            .env("WSDM_GATEWAY_PAGE_PASSWORD", PASSWORD);
        let mut gateway = Process::spawn(command).await;
        let mut log = Log::of(&mut gateway.child);
        let line = log.expect(&["no browser was started"]).await;
        assert!(!line.contains("code="), "{line}");
        assert!(
            line.contains(&format!("open {} yourself", gateway.page)),
            "{line}"
        );
    }

    #[test]
    fn a_mistake_in_the_file_does_not_show_the_password() {
        use wsdm_gateway::config::{Layers, Loaded};
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("gateway.toml");
        for text in [
            "[page]\npassword = \"hunter2222\nlisten = 5\n",
            "[page]\npassword = hunter2222\n",
            "[page]\npassword = [\"hunter2222\"]\n",
            "[page]\npasswort = \"hunter2222\"\n",
            "[page]\ntoken = \"hunter2222 \"\n",
        ] {
            std::fs::write(&file, text).unwrap();
            let problems = Loaded::load(Some(&file), Layers::default()).unwrap_err();
            let said = format!("{problems} {problems:?}");
            assert!(!said.contains("hunter2222"), "{text}: {said}");
        }
    }
}
