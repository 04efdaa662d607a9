//! Which web pages may be apps: by the configuration, by what the user answered, and by asking.
//!
//! A browser names the origin of the page that opens a websocket. Programs name none, and are never asked about. The
//! websocket of a page that is asked about stays unanswered until the user decides, for a bounded time.

mod file;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::StatusCode;
use tracing::warn;

use crate::advice::Advice;
use crate::config::Origins as Rule;
use crate::defaults::{ORIGIN_QUESTIONS_MAX, ORIGIN_WAITING_MAX};
use crate::net::foreign::{is_origin, not_listed};
use crate::net::refusals::RefusalLog;
use crate::net::upgrade::Rejection;
use file::OriginsFile;
pub use file::SaveError;

/// What is remembered of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its pages may connect without a question.
    Always,
    /// Its pages are refused.
    Never,
}

/// What the user answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connections that wait may be served; the next one is asked about again.
    Once,
    /// This holds from now on.
    From(Verdict),
}

/// A web page that waits for the user's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its number; never reused.
    pub id: u64,
    /// The origin of the page.
    pub origin: String,
    /// Where the browser connected from.
    pub peer: SocketAddr,
    /// When it connected.
    pub since: SystemTime,
}

/// Decides which web pages may be apps.
pub struct Origins {
    rule: Rule,
    /// How long a page waits for the answer.
    patience: Duration,
    /// Where the user can answer.
    page: Option<SocketAddr>,
    state: Mutex<State>,
    /// Locked while it is written, which takes too long for `state`.
    file: Mutex<OriginsFile>,
}

#[derive(Default)]
struct State {
    remembered: BTreeMap<String, Remembered>,
    open: BTreeMap<u64, Open>,
    last: u64,
}

struct Remembered {
    verdict: Verdict,
    /// A refusal was logged; the next ones are not worth a warning.
    is_logged: bool,
}

/// A question that was not answered yet.
struct Open {
    question: Question,
    /// How many connections wait for the answer.
    waiting: usize,
    admitted: watch::Sender<Option<bool>>,
}

/// Why a page was refused, and whether the log has it already.
pub(super) struct Refused {
    pub(super) rejection: Rejection,
    pub(super) is_logged: bool,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Self {
            rejection,
            is_logged: false,
        }
    }
}

/// A page asks, and somebody should answer.
#[derive(Debug, thiserror::Error)]
#[error("web pages of {origin:?} want to command the devices, and wait for an answer")]
struct Asks<'a> {
    origin: &'a str,
    whereto: &'a str,
}

impl Advice for Asks<'_> {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(self.whereto.into())
    }
}

impl Origins {
    /// The rule of the configuration, and what is remembered beside this state file, if there is one. `page` is where the
    /// user can answer.
    pub fn open(rule: Rule, patience: Duration, page: Option<SocketAddr>, state_file: Option<&Path>) -> Self {
        let (file, verdicts) = OriginsFile::open(state_file);
        let remembered = verdicts.into_iter().map(|(origin, verdict)| {
            let remembered = Remembered {
                verdict,
                is_logged: false,
            };
            (origin, remembered)
        });
        Self {
            rule,
            patience,
            page,
            state: Mutex::new(State {
                remembered: remembered.collect(),
                ..State::default()
            }),
            file: Mutex::new(file),
        }
    }

    /// Which web pages may command the devices, as one sentence for the log.
    pub fn in_words(&self) -> String {
        match &self.rule {
            Rule::Any => "web pages of any origin may command the devices; to be asked about each, write in gateway.toml \
                          under [clients]: origins = \"ask\""
                .to_owned(),
            Rule::Ask => format!(
                "web pages may command the devices once they were admitted: {}",
                self.whereto()
            ),
            Rule::Listed(listed) if listed.is_empty() => "no web page may command the devices".to_owned(),
            Rule::Listed(listed) => format!(
                "web pages of these origins alone may command the devices: {}",
                listed.join(", ")
            ),
        }
    }

