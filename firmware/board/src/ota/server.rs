//! The board's half of an update: one connection, from the greeting to the restart.

use core::fmt::{self, Write as _};

use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};
use embedded_storage::nor_flash::MultiwriteNorFlash;
use heapless::{String, Vec};
use sha2::{Digest, Sha256};
use wsdm_device::{Clock, Pause, Quiet, within};

use super::image::{HEAD_BYTES, ImageId};
use super::slots::{Piece, Slots, SlotsError};
use super::wire::{Answer, Greeting, LINE_MAX_BYTES, Nonce, Reason, Refusal, Request, State};
use crate::pins::Chip;

/// How long the sender may take for its line.
const LINE_WITHIN_MS: u64 = 5_000;
/// How long nothing may come while an image does.
const SILENCE_MS: u64 = 10_000;
/// How long the whole image may take: outputs are off meanwhile.
const IMAGE_WITHIN_MS: u64 = 180_000;
/// How long an answer may take to leave.
const ANSWER_WITHIN_MS: u64 = 2_000;
/// What a wrong password costs, so that nobody tries many.
const WRONG_PASSWORD_MS: u64 = 1_000;

/// A board that takes images.
#[derive(Debug)]
pub struct Server<'a, F> {
    slots: Slots<F>,
    piece: Piece,
    password: &'a str,
    chip: &'a Chip,
    version: &'a str,
    is_saved: bool,
    quiet: &'a Quiet,
}

/// How a connection ended.
#[derive(Debug)]
#[must_use = "an image that is written waits for a restart"]
pub enum Served<'a> {
    /// Nothing is changed.
    Ended,
    /// The board has to be restarted. Until then outputs stay off.
    Restart(Pause<'a>),
}

/// Why nothing was changed.
enum Failure {
    /// The sender learns why.
    Refused(Refusal),
    /// There is no connection any more.
    Gone(&'static str),
}

impl Failure {
    fn refused(reason: Reason, words: fmt::Arguments<'_>) -> Self {
        Self::Refused(Refusal::new(reason, words))
    }

    fn slow() -> Self {
        Self::refused(Reason::Slow, format_args!("the image comes too slowly"))
    }
}

impl From<SlotsError> for Failure {
    fn from(e: SlotsError) -> Self {
        Self::refused(e.reason(), format_args!("{e}"))
    }
}

impl<'a, F: MultiwriteNorFlash> Server<'a, F> {
    /// Takes images for this chip from everybody who knows the password, if the board's settings are saved: another image
    /// was built with others.
    pub const fn new(
        slots: Slots<F>,
        password: &'a str,
        chip: &'a Chip,
        version: &'a str,
        is_saved: bool,
        quiet: &'a Quiet,
    ) -> Self {
        Self {
            slots,
            piece: Piece::EMPTY,
            password,
            chip,
            version,
            is_saved,
            quiet,
        }
    }

    /// The slots.
    pub const fn slots(&mut self) -> &mut Slots<F> {
        &mut self.slots
    }

    /// Serves one connection. What is worth a line of the console goes to `say`. May be dropped at any time: the image
    /// that runs stays.
    pub async fn serve<S: Read + Write>(
        &mut self,
        stream: &mut S,
        nonce: Nonce,
        clock: &impl Clock,
        mut say: impl FnMut(fmt::Arguments<'_>),
    ) -> Served<'a> {
        match self.update(stream, nonce, clock, &mut say).await {
            Ok(None) => Served::Ended,
            Ok(Some(pause)) => {
                say(format_args!("update: written, restarting with it"));
                send(stream, clock, &Answer::Done).await;
                Served::Restart(pause)
            }
            Err(Failure::Gone(why)) => {
                say(format_args!("update: nothing is changed: {why}"));
                Served::Ended
            }
            Err(Failure::Refused(refusal)) => {
                say(format_args!("update: nothing is changed: {}", refusal.words));
                send(stream, clock, &Answer::No(refusal)).await;
                Served::Ended
            }
        }
    }

