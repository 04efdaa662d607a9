//! Asks a board what it is: for its hello line first, then with the questions of the languages that the gateway knows.
//! No question moves anything.
//!
//! The board may be running: a gateway that was killed stops nothing, and this one knows nothing of that board. So the board
//! is stopped in every language that it can be recognised by, long before its language is known. A hello line is asked for
//! first. A board that runs is past its start, and answers that at once: it is then stopped in its own language, and is
//! spared words that mean something else to it. A board that is still starting was reset, and is at rest.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};

use super::hello::{HelloError, keep_last};
use crate::defaults::{
    ANSWER_QUIET, ANSWER_QUIET_MAX, ANSWER_TIMEOUT, ANSWER_TIMEOUT_KNOWN, HANDSHAKE_MAX_BYTES,
    HELLO_ASK_LATER, HELLO_ASK_PAUSE, HELLO_FIRST_ASKS, HELLO_TIMEOUT, LINE_PAUSE, RECOGNITION_PATIENCE,
};
use crate::device::handshake::{Address, HandshakeError};
use crate::device::hello::{Hello, HelloFault};
use crate::device::recognition::{Answers, Question, Recognised};

/// Ends an unfinished command in the buffer of a board, whether a semicolon or a newline ends its commands.
const CLEAR: &[u8] = b";\n";

/// How a board is identified.
#[derive(Clone, Copy, Debug)]
pub struct IdentifyOptions<'a> {
    /// How long to wait before the first question, since the board may be starting.
    pub settle: Duration,
    /// When to give up, counted from the start; `None` waits for as long as the port is open.
    pub patience: Option<Duration>,
    /// The address of a board that names none.
    pub fallback: &'a Result<Address, HandshakeError>,
    /// Each read is one message of the board, which ends a hello line as a newline does.
    pub reads_messages: bool,
    /// The bytes that stop the board, as they are written, in place of the stops of its languages.
    pub on_close: Option<&'a [u8]>,
}

/// How a board identified itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It printed a hello line.
    Hello(Hello),
    /// It answered in a known language.
    Recognised(Recognised),
}

/// The identity of a board, and the fault of its hello line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// How it identified itself.
    pub identity: Identity,
    /// What to correct in its hello line, although the board was identified.
    pub fault: Option<HelloFault>,
}

/// Identifies a board for people, who need no address of it. Gives up [`RECOGNITION_PATIENCE`] after it settled. Not
/// cancel safe: what was read is lost with the future.
///
/// # Errors
/// The connection was lost, or the board did not identify itself in time.
pub async fn identify_once<P>(
    port: &mut P,
    settle: Duration,
    reads_messages: bool,
) -> Result<Introduction, HelloError>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let options = IdentifyOptions {
        settle,
        patience: Some(settle + RECOGNITION_PATIENCE),
        fallback: &Address::new("-"),
        reads_messages,
        on_close: None,
    };
    let (mut read, mut answers) = (BytesMut::new(), Answers::default());
    identify(port, &mut read, options, &mut answers, |_| {}).await
}

/// Identifies a board. Sends it newlines first, which ask for a hello line, then its stop, then the questions of TCode and
/// Lovense; often at first, then from time to time, since the board may start slowly, or may be flashed while its port is
/// open. Calls `report` once, with what is wrong so far. What the board sent after a hello line stays in `read`; late
/// answers to questions do not. Not cancel safe: what was read is lost with the future, and the board may be in the middle
/// of a question. What it answered until then is in `answers`.
///
/// # Errors
/// The connection was lost, or the board did not identify itself in time.
pub async fn identify<P>(
    port: &mut P,
    read: &mut BytesMut,
    options: IdentifyOptions<'_>,
    answers: &mut Answers,
    report: impl Fn(&HelloError),
) -> Result<Introduction, HelloError>
where
    P: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let mut conversation = Conversation {
        port,
        read,
        options,
        report,
        report_at: start + options.settle + HELLO_TIMEOUT,
        give_up_at: options.patience.map(|patience| start + patience),
        answers,
        was_stopped: false,
        received: Vec::new(),
        address_error: None,
        fault: None,
        is_reported: false,
        last_read: start,
        is_pause_over: false,
        ends_lines: false,
    };
    let identity = match conversation.run(start).await {
        Ok(recognised) => Identity::Recognised(recognised),
        Err(Ended::Hello(hello)) => {
            conversation.discard_answers().await?;
            Identity::Hello(*hello)
        }
        Err(Ended::Failed(error)) => return Err(error),
    };
    let fault = conversation.fault.map(|(fault, _)| fault);
    Ok(Introduction { identity, fault })
}