    fn whereto(&self) -> String {
        match self.page {
            Some(page) => format!("answer on http://{page}/"),
            None => {
                "there is no page to answer on; set enabled = true under [page], or list the origins under \
                     [clients]"
                    .to_owned()
            }
        }
    }

    /// Decides about a connection, if need be by asking the user. Cancel safe: a connection that is dropped no longer
    /// waits.
    ///
    /// # Errors
    /// The HTTP response.
    pub(super) async fn admit(
        &self,
        origin: Option<&str>,
        peer: SocketAddr,
        log: &RefusalLog,
    ) -> Result<(), Refused> {
        let Some(origin) = origin else { return Ok(()) };
        let Some(mut waiting) = self.decide(origin, peer, log)? else {
            return Ok(());
        };
        let answered = timeout(self.patience, waiting.admitted.wait_for(Option::is_some)).await;
        match answered {
            Ok(Ok(admitted)) if *admitted == Some(true) => Ok(()),
            Ok(Ok(_)) => Err(self.blocked(origin)),
            Ok(Err(_)) | Err(_) => Err(self.unanswered(origin).into()),
        }
    }

    /// Returns `None` if the connection may be served at once.
    fn decide(
        &self,
        origin: &str,
        peer: SocketAddr,
        log: &RefusalLog,
    ) -> Result<Option<Waiting<'_>>, Refused> {
        let mut state = self.lock();
        let verdict = state.remembered.get(origin).map(|remembered| remembered.verdict);
        match (&self.rule, verdict) {
            (_, Some(Verdict::Never)) => {
                drop(state);
                return Err(self.blocked(origin));
            }
            (Rule::Any, _) | (Rule::Ask, Some(Verdict::Always)) => return Ok(None),
            (Rule::Listed(listed), _) if listed.iter().any(|listed| listed == origin) => return Ok(None),
            (Rule::Listed(listed), _) => {
                return Err(not_listed("clients", "command the devices", listed, origin).into());
            }
            (Rule::Ask, None) if !is_origin(origin) => {
                let reason =
                    format!("{origin:?} is no origin that a browser names, so nobody is asked about it");
                return Err(Rejection {
                    status: StatusCode::FORBIDDEN,
                    reason: reason.into(),
                    hint: None,
                }
                .into());
            }
            (Rule::Ask, None) => {}
        }
        if let Some(open) = state
            .open
            .values_mut()
            .find(|open| open.question.origin == origin)
        {
            if open.waiting >= ORIGIN_WAITING_MAX {
                return Err(crowded(format!(
                    "{ORIGIN_WAITING_MAX} connections of {origin:?} wait for the user's answer already"
                ))
                .into());
            }
            open.waiting += 1;
            return Ok(Some(Waiting {
                origins: self,
                id: open.question.id,
                admitted: open.admitted.subscribe(),
            }));
        }
        if state.open.len() >= ORIGIN_QUESTIONS_MAX {
            return Err(crowded(format!(
                "web pages of {ORIGIN_QUESTIONS_MAX} origins wait for the user's answer already"
            ))
            .into());
        }
        state.last += 1;
        let id = state.last;
        let question = Question {
            id,
            origin: origin.to_owned(),
            peer,
            since: SystemTime::now(),
        };
        let (admitted, answer) = watch::channel(None);
        let open = Open {
            question,
            waiting: 1,
            admitted,
        };
        state.open.insert(id, open);
        drop(state);
        let whereto = self.whereto();
        let asks = Asks {
            origin,
            whereto: &whereto,
        };
        if let Some(line) = log.line(peer.ip(), &asks) {
            warn!("{line}");
        }
        Ok(Some(Waiting {
            origins: self,
            id,
            admitted: answer,
        }))
    }

    fn blocked(&self, origin: &str) -> Refused {
        let is_logged = self
            .lock()
            .remembered
            .get_mut(origin)
            .is_some_and(|remembered| std::mem::replace(&mut remembered.is_logged, true));
        let hint = match self.page {
            Some(page) => format!("to admit them, remove the origin under Apps on http://{page}/"),
            None => "to admit them, remove the origin from the gateway's file of origins".to_owned(),
        };
        let rejection = Rejection {
            status: StatusCode::FORBIDDEN,
            reason: format!("web pages of {origin:?} may not command the devices: the user blocked them")
                .into(),
            hint: Some(hint),
        };
        Refused { rejection, is_logged }
    }

    fn unanswered(&self, origin: &str) -> Rejection {
        Rejection {
            status: StatusCode::FORBIDDEN,
            reason: format!(
                "nobody answered within {} s whether web pages of {origin:?} may command the devices: connect again and \
                 answer on the gateway's page, or list the origin in [clients] origins",
                self.patience.as_secs_f64()
            )
            .into(),
            hint: Some(self.whereto()),
        }
    }

    /// The questions that wait for an answer, by number.
    pub fn questions(&self) -> Vec<Question> {
        self.lock()
            .open
            .values()
            .map(|open| open.question.clone())
            .collect()
    }

    /// What is remembered, by origin.
    pub fn remembered(&self) -> Vec<(String, Verdict)> {
        let state = self.lock();
        let remembered = state.remembered.iter();
        remembered
            .map(|(origin, remembered)| (origin.clone(), remembered.verdict))
            .collect()
    }

    /// Whether pages of this origin are refused whatever the configuration says.
    pub fn is_blocked(&self, origin: &str) -> bool {
        let state = self.lock();
        state
            .remembered
            .get(origin)
            .is_some_and(|remembered| remembered.verdict == Verdict::Never)
    }

    /// Answers a question: every connection that waits for it learns of it. Returns its origin; `None` if there is no such
    /// question (any more). What is to be remembered is not saved yet.
    pub(super) fn answer(&self, id: u64, answer: Answer) -> Option<String> {
        let mut state = self.lock();
        let origin = state.open.get(&id)?.question.origin.clone();
        match answer {
            Answer::Once => state.resolve(&origin, true),
            Answer::From(verdict) => state.set(&origin, verdict),
        }
        Some(origin)
    }

    /// Holds from now on, but is not saved yet.
    pub(super) fn set(&self, origin: &str, verdict: Verdict) {
        self.lock().set(origin, verdict);
    }

    /// Forgets what is remembered of an origin; returns whether there was anything. Not saved yet.
    pub(super) fn forget(&self, origin: &str) -> bool {
        self.lock().remembered.remove(origin).is_some()
    }

    /// Saves what is remembered of an origin. Blocks until it is on the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, origin: &str) -> Result<(), SaveError> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = self.remembered().into_iter().collect();
        file.save(origin, &verdicts)
    }

    /// No code here panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, origin: &str, verdict: Verdict) {
        let remembered = Remembered {
            verdict,
            is_logged: false,
        };
        self.remembered.insert(origin.to_owned(), remembered);
        self.resolve(origin, verdict == Verdict::Always);
    }

    /// Ends the question about an origin, if there is one.
    fn resolve(&mut self, origin: &str, admitted: bool) {
        self.open.retain(|_, open| {
            let answered = open.question.origin == origin;
            if answered {
                open.admitted.send_replace(Some(admitted));
            }
            !answered
        });
    }
}

fn crowded(reason: String) -> Rejection {
    Rejection {
        status: StatusCode::SERVICE_UNAVAILABLE,
        reason: reason.into(),
        hint: None,
    }
}

/// A connection that waits for an answer. The question ends with the last of them.
struct Waiting<'a> {
    origins: &'a Origins,
    id: u64,
    admitted: watch::Receiver<Option<bool>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.origins.lock();
        if let Some(open) = state.open.get_mut(&self.id) {
            open.waiting -= 1;
            if open.waiting == 0 {
                state.open.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
