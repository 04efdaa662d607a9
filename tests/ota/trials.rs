//! What becomes of an image that the board took.

use super::bench::{Bench, images_in};
use super::board::{Air, Board, PROJECT, Trial};
use super::common::RawDevice;
use super::common::ended::{end, interrupt, rest};
use super::common::log::Log;
use super::common::process::Process;
use super::images::SLOT_BYTES;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_the_board_does_not_keep_is_reported() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Fails));
    let at = board.at.to_string();
    let ended = end(&mut bench.ota(&at, &[])).await;
    let texts = [
        &*format!("the board went back to the image before it: {at} runs 0.1.0; the new image does not run"),
        "was restarted before it had reached its gateway",
    ];
    ended.failed(1, &texts);
    assert_eq!(board.selected(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_trial_is_awaited_again_and_no_other_is_sent() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Lasts));
    let at = board.at.to_string();
    let ended = end(&mut bench.ota(&at, &["--wait", "2s"])).await;
    let texts = [
        &*format!("{at} has not reached its gateway within 2 s; the image is on trial"),
        "--device-listen 0.0.0.0:54817",
    ];
    ended.failed(1, &texts);
    let said = board.said();

    let mut other = Bench::new();
    other.images = images_in(other.home.path(), PROJECT, "0.3.0");
    let ended = end(&mut other.ota(&at, &[])).await;
    ended.failed(
        1,
        &[
            "the board runs an image that is still on trial, 0.2.0; nothing is changed",
            "wait until it has reached its gateway",
        ],
    );

    // The one that it has is not sent again.
    let ended = end(&mut bench.ota(&at, &["--wait", "1s"])).await;
    ended.failed(
        1,
        &["has this image already", "has not reached its gateway within 1 s"],
    );
    assert_eq!(board.said(), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_its_gateway_refuses_is_told_with_the_reason() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Lasts));
    let gateway = Process::start(bench.home.path(), &[]).await;
    let mut device = RawDevice::hello(&gateway.devices, "Nobody", "a0b1c2d3e4f5").await;
    device.closed().await;
    let ended = end(&mut bench.ota(&board.at.to_string(), &["--wait", "1s"])).await;
    ended.failed(1, &["the gateway refuses it: no UDCF entry names", "on trial"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_does_not_come_back_is_reported() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Silences));
    let at = board.at.to_string();
    let ended = end(&mut bench.ota(&at, &["--wait", "2s"])).await;
    let texts = [
        &*format!("{at} has not come back within 2 s: nothing takes updates at {at}; the image is on trial"),
        "goes back to the image before",
    ];
    ended.failed(1, &texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_may_be_lost() {
    let bench = Bench::new();
    let board = Board::with(Trial::Passes, Air::LosesLastWord, SLOT_BYTES);
    let ended = end(&mut bench.ota(&board.at.to_string(), &[])).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("it runs 0.2.0 and keeps it"), "{ended:#?}");
    assert!(!ended.log.contains("verified"), "{ended:#?}");

    // If nobody looks what runs, it is not known.
    let board = Board::with(Trial::Passes, Air::LosesLastWord, SLOT_BYTES);
    let ended = end(&mut bench.ota(&board.at.to_string(), &["--no-wait"])).await;
    ended.failed(
        1,
        &[
            "the board did not answer after the image; the board has all of the image",
            "run the same command again: it sends nothing to a board that has the image",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_wait_tells_what_the_board_does() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Lasts));
    let mut child = bench.ota(&board.at.to_string(), &[]).spawn().unwrap();
    let mut log = Log::of(&mut child);
    log.expect(&["the board runs 0.2.0, on trial"]).await;
    interrupt(&child);
    let ended = rest(child, log).await;
    ended.failed(
        1,
        &[
            "interrupted; the image is on trial: at its next restart the board goes back",
            "run the same command again",
        ],
    );
}
