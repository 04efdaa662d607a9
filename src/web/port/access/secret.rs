//! Secrets: made, kept as digests, compared.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 digest of a secret, which is all that is kept of it.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether this is the digest of `given`. The time that it takes does not tell how much of it is right.
    pub(super) fn is_of(&self, given: &str) -> bool {
        self.0.ct_eq(&Self::of(given).0).into()
    }

    /// For a map of secrets: the digest cannot be chosen by a caller.
    pub(super) fn into_key(self) -> [u8; 32] {
        self.0
    }
}

/// The system has no random numbers to give.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system has no random numbers")]
pub struct NoRandom;

/// Makes a secret of 256 random bits, in letters that a cookie and a URL take as they are.
pub(super) fn make() -> Result<String, NoRandom> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|_| NoRandom)?;
    Ok(BASE64URL_NOPAD.encode(&bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_fits() {
        let digest = Digest::of("correct horse");
        assert!(digest.is_of("correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!digest.is_of(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn secrets_are_long_and_plain() {
        let secret = make().unwrap();
        assert_eq!(secret.len(), 43);
        assert!(
            secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        assert_ne!(secret, make().unwrap());
    }
}
