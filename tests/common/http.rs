//! Requests to the HTTP interface, as a script makes them.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A request on a connection of its own: the status, and the answer as JSON, or null if it has no body.
pub async fn request(page: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    within(path, async {
        let mut stream = TcpStream::connect(page).await.expect("an open port");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("an open socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        let body = match body {
            "" => Value::Null,
            body => serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}")),
        };
        (status.parse().expect("a number"), body)
    })
    .await
}
