//! TLS 1.3 under the websocket, with the one gateway whose certificate is known.
//!
//! The library that speaks it leaves three things to its caller, which are done here. A read of it may not be dropped
//! between the pieces of a record, so it is given whole records (`records`). It takes a handshake without a certificate,
//! so nothing is sent before the certificate and the signature were verified (`verify`). And it ends the program for some
//! records that nobody should send: those that are not encrypted do not reach it, and an encrypted one is from the
//! gateway itself, and restarts the board.

mod records;
mod verify;

use core::cell::Cell;
use core::pin::{Pin, pin};

use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, FlushPolicy, TlsConfig, TlsConnection, TlsContext, TlsError, TlsVerifier,
};
use p256::elliptic_curve::rand_core::{CryptoRng, RngCore, impls};
use wsdm_protocol::TLS_FRAGMENT_MAX_BYTES;

use crate::client::Dial;
use crate::fingerprint::Fingerprint;
use crate::report::{Loss, TlsFault};
use records::{HEADER_BYTES, Records, UNKNOWN};
use verify::{Seen, Verifier};

/// What a record has besides the text that it protects: some of the 256 bytes that RFC 8446 allows.
const OVERHEAD_MAX_BYTES: usize = 64;
const RECORD_MAX_BYTES: usize = TLS_FRAGMENT_MAX_BYTES + OVERHEAD_MAX_BYTES;
/// Room for what goes out in one record, and for what the library wants besides.
const OUT_BYTES: usize = 1_280;
/// The alert "bad certificate", fatal, as it is sent before there are keys for it: so the gateway can tell its user.
const BAD_CERTIFICATE: [u8; 7] = [21, 3, 3, 0, 2, 2, 42];

/// Room for records. Some ten kilobytes, once.
#[derive(Debug)]
struct Room {
    whole: [u8; HEADER_BYTES + RECORD_MAX_BYTES],
    open: [u8; RECORD_MAX_BYTES],
    out: [u8; OUT_BYTES],
    muted: Cell<bool>,
}

/// Connections over another way to dial: within TLS if there is a fingerprint, and then never without.
#[derive(Debug)]
pub struct TlsDial<L, R> {
    dial: L,
    random: R,
    fingerprint: Option<Fingerprint>,
    room: Room,
}

impl<L, R> TlsDial<L, R> {
    /// Connections to the gateway whose certificate has this fingerprint, or plain ones without. The numbers must be good
    /// ones: keys are made of them.
    pub const fn new(dial: L, random: R, fingerprint: Option<Fingerprint>) -> Self {
        Self {
            dial,
            random,
            fingerprint,
            room: Room {
                whole: [0; HEADER_BYTES + RECORD_MAX_BYTES],
                open: [0; RECORD_MAX_BYTES],
                out: [0; OUT_BYTES],
                muted: Cell::new(false),
            },
        }
    }
}

impl<L: Dial, R: FnMut() -> u32> Dial for TlsDial<L, R> {
    type Stream<'s>
        = MaybeTls<'s, L::Stream<'s>>
    where
        Self: 's;

    fn is_secure(&self) -> bool {
        self.fingerprint.is_some()
    }

    async fn dial(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, Loss<'static>> {
        let Self {
            dial,
            random,
            fingerprint,
            room,
        } = self;
        let socket = dial.dial(host, port).await?;
        let Some(fingerprint) = *fingerprint else {
            return Ok(MaybeTls::Plain(socket));
        };
        let Room {
            whole,
            open,
            out,
            muted,
        } = room;
        muted.set(false);
        let records = Records::new(socket, whole, muted);
        let mut tls = TlsConnection::new(records, open, out);
        // What is written goes out anyway, and a flush would wait for the acknowledgement.
        tls.set_flush_policy(FlushPolicy::Relaxed);
        let mut provider = Provider {
            random: Random(random),
            verifier: Verifier::new(fingerprint),
        };
        let config = TlsConfig::new();
        let opened = tls.open(TlsContext::new(&config, &mut provider)).await;
        let fault = match (opened, provider.verifier.seen()) {
            // The library is content with less.
            (Ok(()), Seen::Verified) => {
                return Ok(MaybeTls::Tls(Secured {
                    tls,
                    muted,
                    is_writing: false,
                }));
            }
            (_, Seen::Other) => TlsFault::Fingerprint,
            (_, Seen::Unusable) => TlsFault::Certificate,
            (_, Seen::Forged) | (Ok(()), _) => TlsFault::Forged,
            (Err(e), _) => fault(e),
        };
        muted.set(true);
        let (Ok(records) | Err((records, _))) = tls.close().await;
        let mut socket = records.into_socket();
        if matches!(
            fault,
            TlsFault::Fingerprint | TlsFault::Certificate | TlsFault::Forged
        ) {
            // The gateway can do without it.
            let _ = socket.write_all(&BAD_CERTIFICATE).await;
        }
        L::hang_up(socket).await;
        Err(Loss::Tls(fault))
    }

