//! Changes of the configuration while the gateway runs: what changes, who notices, and what stays.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::path::{Path, PathBuf};

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::bare_http::{ask, post};
use common::pty::Board;
use common::{PORTS, RawDevice, Running, client, from_files, listed, vibrate, within};
use serde_json::{Value, json};
use tempfile::TempDir;
use wsdm_gateway::device::close::ADDRESS_REFUSED;

/// A gateway with files of its own.
struct Rig {
    folder: TempDir,
    gateway: Running,
}

impl Rig {
    async fn start(toml: &str, udcf: Option<&Value>) -> Self {
        let folder = TempDir::new().unwrap();
        if let Some(udcf) = udcf {
            write(&folder.path().join("udcf.json"), &udcf.to_string());
        }
        let gateway = Running::start(from_files(folder.path(), toml)).await;
        Self { folder, gateway }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toml(&self, toml: &str) {
        write(&self.path("gateway.toml"), &format!("{PORTS}{toml}"));
    }

    fn udcf(&self, udcf: &Value) {
        write(&self.path("udcf.json"), &udcf.to_string());
    }

    async fn reload(&self) -> (u16, Value) {
        let answer = post(self.gateway.page(), "/api/reload", &[], &json!({})).await;
        (answer.status, answer.json())
    }

    async fn get(&self, path: &str) -> Value {
        ask(self.gateway.page(), "GET", path, &[]).await.json()
    }

    /// The device of this address, as the page shows it.
    async fn device(&self, address: &str) -> Value {
        self.get(&format!("/api/devices/{address}")).await
    }

    /// Waits until the device has this state.
    async fn state(&self, address: &str, state: &str) -> Value {
        within(state, async {
            loop {
                let device = self.device(address).await;
                if device["state"] == state {
                    return device;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A UDCF with these websocket names under lovense, and these devices.
fn names(names: &[&str], devices: &Value) -> Value {
    let communication: Vec<Value> = names
        .iter()
        .map(|name| json!({ "websocket": { "name": name } }))
        .collect();
    json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": { "lovense": { "communication": communication } }, "devices": devices },
    })
}

/// An entry for the Hush of this address.
fn hush(address: &str, deny: bool) -> Value {
    json!({
        "identifier": { "protocol": "lovense", "identifier": "Z", "address": address },
        "config": {
            "id": "8a6c7fdd-ad9b-474b-a378-4a1ba54c1cbd",
            "base_id": "37642e1c-a416-44d3-bada-76b6d9e245c9",
            "features": [
                {
                    "id": "186db189-66d6-48a4-9815-47bd94b1fccf",
                    "base_id": "3f7a25a5-df21-42ca-bf9f-d1c52df1f37e",
                    "output": { "vibrate": { "value": [2, 12] } },
                },
                {
                    "id": "a4be09ff-316b-4050-8b60-9be688e73cb0",
                    "base_id": "14bd7637-13ed-49ba-9eb9-9c8ba9abec20",
                },
            ],
            "user_config": { "allow": false, "deny": deny, "index": 3 },
        },
    })
}

/// Has every device of a client vibrate.
async fn vibrate_all(client: &ButtplugClient, strength: f64) {
    for device in client.devices().into_values() {
        let command = ClientDeviceOutputCommand::Vibrate(strength.into());
        within("a command", device.run_output(&command)).await.unwrap();
    }
}

fn entry(port: &Path, address: &str) -> String {
    format!(
        "[[serial]]\nport = {:?}\nidentifier = \"LVSDevice\"\naddress = {address:?}\n",
        port.to_str().unwrap()
    )
}

#[tokio::test]
async fn a_refused_device_is_admitted_once_the_file_names_it_and_nobody_else_notices() {
    let rig = Rig::start("", Some(&names(&["LVSDevice"], &json!([])))).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    let mut other = RawDevice::lovense(&rig.gateway.devices(), "other").await;
    listed(&client, 1).await;
    let before = rig.device("other").await;
    let mut refused = RawDevice::hello(&rig.gateway.devices(), "ESP32Vibe", "new").await;
    assert_eq!(refused.closed().await.0, 4001);
    // By hand, and nobody asks the gateway to look.
    rig.udcf(&names(&["LVSDevice", "ESP32Vibe"], &json!([])));
    let mut device = within("the device is admitted", async {
        for times in 2.. {
            let device = RawDevice::hello(&rig.gateway.devices(), "ESP32Vibe", "new").await;
            loop {
                let shown = rig.device("new").await;
                match shown["refused_times"].as_u64() {
                    Some(refused) if refused >= times => break,
                    _ if shown["state"] == "connecting" => return device,
                    _ => tokio::task::yield_now().await,
                }
            }
        }
        unreachable!()
    })
    .await;
    device.expect("DeviceType;").await;
    device.binary(b"Z:11:AABBCCDDEEFF;").await;
    listed(&client, 2).await;
    vibrate_all(&client, 0.5).await;
    other.expect("Vibrate:10;").await;
    let after = rig.device("other").await;
    assert_eq!(
        before["connection"], after["connection"],
        "it was not interrupted"
    );
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_a_change_affects_is_stopped_and_comes_back_with_it() {
    let rig = Rig::start("", Some(&names(&["LVSDevice"], &json!([])))).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    let mut device = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    let mut other = RawDevice::lovense(&rig.gateway.devices(), "other").await;
    listed(&client, 2).await;
    let before = rig.device("other").await;
    vibrate_all(&client, 1.0).await;
    device.expect("Vibrate:20;").await;
    other.expect("Vibrate:20;").await;
    rig.udcf(&names(&["LVSDevice"], &json!([hush("one", true)])));
    let (status, changed) = rig.reload().await;
    assert_eq!(status, 200, "{changed}");
    assert!(
        changed["applied"].to_string().contains("one connects again"),
        "{changed}"
    );
    device.expect("Vibrate:0;").await;
    let (_, reason) = device.closed().await;
    assert_eq!(reason, "its configuration changed");
    let mut again = RawDevice::hello(&rig.gateway.devices(), "LVSDevice", "one").await;
    assert_eq!(again.closed().await.0, ADDRESS_REFUSED, "it is denied now");
    assert_eq!(before["connection"], rig.device("other").await["connection"]);
    // It comes back with limits.
    rig.udcf(&names(&["LVSDevice"], &json!([hush("one", false)])));
    assert_eq!(rig.reload().await.0, 200);
    let mut limited = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    listed(&client, 2).await;
    vibrate_all(&client, 1.0).await;
    limited.expect("Vibrate:12;").await;
    // And back.
    rig.udcf(&names(&["LVSDevice"], &json!([])));
    assert_eq!(rig.reload().await.0, 200);
    let _again = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    rig.state("one", "ready").await;
    assert_eq!(
        rig.reload().await.1["applied"],
        json!([]),
        "nothing changed since"
    );
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_board_on_a_wire_comes_and_goes_with_its_entry_and_its_neighbour_stays() {
    let folder = TempDir::new().unwrap();
    let mut first = Board::plug(&folder.path().join("tty1"));
    let mut second = Board::plug(&folder.path().join("tty2"));
    let rig = Rig::start(&entry(&first.port, "first"), None).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    first.be_lovense("AABBCCDDEE01").await;
    listed(&client, 1).await;
    let both = entry(&first.port, "first") + &entry(&second.port, "second");
    rig.toml(&both);
    second.be_lovense("AABBCCDDEE02").await;
    listed(&client, 2).await;
    let before = rig.device("first").await;
    vibrate_all(&client, 1.0).await;
    second.expect("Vibrate:20;").await;
    // The entry goes while the board runs.
    rig.toml(&entry(&first.port, "first"));
    second.expect("Vibrate:0;").await;
    let gone = rig.state("second", "gone").await;
    assert_eq!(gone["reason"], "its configuration changed");
    let after = rig.device("first").await;
    assert_eq!(
        before["connection"], after["connection"],
        "it was not interrupted"
    );
    // The same port with another address is another device.
    rig.toml(&(entry(&first.port, "first") + &entry(&second.port, "third")));
    second.be_lovense("AABBCCDDEE02").await;
    rig.state("third", "ready").await;
    rig.gateway.stop().await;
    first.expect("Vibrate:0;").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_its_problem_is_shown() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let rig = Rig::start(&entry(&board.port, "first"), None).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    board.be_lovense("AABBCCDDEE01").await;
    listed(&client, 1).await;
    let before = rig.device("first").await;
    for (name, text, problem) in [
        ("gateway.toml", "[[serial]]\nprot = \"x\"\n", "gateway.toml:2"),
        ("udcf.json", "{ \"version\": ", "udcf.json:1"),
    ] {
        let kept = std::fs::read(rig.path(name)).ok();
        write(&rig.path(name), text);
        // By itself, and when asked.
        let shown = within("the problem is shown", async {
            loop {
                let shown = rig.get("/api/configuration").await;
                if !shown["problem"].is_null() || shown["error"].is_string() {
                    return shown;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(shown.to_string().contains(problem), "{shown}");
        let (status, refused) = rig.reload().await;
        assert_eq!(status, 409);
        assert!(refused["error"].to_string().contains(problem), "{refused}");
        assert_eq!(before["connection"], rig.device("first").await["connection"]);
        vibrate(&client, 0.5).await;
        board.expect("Vibrate:10;").await;
        vibrate(&client, 0.0).await;
        board.expect("Vibrate:0;").await;
        match kept {
            Some(kept) => std::fs::write(rig.path(name), kept).unwrap(),
            None => std::fs::remove_file(rig.path(name)).unwrap(),
        }
        assert_eq!(rig.reload().await.0, 200);
        assert!(rig.get("/api/configuration").await["problem"].is_null());
    }
    rig.gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_applied_while_it_runs_is_named() {
    let rig = Rig::start("", None).await;
    rig.toml("[upstream]\nrelay = \"ws://127.0.0.1:1\"\n");
    let (status, changed) = rig.reload().await;
    assert_eq!(status, 200, "{changed}");
    let later = changed["after_restart"].as_array().unwrap();
    assert!(later.contains(&json!("upstream.relay")), "{changed}");
    rig.gateway.stop().await;
}
