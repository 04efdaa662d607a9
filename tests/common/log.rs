//! The log of a gateway in a process of its own.

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use super::{DEADLINE, within};

/// The log of a process, read line by line.
pub struct Log {
    lines: Lines<BufReader<ChildStderr>>,
    /// The lines that were read so far.
    pub seen: Vec<String>,
}

impl Log {
    /// Takes the log of a process.
    pub fn of(child: &mut Child) -> Self {
        let stderr = child.stderr.take().expect("piped");
        Self {
            lines: BufReader::new(stderr).lines(),
            seen: Vec::new(),
        }
    }

    /// Reads up to a line that contains all of these texts.
    pub async fn expect(&mut self, texts: &[&str]) -> String {
        let found = timeout(DEADLINE, async {
            while let Some(line) = self.lines.next_line().await.expect("a log") {
                self.seen.push(line.clone());
                if texts.iter().all(|text| line.contains(text)) {
                    return Some(line);
                }
            }
            None
        });
        let found = found.await.ok().flatten();
        found.unwrap_or_else(|| panic!("no {texts:?} in\n{}", self.text()))
    }

    /// Reads to the end of the process; returns all lines.
    pub async fn rest(&mut self) -> &[String] {
        within("the end of the log", async {
            while let Some(line) = self.lines.next_line().await.expect("a log") {
                self.seen.push(line);
            }
        })
        .await;
        &self.seen
    }

    /// The lines that were read so far, as one text.
    pub fn text(&self) -> String {
        self.seen.join("\n")
    }
}
