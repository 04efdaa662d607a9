use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;

use super::*;

const SCHEME: SignatureScheme = SignatureScheme::EcdsaSecp256r1Sha256;

fn signing(n: u8) -> SigningKey {
    SigningKey::from_slice(&[n; 32]).unwrap()
}

/// Not a certificate, but what is looked at in one.
fn certificate(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_encoded_point(false);
    [
        &b"0 a certificate "[..],
        &P256_KEY[..26],
        point.as_bytes(),
        b" and the rest",
    ]
    .concat()
}

fn fingerprint(certificate: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(certificate).into())
}

fn signed(key: &SigningKey, said: &Sha256) -> Vec<u8> {
    let message = [&PADDING[..], CONTEXT, &said.clone().finalize()].concat();
    let signature: Signature = key.sign(&message);
    signature.to_der().as_bytes().to_vec()
}

#[test]
fn the_right_gateway_is_known_by_its_key() {
    let (own, other) = (signing(1), signing(2));
    let certificate = certificate(&own);
    let said = Sha256::new_with_prefix(b"hello");
    let otherwise = Sha256::new_with_prefix(b"hallo");
    for (signature, seen) in [
        (signed(&own, &said), Seen::Verified),
        (signed(&other, &said), Seen::Forged),
        // What was recorded of another handshake.
        (signed(&own, &otherwise), Seen::Forged),
        (Vec::new(), Seen::Forged),
    ] {
        let mut verifier = Verifier::new(fingerprint(&certificate));
        assert_eq!(verifier.certificate(&said, Some(&certificate)), Seen::Certificate);
        verifier.seen = Seen::Certificate;
        assert_eq!(verifier.signature(SCHEME, &signature), seen);
    }
}

#[test]
fn another_certificate_is_refused_whatever_it_signs() {
    let (own, other) = (signing(1), signing(2));
    let said = Sha256::new_with_prefix(b"hello");
    let mut verifier = Verifier::new(fingerprint(&certificate(&own)));
    verifier.seen = verifier.certificate(&said, Some(&certificate(&other)));
    assert_eq!(verifier.seen, Seen::Other);
    assert_eq!(verifier.signature(SCHEME, &signed(&other, &said)), Seen::Forged);
}

#[test]
fn a_handshake_that_leaves_something_out_or_does_it_twice_verifies_nothing() {
    let own = signing(1);
    let certificate = certificate(&own);
    let said = Sha256::new_with_prefix(b"hello");
    let signature = signed(&own, &said);
    let mut none = Verifier::new(fingerprint(&certificate));
    assert_eq!(none.seen(), Seen::Nothing);
    assert_eq!(none.signature(SCHEME, &signature), Seen::Forged);
    let mut empty = Verifier::new(fingerprint(&certificate));
    assert_eq!(empty.certificate(&said, None), Seen::Forged);
    let mut twice = Verifier::new(fingerprint(&certificate));
    twice.seen = twice.certificate(&said, Some(&certificate));
    assert_eq!(twice.certificate(&said, Some(&certificate)), Seen::Forged);
    twice.seen = twice.signature(SCHEME, &signature);
    assert_eq!(twice.seen(), Seen::Verified);
    assert_eq!(twice.signature(SCHEME, &signature), Seen::Forged);
}

#[test]
fn a_key_of_another_kind_is_told_apart() {
    let said = Sha256::new();
    for certificate in [
        &b"0 a certificate"[..],
        &P256_KEY,
        &[&P256_KEY[..], &[0xff; 64]].concat(),
    ] {
        let mut verifier = Verifier::new(fingerprint(certificate));
        assert_eq!(
            verifier.certificate(&said, Some(certificate)),
            Seen::Unusable,
            "{certificate:?}"
        );
    }
    let own = signing(1);
    let certificate = certificate(&own);
    let mut verifier = Verifier::new(fingerprint(&certificate));
    verifier.seen = verifier.certificate(&said, Some(&certificate));
    assert_eq!(
        verifier.signature(SignatureScheme::Ed25519, &signed(&own, &said)),
        Seen::Unusable
    );
}
