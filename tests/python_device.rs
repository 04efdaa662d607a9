//! Devices in Python, under the real package `websockets`, against the real gateway and a real Buttplug client:
//! the device of the protocol's page, and every device of `udcf-examples/`.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

#[path = "python/harness.rs"]
mod harness;

use std::path::Path;
use std::time::Duration;

use buttplug_client::device::{ClientDeviceCommandValue as Amount, ClientDeviceOutputCommand as Output};

use harness::{Gateway, Python, client, device_named, folders_with_a_python_device, until_gone};

/// Far longer than anything takes here; a test that waits this long has failed.
const SOON: Duration = Duration::from_secs(20);
/// Half of what silence may take to be noticed: a closed socket must not wait for a ping.
const AT_ONCE: Duration = Duration::from_secs(2);

const DOCS_DEVICE: &str = "tests/python/docs_device.py";

#[tokio::test]
async fn the_documentations_device_is_listed_vibrates_and_tells_its_battery() {
    let gateway = Gateway::start(&[]).await;
    let client = client(&gateway).await;
    let mut python = Python::start(DOCS_DEVICE, &[&gateway.devices]).await;

    let device = device_named(&client, "Lovense Hush", SOON).await;
    python.line_with("packet DeviceType;", SOON).await;

    device
        .run_output(&Output::Vibrate(Amount::Steps(10)))
        .await
        .unwrap();
    python.line_with("packet Vibrate:10;", SOON).await;

    assert_eq!(device.battery().await.unwrap(), 90);
    python.line_with("packet Battery;", SOON).await;
}

#[tokio::test]
async fn a_device_that_offers_subprotocols_gets_the_first() {
    let gateway = Gateway::start(&[]).await;
    let mut python = Python::start("tests/python/subprotocol_device.py", &[&gateway.devices]).await;
    python.line_with("subprotocol arduino", SOON).await;
    python.line_with("packet DeviceType;", SOON).await;
}

#[tokio::test]
async fn the_documentations_device_is_removed_when_its_process_is_killed() {
    let gateway = Gateway::start(&[]).await;
    let client = client(&gateway).await;
    let mut python = Python::start(DOCS_DEVICE, &[&gateway.devices]).await;
    let first = device_named(&client, "Lovense Hush", SOON).await;

    python.kill().await;
    until_gone(&client, first.index(), AT_ONCE).await;

    let _again = Python::start(DOCS_DEVICE, &[&gateway.devices]).await;
    let second = device_named(&client, "Lovense Hush", SOON).await;
    assert_eq!(
        second.index(),
        first.index(),
        "the same address keeps its device index"
    );
}

#[tokio::test]
async fn the_documentations_device_stops_when_its_client_goes() {
    let gateway = Gateway::start(&[]).await;
    let client = client(&gateway).await;
    let mut python = Python::start(DOCS_DEVICE, &[&gateway.devices]).await;
    let device = device_named(&client, "Lovense Hush", SOON).await;
    device
        .run_output(&Output::Vibrate(Amount::Steps(20)))
        .await
        .unwrap();
    python.line_with("packet Vibrate:20;", SOON).await;

    client.disconnect().await.unwrap();
    python.line_with("packet Vibrate:0;", AT_ONCE).await;
}

#[tokio::test]
async fn a_model_letter_as_the_identifier_is_refused_with_the_right_name() {
    let gateway = Gateway::start(&[]).await;
    let mut python = Python::start(DOCS_DEVICE, &[&gateway.devices, "Z"]).await;
    let closed = python.line_with("closed ", SOON).await;
    assert!(closed.starts_with("closed 4001 "), "{closed}");
    assert!(closed.contains("LVSDevice"), "{closed}");
}

/// One example, how its README runs it, and what a client's command must look like when it arrives.
struct Example {
    folder: &'static str,
    script: &'static str,
    args: &'static [&'static str],
    name: &'static str,
    display_name: Option<&'static str>,
    commands: &'static [(u32, Output, &'static str)],
}

const HUSH: &str = "udcf-examples/lovense-hush/device.py";
const TCODE: &str = "udcf-examples/tcode-stroker/device.py";

const BOARD: &str = "udcf-examples/serial-lovense/board.py";

/// A board that listens.
const LISTENER: &str = "udcf-examples/dial-tcode-esp32/board.py";

/// Run by a test of its own, `tests/ble_example.rs`.
const ELSEWHERE: &str = "ble-stroker";

