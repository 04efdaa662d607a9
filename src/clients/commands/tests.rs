//! Compares these checks with the library's own, on every device that the library can simulate.

use std::collections::BTreeMap;
use std::time::Duration;

use buttplug_core::message::{
    ButtplugClientMessageV4, ButtplugMessageSpecVersion, InputCommandType, InputType, OutputCommand,
    OutputHwPositionWithDuration, OutputValue, RequestServerInfoV4, StartScanningV0,
};
use buttplug_server::ButtplugServerBuilder;
use buttplug_server::device::{ServerDeviceManager, ServerDeviceManagerBuilder};
use buttplug_server_device_config::{SimulatedDeviceConfigEntry, load_protocol_configs};
use futures::StreamExt;

use super::*;

/// Devices by kind: each one's index and definition.
pub(in crate::clients) type Kinds = BTreeMap<String, (u32, ServerDeviceDefinition)>;

/// A server with one device of each kind that the library simulates.
pub(in crate::clients) async fn simulated() -> (ButtplugServer, Kinds) {
    let dcm = load_protocol_configs(&None, &None, false)
        .expect("the library's own configuration")
        .finish()
        .expect("the library's own configuration");
    let kinds = dcm.available_simulated_archetypes();
    assert!(!kinds.is_empty());
    for kind in &kinds {
        let entry = SimulatedDeviceConfigEntry::new(&kind.identifier, None);
        dcm.add_simulated_device(entry).expect("a kind that it knows");
    }
    let mut builder = ServerDeviceManagerBuilder::new(dcm);
    builder
        .add_simulated_devices_if_configured()
        .emit_output_observations(true);
    let manager = std::sync::Arc::new(builder.finish().expect("a device manager"));
    let server = ButtplugServerBuilder::with_shared_device_manager(manager.clone())
        .finish()
        .expect("a server");
    let hello = RequestServerInfoV4::new("test", ButtplugMessageSpecVersion::Version4, 0);
    server
        .parse_checked_message(hello.into())
        .await
        .expect("a handshake");
    server
        .parse_checked_message(StartScanningV0::default().into())
        .await
        .expect("a scan");
    let listed = |manager: &ServerDeviceManager| {
        (0..kinds.len() as u32)
            .filter_map(|index| {
                let info = manager.device_info(index)?;
                let definition = manager
                    .device_configuration_manager()
                    .device_definition(info.identifier())?;
                Some((info.identifier().identifier().clone()?, (index, definition)))
            })
            .collect::<Kinds>()
    };
    let all = timeout(Duration::from_secs(20), async {
        while listed(&manager).len() < kinds.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    all.await.expect("all devices listed in time");
    (server, listed(&manager))
}

/// The library's answer to a message of version 4, as sent on the wire.
async fn library(server: &ButtplugServer, message: impl Into<ButtplugClientMessageV4>) -> String {
    match server.parse_message(message.into().into()).await {
        Ok(reply) | Err(reply) => wire::encode(&[reply]),
    }
}

/// Our answer to the same message.
async fn ours(
    server: &ButtplugServer,
    id: u32,
    checked: Result<ButtplugCheckedClientMessageV4, ButtplugError>,
) -> String {
    match checked {
        Ok(message) => {
            Command::checked(server, ButtplugMessageSpecVersion::Version4, message)
                .await
                .text
        }
        Err(e) => wire::encode_error(*wire::error(id, e)),
    }
}

fn commands(value: i32) -> Vec<OutputCommand> {
    let v = OutputValue::new(value);
    vec![
        OutputCommand::Vibrate(v),
        OutputCommand::Rotate(v),
        OutputCommand::Oscillate(v),
        OutputCommand::Constrict(v),
        OutputCommand::Spray(v),
        OutputCommand::Temperature(v),
        OutputCommand::Led(v),
        OutputCommand::Position(v),
        OutputCommand::HwPositionWithDuration(OutputHwPositionWithDuration::new(value.unsigned_abs(), 100)),
    ]
}

/// Uses two servers, since the library ignores a repeated command, even if it refused the first one.
#[tokio::test]
async fn an_output_is_checked_and_scaled_as_the_library_does_it() {
    let (server, devices) = simulated().await;
    let (reference, references) = simulated().await;
    let mut observed = Box::pin(server.output_observation_stream().expect("observations are on"));
    let mut expected = Box::pin(
        reference
            .output_observation_stream()
            .expect("observations are on"),
    );
    let (mut passed, mut refused) = (0, 0);
    for kind in devices.keys().map(Some).chain([None]) {
        let (index, device) = kind.map_or((999, None), |k| (devices[k].0, Some(&devices[k].1)));
        let reference_index = kind.map_or(999, |k| references[k].0);
        let features = device.map_or(0, |d| d.features().len() as u32);
        for feature in 0..=features {
            for value in [0, 1, 7, -7, 20, 21, 99, 100, 101, -101, 5000, -5000, 100_000] {
                for command in commands(value) {
                    let output = |index| {
                        let mut message = OutputCmdV4::new(index, feature, command);
                        message.set_id(42);
                        message
                    };
                    let checked = check_output(&output(index), device);
                    if checked.is_ok() {
                        passed += 1
                    } else {
                        refused += 1
                    }
                    let ours = ours(&server, 42, checked).await;
                    let theirs = library(&reference, output(reference_index)).await;
                    // The library names neither the output nor its range, and lets some levels below 0 through to
                    // outputs that have none.
                    let kind_of_output = command.as_output_type();
                    let output = device.and_then(|d| d.features().get(&feature)?.get_output(kind_of_output));
                    let has_no_sign = output.is_some_and(|output| !limits::is_signed(output));
                    if theirs.contains("DeviceStepRangeError") || (has_no_sign && command.value() < 0) {
                        let takes = format!("takes {kind_of_output} values from ");
                        let parts = [
                            format!("feature {feature}"),
                            takes,
                            format!("not {}", command.value()),
                        ];
                        assert!(
                            parts.iter().all(|part| ours.contains(part)),
                            "{command:?}: {ours}"
                        );
                        let of_library = tokio::task::unconstrained(expected.next());
                        let _ = of_library.now_or_never();
                        let seen = tokio::task::unconstrained(observed.next()).now_or_never();
                        assert!(seen.is_none(), "{kind:?}, feature {feature}: {command:?}");
                        continue;
                    }
                    assert_eq!(ours, theirs, "{kind:?}, feature {feature}: {command:?}");
                    // What reached the device: nothing if the command was refused or is a repetition. Runs
                    // outside the task budget, since this test never waits.
                    let seen = tokio::task::unconstrained(observed.next())
                        .now_or_never()
                        .flatten();
                    let wanted = tokio::task::unconstrained(expected.next())
                        .now_or_never()
                        .flatten();
                    assert_eq!(
                        seen.map(|o| (o.feature_index, o.output_type, o.value)),
                        wanted.map(|o| (o.feature_index, o.output_type, o.value)),
                        "{kind:?}, feature {feature}: {command:?}"
                    );
                }
            }
        }
    }
    assert!(passed > 50 && refused > 50, "{passed} passed, {refused} refused");
}

#[tokio::test]
async fn an_input_is_checked_as_the_library_does_it() {
    let (server, devices) = simulated().await;
    for (index, device) in devices.values().map(|(i, d)| (*i, Some(d))).chain([(999, None)]) {
        for feature in 0..=device.map_or(0, |d| d.features().len() as u32) {
            for kind in [
                InputType::Battery,
                InputType::Rssi,
                InputType::Button,
                InputType::Pressure,
            ] {
                let mut message = InputCmdV4::new(index, feature, kind, InputCommandType::Read);
                message.set_id(42);
                let theirs = library(&server, message).await;
                let ours = ours(&server, 42, check_input(&message, device)).await;
                assert_eq!(ours, theirs, "device {index}, feature {feature}: {kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_stop_is_checked_as_the_library_does_it() {
    let (server, devices) = simulated().await;
    for index in [None, Some(0), Some(1), Some(999)] {
        for feature in [None, Some(0), Some(99)] {
            let mut message = StopCmdV4::new(index, feature, true, true);
            message.set_id(42);
            let device = devices.values().find(|(i, _)| index == Some(*i)).map(|(_, d)| d);
            let checked = check_stop(&message, device).map(|()| message.clone().into());
            let theirs = library(&server, message).await;
            assert_eq!(ours(&server, 42, checked).await, theirs, "{index:?} {feature:?}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_the_error_of_its_message() {
    let in_call = guarded(7, || -> futures::future::Ready<Answer> { panic!("in the call") }).await;
    let in_poll = guarded(7, || async { panic!("in a {}", "poll") }).await;
    for (answer, text) in [(in_call, "in the call"), (in_poll, "in a poll")] {
        assert!(answer.failed);
        let message: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        assert_eq!(message[0]["Error"]["Id"], 7);
        assert!(answer.text.contains(text), "{}", answer.text);
    }
}

/// The first poll puts the command in the queue; tokio's task budget must not delay it.
#[tokio::test]
async fn a_command_starts_even_if_the_task_budget_is_spent() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(2_000);
    for n in 0..1_000 {
        let sender = sender.clone();
        let future = guarded(n, || async move {
            sender.send(n).await.expect("an open channel");
            Answer {
                failed: false,
                text: String::new(),
            }
        });
        let mut command = Command {
            id: n,
            device: None,
            effect: Effect::Output,
            future,
        };
        assert!(command.start().is_some(), "command {n}");
    }
    let mut seen = Vec::new();
    assert_eq!(receiver.recv_many(&mut seen, 1_000).await, 1_000);
    assert!(seen.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_sensor_query_ends() {
    let future = futures::future::pending().boxed();
    let answer = limited(3, Effect::Input, future).await;
    assert!(
        answer.failed && answer.text.contains("2000 ms"),
        "{}",
        answer.text
    );
}
