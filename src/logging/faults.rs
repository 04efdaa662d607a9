//! Log lines about what strangers send: anybody can cause them, so that they are few.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

/// The same line is logged again after this long.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// Lines that are logged in that time.
const FAULTS_MAX: usize = 16;
/// The longest line, in characters.
const LINE_MAX: usize = 500;

/// The faults of strangers that were logged lately.
#[derive(Default)]
pub struct Faults(Mutex<State>);

#[derive(Default)]
struct State {
    logged: Vec<(String, Instant)>,
    /// When it was last logged that there are more.
    full: Option<Instant>,
}

impl Faults {
    /// Logs a fault of somebody else, unless it was logged lately, or many were.
    pub fn warn(&self, fault: impl Into<String>) {
        if let Some(line) = self.line(fault.into(), Instant::now()) {
            warn!("{line}");
        }
    }

    /// The same, for what is no fault.
    pub fn info(&self, news: impl Into<String>) {
        if let Some(line) = self.line(news.into(), Instant::now()) {
            info!("{line}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be logged.
    fn line(&self, fault: String, now: Instant) -> Option<String> {
        let was_lately = |at: Instant| now.saturating_duration_since(at) < LOG_AGAIN;
        let mut state = self.state();
        state.logged.retain(|(_, at)| was_lately(*at));
        let fault: String = fault.chars().take(LINE_MAX).collect();
        if state.logged.iter().any(|(line, _)| *line == fault) {
            return None;
        }
        if state.logged.len() >= FAULTS_MAX {
            let is_news = !state.full.is_some_and(was_lately);
            return is_news.then(|| {
                state.full = Some(now);
                format!("more than {FAULTS_MAX} such lines in a minute: the others are not logged")
            });
        }
        state.logged.push((fault.clone(), now));
        Some(fault)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({})", self.state().logged.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_fault_is_logged_once_a_minute() {
        let (faults, start) = (Faults::default(), Instant::now());
        let at = |s| faults.line("it is bad".to_owned(), start + Duration::from_secs(s));
        assert_eq!(at(0).as_deref(), Some("it is bad"));
        assert_eq!(at(59), None);
        assert!(at(60).is_some());
    }

    #[test]
    fn a_flood_of_faults_is_a_few_short_lines() {
        let (faults, start) = (Faults::default(), Instant::now());
        let flood = |s: u64| -> Vec<String> {
            (0..1_000)
                .filter_map(|n| {
                    faults.line(
                        format!("{n} {}", "x".repeat(9_000)),
                        start + Duration::from_secs(s),
                    )
                })
                .collect()
        };
        for minute in [0, 60] {
            let lines = flood(minute);
            assert_eq!(lines.len(), FAULTS_MAX + 1);
            assert!(lines.iter().all(|line| line.len() < LINE_MAX + 10));
            assert!(
                lines[FAULTS_MAX].starts_with("more than"),
                "{}",
                lines[FAULTS_MAX]
            );
        }
    }
}