    async fn hang_up<'s>(stream: Self::Stream<'s>)
    where
        Self: 's,
    {
        match stream {
            MaybeTls::Plain(socket) => L::hang_up(socket).await,
            MaybeTls::Tls(secured) => {
                // Half a record is behind it: nothing that follows would be understood.
                secured.muted.set(secured.is_writing);
                let (Ok(records) | Err((records, _))) = secured.tls.close().await;
                L::hang_up(records.into_socket()).await;
            }
        }
    }
}

/// Why there is no TLS.
fn fault(error: TlsError) -> TlsFault {
    match error {
        TlsError::Io(UNKNOWN) => TlsFault::Unknown,
        TlsError::Io(kind) => TlsFault::Broken(kind),
        TlsError::IoError => TlsFault::Ended,
        TlsError::HandshakeAborted(..) => TlsFault::Refused,
        _ => TlsFault::Broken(ErrorKind::InvalidData),
    }
}

/// A connection, within TLS or not.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and nowhere to put it but here"
)]
pub enum MaybeTls<'s, S: Read + Write + 's> {
    /// Without.
    Plain(S),
    /// Within TLS, and the gateway is the right one.
    Tls(Secured<'s, S>),
}

/// A connection within TLS, to the gateway whose certificate is known.
pub struct Secured<'s, S: Read + Write + 's> {
    tls: TlsConnection<'s, Records<'s, S>, Aes128GcmSha256>,
    muted: &'s Cell<bool>,
    /// A write was begun, and perhaps dropped.
    is_writing: bool,
}

/// The library's own code is called through a pointer, as in [`crate::Client`].
impl<S: Read + Write> Secured<'_, S> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        let reading: Pin<&mut dyn Future<Output = _>> = pin!(self.tls.read(bytes));
        match reading.await {
            Ok(read) => Ok(read),
            // Told or not: within a websocket the end has its own frame.
            Err(TlsError::ConnectionClosed | TlsError::IoError | TlsError::MissingHandshake) => Ok(0),
            Err(TlsError::Io(kind)) => Err(kind),
            Err(_) => Err(ErrorKind::InvalidData),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.is_writing {
            return Err(ErrorKind::BrokenPipe);
        }
        self.is_writing = true;
        let writing: Pin<&mut dyn Future<Output = _>> = pin!(async {
            let written = self.tls.write(bytes).await?;
            self.tls.flush().await?;
            Ok(written)
        });
        let written = writing.await.map_err(|e| match e {
            TlsError::Io(kind) => kind,
            _ => ErrorKind::BrokenPipe,
        })?;
        self.is_writing = false;
        Ok(written)
    }
}

impl<S: Read + Write> ErrorType for MaybeTls<'_, S> {
    type Error = ErrorKind;
}

impl<S: Read + Write> Read for MaybeTls<'_, S> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::Plain(socket) => socket.read(bytes).await.map_err(|e| e.kind()),
            Self::Tls(secured) => secured.read(bytes).await,
        }
    }
}

impl<S: Read + Write> Write for MaybeTls<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        match self {
            Self::Plain(socket) => socket.write(bytes).await.map_err(|e| e.kind()),
            Self::Tls(secured) => secured.write(bytes).await,
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        match self {
            Self::Plain(socket) => socket.flush().await.map_err(|e| e.kind()),
            // Nothing is held back.
            Self::Tls(_) => Ok(()),
        }
    }
}

/// What the library asks for: random numbers, and a judgement of the certificate.
struct Provider<'r, R> {
    random: Random<'r, R>,
    verifier: Verifier,
}

impl<R: FnMut() -> u32> CryptoProvider for Provider<'_, R> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl embedded_tls::CryptoRngCore {
        Random(&mut *self.random.0)
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Self::CipherSuite>, TlsError> {
        Ok(&mut self.verifier)
    }
}

/// The board's random numbers.
struct Random<'r, R>(&'r mut R);

impl<R: FnMut() -> u32> RngCore for Random<'_, R> {
    fn next_u32(&mut self) -> u32 {
        (self.0)()
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_u32(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        impls::fill_bytes_via_next(self, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), p256::elliptic_curve::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl<R: FnMut() -> u32> CryptoRng for Random<'_, R> {}
