//! The rule by which an edge lets what came through the broker reach a device.
//!
//! Brokers delay, repeat, reorder and keep. A frame moves a device only if its owner sent it, in the session that counts,
//! after everything that reached the device before, after every stop that was seen, while the owner's lease is live, and
//! knowing the edge's clock of half a second ago.

use super::clock::Millis;
use super::header::{Header, Kind, is_after};

/// How long a lease lasts, from the time of the edge's clock that the hub returned.
pub const LEASE_MS: u32 = 1_000;
/// A frame whose sender knew only an older clock than this is not obeyed.
pub const FRESH_MS: u32 = 500;

/// What is known of a hub: until when it proved to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    ends: Option<Millis>,
}

impl Lease {
    /// The hub returned this time of the edge's own clock. Returns whether that proves anything.
    pub fn renew(&mut self, nonce: Millis, now: Millis) -> bool {
        let ends = nonce.plus(LEASE_MS);
        // A time in the future was never sent; one that is too old proves nothing about now.
        if now.since(nonce).is_none_or(|age| age >= LEASE_MS) {
            return false;
        }
        // Leases may arrive in any order.
        if self
            .ends
            .is_none_or(|known| !self.is_live(now) || ends.since(known).is_some())
        {
            self.ends = Some(ends);
        }
        true
    }

    /// Ends it now, since the hub is known to be gone.
    pub fn end(&mut self) {
        self.ends = None;
    }

    /// Whether the hub proved within the last second that it is there.
    pub fn is_live(&self, now: Millis) -> bool {
        self.left(now).is_some()
    }

    /// For how many more milliseconds it is live; `None` if it is not.
    pub fn left(&self, now: Millis) -> Option<u32> {
        let left = self.ends?.0.wrapping_sub(now.0);
        (1..=LEASE_MS).contains(&left).then_some(left)
    }
}

/// The rule for one device.
#[derive(Clone, Debug)]
pub struct Gate {
    session: u32,
    /// The newest frame that was let through.
    last: Option<u32>,
    /// Which of the 64 numbers up to it were let through, the newest in the lowest bit.
    passed: u64,
    /// The newest stop that was seen.
    stop: Option<u32>,
}

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The frame is to be written.
    Pass,
    /// The device is to be stopped.
    Stop,
    /// Nothing.
    Drop(Why),
}

/// Why a message moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It belongs to another session: an earlier birth, another owner.
    OtherSession,
    /// It was seen before; of a stop: or something newer was.
    Old,
    /// Something newer was let through before it: what it was to do was not done.
    Overtaken,
    /// A stop was seen that was sent after it.
    BeforeStop,
    /// Its sender's lease is over.
    NoLease,
    /// Its sender knew only an old time.
    Stale,
}

impl Why {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::OtherSession,
        Self::Old,
        Self::Overtaken,
        Self::BeforeStop,
        Self::NoLease,
        Self::Stale,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherSession => "other_session",
            Self::Old => "old",
            Self::Overtaken => "overtaken",
            Self::BeforeStop => "before_stop",
            Self::NoLease => "no_lease",
            Self::Stale => "stale",
        }
    }
}

impl Gate {
    /// A device in this session, which nothing has reached yet.
    pub fn new(session: u32) -> Self {
        Self {
            session,
            last: None,
            passed: 0,
            stop: None,
        }
    }

    /// The session that counts.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Judges a message, and records it if it counts.
    pub fn judge(&mut self, header: &Header, lease: Lease, now: Millis) -> Verdict {
        if header.session != self.session {
            return Verdict::Drop(Why::OtherSession);
        }
        let is_new = |than: Option<u32>| than.is_none_or(|than| is_after(header.seq, than));
        match header.kind {
            Kind::Stop => {
                // What was sent after the stop has reached the device: the stop came a second time, or was overtaken by
                // the frames that stop the device in order.
                if !is_new(self.stop) || !is_new(self.last) {
                    return Verdict::Drop(Why::Old);
                }
                self.stop = Some(header.seq);
                Verdict::Stop
            }
            Kind::Frame => {
                if self.has_passed(header.seq) {
                    return Verdict::Drop(Why::Old);
                }
                if !is_new(self.stop) {
                    return Verdict::Drop(Why::BeforeStop);
                }
                if !is_new(self.last) {
                    return Verdict::Drop(Why::Overtaken);
                }
                if !lease.is_live(now) {
                    return Verdict::Drop(Why::NoLease);
                }
                if now.since(header.nonce).is_none_or(|age| age > FRESH_MS) {
                    return Verdict::Drop(Why::Stale);
                }
                let further = self.last.map_or(64, |last| header.seq.wrapping_sub(last));
                self.passed = self.passed.checked_shl(further).unwrap_or(0) | 1;
                self.last = Some(header.seq);
                Verdict::Pass
            }
        }
    }

    /// Whether a frame of this number was let through, as far as that is remembered.
    fn has_passed(&self, seq: u32) -> bool {
        let Some(last) = self.last else { return false };
        let before = last.wrapping_sub(seq);
        before < 64 && self.passed >> before & 1 == 1
    }
}

#[cfg(test)]
#[path = "gate/tests.rs"]
mod tests;
