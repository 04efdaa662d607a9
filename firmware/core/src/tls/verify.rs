//! Whether the gateway is the one whose fingerprint is known: its certificate, and a signature by the certificate's key
//! over what both sides have said.

use embedded_tls::{
    Aes128GcmSha256, CertificateEntryRef, CertificateRef, CertificateVerifyRef, SignatureScheme, TlsError,
    TlsVerifier,
};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::fingerprint::Fingerprint;

/// A public key on the curve P-256, as it stands in a certificate, up to its coordinates: RFC 5480.
const P256_KEY: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Both coordinates, and the byte in front of them.
const POINT_BYTES: usize = 65;
/// What is signed, with the hash of what was said behind it: RFC 8446, section 4.4.3.
const CONTEXT: &[u8; 34] = b"TLS 1.3, server CertificateVerify\0";
const PADDING: [u8; 64] = [b' '; 64];

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// No certificate.
    Nothing,
    /// Another certificate.
    Other,
    /// The right one, with a key of another kind than P-256.
    Unusable,
    /// The right one.
    Certificate,
    /// The right one, without its key.
    Forged,
    /// The right one, and its key.
    Verified,
}

/// Looks at one handshake.
pub(super) struct Verifier {
    fingerprint: Fingerprint,
    seen: Seen,
    /// The key, and what was said up to the certificate.
    key: Option<(VerifyingKey, Sha256)>,
}

impl Verifier {
    pub(super) const fn new(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            seen: Seen::Nothing,
            key: None,
        }
    }

    pub(super) const fn seen(&self) -> Seen {
        self.seen
    }

    fn certificate(&mut self, said: &Sha256, certificate: Option<&[u8]>) -> Seen {
        let Some(certificate) = certificate.filter(|_| self.seen == Seen::Nothing) else {
            return Seen::Forged;
        };
        if Fingerprint::new(Sha256::digest(certificate).into()) != self.fingerprint {
            return Seen::Other;
        }
        match key(certificate) {
            Some(key) => {
                self.key = Some((key, said.clone()));
                Seen::Certificate
            }
            None => Seen::Unusable,
        }
    }

    fn signature(&mut self, scheme: SignatureScheme, signature: &[u8]) -> Seen {
        let (Some((key, said)), Seen::Certificate) = (self.key.take(), self.seen) else {
            return Seen::Forged;
        };
        if !matches!(scheme, SignatureScheme::EcdsaSecp256r1Sha256) {
            return Seen::Unusable;
        }
        let said: [u8; 32] = said.finalize().into();
        let mut message = [0; PADDING.len() + CONTEXT.len() + 32];
        let (padding, rest) = message.split_at_mut(PADDING.len());
        let (context, hash) = rest.split_at_mut(CONTEXT.len());
        padding.copy_from_slice(&PADDING);
        context.copy_from_slice(CONTEXT);
        hash.copy_from_slice(&said);
        match Signature::from_der(signature).and_then(|signature| key.verify(&message, &signature)) {
            Ok(()) => Seen::Verified,
            Err(_) => Seen::Forged,
        }
    }
}

/// The public key in a certificate. It is looked for by its beginning: the fingerprint says that nobody has changed the
/// certificate, so that nothing else in it can look like one by intent.
fn key(certificate: &[u8]) -> Option<VerifyingKey> {
    let at = certificate
        .windows(P256_KEY.len())
        .position(|window| window == P256_KEY)?;
    let point = at + P256_KEY.len() - 1;
    VerifyingKey::from_sec1_bytes(certificate.get(point..point + POINT_BYTES)?).ok()
}

impl TlsVerifier<Aes128GcmSha256> for Verifier {
    fn set_hostname_verification(&mut self, _host: &str) -> Result<(), TlsError> {
        Ok(())
    }

    fn verify_certificate(&mut self, said: &Sha256, certificate: CertificateRef<'_>) -> Result<(), TlsError> {
        let first = match certificate.entries.first() {
            Some(CertificateEntryRef::X509(certificate)) => Some(*certificate),
            _ => None,
        };
        self.seen = self.certificate(said, first);
        match self.seen {
            Seen::Certificate => Ok(()),
            _ => Err(TlsError::InvalidCertificate),
        }
    }

    fn verify_signature(&mut self, verify: CertificateVerifyRef<'_>) -> Result<(), TlsError> {
        self.seen = self.signature(verify.signature_scheme, verify.signature);
        match self.seen {
            Seen::Verified => Ok(()),
            _ => Err(TlsError::InvalidSignature),
        }
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
