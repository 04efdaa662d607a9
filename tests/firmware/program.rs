//! A program of the firmware's builds in a process of its own, what it prints of its pins, and the gateway for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::common::process::Process;
use crate::common::{signal, within};

/// Where `firmware/build`, `firmware/arduino-build` and `firmware/lx106-build` put a program.
pub fn built(name: &str) -> PathBuf {
    let folder = std::env::var_os("WSDM_TEST_FIRMWARE").expect(
        "WSDM_TEST_FIRMWARE names no folder of firmware. Run ./test --test 'firmware*', which builds \
         it; or leave the firmware out with WSDM_SKIP_FIRMWARE=1 ./test",
    );
    let program = Path::new(&folder).join(name);
    assert!(
        program.exists(),
        "{} is missing: run ./test --test 'firmware*', which builds it",
        program.display()
    );
    program
}

/// A gateway that is told the port and nothing else: who is there the board says.
pub async fn bridge(home: &Path, port: &Path) -> Process {
    let file = home.join("gateway.toml");
    let entry = format!("[[serial]]\nport = {:?}\n", port.to_str().expect("text"));
    std::fs::write(&file, entry).expect("a file");
    Process::start(home, &["--config", file.to_str().expect("text")]).await
}

/// Where a gateway's URL leads.
pub fn addr(url: &str) -> SocketAddr {
    url.trim_start_matches("ws://").parse().expect("an address")
}

/// A pin does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinChange {
    /// The duty of 255, or the length of a servo's pulse in microseconds.
    pub value: u64,
    /// The board's clock.
    pub at_ms: u64,
    /// How long the board's serial port had heard nothing by then; a board without one does not say.
    pub silent_ms: Option<u64>,
}

/// A board, in software.
pub struct Program {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Of one that takes input.
    stdin: Option<ChildStdin>,
}

impl Program {
    pub fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// A board that somebody can type to.
    pub fn with_console(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a program that runs here");
        let stdout = child.stdout.take().expect("piped");
        Self {
            stdin: child.stdin.take(),
            child,
            stdout: BufReader::new(stdout).lines(),
        }
    }

    /// Types a line on its console.
    pub async fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("a board with a console");
        let typed = format!("{line}\r");
        within("it reads", stdin.write_all(typed.as_bytes()))
            .await
            .expect("a board that runs");
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// An Arduino Uno with this sketch, whose port appears at `link`.
    pub async fn uno(sketch: &str, link: &Path) -> Self {
        let image = built(&format!("avr/{sketch}.elf"));
        let mut uno = Self::start(Command::new(built("simavr-uno")).arg(image).arg(link));
        uno.line("ready ").await;
        uno
    }

    /// The next line that begins so, and what follows in it.
    pub async fn line(&mut self, start: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let what = format!("{start:?} after {seen:#?}");
            let line = within(&what, self.stdout.next_line()).await.expect("text");
            let line = line.unwrap_or_else(|| panic!("it ended without {what}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
            seen.push(line);
        }
    }

    /// The next time that this pin does something else, as the board names it: `9 pwm`, `9 pulse`.
    pub async fn pin(&mut self, pin: &str) -> PinChange {
        let line = self.line(&format!("pin {pin} ")).await;
        let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
        PinChange {
            value: numbers.next().expect("a value"),
            at_ms: numbers.next().expect("a time"),
            silent_ms: numbers.next(),
        }
    }

    /// Waits until this pin does just this.
    pub async fn pin_at(&mut self, pin: &str, value: u64) -> PinChange {
        let mut seen = Vec::new();
        loop {
            let change = within(&format!("pin {pin} {value} after {seen:?}"), self.pin(pin)).await;
            if change.value == value {
                return change;
            }
            seen.push(change.value);
        }
    }

    pub fn signal(&self, signal: Signal) {
        signal::send(self.child.id().expect("running"), signal);
    }

    pub async fn exit_code(&mut self) -> Option<i32> {
        within("it ends", self.child.wait())
            .await
            .expect("a status")
            .code()
    }
}
