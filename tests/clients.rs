//! The client port: several clients, every message version, order, stops, and what must not take a client down.

mod common;

use std::time::Duration;

use buttplug_client::device::ClientDeviceOutputCommand;
use buttplug_core::message::InputType;
use common::json_client::JsonClient;
use common::{RawDevice, Running, client, settings, wait_until, within};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::config::Settings;

/// For many devices that connect at once.
fn patient() -> Settings {
    let mut settings = settings();
    settings.devices.handshake_timeout = Duration::from_secs(60);
    settings
}

/// A client of version 4, and one lovense that it was told of, with its index.
async fn driver_and_lovense(gateway: &Running, address: &str) -> (JsonClient, RawDevice, u64) {
    let mut client = JsonClient::connect(&gateway.clients(), 4).await;
    let (device, index) = another_lovense(&mut client, gateway, address).await;
    (client, device, index)
}

/// One more lovense that this client is told of.
async fn another_lovense(client: &mut JsonClient, gateway: &Running, address: &str) -> (RawDevice, u64) {
    let before = client.device_indexes().await;
    let device = RawDevice::lovense(&gateway.devices(), address).await;
    loop {
        let now = client.device_indexes().await;
        if let Some(index) = now.iter().find(|i| !before.contains(i)) {
            return (device, *index);
        }
        client.event("DeviceList").await;
    }
}

#[tokio::test]
async fn a_real_client_drives_a_device_and_reads_its_battery() {
    let gateway = Running::start(settings()).await;
    let client = client(&gateway.clients(), "driver").await;
    assert_eq!(client.server_name().as_deref(), Some("test gateway"));
    let mut device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    wait_until("it is listed", || client.devices().len() == 1).await;
    let hush = client.devices().into_values().next().unwrap();
    within(
        "a command",
        hush.run_output(&ClientDeviceOutputCommand::Vibrate(0.5.into())),
    )
    .await
    .unwrap();
    device.expect("Vibrate:10;").await;
    let battery = tokio::spawn(hush.battery());
    device.expect("Battery;").await;
    device.binary(b"90;").await;
    assert_eq!(within("the battery", battery).await.unwrap().unwrap(), 90);
    assert!(hush.input_available(InputType::Battery));
    gateway.stop().await;
}

