//! A board without firmware: what the page has people run for it is what the program and the project have.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use wsdm_gateway::config::{DeviceTls, Secret, Settings};

use super::common::system::System;
use super::common::{ANY_PORT, RawDevice, Running, from_files};
use super::{Scenario, Toy, with_page};

const ADDRESS: &str = "new-board";
const STRANGER: &str = "new-stranger";
const PORT: &str = "/dev/ttyACM0";
const ESP32_C3: &[(&str, &str)] = &[
    ("idVendor", "303a"),
    ("idProduct", "1001"),
    ("product", "USB JTAG/serial debug unit"),
    ("manufacturer", "Espressif"),
];

/// Whether the program takes these arguments, as a shell splits them: with `--help` behind them, it does nothing but read them.
fn are_taken(arguments: &str) -> bool {
    let script = format!("exec \"$PROGRAM\" {arguments} --help");
    Command::new("sh")
        .args(["-c", &script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_wsdm-gateway"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[tokio::test]
async fn a_new_board_is_flashed_by_commands_that_fit_the_gateway_and_pointed_out_when_it_appears() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folder, system) = (TempDir::new().unwrap(), System::new());
    system.usb("1-1", PORT.strip_prefix("/dev/").unwrap(), ESP32_C3);
    let mut settings = Settings {
        ports: system.ports(),
        ..from_files(folder.path(), "")
    };
    settings.devices.announce = true;
    let gateway = Running::start(settings).await;
    let mut reachable = with_page(ANY_PORT);
    reachable.devices.listen = "0.0.0.0:0".parse::<std::net::SocketAddr>().unwrap().into();
    reachable.devices.token = Some(Secret("correct-horse".to_owned()));
    reachable.devices.tls = Some(DeviceTls {
        only: true,
        certificate: None,
    });
    reachable.state_file = Some(folder.path().join("other.json"));
    let other = Running::start(reachable).await;
    let _old = Toy::connect(&gateway, "old-board").await;

    let at = format!("http://{}", other.page());
    let args = [&*at, ADDRESS, STRANGER, PORT];
    let mut scenario = Scenario::start("newboard", gateway.page(), &args);
    let (mut toy, mut commands, mut files) = (None, 0, 0);
    while let Some((kind, what)) = scenario.next(&["want", "command", "file"]).await {
        match (kind.as_str(), what.as_str()) {
            ("want", "device") => toy = Some(Toy::connect(&gateway, ADDRESS).await),
            ("want", "gone") => toy.take().unwrap().leave().await,
            ("want", _) => {
                let mut stranger = RawDevice::hello(&gateway.devices(), "NoSuchName", STRANGER).await;
                stranger.closed().await;
            }
            ("file", _) => {
                files += 1;
                assert!(project.join(&what).is_file(), "{what}");
            }
            (_, line) => {
                commands += 1;
                match line.split_once(' ').unwrap() {
                    ("wsdm-gateway", arguments) => assert!(are_taken(arguments), "{line}"),
                    // It is not there on every machine.
                    ("rustup", _) => {}
                    (script, _) => assert!(project.join(script).is_file(), "{line}"),
                }
            }
        }
    }
    assert!(!are_taken("flash --no-such-flag"));
    assert_eq!((commands, files), (9, 3), "{:#?}", scenario.seen);
    gateway.stop().await;
    other.stop().await;
}
