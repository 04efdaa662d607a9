//! Others that pretend to be the gateway, or sit between: they get no token, and what they do leaves the board at rest.

use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wsdm_gateway::net::tls::Fingerprint;

use crate::common::{client, listed, vibrate, within};
use crate::tls::{Gateway, between, overheard, pretences, pretender, shows_the_token};
use crate::{board, pin_at, report};

#[tokio::test]
async fn who_speaks_no_tls_gets_no_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let fingerprint = "ab".repeat(32);
    for url in [format!("ws://{at}"), format!("wss://{at}")] {
        let mut board = board(&url, Some(&fingerprint));
        for (answer, told) in [
            (
                &b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"[..],
                "no TLS is spoken there",
            ),
            (
                b"\x15\x03\x03\x00\x02\x02\x28",
                "the gateway refused the TLS handshake",
            ),
            (
                b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
                "no TLS with what answers there",
            ),
            (b"\x16\x03\x03\xff\xff", "no TLS with what answers there"),
            (b"", "the connection ended during the TLS handshake"),
        ] {
            let heard = overheard(&listener, answer).await;
            assert_eq!(heard.first(), Some(&0x16), "a handshake: {heard:?}");
            assert!(!shows_the_token(&heard), "{}", heard.escape_ascii());
            let loss = report(&mut board, "lost: ").await;
            assert!(loss.contains(told), "{loss}, not {told}");
            report(&mut board, "trying again in ").await;
        }
    }
}

#[tokio::test]
async fn without_a_fingerprint_wss_is_refused_and_nobody_is_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut board = board(&format!("wss://{}", listener.local_addr().unwrap()), None);
    let loss = report(&mut board, "lost: ").await;
    assert!(loss.contains("needs the gateway's fingerprint"), "{loss}");
    report(&mut board, "trying again in ").await;
    let dialled = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(dialled.is_err(), "{dialled:?}");
}

/// Nothing at all comes within TLS: the handshake fails.
async fn is_left_before_a_word(listener: &TcpListener, acceptor: &TlsAcceptor) -> std::io::Error {
    let (stream, _) = within("the board dials", listener.accept()).await.unwrap();
    match within("its handshake", acceptor.accept(stream)).await {
        Err(e) => e,
        Ok(mut tls) => {
            let mut heard = Vec::new();
            let _ = within("it leaves", tls.read_to_end(&mut heard)).await;
            panic!(
                "it took the handshake, and sent {:?}",
                heard.escape_ascii().to_string()
            );
        }
    }
}

#[tokio::test]
async fn another_certificate_is_told_apart_and_so_is_a_copy_of_the_right_one() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    let [another, copy] = pretences(&gateway, home.path());
    for ((certificate, key), told) in [
        (another, "the certificate is another one"),
        (copy, "shows the right certificate, and has not its key"),
    ] {
        let (at, acceptor, listener) = pretender(certificate, key).await;
        let mut board = board(&format!("wss://{at}"), Some(&gateway.fingerprint));
        for _ in 0..2 {
            let error = is_left_before_a_word(&listener, &acceptor).await;
            // The peer is told why, as TLS has it.
            assert!(error.to_string().contains("BadCertificate"), "{error}");
            let loss = report(&mut board, "lost: ").await;
            assert!(loss.contains(told), "{loss}");
            report(&mut board, "trying again in ").await;
        }
    }
}

/// A key of a kind that the board cannot check is not the same as a wrong one.
#[tokio::test]
async fn a_certificate_with_another_kind_of_key_is_told() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let (at, acceptor, listener) = pretender(certificate.der().clone(), private).await;
    let fingerprint = Fingerprint::of(certificate.der()).to_string();
    let mut board = board(&format!("wss://{at}"), Some(&fingerprint));
    is_left_before_a_word(&listener, &acceptor).await;
    let loss = report(&mut board, "lost: ").await;
    assert!(loss.contains("ECDSA P-256"), "{loss}");
}

/// Who sits between sees neither the token nor the commands, and what he changes ends the connection at rest.
#[tokio::test]
async fn what_is_changed_on_the_way_stops_the_board() {
    let home = TempDir::new().unwrap();
    let gateway = Gateway::start(home.path(), "only").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut board = board(&format!("wss://{at}"), Some(&gateway.fingerprint));
    let (mut near, _) = within("the board dials", listener.accept()).await.unwrap();
    let mut far = TcpStream::connect(gateway.devices()).await.unwrap();
    let client = client(&gateway.process.clients, "driver").await;
    let driven = async {
        listed(&client, 1).await;
        vibrate(&client, 1.0).await;
        pin_at(&mut board, "1.000").await;
    };
    let seen = between(&mut near, &mut far, driven).await;
    assert!(!shows_the_token(&seen));
    assert!(!seen.windows(7).any(|window| window == b"Vibrate"));
    // A handshake in plain text, a record that nobody encrypted: the library behind would end the program for the first.
    near.write_all(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
        .await
        .unwrap();
    pin_at(&mut board, "0.000").await;
    report(&mut board, "stopped by lost connection").await;
    report(&mut board, "trying again in ").await;
}
