//! Questions on the terminal.

use wsdm_device_board::{Chip, Key};

use super::console::Shown;
use super::error::FlashError;
use super::settings::{Given, PINS, problem};
use crate::cmd::terminal;
use crate::text::printable;

/// A setting, and how it is called.
type Question = (Key, &'static str);

/// What a board needs to move a motor, wired as in its picture: a gateway may want a token, and only a person knows it.
const NEEDED: [Question; 3] = [
    (Key::Ssid, "Wi-Fi name"),
    (Key::Password, "Wi-Fi password"),
    (Key::Token, "token of the gateway"),
];
/// What is asked for only if somebody wants to set it: without them, the board has values that work.
const OTHERS: [Question; 9] = [
    (Key::Gateway, "gateway (mdns searches for it)"),
    (Key::Device, "protocol (lovense or tcode)"),
    (Key::Identifier, "identifier, a name in the gateway's UDCF"),
    (Key::Pins, "pins, such as V0=4 L0=6"),
    (Key::Button, "stop button, such as 9 or 9 opens"),
    (Key::Limits, "limits in percent, such as V0=60 L0=10-90"),
    (Key::Battery, "pin that measures the battery"),
    (Key::OtaPassword, "password for updates over Wi-Fi"),
    (
        Key::Fingerprint,
        "fingerprint of the gateway's certificate, for TLS",
    ),
];

/// The answer that clears a password or a token, which an empty one keeps. No network and no update takes a password, and
/// no gateway a token, that is so short.
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

async fn line(prompt: String, is_secret: bool) -> Result<String, FlashError> {
    terminal::line(prompt, is_secret)
        .await
        .map_err(FlashError::Terminal)
}
