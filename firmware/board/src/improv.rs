//! Improv, version 1 over a serial port (improv-wifi.com): how a web page or an app gives a board its Wi-Fi network. No
//! I/O.
//!
//! ```text
//!   "IMPROV"  1  type  length  data …  checksum
//!      6      1    1      1    length     1       checksum: the sum of all bytes before it, modulo 256
//! ```
//!
//! It shares the port with the console: what is no packet is what somebody types.

use heapless::Vec;

const HEADER: &[u8; 7] = b"IMPROV\x01";
/// Header, type and length.
const START_BYTES: usize = HEADER.len() + 2;
const PACKET_MAX_BYTES: usize = START_BYTES + 255 + 1;
/// A packet comes in one go. What began one and stopped for this long was cut off, or typed.
const PAUSE_MS: u64 = 500;

const CURRENT_STATE: u8 = 1;
const ERROR_STATE: u8 = 2;
const RPC: u8 = 3;
const RPC_RESULT: u8 = 4;

/// A packet to be sent.
pub type Packet = Vec<u8, PACKET_MAX_BYTES>;

/// How far a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits to be told a network.
    Ready = 2,
    /// It tries the one that it was told.
    Provisioning = 3,
    /// It is on a network.
    Provisioned = 4,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing; forget the one before.
    None = 0,
    /// A packet that is not as it should be.
    InvalidPacket = 1,
    /// A command that the board does not know.
    UnknownCommand = 2,
    /// The board could not join the network.
    UnableToConnect = 3,
    /// Something else.
    Unknown = 0xff,
}

/// The commands that are answered with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Join a network.
    Join = 1,
    /// How far are you?
    State = 2,
    /// Who are you?
    Info = 3,
    /// Which networks are near?
    Scan = 4,
    /// Are you on a network?
    Network = 7,
}

/// What is asked of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'r> {
    /// Join this network.
    Join {
        /// Its name.
        ssid: &'r str,
        /// Its password; empty for an open one.
        password: &'r str,
    },
    /// How far are you?
    State,
    /// Who are you?
    Info,
    /// Which networks are near?
    Scan,
    /// Are you on a network, and which kinds can you join?
    Network,
}

/// What a byte comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'r> {
    /// These bytes are no packet: somebody typed them. May be none, while it cannot be told yet.
    Typed(&'r [u8]),
    /// A packet is whole; or wrong.
    Packet(Result<Request<'r>, Error>),
}

/// Tells packets from what is typed.
#[derive(Debug, Default)]
pub struct Receiver {
    held: Packet,
    typed: Vec<u8, { HEADER.len() + 1 }>,
    came: u64,
    /// A packet was whole, and is not forgotten yet.
    is_done: bool,
}

impl Receiver {
    /// Nothing came.
    pub const fn new() -> Self {
        Self {
            held: Vec::new(),
            typed: Vec::new(),
            came: 0,
            is_done: false,
        }
    }

    /// Takes one byte, at this time in milliseconds.
    pub fn push(&mut self, now: u64, byte: u8) -> Input<'_> {
        self.typed.clear();
        let behind_packet = core::mem::take(&mut self.is_done);
        if behind_packet {
            self.held.clear();
        }
        let paused = now.saturating_sub(self.came) > PAUSE_MS;
        self.came = now;
        if behind_packet && !paused && byte == b'\n' {
            // Whoever sends packets ends them with one, which is none of the console's.
            return Input::Typed(&[]);
        }
        if paused {
            self.let_go();
        }
        match HEADER.get(self.held.len()) {
            Some(expected) if byte == *expected => self.hold(byte),
            Some(_) => {
                self.let_go();
                if byte == HEADER[0] {
                    self.hold(byte);
                } else {
                    // One more than the header has fits.
                    let _ = self.typed.push(byte);
                }
            }
            None => {
                self.hold(byte);
                let wanted = self
                    .held
                    .get(START_BYTES - 1)
                    .map(|len| START_BYTES + usize::from(*len) + 1);
                if wanted == Some(self.held.len()) {
                    self.is_done = true;
                    return Input::Packet(request(&self.held));
                }
            }
        }
        Input::Typed(&self.typed)
    }

    fn hold(&mut self, byte: u8) {
        // A packet is whole when it has as many bytes as there is room for, or earlier.
        let _ = self.held.push(byte);
    }

    /// What began like a packet was none. If the header was whole, it was one, and is lost.
    fn let_go(&mut self) {
        if self.held.len() < HEADER.len() {
            // Less than a header fits.
            let _ = self.typed.extend_from_slice(&self.held);
        }
        self.held.clear();
    }
}

/// Reads a packet that is whole.
fn request(packet: &[u8]) -> Result<Request<'_>, Error> {
    let Some((checksum, before)) = packet.split_last() else {
        return Err(Error::InvalidPacket);
    };
    let (kind, data) = match before.get(HEADER.len()..) {
        Some([kind, _, data @ ..]) if sum(before) == *checksum => (*kind, data),
        _ => return Err(Error::InvalidPacket),
    };
    let (command, arguments) = match (kind, data) {
        (RPC, [command, len, arguments @ ..]) if usize::from(*len) == arguments.len() => {
            (*command, arguments)
        }
        _ => return Err(Error::InvalidPacket),
    };
    match (command, arguments) {
        (1, arguments) => {
            let (ssid, rest) = text(arguments).ok_or(Error::InvalidPacket)?;
            let (password, rest) = text(rest).ok_or(Error::InvalidPacket)?;
            if ssid.is_empty() || !rest.is_empty() {
                return Err(Error::InvalidPacket);
            }
            Ok(Request::Join { ssid, password })
        }
        (2, []) => Ok(Request::State),
        (3, []) => Ok(Request::Info),
        (4, []) => Ok(Request::Scan),
        (7, []) => Ok(Request::Network),
        (2..=4 | 7, _) => Err(Error::InvalidPacket),
        _ => Err(Error::UnknownCommand),
    }
}

/// A text with its length before it, and what is behind it.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((core::str::from_utf8(text).ok()?, rest))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// How far the board is.
pub fn state(state: State) -> Packet {
    packet(CURRENT_STATE, &[state as u8]).unwrap_or_default()
}

/// What went wrong.
pub fn error(error: Error) -> Packet {
    packet(ERROR_STATE, &[error as u8]).unwrap_or_default()
}

/// The answer to a command. `None`: it is too long.
pub fn result(command: Command, texts: &[&str]) -> Option<Packet> {
    let mut data = Vec::<u8, 255>::new();
    data.extend_from_slice(&[command as u8, 0]).ok()?;
    for text in texts {
        data.push(u8::try_from(text.len()).ok()?).ok()?;
        data.extend_from_slice(text.as_bytes()).ok()?;
    }
    *data.get_mut(1)? = u8::try_from(data.len() - 2).ok()?;
    packet(RPC_RESULT, &data)
}

fn packet(kind: u8, data: &[u8]) -> Option<Packet> {
    let mut packet = Packet::new();
    packet.extend_from_slice(HEADER).ok()?;
    packet
        .extend_from_slice(&[kind, u8::try_from(data.len()).ok()?])
        .ok()?;
    packet.extend_from_slice(data).ok()?;
    packet.push(sum(&packet)).ok()?;
    Some(packet)
}

#[cfg(test)]
#[path = "improv/tests.rs"]
mod tests;
