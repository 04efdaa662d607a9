//! Answers that a person types on the terminal.

use std::io::{self, IsTerminal};

use console::Term;

/// Whether somebody is there who can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Reads a line, a secret without echo.
///
/// # Errors
/// The terminal failed or has ended.
pub(super) async fn line(prompt: String, is_secret: bool) -> io::Result<String> {
    #[cfg(unix)]
    let _restored = Restored::at_the_end();
    let read = tokio::task::spawn_blocking(move || {
        let term = Term::stderr();
        term.write_str(&prompt)?;
        let line = match is_secret {
            true => term.read_secure_line()?,
            false => {
                let mut line = String::new();
                if io::stdin().read_line(&mut line)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                line
            }
        };
        // Spaces belong to an answer: the name of a network may end in one.
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    });
    read.await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

/// The terminal is set back to what it was when this is dropped: Ctrl-C may come while a secret is typed, and the thread
/// that waits for it then never goes on.
#[cfg(unix)]
struct Restored(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Restored {
    fn at_the_end() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }
}

#[cfg(unix)]
impl Drop for Restored {
    fn drop(&mut self) {
        if let Some(attributes) = &self.0 {
            let _ =
                rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, attributes);
        }
    }
}
