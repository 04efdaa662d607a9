//! Runs that change nothing: what the error says, and that the board is as it was.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::bench::{Bench, images_in};
use super::board::{Air, Board, PROJECT, Trial};
use super::common::ended::{end, interrupt, rest};
use super::common::log::Log;
use super::common::{ANY_PORT, wait_until};
use super::images::SLOT_BYTES;

/// Sends this to everybody, and waits for them to leave.
async fn stranger(greeting: &'static [u8], stays: bool) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut visitors = Vec::new();
        while let Ok((mut visitor, _)) = listener.accept().await {
            let _ = visitor.write_all(greeting).await;
            if stays {
                visitors.push(visitor);
            }
        }
    });
    (at, AbortOnDropHandle::new(task))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_board_gets_nothing() {
    let no_board = "is no board that takes updates: it sent ";
    let cases: [(&'static [u8], bool, &str, &str); 7] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            true,
            "it sent \"HTTP/1.1 400 Bad Request\"",
            "ota_password",
        ),
        (
            b"\x1b[2J\xff\n",
            true,
            no_board,
            "is this the address of the board?",
        ),
        (
            &[b'x'; 5_000],
            true,
            no_board,
            "is this the address of the board?",
        ),
        (
            b"half a line",
            false,
            "it sent \"half a line\"",
            "is this the address of the board?",
        ),
        (b"", true, "is silent; nothing is changed", "one update at a time"),
        (
            b"wsdm-ota 2 ESP32-C3 9.0.0 - kept 00 more\n",
            true,
            "takes updates of version 2, and this program sends version 1",
            "made for another version",
        ),
        (
            b"wsdm-ota 1 ESP32-C3 nonsense\n",
            true,
            no_board,
            "is this the address of the board?",
        ),
    ];
    let bench = Bench::new();
    let runs = cases.map(async |(greeting, stays, text, todo)| {
        let (at, _stranger) = stranger(greeting, stays).await;
        let ended = end(&mut bench.ota(&at.to_string(), &[])).await;
        ended.failed(1, &[text, todo, "nothing is changed on a board"]);
        assert!(!ended.log.contains('\u{1b}'), "{ended:#?}");
    });
    futures::future::join_all(runs).await;

    let (at, stranger) = stranger(b"", true).await;
    stranger.abort();
    let _ = stranger.await;
    let ended = end(&mut bench.ota(&at.to_string(), &[])).await;
    ended.failed(
        1,
        &[
            &format!("nothing takes updates at {at}"),
            "set ota_password WORDS, save",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chip_without_an_image_is_named() {
    let nonce = b"wsdm-ota 1 ESP32-S3 0.1.0 - kept 000102030405060708090a0b0c0d0e0f\n";
    let (at, _stranger) = stranger(nonce, true).await;
    let ended = end(&mut Bench::new().ota(&at.to_string(), &[])).await;
    ended.failed(
        2,
        &["has no image for the ESP32-S3; nothing is changed on a board"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_words_of_the_board() {
    let mut bench = Bench::new();
    let board = Board::start(Trial::Passes);
    let at = board.at.to_string();

    let mut command = bench.without_password(&at, &[]);
    let ended = end(command.env("WSDM_OTA_PASSWORD", "correct hors")).await;
    ended.failed(
        1,
        &[
            "the board refuses the image: the password is wrong; nothing is changed",
            "as ota_password on the board's console",
        ],
    );
    assert!(!ended.log.contains("correct hors"), "{ended:#?}");

    let small = Board::with(Trial::Passes, Air::Clear, 0x10000);
    let ended = end(&mut bench.ota(&small.at.to_string(), &[])).await;
    ended.failed(
        1,
        &[
            "refuses the image: there is room for 65536 bytes; nothing is changed",
            "wsdm-gateway flash",
        ],
    );

    let unsaved = Board::unsaved();
    let ended = end(&mut bench.ota(&unsaved.at.to_string(), &[])).await;
    ended.failed(
        1,
        &[
            "refuses the image: the settings are only built in, and would be lost: save, restart; nothing is changed",
            "on the board's console save, restart",
        ],
    );

    bench.images = images_in(bench.home.path(), "another", "0.2.0");
    let ended = end(&mut bench.ota(&at, &[])).await;
    ended.failed(
        1,
        &[
            "refuses the image: the image is of another firmware; nothing is changed",
            "firmware/build all",
        ],
    );
    assert_eq!([&board, &small, &unsaved].map(Board::selected), [0; 3]);

    // None of that keeps it from the right one.
    bench.images = images_in(bench.home.path(), PROJECT, "0.2.0");
    assert_eq!(end(&mut bench.ota(&at, &[])).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_known_without_a_board_is_reported_before_one_is_asked() {
    let mut bench = Bench::new();
    let board = Board::start(Trial::Passes);
    let at = board.at.to_string();
    end(&mut bench.without_password(&at, &[])).await.failed(
        2,
        &[
            "no password for updates is given; nothing is changed",
            "--password-file",
        ],
    );
    let ended = end(&mut bench.without_password(&at, &["--password-file", "/nowhere"])).await;
    ended.failed(2, &["--password-file: /nowhere cannot be read"]);
    bench.images = "/nowhere".into();
    let ended = end(&mut bench.ota(&at, &[])).await;
    ended.failed(
        2,
        &["no images of the firmware: there is no manifest.json in /nowhere"],
    );
    assert_eq!(board.said(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_breaks_off_changes_nothing() {
    const STATE: &str = "nothing is changed: the board goes on with the image that it runs";
    let is_receiving = |board: &Board| board.said().iter().any(|line| line.contains("outputs are off"));
    let bench = Bench::new();

    // The board loses its power.
    let board = Board::with(Trial::Passes, Air::Stalls(20_000), SLOT_BYTES);
    let mut child = bench.ota(&board.at.to_string(), &[]).spawn().unwrap();
    let log = Log::of(&mut child);
    wait_until("the image comes", || is_receiving(&board)).await;
    let memory = board.memory.clone();
    drop(board);
    let ended = rest(child, log).await;
    ended.failed(
        1,
        &[
            "the connection to the board was lost: ",
            STATE,
            "close enough to its Wi-Fi?",
        ],
    );
    let board = Board::on(memory, Trial::Passes, Air::Clear, SLOT_BYTES);
    assert_eq!(board.selected(), 0);
    assert_eq!(
        end(&mut bench.ota(&board.at.to_string(), &[])).await.code,
        Some(0)
    );

    // A person interrupts it.
    let board = Board::with(Trial::Passes, Air::Stalls(20_000), SLOT_BYTES);
    let mut child = bench.ota(&board.at.to_string(), &[]).spawn().unwrap();
    let log = Log::of(&mut child);
    wait_until("the image comes", || is_receiving(&board)).await;
    interrupt(&child);
    let ended = rest(child, log).await;
    ended.failed(1, &["interrupted; ", STATE]);
    board.go_on();
    wait_until("the board has noticed", || {
        let said = board.said();
        said.last()
            .is_some_and(|line| line.ends_with("the connection ended before the image did"))
    })
    .await;
    assert_eq!(board.selected(), 0);
    assert_eq!(
        end(&mut bench.ota(&board.at.to_string(), &[])).await.code,
        Some(0)
    );
}