    /// `None`: only the greeting was wanted.
    async fn update<S: Read + Write>(
        &mut self,
        stream: &mut S,
        nonce: Nonce,
        clock: &impl Clock,
        say: &mut impl FnMut(fmt::Arguments<'_>),
    ) -> Result<Option<Pause<'a>>, Failure> {
        let greeting = Greeting {
            chip: String::try_from(self.chip.name).unwrap_or_default(),
            version: String::try_from(self.version).unwrap_or_default(),
            image: self.slots.image(),
            state: if self.slots.is_on_trial() {
                State::OnTrial
            } else {
                State::Kept
            },
            nonce,
        };
        send(stream, clock, &greeting).await;
        let Some(line) = within(clock, clock.now() + LINE_WITHIN_MS, line(stream))
            .await
            .flatten()
        else {
            return Ok(None);
        };
        let request: Request = core::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| {
                Failure::refused(Reason::Request, format_args!("that is no update of version 1"))
            })?;
        if !request.is_proved(self.password, &nonce) {
            clock.sleep_until(clock.now() + WRONG_PASSWORD_MS).await;
            return Err(Failure::refused(
                Reason::Password,
                format_args!("the password is wrong"),
            ));
        }
        if self.slots.is_on_trial() {
            let words = format_args!("the image that runs is on trial until it has reached the gateway");
            return Err(Failure::refused(Reason::OnTrial, words));
        }
        if !self.is_saved {
            // Another image brings no network with it, and no limits.
            let words = format_args!("the settings are only built in, and would be lost: save, restart");
            return Err(Failure::refused(Reason::Unsaved, words));
        }
        let room = self.slots.room();
        if request.bytes > room {
            return Err(Failure::refused(
                Reason::Room,
                format_args!("there is room for {room} bytes"),
            ));
        }
        if (request.bytes as usize) < HEAD_BYTES {
            return Err(SlotsError::NoImage.into());
        }
        // Nothing else runs while flash is erased, so what was on would stay on.
        let pause = self.quiet.begin().await;
        say(format_args!(
            "update: outputs are off, {} bytes are received",
            request.bytes
        ));
        send(stream, clock, &Answer::Go).await;
        let by = clock.now() + IMAGE_WITHIN_MS;
        let received = within(clock, by, self.receive(stream, &request, clock)).await;
        received.unwrap_or_else(|| Err(Failure::slow()))?;
        self.verify(&request).await?;
        self.slots.select(ImageId::of(&request.sha256))?;
        Ok(Some(pause))
    }

    async fn receive<S: Read>(
        &mut self,
        stream: &mut S,
        request: &Request,
        clock: &impl Clock,
    ) -> Result<(), Failure> {
        let mut at = 0;
        while at < request.bytes {
            let left = (request.bytes - at) as usize;
            let len = left.min(self.piece.0.len());
            let mut filled = 0;
            while filled < len {
                let read = stream.read(&mut self.piece.0[filled..len]);
                filled += match within(clock, clock.now() + SILENCE_MS, read).await {
                    Some(Ok(read @ 1..)) => read,
                    Some(Ok(0) | Err(_)) => {
                        return Err(Failure::Gone("the connection ended before the image did"));
                    }
                    None => return Err(Failure::slow()),
                };
            }
            self.slots.write(at, &mut self.piece, len, self.chip)?;
            at += len as u32;
            // The other tasks, that of the hardware watchdog among them.
            yield_now().await;
        }
        Ok(())
    }

    async fn verify(&mut self, request: &Request) -> Result<(), Failure> {
        let mut hash = Sha256::new();
        let mut at = 0;
        while at < request.bytes {
            let end = request.bytes.min(at + self.piece.0.len() as u32);
            self.slots.read_back(at..end, &mut self.piece, &mut hash)?;
            at = end;
            yield_now().await;
        }
        if <[u8; 32]>::from(hash.finalize()) == request.sha256 {
            Ok(())
        } else {
            Err(SlotsError::Hash.into())
        }
    }
}

/// The next line, without its end. `None`: there is none, or it is too long.
async fn line<S: Read>(stream: &mut S) -> Option<Vec<u8, LINE_MAX_BYTES>> {
    let mut line = Vec::new();
    loop {
        // What comes behind the line is the image, and only once it was asked for.
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        match byte {
            [b'\n'] => return Some(line),
            [byte] => line.push(byte).ok()?,
        }
    }
}

/// A sender that does not take it will find out by itself.
async fn send<S: Write>(stream: &mut S, clock: &impl Clock, what: &impl fmt::Display) {
    let mut text = String::<LINE_MAX_BYTES>::new();
    // Each of them fits.
    let _ = writeln!(text, "{what}");
    let sent = async {
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.flush().await;
    };
    let _ = within(clock, clock.now() + ANSWER_WITHIN_MS, sent).await;
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
