//! The clock of one process, and the number that tells its processes apart.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Milliseconds since the start of a process, modulo 2^32: 49 days. Only its own process compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Millis(pub u32);

impl Millis {
    /// How long ago `earlier` was, in milliseconds; `None` if it is in the future, or more than 24 days ago.
    pub fn since(self, earlier: Self) -> Option<u32> {
        let age = self.0.wrapping_sub(earlier.0);
        (age < 1 << 31).then_some(age)
    }

    /// This many milliseconds later.
    #[must_use]
    pub fn plus(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms))
    }
}

/// The clock of this process.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since its start.
    pub fn now(&self) -> Millis {
        // Modulo 2^32, as it is sent.
        Millis(self.0.elapsed().as_millis() as u32)
    }
}

/// A random number that nobody has to guess: two processes must not have the same one by accident.
pub fn random() -> u64 {
    // The standard hasher has a random seed.
    RandomState::new().build_hasher().finish()
}

/// A random number for each start of a process, so that nothing of an earlier one is taken for its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(pub u64);

impl Epoch {
    /// The number of this process.
    pub fn random() -> Self {
        Self(random())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for Epoch {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // As text, since many readers of JSON round numbers of this size.
        match u64::from_str_radix(&text, 16) {
            Ok(number) if text.len() == 16 => Ok(Self(number)),
            _ => Err("an epoch has 16 hexadecimal digits".to_owned()),
        }
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}
