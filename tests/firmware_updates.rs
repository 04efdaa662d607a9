//! `ota` against the board on a computer, a real gateway and an app: what becomes of a motor that runs, and of an image
//! that does not reach the gateway.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;
#[path = "flash/images.rs"]
#[allow(dead_code, reason = "shared with the tests of flashing")]
mod images;
#[path = "firmware/program.rs"]
#[allow(dead_code, reason = "shared with the other boards")]
mod program;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::ended::{end, rest};
use common::log::Log;
use common::process::{Process, command};
use common::{client, listed, vibrate, within};
use program::{Program, addr, built};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

const PASSWORD: &str = "correct horse";
const ADDRESS: &str = "8A3D9FAC2A45";
/// What runs there, as its image says.
const PROJECT: &str = "wsdm-device-host";

/// A computer with a gateway and images, and a board that takes updates.
struct Bench {
    home: TempDir,
    gateway: Process,
    board: Program,
    /// Where the board takes updates.
    at: String,
}

impl Bench {
    async fn new() -> Self {
        let home = TempDir::new().unwrap();
        let gateway = Process::start(home.path(), &[]).await;
        let mut board = Program::with_console(
            Command::new(built("debug/wsdm-device-host"))
                .args([
                    "--console",
                    "--network",
                    "home:secret words:-50",
                    "--ota-port",
                    "0",
                ])
                .args(["--address", ADDRESS])
                .arg("--flash")
                .arg(home.path().join("flash")),
        );
        board.line("no network is set").await;
        for (key, value) in [
            ("ssid", "home"),
            ("password", "secret words"),
            ("gateway", &addr(&gateway.devices).to_string()),
            ("ota_password", PASSWORD),
        ] {
            board.type_line(&format!("set {key} {value}")).await;
        }
        board.type_line("save").await;
        board.line("saved").await;
        board.type_line("restart").await;
        board.line("image: Kept, in slot 0").await;
        let at = report(&mut board, "updates are taken at ").await;
        Self {
            home,
            gateway,
            board,
            at,
        }
    }

    /// `ota` with images of this version.
    fn ota(&self, board: &str, version: &str, args: &[&str]) -> Command {
        let mut command = command(self.home.path(), &["ota", board]);
        command
            .arg("--images")
            .arg(images_in(self.home.path(), version))
            .args(args)
            .env("WSDM_OTA_PASSWORD", PASSWORD)
            .stdin(Stdio::null());
        command
    }
}

fn images_in(folder: &Path, version: &str) -> PathBuf {
    const NUMBER: u8 = 5;
    let mut parts = images::parts(NUMBER);
    parts[2].1 = images::firmware(NUMBER, PROJECT, version);
    images::write(folder, &[("ESP32-C3", parts)])
}

/// The rest of the next report that begins so.
async fn report(board: &mut Program, start: &str) -> String {
    loop {
        let line = board.line("at ").await;
        let (_, report) = line.split_once(" ms: ").unwrap();
        if let Some(rest) = report.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

/// What the board prints before this line.
async fn lines_until(board: &mut Program, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        match board.line("").await {
            line if line == last => return lines,
            line => lines.push(line),
        }
    }
}

/// Waits until the motor has this strength.
async fn turns(board: &mut Program, strength: &str) {
    while !board.line("pin V0 ").await.starts_with(&format!("{strength} ")) {}
}

/// Drives the motor while the image is on trial. The app's list may still hold the device from before the restart.
async fn drive(app: &ButtplugClient, board: &mut Program, strength: f64) {
    let command = ClientDeviceOutputCommand::Vibrate(strength.into());
    let turning = format!("{strength:.3} ");
    within("it is driven again", async {
        loop {
            if let Some(device) = app.devices().into_values().next() {
                let _ = device.run_output(&command).await;
            }
            let pin = timeout(Duration::from_millis(200), async {
                loop {
                    let line = board.line("").await;
                    assert!(
                        !line.ends_with("is kept"),
                        "the trial was over before the motor turned"
                    );
                    if let Some(pin) = line.strip_prefix("pin V0 ") {
                        return pin.to_owned();
                    }
                }
            })
            .await;
            if pin.is_ok_and(|line| line.starts_with(&turning)) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_motor_rests_before_flash_is_written_and_moves_again_with_the_new_image() {
    let mut bench = Bench::new().await;
    let app = client(&bench.gateway.clients, "app").await;
    listed(&app, 1).await;
    vibrate(&app, 0.5).await;
    turns(&mut bench.board, "0.500").await;

    let port = bench.at.rsplit_once(':').unwrap().1.to_owned();
    let mut ota = bench.ota(ADDRESS, "0.2.0", &["--port", &port]);
    let (ended, board) = (end(&mut ota), &mut bench.board);
    let seen = async {
        // In this order.
        assert!(board.line("pin V0 ").await.starts_with("0.000 "));
        let received = report(board, "update: outputs are off, ").await;
        assert!(received.ends_with(" bytes are received"), "{received}");
        let meanwhile = lines_until(board, "image: OnTrial, in slot 1").await;
        assert!(
            meanwhile
                .iter()
                .any(|line| line.ends_with("update: written, restarting with it"))
        );
        assert!(
            !meanwhile.iter().any(|line| line.starts_with("pin ")),
            "{meanwhile:#?}"
        );
        report(board, "connected").await;
        // It obeys while it is on trial.
        drive(&app, board, 0.25).await;
        report(board, "update: it reached the gateway, and is kept").await;
    };
    let (ended, ()) = tokio::join!(ended, seen);
    let there = format!(
        "the board is there: LVSDevice {ADDRESS} at {}, it runs 0.1.0 and keeps it\n",
        bench.at
    );
    assert_eq!((ended.code, ended.stdout), (Some(0), there), "{}", ended.log);

    // Nor does it go back at a restart.
    bench.board.type_line("restart").await;
    bench.board.line("image: Kept, in slot 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_reach_the_gateway_is_gone_after_a_restart() {
    let mut bench = Bench::new().await;
    let at = bench.at.clone();
    report(&mut bench.board, "connected").await;
    bench.gateway.child.kill().await.unwrap();
    let ended = end(&mut bench.ota(&at, "0.2.0", &["--wait", "2s"])).await;
    let texts = [
        &*format!("{at} has not reached its gateway within 2 s; the image is on trial"),
        "does its gateway run",
    ];
    ended.failed(1, &texts);
    bench.board.line("image: OnTrial, in slot 1").await;

    // While somebody waits for it.
    let mut child = bench.ota(&at, "0.2.0", &[]).spawn().unwrap();
    let mut log = Log::of(&mut child);
    log.expect(&["the board runs 0.1.0, on trial"]).await;
    bench.board.type_line("restart").await;
    bench.board.line("image: GoBack, in slot 1").await;
    bench.board.line("image: Kept, in slot 0").await;
    let texts = [
        &*format!("the board went back to the image before it: {at} runs 0.1.0; the new image does not run"),
        "was restarted before it had reached its gateway",
    ];
    rest(child, log).await.failed(1, &texts);
}
