//! Requests to the page's port, in plain text.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
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
        stream.write_all(request.as_bytes()).await.expect("an open port");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an open port");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an open port");
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    })
    .await
}

/// A POST of JSON.
pub async fn post(page: SocketAddr, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let length = body.len().to_string();
    let headers = [("Content-Type", "application/json"), ("Content-Length", &*length)];
    send(page, "POST", path, &headers, &body).await
}
