//! Requests to the page's port in plain text, so that a test decides on every header.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
    as_sent: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The value of a header, as it was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.as_sent.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A request in plain text, on a connection of its own. Without a Host header it has the page's own.
pub async fn ask(page: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(page, method, path, headers, "").await
}

pub async fn send(
    page: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {page}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    request += body;
    within(path, async {
        let mut stream = TcpStream::connect(page).await.expect("an open port");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("an open connection");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            head: head.to_ascii_lowercase(),
            as_sent: head.to_owned(),
            body: body.to_owned(),
        }
    })
    .await
}

/// A POST of JSON.
pub async fn post(page: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    send_json(page, "POST", path, headers, &body.to_string()).await
}

async fn send_json(
    page: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let length = body.len().to_string();
    let content = [("Content-Type", "application/json"), ("Content-Length", &*length)];
    send(page, method, path, &[headers, &content[..]].concat(), body).await
}

/// A request with JSON as its body, if it has one: the status, and the answer as JSON, or null if it has no body.
pub async fn request(page: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let answer = send_json(page, method, path, &[], &body).await;
    let json = if answer.body.is_empty() {
        Value::Null
    } else {
        answer.json()
    };
    (answer.status, json)
}