const EXAMPLES: &[Example] = &[
    Example {
        folder: "serial-lovense",
        script: BOARD,
        args: &[],
        name: "Lovense Hush",
        display_name: None,
        commands: &[(0, Output::Vibrate(Amount::Steps(10)), "received Vibrate:10;")],
    },
    Example {
        folder: "serial-tcode",
        script: BOARD,
        args: &["--protocol", "tcode"],
        name: "DIY serial stroker",
        display_name: None,
        commands: &[
            (
                0,
                Output::HwPositionWithDuration(Amount::Steps(750), 400),
                "received L0750I400",
            ),
            (
                1,
                Output::HwPositionWithDuration(Amount::Steps(250), 300),
                "received L1250I300",
            ),
            (2, Output::Vibrate(Amount::Steps(40)), "received V240"),
        ],
    },
    Example {
        folder: "dial-tcode-esp32",
        script: LISTENER,
        args: &[],
        name: "DIY machine on Wi-Fi",
        display_name: None,
        commands: &[
            (
                1,
                Output::HwPositionWithDuration(Amount::Steps(250), 300),
                "received L1250I300",
            ),
            (3, Output::Vibrate(Amount::Steps(40)), "received V340"),
        ],
    },
    Example {
        folder: "dial-tcode-esp32",
        script: LISTENER,
        args: &["--transport", "udp"],
        name: "DIY machine on Wi-Fi",
        display_name: None,
        commands: &[(3, Output::Vibrate(Amount::Steps(40)), "received V340")],
    },
    Example {
        folder: "dial-slopdrive-32",
        script: LISTENER,
        args: &["--path", "/"],
        name: "SlopDrive-32",
        display_name: None,
        commands: &[(
            0,
            Output::HwPositionWithDuration(Amount::Steps(750), 400),
            "received L0750I400",
        )],
    },
    Example {
        folder: "dial-ossm",
        script: LISTENER,
        args: &["--protocol", "ossm"],
        name: "Kinky Makers OSSM",
        display_name: None,
        commands: &[(
            0,
            Output::HwPositionWithDuration(Amount::Steps(50), 200),
            "received stream:50:200",
        )],
    },
    Example {
        folder: "lovense-hush",
        script: HUSH,
        args: &[],
        name: "Lovense Hush",
        display_name: None,
        commands: &[(0, Output::Vibrate(Amount::Steps(10)), "received Vibrate:10;")],
    },
    Example {
        folder: "lovense-edge",
        script: HUSH,
        args: &["--model", "P"],
        name: "Lovense Edge",
        display_name: None,
        commands: &[
            (0, Output::Vibrate(Amount::Steps(3)), "received Vibrate1:3;"),
            (1, Output::Vibrate(Amount::Steps(7)), "received Vibrate2:7;"),
        ],
    },
    Example {
        folder: "lovense-nora",
        script: HUSH,
        args: &["--model", "A"],
        name: "Lovense Nora",
        display_name: None,
        commands: &[
            (0, Output::Vibrate(Amount::Steps(4)), "received Vibrate:4;"),
            (1, Output::Rotate(Amount::Steps(5)), "received Rotate:5;"),
            (1, Output::Rotate(Amount::Steps(-6)), "received RotateChange;"),
        ],
    },
    Example {
        folder: "tcode-stroker",
        script: TCODE,
        args: &[],
        name: "TCode v0.3 (Single Linear Axis)",
        display_name: None,
        commands: &[(
            0,
            Output::HwPositionWithDuration(Amount::Steps(500), 1_000),
            "received L0500I1000: axis L0 to 50.0 % within 1000 ms",
        )],
    },
    Example {
        folder: "tcode-multiaxis",
        script: TCODE,
        args: &["--identifier", "TCodeMulti"],
        name: "DIY multi-axis stroker",
        display_name: None,
        commands: &[
            (
                0,
                Output::HwPositionWithDuration(Amount::Steps(750), 400),
                "received L0750I400",
            ),
            (
                1,
                Output::HwPositionWithDuration(Amount::Steps(250), 300),
                "received L1250I300",
            ),
            (
                2,
                Output::Vibrate(Amount::Steps(40)),
                "received V240: output V2 at 40.0 %",
            ),
        ],
    },
    Example {
        folder: "limited-vibrator",
        script: HUSH,
        args: &[],
        name: "Lovense Hush",
        display_name: Some("Bench Hush"),
        commands: &[
            (0, Output::Vibrate(Amount::Steps(1)), "received Vibrate:3;"),
            (0, Output::Vibrate(Amount::Percent(1.0)), "received Vibrate:12;"),
        ],
    },
    Example {
        folder: "v2-documentation",
        script: HUSH,
        args: &[],
        name: "Lovense Hush",
        display_name: None,
        commands: &[(0, Output::Vibrate(Amount::Steps(10)), "received Vibrate:10;")],
    },
];

