//! Questions on the terminal.

use std::io;

use console::Term;
use wsdm_device_board::{Chip, Key};

use super::console::Shown;
use super::error::FlashError;
use super::settings::{Given, PINS, problem};
use crate::text::printable;

/// A setting, and how it is called.
type Question = (Key, &'static str);

/// What a board needs to move a motor, wired as in its picture.
const NEEDED: [Question; 2] = [(Key::Ssid, "Wi-Fi name"), (Key::Password, "Wi-Fi password")];
/// What is asked for only if somebody wants to set it: without them, the board has values that work.
const OTHERS: [Question; 8] = [
    (Key::Gateway, "gateway (mdns searches for it)"),
    (Key::Token, "token of the gateway"),
    (Key::Device, "protocol (lovense or tcode)"),
    (Key::Identifier, "identifier, a name in the gateway's UDCF"),
    (Key::Pins, "pins, such as V0=4 L0=6"),
    (Key::Button, "stop button, such as 9 or 9 opens"),
    (Key::Limits, "limits in percent, such as V0=60 L0=10-90"),
    (Key::Battery, "pin that measures the battery"),
];

/// The answer that clears a password or a token, which an empty one keeps. No network takes a password, and no gateway a token,
/// that is so short.
const NONE: &str = "none";

/// Asks for what is needed and was not given, and for the rest if that is wanted. An empty answer keeps what the board
/// has.
pub(super) async fn missing(given: &mut Given, shown: &Shown, chip: &'static Chip) -> Result<(), FlashError> {
    let mut questions = not_given(&NEEDED, given);
    // The network that the board knows, given without a password, still has the one that the board knows.
    if given
        .get(Key::Ssid)
        .is_some_and(|ssid| ssid == shown.value(Key::Ssid))
        && shown.has(Key::Password)
    {
        questions.retain(|(key, _)| *key != Key::Password);
    }
    let mut others = not_given(&OTHERS, given);
    if questions.is_empty() && others.is_empty() {
        return Ok(());
    }
    eprintln!("settings of the board; Enter keeps what is in brackets");
    ask(&questions, given, shown, chip).await?;
    let names = others.iter().map(|(key, _)| key.name()).collect::<Vec<_>>();
    if others.is_empty() || !agrees(&format!("set others ({}) too? [no]: ", names.join(", "))).await? {
        return Ok(());
    }
    loop {
        ask(&others, given, shown, chip).await?;
        // Each alone was fine, but two of them may want one pin.
        let Err(error) = given.check_beside(shown, chip) else {
            return Ok(());
        };
        others.retain(|(key, _)| PINS.contains(key));
        if others.is_empty() {
            return Err(error);
        }
        eprintln!("{error}");
        others.iter().for_each(|(key, _)| given.forget(*key));
    }
}

/// Those of the questions whose setting was not given.
fn not_given(questions: &[Question], given: &Given) -> Vec<Question> {
    let missing = questions.iter().filter(|(key, _)| given.get(*key).is_none());
    missing.copied().collect()
}

/// Asks for each until the answer is one that this chip can have.
async fn ask(
    questions: &[Question],
    given: &mut Given,
    shown: &Shown,
    chip: &'static Chip,
) -> Result<(), FlashError> {
    for &(key, name) in questions {
        let has = match shown.value(key) {
            "" => "none".to_owned(),
            value => printable(value.as_bytes()),
        };
        let clears = if key.is_secret() && shown.has(key) {
            format!(" ({NONE} clears it)")
        } else {
            String::new()
        };
        loop {
            let mut answer = line(format!("{name}{clears} [{has}]: "), key.is_secret()).await?;
            if answer.is_empty() {
                break;
            }
            if key.is_secret() && answer == NONE {
                answer.clear();
            }
            match problem(key, &answer, chip) {
                Some(problem) => eprintln!("{problem}"),
                None => {
                    given.set(key, answer);
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Asks a question to which Enter means no.
async fn agrees(question: &str) -> Result<bool, FlashError> {
    loop {
        let answer = line(question.to_owned(), false).await?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "" | "n" | "no" => return Ok(false),
            "y" | "yes" => return Ok(true),
            _ => eprintln!("answer yes or no"),
        }
    }
}

/// Asks which one of these is meant, and returns its place.
pub(super) async fn which(question: &str, names: Vec<String>) -> Result<usize, FlashError> {
    eprintln!("{question}");
    for (n, name) in names.iter().enumerate() {
        eprintln!("  {}  {name}", n + 1);
    }
    loop {
        let answer = line(format!("1 to {}: ", names.len()), false).await?;
        match answer.trim().parse::<usize>() {
            Ok(n) if (1..=names.len()).contains(&n) => return Ok(n - 1),
            _ => eprintln!("give the number of one of them"),
        }
    }
}

/// Reads a line, a secret without echo.
async fn line(prompt: String, is_secret: bool) -> Result<String, FlashError> {
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
    let read = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
    read.map_err(FlashError::Terminal)
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
