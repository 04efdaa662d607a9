//! What the log reports about messages that are answered with an Error: the first of each kind at once, for each app,
//! then how many more there were.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use buttplug_core::errors::{ButtplugError, ButtplugMessageError, ButtplugUnknownError};
use buttplug_core::message::ErrorV0;
use buttplug_core::message::serializer::ButtplugSerializerError;
use serde_json::Value;
use tokio::time::Instant;
use tracing::warn;

use super::commands::Answer;
use super::session::Session;
use super::wire;
use crate::text::printable;

/// The count of one kind is logged at most this often.
const COUNTED_EVERY: Duration = Duration::from_secs(60);
/// The most kinds that are remembered, of all apps together.
const KINDS_MAX: usize = 512;
/// The longest name of an app or a message in the log.
const NAME_MAX_CHARS: usize = 64;
/// The longest reason in the log.
const WHY_MAX_CHARS: usize = 300;

/// The refusals of all apps. An app that reconnects, and makes its mistake again, is the same app.
#[derive(Debug, Default)]
pub(super) struct ErrorLog(Mutex<HashMap<Kind, Count>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    app: String,
    /// The refusal without its numbers, so that another wrong value is not another kind.
    what: String,
}

#[derive(Debug)]
struct Count {
    reported: Instant,
    /// Since that report.
    more: u32,
    /// The latest refusal.
    refusal: String,
    /// Whether a count was reported, and not just the first refusal.
    is_counted: bool,
}

impl ErrorLog {
    /// Counts a refusal. Returns how many more there were since the last report if it is to be logged now, 0 for the
    /// first of its kind.
    fn record(&self, app: &str, refusal: &str) -> Option<u32> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = Kind {
            app: app.to_owned(),
            what: without_numbers(refusal),
        };
        if let Some(count) = counts.get_mut(&kind) {
            count.more += 1;
            refusal.clone_into(&mut count.refusal);
            return count.report();
        }
        // An app that makes a new mistake each time must not fill the memory.
        if counts.len() >= KINDS_MAX {
            counts.retain(|_, count| count.reported.elapsed() < COUNTED_EVERY);
            if counts.len() >= KINDS_MAX {
                counts.clear();
            }
        }
        counts.insert(
            kind,
            Count {
                reported: Instant::now(),
                more: 0,
                refusal: refusal.to_owned(),
                is_counted: false,
            },
        );
        Some(0)
    }

    /// The refusals of an app that were counted and not reported. An app that comes and goes has them reported
    /// once in [`COUNTED_EVERY`].
    fn unreported(&self, app: &str) -> Vec<(String, u32)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_app = counts.iter_mut().filter(|(kind, _)| kind.app == app);
        let due = of_app.filter(|(_, count)| count.more > 0 && !count.is_counted);
        due.map(|(_, count)| (count.refusal.clone(), count.take()))
            .collect()
    }
}

impl Count {
    fn report(&mut self) -> Option<u32> {
        (self.reported.elapsed() >= COUNTED_EVERY).then(|| self.take())
    }

    fn take(&mut self) -> u32 {
        self.reported = Instant::now();
        self.is_counted = true;
        std::mem::take(&mut self.more)
    }
}

/// Every number becomes `0`.
fn without_numbers(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_ascii_digit() {
            kind.push(c);
        } else if !kind.ends_with('0') {
            kind.push('0');
        }
    }
    kind
}

impl Session {
    /// Answers a message with an Error, and reports that in the log. `message` is the message's name, if it has one.
    pub(super) fn refuse(&mut self, message: Option<&str>, error: ErrorV0) {
        self.report_refusal(message, error.error_message());
        self.socket.push(wire::encode_error(error));
    }

    /// Sends the library's answer, and reports it if it is an Error.
    pub(super) fn answer(&mut self, answer: Answer) {
        if answer.failed {
            let why = error_message(&answer.text);
            self.report_refusal(None, &why);
        }
        self.socket.push(answer.text);
    }

    fn report_refusal(&self, message: Option<&str>, why: &str) {
        let what = message.map_or_else(|| "a message".to_owned(), shortened);
        let why: String = in_words(why).chars().take(WHY_MAX_CHARS).collect();
        let why = printable(why.as_bytes());
        match self.shared.refusals.record(&self.app, &format!("{what}: {why}")) {
            Some(0) => warn!("refused {what} of {}: {why}", self.app),
            Some(1) => warn!("refused {what} of {}, 1 more time: {why}", self.app),
            Some(more) => warn!("refused {what} of {}, {more} more times: {why}", self.app),
            None => {}
        }
    }

    /// Reports the refusals that were only counted, when the app leaves.
    pub(super) fn report_unreported(shared: &super::Shared, app: &str) {
        for (refusal, more) in shared.refusals.unreported(app) {
            let times = if more == 1 { "time" } else { "times" };
            warn!("refused {more} more {times} while {app} was connected: {refusal}");
        }
    }
}

/// The name by which the log calls an app.
pub(super) fn app_name(name: &str) -> String {
    format!("app \"{}\"", shortened(name))
}

fn shortened(name: &str) -> String {
    let name: String = name.chars().take(NAME_MAX_CHARS).collect();
    printable(name.as_bytes())
}

/// The name of a Buttplug message: its only key.
pub(super) fn message_name(message: &Value) -> Option<&str> {
    message.as_object()?.keys().next().map(String::as_str)
}

/// The reason in an Error's message, which on the wire is JSON of the library's types.
fn in_words(message: &str) -> String {
    use ButtplugSerializerError::JsonSerializerError;
    match serde_json::from_str(message) {
        Ok(ButtplugError::ButtplugMessageError(ButtplugMessageError::MessageSerializationError(
            JsonSerializerError(why),
        ))) => why,
        Ok(ButtplugError::ButtplugUnknownError(ButtplugUnknownError::UntypedDeserializedError(why))) => why,
        Ok(error) => error.to_string(),
        Err(_) => message.to_owned(),
    }
}

/// The reason in an Error that the library has encoded already.
fn error_message(text: &str) -> String {
    let messages: Value = serde_json::from_str(text).unwrap_or_default();
    let why = messages[0]["Error"]["ErrorMessage"].as_str();
    why.unwrap_or("the server gives no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_a_kind_is_reported_and_then_how_many_more() {
        let log = ErrorLog::default();
        assert_eq!(log.record("a", "value 21 of 20"), Some(0));
        for n in 22..25 {
            assert_eq!(log.record("a", &format!("value {n} of 20")), None);
        }
        assert_eq!(log.record("a", "another"), Some(0));
        assert_eq!(log.record("b", "value 21 of 20"), Some(0));
        assert_eq!(log.unreported("a"), [("value 24 of 20".to_owned(), 3)]);
        assert_eq!(log.unreported("a"), []);
        // An app that comes back and does it again is counted, and not reported at each goodbye.
        assert_eq!(log.record("a", "value 21 of 20"), None);
        assert_eq!(log.unreported("a"), []);
        tokio::time::advance(COUNTED_EVERY).await;
        assert_eq!(log.record("a", "value 21 of 20"), Some(2));
    }

    #[test]
    fn an_app_with_ever_new_mistakes_does_not_fill_the_memory() {
        let log = ErrorLog::default();
        for n in 0..3 * KINDS_MAX {
            log.record("a", &"x".repeat(n));
        }
        assert!(log.0.lock().unwrap().len() <= KINDS_MAX);
    }
}
