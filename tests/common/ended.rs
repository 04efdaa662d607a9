//! Runs of the program that end.

use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::log::Log;
use super::signal;
use super::within;

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub log: String,
}

impl Ended {
    pub fn failed(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for text in texts {
            assert!(self.log.contains(text), "{text:?} in {self:#?}");
        }
        assert_eq!(self.stdout, "");
        assert!(!self.log.contains("panicked"), "{self:#?}");
    }
}

/// Waits for the end of a run that nobody has to do anything for.
pub async fn end(command: &mut Command) -> Ended {
    let output = within("it ends", command.output())
        .await
        .expect("a program that runs");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        log: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The same of one that was started, and whose log is read.
pub async fn rest(child: Child, mut log: Log) -> Ended {
    let output = within("it ends", child.wait_with_output())
        .await
        .expect("its output");
    log.rest().await;
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        log: log.text(),
    }
}

/// Ctrl-C.
pub fn interrupt(child: &Child) {
    signal::send(child.id().expect("running"), Signal::INT);
}
