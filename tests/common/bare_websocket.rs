//! A websocket of which every byte is the test's own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::within;

/// A websocket of which every byte is our own.
pub struct Bare {
    stream: TcpStream,
    read: VecDeque<u8>,
}

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The request of a websocket client, with these headers beside what is needed.
pub fn upgrade(headers: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// A frame of a client, whose mask changes nothing.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short frame");
    assert!(len < 126, "a short frame");
    [&[first, 0x80 | len, 0, 0, 0, 0], payload].concat()
}

pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short frame");
    [&[first, len], payload].concat()
}

impl Bare {
    /// Connects and upgrades: the socket, and the answer's head.
    pub async fn open(port: SocketAddr, request: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(port).await.expect("an open port");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("an open socket");
        Self::answered(stream).await
    }

    /// The same, if the request was sent already; on a server's end, the request's head.
    pub async fn answered(stream: TcpStream) -> (Self, String) {
        let mut bare = Self {
            stream,
            read: VecDeque::new(),
        };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(bare.byte().await);
        }
        (bare, String::from_utf8(head).expect("text"))
    }

    /// The server's end of a connection whose client requests a websocket.
    pub async fn accept(stream: TcpStream) -> Self {
        let (mut bare, request) = Self::answered(stream).await;
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key").then_some(value)
        });
        let accept = derive_accept_key(key.expect("a key").as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        bare.send(answer.as_bytes()).await;
        bare
    }

    pub async fn byte(&mut self) -> u8 {
        while self.read.is_empty() {
            let mut chunk = [0; 1024];
            let read = within("bytes", self.stream.read(&mut chunk))
                .await
                .expect("no reset");
            assert!(read > 0, "closed");
            self.read.extend(&chunk[..read]);
        }
        self.read.pop_front().expect("a byte")
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("an open socket");
    }

    /// Sends this over and over and reads nothing, until the gateway closes: how many bytes it took.
    pub async fn flood(mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while self.stream.write_all(bytes).await.is_ok() {
            sent += bytes.len();
        }
        sent
    }

    /// The next frame: its first byte and its payload, which a client masks.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let (first, second) = (self.byte().await, self.byte().await);
        let len = match second & 0x7f {
            126 => usize::from(u16::from_be_bytes([self.byte().await, self.byte().await])),
            len => usize::from(len),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            for byte in &mut mask {
                *byte = self.byte().await;
            }
        }
        let mut payload = Vec::new();
        for n in 0..len {
            payload.push(self.byte().await ^ mask[n % mask.len()]);
        }
        (first, payload)
    }

    /// Reads on to the Close frame: its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let (0x88, payload) = self.frame().await {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).expect("text"));
            }
        }
    }
}
