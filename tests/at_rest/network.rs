//! What the tests of a fleet rest on: a forwarder does to a connection what its rules say.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::common::forwarder::{Direction, Forwarder, Rule};
use super::common::within;

/// Long enough for what would come to be here.
const SHORT: Duration = Duration::from_millis(100);

/// A server that echoes, behind a forwarder.
async fn echo() -> Forwarder {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let forwarder = Forwarder::start(listener.local_addr().expect("bound")).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    forwarder
}

async fn connect(forwarder: &Forwarder) -> TcpStream {
    TcpStream::connect(forwarder.at).await.expect("it listens")
}

/// Sends so many bytes, and reads them back: how long that took.
async fn round_trip(stream: &mut TcpStream, bytes: usize) -> Duration {
    let start = Instant::now();
    stream
        .write_all(&vec![7; bytes])
        .await
        .expect("an open connection");
    let mut back = vec![0; bytes];
    within("the echo", stream.read_exact(&mut back))
        .await
        .expect("an open connection");
    assert!(back.iter().all(|byte| *byte == 7));
    start.elapsed()
}

#[tokio::test]
async fn a_delay_holds_each_byte_back() {
    let forwarder = echo().await;
    let mut stream = connect(&forwarder).await;
    let delay = Duration::from_millis(150);
    let rule = Rule {
        delay,
        ..Rule::default()
    };
    forwarder.set(Direction::ToServer, rule);
    // A read that began before does not count.
    round_trip(&mut stream, 1).await;
    assert!(round_trip(&mut stream, 1).await >= delay);
    forwarder.set(Direction::ToClient, rule);
    round_trip(&mut stream, 1).await;
    assert!(round_trip(&mut stream, 1).await >= 2 * delay);
}

#[tokio::test]
async fn a_rate_spreads_the_bytes() {
    let forwarder = echo().await;
    let mut stream = connect(&forwarder).await;
    let rule = Rule {
        rate: Some(10_000),
        ..Rule::default()
    };
    forwarder.set(Direction::ToClient, rule);
    assert!(round_trip(&mut stream, 5_000).await >= Duration::from_millis(450));
    assert_eq!(forwarder.passed(Direction::ToClient), 5_000);
}

#[tokio::test]
async fn what_is_frozen_comes_afterwards() {
    let forwarder = echo().await;
    let mut stream = connect(&forwarder).await;
    round_trip(&mut stream, 1).await;
    forwarder.freeze();
    stream.write_all(b"x").await.expect("an open connection");
    let mut byte = [0];
    assert!(timeout(SHORT, stream.read_exact(&mut byte)).await.is_err());
    let mut newcomer = connect(&forwarder).await;
    newcomer.write_all(b"y").await.expect("an open connection");
    assert!(timeout(SHORT, newcomer.read_exact(&mut byte)).await.is_err());
    forwarder.heal();
    for (stream, sent) in [(&mut stream, b'x'), (&mut newcomer, b'y')] {
        within("the echo", stream.read_exact(&mut byte))
            .await
            .expect("an open connection");
        assert_eq!(byte, [sent]);
    }
}

#[tokio::test]
async fn a_cut_resets_what_is_there_and_what_comes() {
    let forwarder = echo().await;
    let mut byte = [0];
    for cut in [false, true] {
        let mut stream = connect(&forwarder).await;
        round_trip(&mut stream, 1).await;
        if cut {
            forwarder.cut();
        } else {
            forwarder.reset();
        }
        let ended = within("the reset", stream.read(&mut byte)).await;
        assert!(ended.is_err(), "{ended:?}");
        let mut newcomer = connect(&forwarder).await;
        if cut {
            let ended = within("the reset", newcomer.read(&mut byte)).await;
            assert!(ended.is_err(), "{ended:?}");
        } else {
            round_trip(&mut newcomer, 1).await;
        }
    }
    forwarder.heal();
    round_trip(&mut connect(&forwarder).await, 1).await;
}
