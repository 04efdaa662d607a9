//! Simulated devices against the real gateway, and the command that runs them.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::json_client::JsonClient;
use common::{Running, client, settings, wait_until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wsdm_gateway::net::target::Target;
use wsdm_gateway::simulate::{DeviceOptions, Ended, EventKind, Replies, SimulatedDevice, run};

fn target(gateway: &Running) -> Target {
    Target::from(gateway.bound.devices)
}

#[tokio::test]
async fn a_simulated_hush_is_listed_shakes_and_tells_its_battery() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "driver").await;
    let mut hush = SimulatedDevice::connect(DeviceOptions::hush(target(&gateway), "8A3D9FAC2A45"))
        .await
        .unwrap();
    wait_until("it is listed", || client.devices().len() == 1).await;
    let device = client.devices().into_values().next().unwrap();
    assert!(device.name().contains("Hush"), "{}", device.name());
    let vibrate = buttplug_client::device::ClientDeviceOutputCommand::Vibrate(0.5.into());
    within("a command", device.run_output(&vibrate)).await.unwrap();
    assert!(within("it shakes", hush.wait_for(|all| all[0].level() == 10)).await);
    assert_eq!(within("the battery", device.battery()).await.unwrap(), 90);
    within("the client goes", client.disconnect()).await.unwrap();
    assert!(within("it rests", hush.wait_for(|all| all[0].level() == 0)).await);
    assert_eq!(within("it closes", hush.close()).await, Ended::Stopped);
    gateway.stop().await;
}

/// A real toy answers every command, and its answers to the gateway's own stop must not be taken for its model.
#[tokio::test]
async fn a_toy_that_answers_everything_keeps_its_model_when_it_comes_back() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;
    let mut options = DeviceOptions::hush(target(&gateway), "8A3D9FAC2A45");
    options.replies = Replies::All;
    for _ in 0..3 {
        let hush = within("it connects", SimulatedDevice::connect(options.clone()))
            .await
            .unwrap();
        wait_until("it is listed as what it is", || {
            client.devices().values().any(|d| d.name().contains("Hush"))
        })
        .await;
        within("it is torn away", hush.reset()).await;
        wait_until("it is gone", || client.devices().is_empty()).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_frozen_device_is_noticed() {
    let mut settings = settings();
    settings.devices.ping_interval = Duration::from_secs(1);
    let gateway = Running::start(settings).await;
    let client = client(&gateway.clients(), "lister").await;
    let hush = SimulatedDevice::connect(DeviceOptions::hush(target(&gateway), "8A3D9FAC2A45"))
        .await
        .unwrap();
    wait_until("it is listed", || client.devices().len() == 1).await;
    hush.freeze().await;
    wait_until("it is gone", || client.devices().is_empty()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_runner_connects_again_when_the_server_comes_back_and_gives_up_where_it_cannot_get_better() {
    let gateway = Running::start(settings()).await;
    let (events, mut happened) = mpsc::channel(256);
    let cancel = CancellationToken::new();
    let addr = gateway.bound.devices;
    let running = tokio::spawn(run(
        DeviceOptions::hush(addr, "8A3D9FAC2A45"),
        events,
        cancel.clone(),
    ));
    let mut until = async |wanted: fn(&EventKind) -> bool| {
        within("it happens", async {
            loop {
                let event = happened.recv().await.expect("a running device");
                if wanted(&event.kind) {
                    return event.kind;
                }
            }
        })
        .await
    };
    until(|h| matches!(h, EventKind::Connected)).await;
    gateway.stop().await;
    let ended = until(|h| matches!(h, EventKind::Ended(_))).await;
    assert!(
        matches!(ended, EventKind::Ended(Ended::Closed { code: Some(1001), .. })),
        "{ended:?}"
    );
    until(|h| matches!(h, EventKind::Unreachable { .. })).await;
    let mut again = settings();
    again.devices.listen = addr.into();
    let gateway = Running::start(again).await;
    until(|h| matches!(h, EventKind::Connected)).await;
    cancel.cancel();
    assert_eq!(within("it ends", running).await.unwrap(), Ended::Stopped);

    let mut unknown = DeviceOptions::hush(gateway.bound.devices, "8A3D9FAC2A45");
    unknown.identifier = wsdm_gateway::device::handshake::Identifier::new("Z").unwrap();
    let (events, _happened) = mpsc::channel(256);
    let ended = within("it gives up", run(unknown, events, CancellationToken::new())).await;
    assert_eq!(ended.code(), Some(4001), "{ended}");
    gateway.stop().await;
}

fn simulate(gateway: &Running, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
        .arg("simulate")
        .args(args)
        .args(["--url", &gateway.devices()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts")
}

#[tokio::test]
async fn the_command_prints_each_command_as_it_arrives() {
    let gateway = Running::start(settings()).await;
    let mut driver = JsonClient::connect(&gateway.clients(), 4).await;
    let mut child = simulate(&gateway, &["lovense", "--model", "edge", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let index = driver.first_device().await;
    for (feature, value) in [(0, 7), (1, 13)] {
        let vibrate =
            json!({"DeviceIndex": index, "FeatureIndex": feature, "Command": {"Vibrate": {"Value": value}}});
        driver.call("OutputCmd", vibrate).await;
    }
    let mut texts = Vec::new();
    while !texts.contains(&"Vibrate2:13;".to_owned()) {
        let line = within("a line", lines.next_line())
            .await
            .unwrap()
            .expect("more lines");
        let event: Value = serde_json::from_str(&line).expect("one JSON object a line");
        texts.push(event["text"].as_str().unwrap_or_default().to_owned());
    }
    assert!(
        texts.contains(&"DeviceType;".to_owned()) && texts.contains(&"Vibrate1:7;".to_owned()),
        "{texts:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn the_command_is_several_devices_and_says_why_it_was_refused() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "lister").await;
    let child = simulate(&gateway, &["tcode", "--count", "5"]);
    wait_until("all are listed", || client.devices().len() == 5).await;
    drop(child);
    wait_until("all are gone", || client.devices().is_empty()).await;

    let refused = within(
        "it ends",
        simulate(&gateway, &["lovense", "--identifier", "Z"]).wait_with_output(),
    )
    .await
    .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        stderr.contains("4001") && stderr.contains("--identifier"),
        "{stderr}"
    );
    for (args, wanted) in [
        (["lovense", "--model", "toaster"], "known models"),
        (["tcode", "--url", "tcp://x"], "ws://127.0.0.1:54817"),
    ] {
        let bad = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"))
            .arg("simulate")
            .args(args)
            .output()
            .await
            .unwrap();
        assert_eq!(bad.status.code(), Some(2));
        let stderr = String::from_utf8(bad.stderr).unwrap();
        assert!(stderr.contains(wanted), "{stderr}");
    }
    gateway.stop().await;
}
