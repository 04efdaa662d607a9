//! A terminal that a person types on: it echoes, unless the program turns that off.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::common::pty_pair::pair;
use crate::common::{wait_until, within};

pub struct Terminal {
    keyboard: File,
    screen: mpsc::UnboundedReceiver<Vec<u8>>,
    /// Held open, so that the end of the program is not that of the terminal.
    end: File,
    pub seen: String,
}

impl Terminal {
    pub fn new() -> Self {
        let (keyboard, _, end) = pair();
        let mut attributes = tcgetattr(&end).expect("a terminal");
        attributes.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        attributes.input_modes |= rustix::termios::InputModes::ICRNL;
        attributes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(&end, OptionalActions::Now, &attributes).expect("a terminal");
        let mut screen = keyboard.try_clone().expect("a file");
        let (shown, seen) = mpsc::unbounded_channel();
        // Ends with the terminal: a pseudo-terminal is read by blocking.
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                if shown.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard,
            screen: seen,
            end,
            seen: String::new(),
        }
    }

    /// The program reads its answers from here, and writes its questions.
    pub fn attach(&self, command: &mut Command) {
        let end = || self.end.try_clone().expect("a file");
        command.stdin(end()).stderr(end());
    }

    /// Waits until this is on the screen, after what was waited for before.
    pub async fn expect(&mut self, text: &str) -> String {
        let mut before = String::new();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                before += &std::mem::replace(&mut self.seen, rest);
                return before;
            }
            let what = format!("{text:?} after {:?}", self.seen);
            let more = within(&what, self.screen.recv()).await.expect("a screen");
            self.seen += &String::from_utf8_lossy(&more);
        }
    }

    /// Waits for a question whose answer is not shown. What is typed before the echo is off is thrown away.
    pub async fn expect_hidden(&mut self, question: &str) {
        self.expect(question).await;
        wait_until("no echo", || !self.echoes()).await;
    }

    /// Answers a question whose answer is not shown.
    pub async fn answer_hidden(&mut self, question: &str, answer: &str) {
        self.expect_hidden(question).await;
        self.type_line(answer);
    }

    pub fn type_line(&mut self, text: &str) {
        self.keyboard
            .write_all(format!("{text}\n").as_bytes())
            .expect("a terminal");
    }

    pub fn echoes(&self) -> bool {
        let attributes = tcgetattr(self.end.as_fd()).expect("a terminal");
        attributes.local_modes.contains(LocalModes::ECHO)
    }
}
