//! Which web pages may be apps: the configuration's rule, the question and its answers, and blocks.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::bare_websocket::upgrade;
use common::json_client::JsonClient;
use common::{ANY_PORT, RawDevice, Running, page_at, settings, within};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Request;
use wsdm_gateway::config::{ClientSettings, Origins, Settings};

const XTOYS: &str = "https://xtoys.example";
const XTOYS_PATH: &str = "/api/origins/https%3A%2F%2Fxtoys.example";

fn with(origins: Origins, state_file: Option<&Path>) -> Settings {
    Settings {
        page: Some(page_at(ANY_PORT)),
        clients: ClientSettings {
            origins,
            ..settings().clients
        },
        state_file: state_file.map(Path::to_owned),
        ..settings()
    }
}

async fn asking() -> Running {
    Running::start(with(Origins::Ask, None)).await
}

/// A request for a websocket, as a page of this origin makes it.
fn request(url: &str, origin: &str) -> Request<()> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Origin", origin.parse().unwrap());
    request
}

/// An app on a page of this origin, that may have to wait.
fn page_app(gateway: &Running, origin: &str) -> JoinHandle<JsonClient> {
    tokio::spawn(JsonClient::connect(request(&gateway.clients(), origin), 4))
}

/// The same, once it is connected.
async fn admitted(app: JoinHandle<JsonClient>) -> JsonClient {
    within("the app is admitted", app).await.unwrap()
}