/// Why a conversation ended before the board answered a question.
enum Ended {
    Hello(Box<Hello>),
    Failed(HelloError),
}

impl From<HelloError> for Ended {
    fn from(error: HelloError) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

struct Conversation<'a, P, F> {
    port: &'a mut P,
    read: &'a mut BytesMut,
    options: IdentifyOptions<'a>,
    report: F,
    report_at: Instant,
    give_up_at: Option<Instant>,
    answers: &'a mut Answers,
    /// It was sent stops of languages that may not be its own.
    was_stopped: bool,
    /// The end of what the board sent.
    received: Vec<u8>,
    /// Its hello line has no address, and this is why the fallback is none either.
    address_error: Option<HandshakeError>,
    /// What is wrong with its hello line, and the line.
    fault: Option<(HelloFault, Vec<u8>)>,
    is_reported: bool,
    last_read: Instant,
    /// The board paused, and what it sent before the pause was handled.
    is_pause_over: bool,
    /// The board ends its lines, so a line without an end is incomplete.
    ends_lines: bool,
}

impl<P, F> Conversation<'_, P, F>
where
    P: AsyncRead + AsyncWrite + Unpin,
    F: Fn(&HelloError),
{
    /// Asks until the board's language is known. A hello line ends the conversation too.
    async fn run(&mut self, start: Instant) -> Result<Recognised, Ended> {
        self.listen(start + self.options.settle, |_| false).await?;
        if self.options.on_close.is_some() {
            // Its entry says what stops it, whatever it is.
            self.stop().await?;
        }
        self.ask_for_hello().await?;
        let mut hellos = HELLO_FIRST_ASKS;
        loop {
            let began = Instant::now();
            // Again each time: a board that was in its boot loader has lost it, and a datagram may be lost. The newline
            // that follows ends it, and what the board makes of it comes before the first answer.
            self.stop().await?;
            for _ in 0..hellos {
                self.ask_for_hello().await?;
            }
            self.ask_for_language().await?;
            while !self.is_reported && !self.answers.is_known() {
                self.ask_for_hello().await?;
            }
            if !self.answers.is_known() {
                self.listen(began + HELLO_ASK_LATER, Answers::is_known).await?;
            }
            if self.answers.is_known() {
                return self.finish().await;
            }
            hellos = 1;
        }
    }

    /// Stops the board in every language that it may speak.
    async fn stop(&mut self) -> std::io::Result<()> {
        if self.answers.was_asked(Question::DeviceType) {
            // What a TCode board has of that question would be part of the stop.
            self.write(b"\n").await?;
        }
        if let Some(bytes) = self.options.on_close {
            return self.write(bytes).await;
        }
        self.was_stopped = true;
        for language in self.answers.languages() {
            for frame in language.stop_perhaps() {
                self.write(frame).await?;
            }
        }
        Ok(())
    }

    async fn ask_for_hello(&mut self) -> Result<(), Ended> {
        if self.answers.is_known() {
            return Ok(());
        }
        self.write(b"\n").await?;
        self.listen(Instant::now() + HELLO_ASK_PAUSE, Answers::is_known)
            .await
    }

    /// Asks one question of each kind, TCode first.
    async fn ask_for_language(&mut self) -> Result<(), Ended> {
        for question in Question::TCODE.into_iter().chain([Question::DeviceType]) {
            if self.answers.is_known() {
                return Ok(());
            }
            self.ask(question).await?;
            self.listen(Instant::now() + ANSWER_TIMEOUT, |answers| {
                answers.has(question) || answers.is_known()
            })
            .await?;
        }
        Ok(())
    }

    /// Once the language is known, asks for everything that the board can report in it.
    async fn finish(&mut self) -> Result<Recognised, Ended> {
        let mut name = None;
        if self.answers.is_tcode() {
            // It reads now, which it may not have done before, and the rest takes seconds if it is slow.
            self.stop().await?;
            if !self.answers.has(Question::Version) {
                self.ask_known(Question::Version).await?;
            }
            if self.answers.was_asked(Question::Axes) {
                self.await_answer(Question::Axes).await?;
            }
            if !self.answers.has(Question::Axes) {
                self.ask_known(Question::Axes).await?;
            }
            self.wait_until_quiet().await?;
            // Boot output may have been taken for its name, or the question may have been lost.
            let before = self.answers.name().map(str::to_owned);
            self.ask_known(Question::Device).await?;
            self.wait_until_quiet().await?;
            name = self.answers.name().map(str::to_owned).or(before);
        } else {
            self.stop().await?;
            self.wait_until_quiet().await?;
        }
        self.read.clear();
        let answers = std::mem::take(self.answers);
        let received = std::mem::take(&mut self.received);
        answers
            .recognised(name)
            .ok_or_else(|| HelloError::Silent(received).into())
    }

    async fn ask_known(&mut self, question: Question) -> Result<(), Ended> {
        self.ask(question).await?;
        self.await_answer(question).await
    }

    async fn await_answer(&mut self, question: Question) -> Result<(), Ended> {
        if question == Question::Axes && self.answers.lists_no_axes() {
            return self
                .listen(Instant::now() + ANSWER_TIMEOUT, |answers| answers.has(question))
                .await;
        }
        self.listen(Instant::now() + ANSWER_TIMEOUT_KNOWN, |answers| {
            answers.has(question)
        })
        .await
    }

    /// Listens until the board has been silent for a moment: its answer may come in several reads.
    async fn wait_until_quiet(&mut self) -> Result<(), Ended> {
        let limit = Instant::now() + ANSWER_QUIET_MAX;
        loop {
            let is_mid_line = self.ends_lines && !self.read.trim_ascii().is_empty();
            let quiet_at = if is_mid_line {
                limit
            } else {
                self.last_read + ANSWER_QUIET
            };
            if Instant::now() >= quiet_at.min(limit) {
                return Ok(());
            }
            // Wakes this often to notice the end of a line soon.
            let soon = Instant::now() + ANSWER_QUIET;
            self.listen(soon.min(quiet_at).min(limit), |_| false).await?;
        }
    }

    /// A board with a hello line may have been stopped and asked in other languages meanwhile. That must not become part
    /// of its first command, nor its answers frames.
    async fn discard_answers(&mut self) -> Result<(), HelloError> {
        if !self.answers.was_asked_anything() && !self.was_stopped {
            return Ok(());
        }
        self.write(CLEAR).await?;
        let limit = Instant::now() + ANSWER_QUIET_MAX;
        loop {
            self.read.clear();
            let quiet_at = (Instant::now() + ANSWER_QUIET).min(limit);
            match timeout_at(quiet_at, self.port.read_buf(self.read)).await {
                Err(_) => return Ok(()),
                Ok(got) => {
                    if got? == 0 {
                        return Err(gone().into());
                    }
                }
            }
        }
    }

    async fn ask(&mut self, question: Question) -> std::io::Result<()> {
        self.answers.ask(question);
        for bytes in question.writes() {
            self.write(bytes).await?;
        }
        Ok(())
    }

    /// Writes, or gives up after a moment: a board that takes nothing counts as silent.
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(HELLO_ASK_PAUSE, self.port.write_all(bytes))
            .await
            .unwrap_or(Ok(()))
    }

    /// Listens until this time, or until the answers suffice. Reports what is wrong, and gives up, when that is due.
    async fn listen(&mut self, until: Instant, enough: impl Fn(&Answers) -> bool) -> Result<(), Ended> {
        loop {
            self.take_lines()?;
            if enough(self.answers) {
                return Ok(());
            }
            // A board whose language is known may leave other questions unanswered.
            let is_known = self.answers.is_known();
            let pause_at =
                (!self.read.is_empty() && !self.is_pause_over).then(|| self.last_read + LINE_PAUSE);
            let report_at = (!self.is_reported && !is_known).then_some(self.report_at);
            let give_up_at = self.give_up_at.filter(|_| !is_known);
            let next = [pause_at, report_at, give_up_at]
                .into_iter()
                .flatten()
                .fold(until, Instant::min);
            tokio::select! {
                got = self.port.read_buf(self.read) => {
                    if got? == 0 {
                        return Err(gone().into());
                    }
                    self.last_read = Instant::now();
                    self.is_pause_over = false;
                    if self.options.reads_messages && self.read.trim_ascii_end().ends_with(b"}") {
                        self.take_unended(None)?;
                    }
                }
                () = sleep_until(next) => {
                    let now = Instant::now();
                    let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
                    if is_due(pause_at) {
                        self.is_pause_over = true;
                        self.pause_over()?;
                    }
                    if is_due(give_up_at) {
                        let error = self.trouble();
                        if !self.is_reported {
                            (self.report)(&error);
                        }
                        return Err(error.into());
                    }
                    if is_due(report_at) && !self.answers.is_known() {
                        (self.report)(&self.trouble());
                        self.is_reported = true;
                    }
                    if now >= until {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What is wrong so far; the most specific problem wins.
    fn trouble(&self) -> HelloError {
        if let Some(error) = &self.address_error {
            return HelloError::Address(error.clone());
        }
        if let Some((fault, line)) = self.fault.clone() {
            return HelloError::Faulty { fault, line };
        }
        let mut received = self.received.clone();
        keep_last(&mut received, self.read);
        // An unfinished hello line counts too.
        match Hello::fault(self.read) {
            Some(fault) => HelloError::Faulty {
                fault,
                line: received,
            },
            None => HelloError::Silent(received),
        }
    }

    fn take_lines(&mut self) -> Result<(), Ended> {
        while let Some(end) = self.read.iter().position(|b| b"\r\n".contains(b)) {
            let (length, is_return) = match (self.read[end], self.read.get(end + 1)) {
                (b'\r', Some(b'\n')) => (end + 2, false),
                // The newline may still arrive.
                (b'\r', None) => break,
                (b'\r', Some(_)) => (end + 1, true),
                _ => (end + 1, false),
            };
            let line = self.read.split_to(length);
            self.ends_lines = true;
            self.line(&line, is_return.then_some(HelloFault::ReturnOnly))?;
        }
        if self.read.len() > HANDSHAKE_MAX_BYTES {
            keep_last(&mut self.received, self.read);
            self.read.clear();
        }
        self.answers.read_unended(self.read);
        Ok(())
    }

    /// Handles a line; `end` is what is wrong with its end.
    fn line(&mut self, line: &[u8], end: Option<HelloFault>) -> Result<(), Ended> {
        self.hello(line, end)?;
        keep_last(&mut self.received, line);
        match Hello::fault(line) {
            Some(fault) => {
                let mut shown = Vec::new();
                keep_last(&mut shown, line);
                self.fault = Some((fault, shown));
            }
            None => self.answers.read_line(line),
        }
        Ok(())
    }

    /// Ends the conversation if this is a hello line.
    fn hello(&mut self, line: &[u8], end: Option<HelloFault>) -> Result<(), Ended> {
        let hello = match self.options.fallback {
            Ok(address) => Hello::parse(line, address),
            Err(_) => Hello::parse_later(line),
        };
        match (hello, self.options.fallback) {
            (Some(hello), Err(e)) if !hello.names_its_address => self.address_error = Some(e.clone()),
            (Some(hello), _) => {
                self.fault = end.map(|fault| (fault, Vec::new()));
                return Err(Ended::Hello(Box::new(hello)));
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Takes what was read for a hello line without an end, if it is one.
    fn take_unended(&mut self, end: Option<HelloFault>) -> Result<(), Ended> {
        let line = self.read.clone();
        let is_hello = self.hello(&line, end);
        if is_hello.is_err() {
            self.read.clear();
        }
        is_hello
    }

    /// Handles a pause in the middle of a line: some boards print no end of line, or an unusual one.
    fn pause_over(&mut self) -> Result<(), Ended> {
        let end = match self.read.last() {
            Some(b'\r') => HelloFault::ReturnOnly,
            _ => HelloFault::NoNewline,
        };
        self.take_unended(Some(end.clone()))?;
        // The rest of a hello line may still arrive.
        let is_line = !self.ends_lines && self.answers.was_asked_anything() && !self.read.contains(&b'{');
        if end == HelloFault::ReturnOnly || is_line {
            let line = self.read.split();
            self.line(&line, Some(end))?;
        }
        Ok(())
    }
}

fn gone() -> std::io::Error {
    std::io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests;