#[tokio::test]
async fn every_example_does_what_its_readme_says() {
    for example in EXAMPLES {
        let udcf = format!(
            "{}/udcf-examples/{}/udcf.json",
            env!("CARGO_MANIFEST_DIR"),
            example.folder
        );
        let wire = tempfile::tempdir().unwrap();
        let port = wire.path().join("tty").display().to_string();
        let (gateway, mut python) = if example.script == LISTENER {
            let mut args = vec!["--port", "0"];
            args.extend(example.args);
            let mut python = Python::start(example.script, &args).await;
            let listening = python.line_with("listening on ", SOON).await;
            let url = listening.trim_start_matches("listening on ").to_owned();
            // The file as it is, but for the port. The path is the preset's.
            let toml = std::fs::read_to_string(udcf.replace("udcf.json", "gateway.toml")).unwrap();
            let (_, written) = toml.split_once("url = \"").unwrap();
            let (written, _) = written.split_once('"').unwrap();
            let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            let toml = toml
                .replace(written, &host)
                .replace("path = \"udcf.json\"", &format!("path = {udcf:?}"));
            let config = wire.path().join("gateway.toml");
            std::fs::write(&config, toml).unwrap();
            let gateway = Gateway::start(&["--config", config.to_str().unwrap()]).await;
            (gateway, python)
        } else if example.script == BOARD {
            let mut args = vec!["--port", &port];
            args.extend(example.args);
            let python = Python::start(example.script, &args).await;
            // The file as it is, but for the port, which others may use too.
            let toml = std::fs::read_to_string(udcf.replace("udcf.json", "gateway.toml")).unwrap();
            let path = format!("path = {udcf:?}");
            let toml = toml
                .replace("/tmp/wsdm-board", &port)
                .replace("path = \"udcf.json\"", &path);
            let config = wire.path().join("gateway.toml");
            std::fs::write(&config, toml).unwrap();
            (
                Gateway::start(&["--config", config.to_str().unwrap()]).await,
                python,
            )
        } else {
            let gateway = Gateway::start(&["--udcf", &udcf]).await;
            let mut args = vec!["--url", &gateway.devices];
            args.extend(example.args);
            let python = Python::start(example.script, &args).await;
            (gateway, python)
        };
        let client = client(&gateway).await;

        let device = device_named(&client, example.name, SOON).await;
        assert_eq!(
            device.display_name().as_deref(),
            example.display_name,
            "{}",
            example.folder
        );
        for (feature, command, arrives) in example.commands {
            let feature = device.device_features().get(feature).expect(example.folder);
            feature
                .run_output(command)
                .await
                .unwrap_or_else(|e| panic!("{}: {e}", example.folder));
            python.line_with(arrives, SOON).await;
        }
    }
}

/// A board whose gateway is killed stops by itself: nobody is left who could tell it to.
#[tokio::test]
async fn the_example_boards_watchdog_stops_it_when_the_gateway_is_killed() {
    let wire = tempfile::tempdir().unwrap();
    let port = wire.path().join("tty").display().to_string();
    let mut board = Python::start(BOARD, &["--port", &port]).await;
    let config = wire.path().join("gateway.toml");
    std::fs::write(&config, format!("[[serial]]\nport = {port:?}\n")).unwrap();
    let gateway = Gateway::start(&["--config", config.to_str().unwrap()]).await;
    let client = client(&gateway).await;
    let device = device_named(&client, "Lovense Hush", SOON).await;
    device
        .run_output(&Output::Vibrate(Amount::Steps(20)))
        .await
        .unwrap();
    board.line_with("received Vibrate:20;", SOON).await;
    // A steady vibration is fed for longer than the watchdog's time.
    let fed = board.lines_for(Duration::from_secs(3)).await;
    assert!(!fed.iter().any(|line| line.contains("watchdog")), "{fed:?}");
    // Killed as by `kill -9`.
    drop(gateway);
    board.line_with("watchdog: stopped", SOON).await;
}

#[test]
fn no_example_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("udcf-examples");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut run: Vec<_> = EXAMPLES.iter().map(|example| example.folder.to_owned()).collect();
    run.push(ELSEWHERE.to_owned());
    run.sort();
    run.dedup();
    assert_eq!(run, folders);
    for script in folders_with_a_python_device() {
        assert!(
            EXAMPLES.iter().any(|example| example.script == script),
            "{script} is run by no test"
        );
    }
}
