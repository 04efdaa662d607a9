//! What a device tells of itself: for a console, a status LED, a test.

use core::fmt;

use embedded_io_async::ErrorKind;
use wsdm_protocol::close;

use crate::frames::ProtocolError;
use crate::upgrade::UpgradeError;

/// Something that happened. It comes with the time at which it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// The gateway is dialled.
    Connecting {
        /// Its host.
        host: &'a str,
        /// Its port.
        port: u16,
    },
    /// The handshake is sent; on a wire: the first frame came. The gateway has control.
    Connected,
    /// The gateway closed the connection: something about this device is wrong.
    Refused {
        /// The close code.
        code: u16,
        /// What is wrong, in the gateway's words.
        reason: &'a str,
    },
    /// The gateway did not make a websocket of the connection: a wrong token, or it is no gateway.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// The first line of what it said.
        reason: &'a str,
    },
    /// There is no connection, or no longer.
    Lost(Loss<'a>),
    /// Outputs were on, control was lost, and they are off now.
    Stopped(Stopped),
    /// The next try is so far away.
    Waiting {
        /// In milliseconds.
        ms: u64,
    },
    /// On a wire: the hello line was said.
    Hello,
    /// Answers did not fit behind those that waited, and were dropped: so many since this was reported last.
    AnswersDropped(u32),
    /// On a wire: so many frames over the limit were skipped since this was reported last.
    FramesTooLong(u32),
    /// On a wire: so many frames with bytes that no text has were skipped since this was reported last.
    FramesAreNoText(u32),
    /// The stop button was pressed: the outputs are off.
    Held,
    /// The stop button is up, and whoever commands has stopped too: the next command counts.
    Released,
    /// The board needs its flash or its radio itself: the outputs are off, and the connection is given up.
    Interrupted,
    /// The device was told to turn itself off.
    PoweredOff,
}

/// Why outputs were stopped, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// By the watchdog: nothing was heard. Otherwise the connection ended, and that was known at once.
    pub by_watchdog: bool,
    /// How long nothing had been heard when the outputs were off.
    pub silent_ms: u64,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss<'a> {
    /// Nobody answers there.
    Unreachable,
    /// The gateway is searched for on the network, and none answered.
    NotFound,
    /// The gateway's URL demands TLS, and nothing is known by which the gateway could be told from others.
    NoFingerprint,
    /// No TLS with the right gateway.
    Tls(TlsFault),
    /// No websocket.
    Upgrade(UpgradeError),
    /// The connection or the upgrade took too long.
    Slow,
    /// The handshake does not fit into the buffer.
    HandshakeTooLarge,
    /// The gateway closed for a reason of its own.
    Closed {
        /// The close code, if it gave one.
        code: Option<u16>,
        /// Its words.
        reason: &'a str,
    },
    /// The connection ended without a Close frame.
    Ended,
    /// The connection broke.
    Broken(ErrorKind),
    /// Nothing was heard for too long.
    Silent {
        /// For how long.
        ms: u64,
    },
    /// The gateway broke the websocket protocol.
    Protocol(ProtocolError),
    /// The network itself is gone.
    Network,
}

/// Why there is no TLS with the right gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// It has another certificate.
    Fingerprint,
    /// It has the right one, of a kind that a board cannot check.
    Certificate,
    /// It has the right one, and cannot show that it is its own.
    Forged,
    /// It refused the handshake.
    Refused,
    /// It speaks no TLS.
    Unknown,
    /// The connection ended meanwhile.
    Ended,
    /// The connection broke meanwhile, or the rules were.
    Broken(ErrorKind),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fingerprint => {
                "another gateway answers, or fingerprint is wrong: the certificate is another one; the gateway's log has \
                 the fingerprint at its start"
            }
            Self::Certificate => "the gateway's certificate cannot be checked: its key is not of the kind ECDSA P-256",
            Self::Forged => "another gateway answers: it shows the right certificate, and has not its key",
            Self::Refused => "the gateway refused the TLS handshake; its log says more",
            Self::Unknown => "no TLS is spoken there; the gateway needs tls = \"also\" in [devices]",
            Self::Ended => "the connection ended during the TLS handshake",
            Self::Broken(kind) => return write!(f, "no TLS with what answers there ({kind:?})"),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { host, port } => write!(f, "connecting to {host}:{port}"),
            Self::Connected => f.write_str("connected"),
            Self::Refused { code, reason } => {
                write!(
                    f,
                    "refused {code} ({}): ",
                    close::name(*code).unwrap_or("unknown code")
                )?;
                plain(f, reason)
            }
            Self::Rejected { status, reason } => {
                write!(f, "rejected with HTTP status {status}: ")?;
                plain(f, reason)
            }
            Self::Lost(loss) => write!(f, "lost: {loss}"),
            Self::Stopped(Stopped {
                by_watchdog,
                silent_ms,
            }) => {
                let by = if *by_watchdog {
                    "watchdog"
                } else {
                    "lost connection"
                };
                write!(f, "stopped by {by}, {silent_ms} ms since last heard")
            }
            Self::Waiting { ms } => write!(f, "trying again in {ms} ms"),
            Self::Hello => f.write_str("hello line sent"),
            Self::AnswersDropped(1) => f.write_str("an answer was dropped, the buffer is full"),
            Self::AnswersDropped(n) => write!(f, "{n} answers were dropped, the buffer is full"),
            Self::FramesTooLong(1) => f.write_str("a frame over the limit was skipped"),
            Self::FramesTooLong(n) => write!(f, "{n} frames over the limit were skipped"),
            Self::FramesAreNoText(1) => f.write_str("a frame with noise was skipped"),
            Self::FramesAreNoText(n) => write!(f, "{n} frames with noise were skipped"),
            Self::Held => f.write_str("stopped by the button, until the app has stopped too"),
            Self::Released => f.write_str("the button's stop is over"),
            Self::Interrupted => f.write_str("outputs off: the board needs its flash or its radio"),
            Self::PoweredOff => f.write_str("powered off"),
        }
    }
}

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("nobody answers"),
            Self::NotFound => f.write_str("no gateway answers the search"),
            Self::NoFingerprint => {
                f.write_str("wss:// needs the gateway's fingerprint: set fingerprint, save, restart")
            }
            Self::Tls(fault) => fault.fmt(f),
            Self::Upgrade(e) => e.fmt(f),
            Self::Slow => f.write_str("no answer in time"),
            Self::HandshakeTooLarge => f.write_str("the handshake does not fit into the buffer"),
            Self::Closed { code: None, .. } => f.write_str("closed without a code"),
            Self::Closed {
                code: Some(code),
                reason,
            } => {
                write!(
                    f,
                    "closed with {code} ({}): ",
                    close::name(*code).unwrap_or("unknown code")
                )?;
                plain(f, reason)
            }
            Self::Ended => f.write_str("the connection ended"),
            Self::Broken(kind) => write!(f, "the connection broke ({kind:?})"),
            Self::Silent { ms } => write!(f, "silent for {ms} ms"),
            Self::Protocol(e) => e.fmt(f),
            Self::Network => f.write_str("the network is gone"),
        }
    }
}

/// A stranger chose this text and a terminal will show it: no control characters.
fn plain(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '"' | '\'' | '\\' => fmt::Write::write_char(f, c),
        c => write!(f, "{}", c.escape_debug()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words_and_cannot_move_a_cursor() {
        let refused = Report::Refused {
            code: 4001,
            reason: "no such\u{1b}[2J \"name\"",
        };
        assert_eq!(
            refused.to_string(),
            "refused 4001 (identifier unknown): no such\\u{1b}[2J \"name\""
        );
    }
}
