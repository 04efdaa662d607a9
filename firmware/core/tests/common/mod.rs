//! What the tests share: a board in paused time, and the server that misbehaves.
#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;
use wsdm_device::{Channel, Clock, Dial, Level, Loss, Outputs, Report};

/// Time that stands still until everything waits.
#[derive(Clone, Copy)]
pub struct TestClock(Instant);

impl TestClock {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at: u64) {
        // A year is as good as never, and fits.
        let at = Duration::from_millis(at.min(365 * 24 * 3_600 * 1_000));
        tokio::time::sleep_until(self.0 + at).await;
    }
}

/// Hands the far end of every connection to the test.
pub struct TestDial {
    accepted: mpsc::UnboundedSender<DuplexStream>,
    buffer: usize,
}

pub fn network(buffer: usize) -> (TestDial, mpsc::UnboundedReceiver<DuplexStream>) {
    let (accepted, connections) = mpsc::unbounded_channel();
    (TestDial { accepted, buffer }, connections)
}

impl Dial for TestDial {
    type Stream<'s> = FromTokio<DuplexStream>;

    async fn dial(&mut self, _host: &str, _port: u16) -> Result<Self::Stream<'_>, Loss<'static>> {
        let (near, far) = duplex(self.buffer);
        self.accepted.send(far).map_err(|_| Loss::Unreachable)?;
        Ok(FromTokio::new(near))
    }

    async fn hang_up<'s>(stream: Self::Stream<'s>)
    where
        Self: 's,
    {
        drop(stream);
    }
}

/// What was reported, with the time.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<(u64, String)>>>);

impl Log {
    pub fn write(&self) -> impl FnMut(u64, &Report<'_>) + use<> {
        let log = self.0.clone();
        move |now, report| log.borrow_mut().push((now, report.to_string()))
    }

    pub fn all(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(_, text)| text.clone()).collect()
    }

    /// When the first report that begins like this came.
    pub fn at(&self, start: &str) -> u64 {
        let log = self.0.borrow();
        let found = log.iter().find(|(_, text)| text.starts_with(start));
        found.unwrap_or_else(|| panic!("{start:?} in {log:?}")).0
    }

    pub fn has(&self, start: &str) -> bool {
        self.0.borrow().iter().any(|(_, text)| text.starts_with(start))
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Where the pins stand.
#[derive(Clone, Default)]
pub struct Pins(Rc<RefCell<BTreeMap<String, u32>>>);

impl Outputs for Pins {
    fn set(&mut self, channel: Channel, level: Level) {
        self.0
            .borrow_mut()
            .insert(channel.to_string(), level.times(1_000));
    }
}

impl Pins {
    /// In thousandths.
    pub fn at(&self, channel: &str) -> u32 {
        self.0.borrow()[channel]
    }
}

/// A generator that a test can repeat.
pub fn random() -> impl FnMut() -> u32 {
    let mut x = 0x9E37_79B9_u32;
    move || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x
    }
}

/// The far end of a connection.
pub struct Server(pub DuplexStream);

impl Server {
    /// Reads the request.
    pub async fn request(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(self.0.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Makes a websocket of it, and reads the handshake.
    pub async fn accept(&mut self) -> String {
        let request = self.request().await;
        self.say(switching(&accept_of(&request))).await;
        let (opcode, handshake) = self.frame().await;
        assert_eq!(opcode, 0x81, "a text frame");
        String::from_utf8(handshake).unwrap()
    }

    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let len = u8::try_from(payload.len()).unwrap();
        self.say([&[first, len], payload].concat()).await;
    }

    /// A binary frame.
    pub async fn command(&mut self, text: &str) {
        self.send(0x82, text.as_bytes()).await;
    }

    /// The next frame, unmasked.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let first = self.0.read_u8().await.unwrap();
        let len = self.0.read_u8().await.unwrap();
        assert_eq!(len & 0x80, 0x80, "a client masks");
        let len = match len & 0x7f {
            126 => self.0.read_u16().await.unwrap(),
            len => u16::from(len),
        };
        let mut mask = [0; 4];
        self.0.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; usize::from(len)];
        self.0.read_exact(&mut payload).await.unwrap();
        payload
            .iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
        (first, payload)
    }

    /// How many pongs wait to be read, and nothing else.
    pub async fn pongs(&mut self) -> usize {
        let mut count = 0;
        loop {
            tokio::select! {
                biased;
                (opcode, _) = self.frame() => {
                    assert_eq!(opcode, 0x8a, "a pong");
                    count += 1;
                }
                () = ms(1) => return count,
            }
        }
    }

    /// The next frame that is no ping, as text.
    pub async fn answer(&mut self) -> String {
        loop {
            match self.frame().await {
                (0x89, _) => {}
                (0x82, payload) => return String::from_utf8(payload).unwrap(),
                other => panic!("not a binary frame: {other:?}"),
            }
        }
    }
}

pub fn switching(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

pub fn key_of(request: &str) -> &str {
    let start = request.find("Sec-WebSocket-Key: ").unwrap() + 19;
    request[start..].lines().next().unwrap()
}

pub fn accept_of(request: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key_of(request).as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut text = [0; 28];
    STANDARD.encode_slice(hash.digest().bytes(), &mut text).unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

/// Waits in paused time.
pub async fn ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
