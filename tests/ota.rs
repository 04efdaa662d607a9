//! `ota`: whole runs of the program against boards whose half of an update is the firmware's own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

#[path = "ota/bench.rs"]
mod bench;
#[path = "ota/board.rs"]
mod board;
mod common;
#[path = "ota/failures.rs"]
mod failures;
#[path = "flash/images.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod images;
#[path = "flash/memory.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod memory;
#[path = "ota/named.rs"]
mod named;
#[path = "flash/terminal.rs"]
mod terminal;
#[path = "ota/trials.rs"]
mod trials;

use bench::Bench;
use board::{Board, PASSWORD, Trial};
use common::ended::end;
use common::within;
use serde_json::Value;
use terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_updated_and_keeps_the_image_with_which_it_reached_its_gateway() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    let at = board.at.to_string();
    let ended = end(&mut bench.ota(&at, &[])).await;
    let there = format!("the board is there: {at}, it runs 0.2.0 and keeps it\n");
    assert_eq!((ended.code, &ended.stdout), (Some(0), &there), "{ended:#?}");
    for text in [
        format!("{at}: the ESP32-C3 runs 0.1.0; sending wsdm-device 0.1.0"),
        "the image is on the board and verified".to_owned(),
        "the board runs 0.2.0, on trial".to_owned(),
    ] {
        assert!(ended.log.contains(&text), "{text:?} in {ended:#?}");
    }
    assert!(!ended.log.contains(PASSWORD), "{ended:#?}");
    assert!(board.holds(&bench.app()));
    assert_eq!(board.selected(), 1);
    let said = board.said();
    assert_eq!(
        said.last().unwrap(),
        "update: written, restarting with it",
        "{said:?}"
    );

    // Once more: it has that already.
    let again = end(&mut bench.ota(&at, &["--json"])).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    let told: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&told["at"], &told["chip"], &told["version"], &told["state"]),
        (&at.into(), &"ESP32-C3".into(), &"0.2.0".into(), &"kept".into()),
        "{told}"
    );
    assert_eq!(told["sent"], false, "{told}");
    assert_eq!(board.said(), said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_not_shown() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Passes));
    let at = board.at.to_string();
    let mut terminal = Terminal::new();
    let mut command = bench.without_password(&at, &[]);
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    terminal
        .answer_hidden(&format!("ota_password of {at}: "), PASSWORD)
        .await;
    let shown = terminal.expect("on trial").await;
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{shown}");
    assert!(terminal.echoes());
    assert!(!shown.contains(PASSWORD) && !terminal.seen.contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_nobody_waits_for_is_told_in_json() {
    let (bench, board) = (Bench::new(), Board::start(Trial::Lasts));
    let mut command = bench.without_password(&board.at.to_string(), &["--no-wait", "--json"]);
    let ended = end(command.env("WSDM_OTA_PASSWORD", PASSWORD)).await;
    let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:#?}"));
    assert_eq!(
        (&told["state"], &told["sent"]),
        (&"trial".into(), &true.into()),
        "{told}"
    );
    assert_eq!(told["image"].as_str().unwrap().len(), 16, "{told}");
    assert!(board.holds(&bench.app()));
}
