//! The code by which a browser that the gateway opens gets its session: valid once, and not for long.

use std::time::Duration;

use tokio::time::Instant;

use super::secret::Digest;

/// For this long a browser may take to start.
const VALID: Duration = Duration::from_secs(30);

/// The newest code; there is never more than one.
#[derive(Default)]
pub(super) struct Code(Option<(Digest, Instant)>);

impl Code {
    /// Makes this secret valid, in place of any other.
    pub(super) fn issue(&mut self, code: &str, now: Instant) {
        self.0 = Some((Digest::of(code), now));
    }

    /// Uses the code up; returns whether it was right and in time. A wrong one leaves the right one valid.
    pub(super) fn redeem(&mut self, given: &str, now: Instant) -> bool {
        match &self.0 {
            Some((code, issued)) if code.is_of(given) => {
                let in_time = now.duration_since(*issued) < VALID;
                self.0 = None;
                in_time
            }
            _ => false,
        }
    }

    pub(super) fn withdraw(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_valid_once_for_thirty_seconds() {
        let now = Instant::now();
        let mut code = Code::default();
        assert!(!code.redeem("one", now), "none was issued");
        code.issue("one", now);
        assert!(!code.redeem("two", now), "a wrong one");
        assert!(code.redeem("one", now + Duration::from_millis(29_999)));
        assert!(!code.redeem("one", now + Duration::from_millis(29_999)), "twice");
        code.issue("two", now);
        assert!(!code.redeem("two", now + VALID), "late");
        assert!(!code.redeem("two", now), "gone");
        code.issue("three", now);
        code.issue("four", now);
        assert!(!code.redeem("three", now), "replaced");
        code.withdraw();
        assert!(!code.redeem("four", now), "withdrawn");
    }
}
