use axum::http::Request as HttpRequest;

use super::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn secret(text: &str) -> Option<Secret> {
    Some(Secret(text.to_owned()))
}

fn access(password: Option<&str>, token: Option<&str>) -> Access {
    Access::new(
        password.and_then(secret).as_ref(),
        token.and_then(secret).as_ref(),
        54880,
    )
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let request = HttpRequest::builder().method(method).uri(path);
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

fn status(access: &Access, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let admitted = access.admit(&request(method, path, headers), PEER);
    admitted.map_or_else(|refused| refused.answer().status().as_u16(), |_| 200)
}

/// The request header for the session that a login begins.
fn log_in(access: &Access, key: Key<'_>) -> Result<String, LoginError> {
    let Ok(visit) = access.admit(&request("POST", "/api/login", &[]), PEER) else {
        panic!("login needs no session");
    };
    let cookie = visit.log_in(key)?;
    Ok(cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_needs_a_session() {
    let access = access(Some("password"), None);
    for (method, path) in [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/app.js"),
        ("GET", "/vendor/preact.mjs"),
        ("GET", "/healthz"),
        ("GET", "/api/login"),
        ("POST", "/api/login"),
        ("POST", "/api/stop"),
    ] {
        assert_eq!(status(&access, method, path, &[]), 200, "{method} {path}");
    }
    let cookie = log_in(&access, Key::Password("password")).unwrap();
    let foreign = cookie.replace("54880", "54881");
    for (method, path) in [
        ("GET", "/api/devices"),
        ("GET", "/api/stop"),
        ("DELETE", "/api/stop"),
        ("POST", "/api/stop/"),
        ("POST", "/api/devices/x/stop"),
        ("POST", "/api/logout"),
        ("POST", "/app.js"),
        ("GET", "/metrics"),
        ("GET", "/no-such"),
        ("GET", "/vendor/../api/devices"),
        ("GET", "/api/live"),
        ("GET", "/buttplug"),
    ] {
        assert_eq!(status(&access, method, path, &[]), 401, "{method} {path}");
        for wrong in ["", "wsdm-gateway-54880=", "wsdm-gateway-54880=x", &*foreign] {
            assert_eq!(
                status(&access, method, path, &[("cookie", wrong)]),
                401,
                "{wrong}"
            );
        }
        let others = format!("other=1; {cookie}; more=2");
        assert_eq!(status(&access, method, path, &[("cookie", &others)]), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_are_slowed_down_and_the_right_one_waits_too() {
    let access = access(Some("password"), None);
    let mut wrong = 0;
    while let Err(LoginError::WrongPassword) = log_in(&access, Key::Password("passwore")) {
        wrong += 1;
    }
    assert_eq!(wrong, 5);
    let Err(LoginError::TooMany(wait)) = log_in(&access, Key::Password("password")) else {
        panic!("it has to wait");
    };
    // A code needs no guess.
    let code = access.hand_over().unwrap().unwrap();
    log_in(&access, Key::Code(&code)).unwrap();
    tokio::time::advance(wait).await;
    log_in(&access, Key::Password("password")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_are_slowed_down() {
    let access = access(None, Some("long-enough"));
    let bearer = |token: &str| status(&access, "GET", "/metrics", &[("authorization", token)]);
    assert_eq!(bearer("Bearer long-enough"), 200);
    assert_eq!(bearer("bearer long-enough"), 200);
    assert_eq!(bearer("Basic long-enough"), 401);
    for _ in 0..5 {
        assert_eq!(bearer("Bearer long-enougi"), 401);
    }
    assert_eq!(bearer("Bearer long-enough"), 429);
    assert_eq!(
        status(&access, "POST", "/api/stop", &[("authorization", "Bearer x")]),
        200,
        "stop is not held up"
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(bearer("Bearer long-enough"), 200);
}

#[tokio::test(start_paused = true)]
async fn a_code_opens_one_session_within_thirty_seconds() {
    let access = access(Some("password"), None);
    let code = access.hand_over().unwrap().unwrap();
    assert!(code.len() >= 22, "128 bits: {code}");
    log_in(&access, Key::Code(&code)).unwrap();
    assert!(matches!(
        log_in(&access, Key::Code(&code)),
        Err(LoginError::WrongCode)
    ));
    let code = access.hand_over().unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(matches!(
        log_in(&access, Key::Code(&code)),
        Err(LoginError::WrongCode)
    ));
    assert!(self::access(None, None).hand_over().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_password_ends_everything() {
    let access = access(None, None);
    let Ok(before) = access.admit(&request("GET", "/api/live", &[]), PEER) else {
        panic!("everybody is admitted");
    };
    access.change(secret("password").as_ref(), None);
    assert!(before.ended().is_cancelled(), "a page that needed no password");

    let cookie = log_in(&access, Key::Password("password")).unwrap();
    let Ok(visit) = access.admit(&request("GET", "/api/live", &[("cookie", &cookie)]), PEER) else {
        panic!("it has a session");
    };
    let code = access.hand_over().unwrap().unwrap();
    assert!(!visit.ended().is_cancelled());
    access.change(secret("another one").as_ref(), secret("long-enough").as_ref());
    assert!(visit.ended().is_cancelled());
    assert_eq!(
        status(&access, "GET", "/api/devices", &[("cookie", &cookie)]),
        401
    );
    assert!(log_in(&access, Key::Code(&code)).is_err());
    assert!(log_in(&access, Key::Password("password")).is_err());
    log_in(&access, Key::Password("another one")).unwrap();

    let token = [("authorization", "Bearer long-enough")];
    let Ok(script) = access.admit(&request("GET", "/api/live", &token), PEER) else {
        panic!("it has the token");
    };
    access.change(secret("another one").as_ref(), secret("longer-enough").as_ref());
    assert!(script.ended().is_cancelled());
    assert_eq!(status(&access, "GET", "/api/devices", &token), 401);
}

#[tokio::test(start_paused = true)]
async fn sessions_end_by_time_with_what_they_have_open() {
    let access = access(Some("password"), None);
    let watcher = access.clone();
    let _watch = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move { watcher.watch().await }));
    let cookie = log_in(&access, Key::Password("password")).unwrap();
    let headers = [("cookie", &*cookie)];
    let Ok(visit) = access.admit(&request("GET", "/api/live", &headers), PEER) else {
        panic!("it has a session");
    };
    let begun = Instant::now();
    visit.ended().cancelled().await;
    let took = begun.elapsed();
    assert!(took.as_secs().abs_diff(7 * 86_400) <= 60, "{took:?}");
    assert_eq!(status(&access, "GET", "/api/devices", &headers), 401);

    let cookie = log_in(&access, Key::Password("password")).unwrap();
    let headers = [("cookie", &*cookie)];
    tokio::time::sleep(Duration::from_secs(11 * 3_600)).await;
    assert_eq!(status(&access, "GET", "/api/devices", &headers), 200);
    tokio::time::sleep(Duration::from_secs(11 * 3_600)).await;
    assert_eq!(status(&access, "GET", "/api/devices", &headers), 200);
    tokio::time::sleep(Duration::from_secs(12 * 3_600)).await;
    assert_eq!(status(&access, "GET", "/api/devices", &headers), 401);
}

#[test]
fn a_websocket_without_an_origin_needs_the_token() {
    let upgrade = ("connection", "Upgrade");
    let open = access(None, None);
    assert_eq!(
        status(
            &open,
            "GET",
            "/api/live",
            &[upgrade, ("authorization", "Bearer x")]
        ),
        403
    );
    assert_eq!(
        status(&open, "GET", "/api/live", &[upgrade, ("origin", "http://x")]),
        200
    );
    let access = access(Some("password"), Some("long-enough"));
    let cookie = log_in(&access, Key::Password("password")).unwrap();
    for (headers, wanted) in [
        (vec![("authorization", "Bearer long-enough")], 200),
        (vec![("authorization", "Bearer wrong")], 403),
        (vec![("cookie", &*cookie)], 403),
        (vec![("cookie", &*cookie), ("origin", "http://x")], 200),
        (vec![("origin", "http://x")], 401),
    ] {
        let headers = [vec![upgrade], headers].concat();
        assert_eq!(
            status(&access, "GET", "/api/live", &headers),
            wanted,
            "{headers:?}"
        );
    }
}