#[tokio::test]
async fn commands_of_one_client_arrive_in_the_order_in_which_it_sent_them() {
    let gateway = Running::start(settings()).await;
    let (mut client, mut device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    // All at once, without waiting for a reply.
    let sent: Vec<u32> = (0..500).map(|n| 1 + n % 20).collect();
    for value in &sent {
        client
            .send(
                "OutputCmd",
                json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}}),
            )
            .await;
    }
    // The device is read only after this: until it has answered a ping, nothing waits for its answers.
    for _ in &sent {
        client.event("Ok").await;
    }
    for value in sent {
        assert_eq!(device.frame().await, format!("Vibrate:{value};"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_message_version_is_spoken() {
    let gateway = Running::start(settings()).await;
    let (client, mut device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    drop(client);
    for (version, name, fields) in [
        (
            0,
            "SingleMotorVibrateCmd",
            json!({"DeviceIndex": index, "Speed": 0.05}),
        ),
        (
            1,
            "VibrateCmd",
            json!({"DeviceIndex": index, "Speeds": [{"Index": 0, "Speed": 0.10}]}),
        ),
        (
            2,
            "VibrateCmd",
            json!({"DeviceIndex": index, "Speeds": [{"Index": 0, "Speed": 0.15}]}),
        ),
        (
            3,
            "ScalarCmd",
            json!({"DeviceIndex": index, "Scalars": [{"Index": 0, "Scalar": 0.20, "ActuatorType": "Vibrate"}]}),
        ),
        (
            4,
            "OutputCmd",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 5}}}),
        ),
    ] {
        let mut client = JsonClient::connect(&gateway.clients(), version).await;
        let list = client.call("RequestDeviceList", json!({})).await;
        assert!(
            list["DeviceList"]["Devices"].to_string().contains("Hush"),
            "version {version}: {list}"
        );
        let reply = client.call(name, fields).await;
        assert!(reply.get("Ok").is_some(), "version {version}: {reply}");
        device.expect(&format!("Vibrate:{};", version + 1)).await;
        // It is the only one: when it goes, the device stops.
        drop(client);
        device.expect("Vibrate:0;").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn clients_of_old_versions_are_told_of_every_device_that_comes_and_goes() {
    let gateway = Running::start(patient()).await;
    for version in 0..4 {
        let mut client = JsonClient::connect(&gateway.clients(), version).await;
        let devices: Vec<_> = join_all((0..30).map(|i| {
            let url = gateway.devices();
            async move { RawDevice::lovense(&url, &format!("{version:06X}{i:06X}")).await }
        }))
        .await;
        let mut added: Vec<u64> = Vec::new();
        while added.len() < devices.len() {
            let event = client.event("DeviceAdded").await;
            added.push(event["DeviceIndex"].as_u64().unwrap());
        }
        drop(devices);
        while !added.is_empty() {
            let event = client.event("DeviceRemoved").await;
            let index = event["DeviceIndex"].as_u64().unwrap();
            assert!(
                added.contains(&index),
                "{index} was never added, or is removed twice"
            );
            added.retain(|&i| i != index);
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn when_a_client_vanishes_its_devices_stop_and_those_of_others_run_on() {
    let gateway = Running::start(settings()).await;
    let (mut stays, mut one, first) = driver_and_lovense(&gateway, "00000000000A").await;
    let (mut goes, mut two, second) = driver_and_lovense(&gateway, "00000000000B").await;
    let vibrate = |index: u64, value: u32| json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": value}}});
    stays.call("OutputCmd", vibrate(first, 10)).await;
    goes.call("OutputCmd", vibrate(second, 15)).await;
    one.expect("Vibrate:10;").await;
    two.expect("Vibrate:15;").await;
    goes.reset();
    two.expect("Vibrate:0;").await;
    // Nothing came in between: the next frame of the other device is the next command.
    stays.call("OutputCmd", vibrate(first, 11)).await;
    assert_eq!(one.frame().await, "Vibrate:11;");
    // The last one to go leaves nothing running, also what it never commanded.
    stays.reset();
    one.expect("Vibrate:0;").await;
    two.expect("Vibrate:0;").await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_an_old_client_moved_stops_when_it_vanishes() {
    let gateway = Running::start(settings()).await;
    let mut stroker = RawDevice::hello(&gateway.devices(), "TCodeDevice", "stroker").await;
    let mut stays = JsonClient::connect(&gateway.clients(), 4).await;
    let index = stays.first_device().await;
    for version in 1..=3 {
        let mut goes = JsonClient::connect(&gateway.clients(), version).await;
        let position = f64::from(version) / 4.0;
        let stroke = json!({"DeviceIndex": index,
            "Vectors": [{"Index": 0, "Duration": 20_000, "Position": position}]});
        let reply = goes.call("LinearCmd", stroke).await;
        assert!(reply.get("Ok").is_some(), "version {version}: {reply}");
        while !stroker.frame().await.starts_with("L0") {}
        goes.reset();
        stroker.expect("DSTOP\n").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn positions_stop_too() {
    let gateway = Running::start(settings()).await;
    let mut stroker = RawDevice::hello(&gateway.devices(), "TCodeDevice", "stroker").await;
    let mut driver = JsonClient::connect(&gateway.clients(), 4).await;
    let index = driver.first_device().await;
    let stroke = json!({"DeviceIndex": index, "FeatureIndex": 0,
        "Command": {"HwPositionWithDuration": {"Value": 99, "Duration": 20_000}}});
    let reply = driver.call("OutputCmd", stroke.clone()).await;
    assert!(reply.get("Ok").is_some(), "{reply}");
    assert!(stroker.frame().await.starts_with("L0"), "it moves");
    driver.call("StopCmd", json!({"DeviceIndex": index})).await;
    assert_eq!(stroker.frame().await, "DSTOP\n");

    // A client that goes right behind its stroke: whether the stroke was still sent or not, it does not outlast the stop.
    let stroke = json!({"DeviceIndex": index, "FeatureIndex": 0,
        "Command": {"HwPositionWithDuration": {"Value": 1, "Duration": 20_000}}});
    driver.send("OutputCmd", stroke).await;
    driver.reset();
    let mut last = stroker.frame().await;
    while last != "DSTOP\n" {
        last = stroker.frame().await;
    }
    let mut next = JsonClient::connect(&gateway.clients(), 4).await;
    let index = next.first_device().await;
    let other = json!({"DeviceIndex": index, "FeatureIndex": 0,
        "Command": {"HwPositionWithDuration": {"Value": 50, "Duration": 7_777}}});
    let reply = next.call("OutputCmd", other).await;
    assert!(reply.get("Ok").is_some(), "{reply}");
    loop {
        match stroker.frame().await {
            stroke if stroke.ends_with("I7777\n") => break,
            frame => last = frame,
        }
    }
    assert_eq!(last, "DSTOP\n", "the stroke outlasted the stop");
    gateway.stop().await;
}

#[tokio::test]
async fn a_malformed_message_gets_an_error_and_the_client_stays() {
    let gateway = Running::start(settings()).await;
    let mut client = JsonClient::connect(&gateway.clients(), 4).await;
    for (text, id) in [
        ("nonsense", 0),
        ("[]]", 0),
        (r#"[{"NoSuchCmd": {"Id": 77}}]"#, 77),
        (r#"[{"OutputCmd": {"Id": 78, "DeviceIndex": "one"}}]"#, 78),
    ] {
        client.raw(text).await;
        let error = client.event("Error").await;
        assert_eq!(error["Id"], id, "{text}: {error}");
        assert_eq!(error["ErrorCode"], 3, "{text}: {error}");
    }
    let absent = json!({"DeviceIndex": 999, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 1}}});
    let reply = client.call("OutputCmd", absent).await;
    assert_eq!(reply["Error"]["ErrorCode"], 4, "{reply}");
    assert!(
        client
            .call("RequestDeviceList", json!({}))
            .await
            .get("DeviceList")
            .is_some()
    );
    gateway.stop().await;
}

#[tokio::test]
async fn values_are_checked_as_the_library_checks_them() {
    let gateway = Running::start(settings()).await;
    let (mut client, _device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    for (what, fields) in [
        (
            "too much",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 21}}}),
        ),
        (
            "too little",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": -1}}}),
        ),
        (
            "no such feature",
            json!({"DeviceIndex": index, "FeatureIndex": 9, "Command": {"Vibrate": {"Value": 1}}}),
        ),
        (
            "no such output",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Constrict": {"Value": 1}}}),
        ),
    ] {
        let reply = client.call("OutputCmd", fields).await;
        assert_eq!(reply["Error"]["ErrorCode"], 4, "{what}: {reply}");
    }
    let no_input = json!({"DeviceIndex": index, "FeatureIndex": 0, "Type": "Battery", "Command": "Read"});
    assert_eq!(client.call("InputCmd", no_input).await["Error"]["ErrorCode"], 4);
    gateway.stop().await;
}

/// A battery answer on which the library panics: the client gets an Error, and everything goes on.
#[tokio::test]
async fn a_panic_inside_the_library_is_an_error_for_the_one_message() {
    let gateway = Running::start(settings()).await;
    let (mut client, mut device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    let battery = json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
    client.send("InputCmd", battery.clone()).await;
    device.expect("Battery;").await;
    device.binary(b"s").await;
    let error = client.event("Error").await;
    assert_ne!(error["Id"], 0, "{error}");
    client.send("InputCmd", battery).await;
    device.expect("Battery;").await;
    device.binary(b"55;").await;
    let reading = client.event("InputReading").await;
    assert!(reading.to_string().contains("55"), "{reading}");
    gateway.stop().await;
}

/// The library restarts its wait at each frame of the device, so that a chatty one would hang it.
#[tokio::test]
async fn a_battery_query_to_a_chatty_device_ends() {
    let gateway = Running::start(settings()).await;
    let (mut client, mut device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    client
        .send(
            "InputCmd",
            json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"}),
        )
        .await;
    device.expect("Battery;").await;
    let chatter = tokio::spawn(async move {
        loop {
            device.binary(b"noise;").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let error = client.event("Error").await;
    assert_eq!(error["ErrorCode"], 4, "{error}");
    chatter.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn buttplugs_own_ping_is_watched_for_each_client_alone() {
    let mut settings = settings();
    settings.clients.max_ping_time = Some(Duration::from_secs(2));
    let gateway = Running::start(settings).await;
    for version in [3, 4] {
        let mut punctual = JsonClient::connect(&gateway.clients(), version).await;
        let mut late = JsonClient::connect(&gateway.clients(), version).await;
        assert_eq!(late.server_info["MaxPingTime"], 2_000, "{}", late.server_info);
        let waiting = tokio::spawn(async move { (late.event("Error").await, late.closed().await) });
        while !waiting.is_finished() {
            assert!(punctual.call("Ping", json!({})).await.get("Ok").is_some());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (error, _) = waiting.await.unwrap();
        assert_eq!(error["ErrorCode"], 2, "{error}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_is_gone_and_its_device_stops() {
    let mut settings = settings();
    settings.clients.ping_interval = Duration::from_secs(1);
    // Silence by itself stops the device only long after this test has given up.
    settings.clients.stop_after = Duration::from_secs(60);
    let gateway = Running::start(settings).await;
    let (mut client, mut device, index) = driver_and_lovense(&gateway, "8A3D9FAC2A45").await;
    client
        .call(
            "OutputCmd",
            json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 9}}}),
        )
        .await;
    device.expect("Vibrate:9;").await;
    // The socket stays open, but nobody reads it, and so nobody answers pings.
    device.expect("Vibrate:0;").await;
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn saying_goodbye_stops_only_ones_own_devices() {
    let gateway = Running::start(settings()).await;
    let (mut stays, mut one, first) = driver_and_lovense(&gateway, "00000000000A").await;
    stays
        .call(
            "OutputCmd",
            json!({"DeviceIndex": first, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 3}}}),
        )
        .await;
    one.expect("Vibrate:3;").await;
    let goes = JsonClient::connect(&gateway.clients(), 4).await;
    goes.goodbye().await;
    stays
        .call(
            "OutputCmd",
            json!({"DeviceIndex": first, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 4}}}),
        )
        .await;
    assert_eq!(one.frame().await, "Vibrate:4;");
    gateway.stop().await;
}

#[tokio::test]
async fn a_hundred_devices_at_once_get_a_hundred_indexes() {
    let gateway = Running::start(patient()).await;
    let client = client(&gateway.clients(), "lister").await;
    let devices = join_all((0..100).map(|i| {
        let url = gateway.devices();
        async move { RawDevice::lovense(&url, &format!("{i:012X}")).await }
    }))
    .await;
    wait_until("all are listed", || client.devices().len() == devices.len()).await;
    gateway.stop().await;
}

/// More than one of the library's device managers has room for: each device is reached under the index that clients
/// know it by, whatever index the library has for it, and answers under that one.
#[tokio::test]
async fn each_of_many_devices_is_reached_under_its_own_index() {
    const COUNT: usize = 300;
    let gateway = Running::start(patient()).await;
    let mut newest = JsonClient::connect(&gateway.clients(), 4).await;
    let mut older = JsonClient::connect(&gateway.clients(), 3).await;
    let mut oldest = JsonClient::connect(&gateway.clients(), 2).await;
    let (frame, mut frames) = tokio::sync::mpsc::unbounded_channel();
    let mut devices = tokio::task::JoinSet::new();
    for i in 0..COUNT {
        let (url, frame) = (gateway.devices(), frame.clone());
        devices.spawn(async move {
            let mut device = RawDevice::lovense(&url, &format!("{i:012X}")).await;
            // For as long as it takes: most of them wait for their turn.
            while let Some(Ok(message)) = device.ws.next().await {
                let said = match message {
                    Message::Binary(bytes) => String::from_utf8(bytes.into()).expect("text"),
                    _ => continue,
                };
                if said == "Battery;" {
                    device.binary(format!("{};", i % 100).as_bytes()).await;
                } else if said == "DeviceType;" {
                    // On a busy machine the server asks again before it has read the answer.
                } else if frame.send((i, said)).is_err() {
                    return;
                }
            }
        });
    }
    while newest.device_indexes().await.len() < COUNT {
        newest.event("DeviceList").await;
    }
    let indexes = newest.device_indexes().await;
    let mut reached = std::collections::HashSet::new();
    for (n, index) in indexes.iter().enumerate() {
        let ok = match n % 3 {
            0 => {
                let command =
                    json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 7}}});
                newest.call("OutputCmd", command).await
            }
            1 => {
                let scalar = json!({"Index": 0, "Scalar": 0.35, "ActuatorType": "Vibrate"});
                let command = json!({"DeviceIndex": index, "Scalars": [scalar]});
                older.call("ScalarCmd", command).await
            }
            _ => {
                let command = json!({"DeviceIndex": index, "Speeds": [{"Index": 0, "Speed": 0.35}]});
                oldest.call("VibrateCmd", command).await
            }
        };
        assert!(ok.get("Ok").is_some(), "{ok}");
        let (device, said) = within("the command arrives", frames.recv())
            .await
            .expect("a device");
        assert_eq!(said, "Vibrate:7;");
        assert!(
            reached.insert(device),
            "{index} is device {device}, as another one was"
        );

        let battery = device % 100;
        match n % 3 {
            0 => {
                let query =
                    json!({"DeviceIndex": index, "FeatureIndex": 1, "Type": "Battery", "Command": "Read"});
                let reading = newest.call("InputCmd", query).await["InputReading"].clone();
                assert_eq!(reading["DeviceIndex"], *index);
                assert_eq!(reading["Reading"]["Battery"]["Value"], battery);
            }
            1 => {
                let query = json!({"DeviceIndex": index, "SensorIndex": 0, "SensorType": "Battery"});
                let reading = older.call("SensorReadCmd", query).await["SensorReading"].clone();
                assert_eq!(reading["DeviceIndex"], *index);
                assert_eq!(reading["Data"], json!([battery]));
            }
            _ => {
                let reading = oldest
                    .call("BatteryLevelCmd", json!({"DeviceIndex": index}))
                    .await;
                let reading = reading["BatteryLevelReading"].clone();
                assert_eq!(reading["DeviceIndex"], *index);
                assert_eq!(reading["BatteryLevel"], battery as f64 / 100.0);
            }
        }
    }
    // The stop of one is the stop of that one alone, and the stop of all reaches every manager.
    let stop = json!({"DeviceIndex": indexes[0]});
    assert!(newest.call("StopCmd", stop).await.get("Ok").is_some());
    let (stopped, said) = within("the stop arrives", frames.recv()).await.expect("a device");
    assert_eq!(said, "Vibrate:0;");
    assert!(older.call("StopAllDevices", json!({})).await.get("Ok").is_some());
    let mut still_on = reached;
    still_on.remove(&stopped);
    while !still_on.is_empty() {
        let (device, said) = within("all stop", frames.recv()).await.expect("a device");
        assert_eq!(said, "Vibrate:0;");
        assert!(still_on.remove(&device), "{device} was stopped twice");
    }
    for (client, name, command) in [
        (
            &mut newest,
            "OutputCmd",
            json!({"DeviceIndex": 999, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 7}}}),
        ),
        (
            &mut oldest,
            "VibrateCmd",
            json!({"DeviceIndex": 999, "Speeds": [{"Index": 0, "Speed": 0.35}]}),
        ),
    ] {
        let error = client.call(name, command).await["Error"].clone();
        assert!(error["ErrorMessage"].to_string().contains("999"), "{error}");
    }
    devices.abort_all();
    gateway.stop().await;
}