/// Requests a websocket, but reads no answer.
async fn knock(gateway: &Running, origin: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.bound.clients.unwrap()).await.unwrap();
    let request = upgrade(&format!("Origin: {origin}\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The answer to a request that is refused.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

async fn refused(gateway: &Running, origin: &str) -> String {
    let answer = answer(knock(gateway, origin).await).await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    answer
}

/// A request to the HTTP interface: the status, and the body if it is JSON.
async fn call(gateway: &Running, method: &str, path: &str, body: &str) -> (u16, Value) {
    let page = gateway.page();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(page).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = answer(stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// The questions, once there are so many.
async fn questions(gateway: &Running, count: usize) -> Vec<Value> {
    within(&format!("{count} questions"), async {
        loop {
            let (_, mut body) = call(gateway, "GET", "/api/questions", "").await;
            if let Value::Array(questions) = body["questions"].take()
                && questions.len() == count
            {
                return questions;
            }
        }
    })
    .await
}

async fn say(gateway: &Running, question: &Value, answer: &str) {
    let path = format!("/api/questions/{}", question["id"]);
    let body = json!({"answer": answer}).to_string();
    assert_eq!(call(gateway, "POST", &path, &body).await.0, 204);
}

async fn remembered(gateway: &Running) -> Value {
    call(gateway, "GET", "/api/origins", "").await.1["origins"].take()
}

#[tokio::test]
async fn once_admits_those_who_wait_and_the_next_is_asked_about_again() {
    let gateway = asking().await;
    let (first, second) = (page_app(&gateway, XTOYS), page_app(&gateway, XTOYS));
    let question = questions(&gateway, 1).await.remove(0);
    assert_eq!(question["origin"], XTOYS);
    assert!(
        question["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{question}"
    );
    assert!(question["since"].as_f64().unwrap() > 1e9, "{question}");
    // The second one may not have come yet: it is then asked about on its own.
    say(&gateway, &question, "once").await;
    let mut apps = vec![first, second];
    within("both are admitted", async {
        while !apps.is_empty() {
            let (_, body) = call(&gateway, "GET", "/api/questions", "").await;
            for question in body["questions"].as_array().unwrap() {
                say(&gateway, question, "once").await;
            }
            apps.retain(|app| !app.is_finished());
        }
    })
    .await;
    assert_eq!(remembered(&gateway).await, json!([]));
    let _third = page_app(&gateway, XTOYS);
    questions(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn always_holds_across_a_restart_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let first = Running::start(with(Origins::Ask, Some(&state))).await;
    let app = page_app(&first, XTOYS);
    let question = questions(&first, 1).await.remove(0);
    say(&first, &question, "always").await;
    admitted(app).await;
    first.stop().await;

    let second = Running::start(with(Origins::Ask, Some(&state))).await;
    let always = json!([{"origin": XTOYS, "answer": "always"}]);
    assert_eq!(remembered(&second).await, always);
    let mut app = admitted(page_app(&second, XTOYS)).await;
    assert_eq!(call(&second, "DELETE", XTOYS_PATH, "").await.0, 204);
    assert_eq!(call(&second, "DELETE", XTOYS_PATH, "").await.0, 404);
    // The connected one stays.
    assert!(app.device_indexes().await.is_empty());
    let _asks = page_app(&second, XTOYS);
    questions(&second, 1).await;
    second.stop().await;
}

#[tokio::test]
async fn never_is_refused_at_once_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let first = Running::start(with(Origins::Ask, Some(&state))).await;
    // One that was admitted once leaves too.
    let app = page_app(&first, XTOYS);
    let question = questions(&first, 1).await.remove(0);
    say(&first, &question, "once").await;
    let mut app = admitted(app).await;
    let waiting = knock(&first, XTOYS).await;
    let question = questions(&first, 1).await.remove(0);
    say(&first, &question, "never").await;
    let refusal = answer(waiting).await;
    assert!(refusal.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{refusal}");
    app.closed().await;
    refused(&first, XTOYS).await;
    first.stop().await;

    let second = Running::start(with(Origins::Ask, Some(&state))).await;
    let refusal = refused(&second, XTOYS).await;
    assert!(refusal.contains("the user blocked them"), "{refusal}");
    assert_eq!(questions(&second, 0).await, [] as [Value; 0]);
    second.stop().await;
}

#[tokio::test]
async fn without_an_answer_in_time_the_page_is_refused() {
    let mut settings = with(Origins::Ask, None);
    settings.clients.question_timeout = Duration::from_millis(200);
    let gateway = Running::start(settings).await;
    let refusal = refused(&gateway, XTOYS).await;
    assert!(refusal.contains("nobody answered within 0.2 s"), "{refusal}");
    assert!(refusal.contains("[clients] origins"), "{refusal}");
    questions(&gateway, 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_of_one_origin_is_one_question_and_leaves_room_for_others() {
    let gateway = asking().await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        flood.push(knock(&gateway, "https://flood.example").await);
    }
    let mut turned_away = 0;
    let mut waiting = Vec::new();
    // Those beyond the bound are answered; the others are not.
    within("the flood is bounded", async {
        while turned_away < 36 {
            for mut stream in std::mem::take(&mut flood) {
                let mut first = [0; 12];
                match tokio::time::timeout(Duration::from_millis(5), stream.read_exact(&mut first)).await {
                    Ok(read) => {
                        read.unwrap();
                        assert_eq!(&first, b"HTTP/1.1 503");
                        turned_away += 1;
                    }
                    Err(_) => waiting.push(stream),
                }
            }
            flood.append(&mut waiting);
        }
    })
    .await;
    assert_eq!(flood.len(), 4);
    let app = page_app(&gateway, XTOYS);
    let both = questions(&gateway, 2).await;
    say(&gateway, &both[1], "once").await;
    admitted(app).await;
    // A question ends with the last one who waits for it.
    drop(flood);
    questions(&gateway, 0).await;
    let (status, _) = call(&gateway, "POST", "/api/questions/1", r#"{"answer": "always"}"#).await;
    assert_eq!(status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_stops_while_a_question_waits() {
    let gateway = asking().await;
    let waiting = knock(&gateway, XTOYS).await;
    questions(&gateway, 1).await;
    gateway.stop().await;
    assert_eq!(answer(waiting).await, "");
}

#[tokio::test]
async fn a_list_admits_its_origins_and_programs() {
    let gateway = Running::start(with(Origins::Listed(vec![XTOYS.to_owned()]), None)).await;
    let refusal = refused(&gateway, "https://other.example").await;
    assert!(refusal.contains("[clients] origins"), "{refusal}");
    for origin in ["null", "chrome-extension://abcdefgh", "file://"] {
        refused(&gateway, origin).await;
    }
    admitted(page_app(&gateway, XTOYS)).await;
    JsonClient::connect(gateway.clients(), 4).await;
    gateway.stop().await;
}

#[tokio::test]
async fn pages_without_a_site_are_asked_about_too_and_programs_are_not() {
    let gateway = asking().await;
    JsonClient::connect(gateway.clients(), 4).await;
    let origins = ["null", "chrome-extension://abcdefgh", "file://"];
    let mut apps = Vec::new();
    for (n, origin) in origins.into_iter().enumerate() {
        apps.push(page_app(&gateway, origin));
        let asked = questions(&gateway, n + 1).await;
        assert_eq!(asked[n]["origin"], origin);
    }
    for question in questions(&gateway, 3).await {
        say(&gateway, &question, "once").await;
    }
    for app in apps {
        admitted(app).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_of_the_gateway_itself_is_never_asked_about() {
    let gateway = asking().await;
    let page = gateway.page();
    let own = request(&format!("ws://{page}/buttplug"), &format!("http://{page}"));
    JsonClient::connect(own, 4).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_block_disconnects_stops_and_holds_with_any() {
    let gateway = Running::start(with(Origins::Any, None)).await;
    let mut toy = RawDevice::lovense(&gateway.devices(), "toy").await;
    let mut app = admitted(page_app(&gateway, XTOYS)).await;
    let index = app.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 10}}});
    app.send("OutputCmd", vibrate).await;
    toy.expect("Vibrate:10;").await;
    let mut other_tab = admitted(page_app(&gateway, XTOYS)).await;
    let _program = JsonClient::connect(gateway.clients(), 4).await;

    let (_, apps) = call(&gateway, "GET", "/api/apps", "").await;
    let id = |origin: Value| {
        let mut apps = apps["apps"].as_array().unwrap().iter();
        let app = apps.find(|app| app["origin"] == origin);
        app.unwrap()["id"].to_string()
    };
    let (status, why) = call(
        &gateway,
        "POST",
        &format!("/api/apps/{}/block", id(Value::Null)),
        "",
    )
    .await;
    assert_eq!(status, 409);
    assert!(why["error"].as_str().unwrap().contains("no origin"), "{why}");
    assert_eq!(call(&gateway, "POST", "/api/apps/999/block", "").await.0, 404);
    let block = format!("/api/apps/{}/block", id(json!(XTOYS)));
    assert_eq!(call(&gateway, "POST", &block, "").await.0, 204);
    toy.expect("Vibrate:0;").await;
    app.closed().await;
    other_tab.closed().await;
    refused(&gateway, XTOYS).await;
    assert_eq!(
        remembered(&gateway).await,
        json!([{"origin": XTOYS, "answer": "never"}])
    );
    // Others are as free as before.
    admitted(page_app(&gateway, "https://other.example")).await;
    assert_eq!(call(&gateway, "DELETE", XTOYS_PATH, "").await.0, 204);
    admitted(page_app(&gateway, XTOYS)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_must_be_one() {
    let gateway = asking().await;
    let _app = page_app(&gateway, XTOYS);
    let question = questions(&gateway, 1).await.remove(0);
    let path = format!("/api/questions/{}", question["id"]);
    for body in ["", "{}", r#"{"answer": "perhaps"}"#] {
        let (status, problem) = call(&gateway, "POST", &path, body).await;
        assert_eq!(status, 400, "{body}");
        assert!(problem["hint"].as_str().unwrap().contains("once"), "{problem}");
    }
    questions(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_open_page_learns_of_questions_and_of_what_is_remembered() {
    let gateway = asking().await;
    let page = gateway.page();
    let live = request(&format!("ws://{page}/api/live"), &format!("http://{page}"));
    let (mut live, _) = within("the page", connect_async(live)).await.unwrap();
    let mut next = async || -> Value {
        within("a message", async {
            loop {
                if let Message::Text(text) = live.next().await.unwrap().unwrap() {
                    return serde_json::from_str(&text).unwrap();
                }
            }
        })
        .await
    };
    let snapshot = next().await;
    assert_eq!(snapshot["snapshot"]["questions"], json!([]));
    assert_eq!(snapshot["snapshot"]["origins"], json!([]));
    let app = page_app(&gateway, XTOYS);
    let change = next().await["change"].take();
    let question = change["questions"][0].clone();
    assert_eq!(question["origin"], XTOYS, "{change}");
    say(&gateway, &question, "always").await;
    admitted(app).await;
    let (mut asked, mut remembered) = (true, false);
    while asked || !remembered {
        let change = next().await["change"].take();
        asked &= change["questions"] != json!([]);
        remembered |= change["origins"] == json!([{"origin": XTOYS, "answer": "always"}]);
    }
    gateway.stop().await;
}

#[cfg(unix)]
mod in_the_log {
    use common::log::Log;
    use common::process::Process;

    use super::*;

    struct Gateway {
        process: Process,
        log: Log,
    }

    impl Gateway {
        async fn start(home: &Path, origins: &str) -> Self {
            let config = home.join("gateway.toml");
            std::fs::write(&config, format!("[clients]\norigins = {origins}\n")).unwrap();
            let args = ["--config", config.to_str().unwrap(), "-v"];
            let mut process = Process::start(home, &args).await;
            let log = Log::of(&mut process.child);
            Self { process, log }
        }

        async fn knock(&self, origin: &str) -> TcpStream {
            let port = self.process.clients.strip_prefix("ws://").unwrap();
            let mut stream = TcpStream::connect(port).await.unwrap();
            let request = upgrade(&format!("Origin: {origin}\r\n"));
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        }
    }

    #[tokio::test]
    async fn who_may_connect_is_said_at_the_start() {
        let home = tempfile::tempdir().unwrap();
        for (origins, texts) in [
            (
                "\"any\"",
                [
                    "web pages of any origin may command the devices",
                    "origins = \"ask\"",
                ],
            ),
            (
                "\"ask\"",
                ["once they were admitted", "answer on http://127.0.0.1:"],
            ),
            ("[\"https://xtoys.example\"]", ["these origins alone", XTOYS]),
        ] {
            let mut gateway = Gateway::start(home.path(), origins).await;
            gateway.log.expect(&["INFO", texts[0], texts[1]]).await;
        }
    }

    #[tokio::test]
    async fn a_refused_origin_is_ready_to_paste() {
        let home = tempfile::tempdir().unwrap();
        let mut gateway = Gateway::start(home.path(), "[\"https://a.example\"]").await;
        answer(gateway.knock(XTOYS).await).await;
        let pasted = r#"under [clients]: origins = ["https://a.example", "https://xtoys.example"]"#;
        gateway.log.expect(&["WARN", pasted]).await;
    }

    #[tokio::test]
    async fn a_question_is_a_warning_and_a_block_is_one_only_once() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state/wsdm-gateway");
        std::fs::create_dir_all(&state).unwrap();
        let blocked = json!({"version": 1, "origins": {"https://bad.example": "never"}});
        std::fs::write(state.join("state.origins.json"), blocked.to_string()).unwrap();
        let mut gateway = Gateway::start(home.path(), "\"ask\"").await;
        let _waiting = gateway.knock(XTOYS).await;
        let asks = [
            "WARN",
            "\"https://xtoys.example\" want to command",
            "answer on http://127.0.0.1:",
        ];
        gateway.log.expect(&asks).await;
        answer(gateway.knock("https://bad.example").await).await;
        gateway.log.expect(&["WARN", "bad.example", "blocked"]).await;
        answer(gateway.knock("https://bad.example").await).await;
        gateway.log.expect(&["DEBUG", "bad.example", "blocked"]).await;
    }
}
