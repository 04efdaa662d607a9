//! Compares the conversion with the library's own, and with what clients see; and no command leaves a limit.

use std::collections::BTreeMap;

use buttplug_core::message::{
    ButtplugMessageSpecVersion as Version, DeviceMessageInfoV4, OutputCmdV4, RequestServerInfoV4,
};
use buttplug_core::util::range::RangeInclusive;
use buttplug_server::message::spec_enums::ButtplugCheckedClientMessageV4;

use buttplug_server::message::{
    ButtplugServerMessageV3, ButtplugServerMessageVariant, DeviceAddedV3, RotationSubcommandV1,
    ScalarSubcommandV3, VectorSubcommandV1, VibrateSubcommandV1,
};
use buttplug_server::{ButtplugServer, ButtplugServerBuilder};
use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinitionBuilder,
    ServerDeviceFeatureOutputHwPositionWithDurationProperties as Timed,
    ServerDeviceFeatureOutputPositionProperties as Untimed,
    ServerDeviceFeatureOutputValueProperties as Level,
};
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::clients::commands::check_output;
use crate::clients::commands::tests::simulated;
use crate::clients::wire;

/// A command of each kind for the `n`-th output that it counts.
fn commands(device: u32, n: u32, at: f64, clockwise: bool) -> Vec<ButtplugClientMessageVariant> {
    use ButtplugClientMessageVariant as M;
    let mut commands: Vec<M> = vec![
        M::V0(SingleMotorVibrateCmdV0::new(device, at).into()),
        M::V1(VibrateCmdV1::new(device, vec![VibrateSubcommandV1::new(n, at)]).into()),
        M::V2(RotateCmdV1::new(device, vec![RotationSubcommandV1::new(n, at, clockwise)]).into()),
        M::V3(LinearCmdV1::new(device, vec![VectorSubcommandV1::new(n, 100, at)]).into()),
    ];
    commands.extend(
        [
            OutputType::Vibrate,
            OutputType::Rotate,
            OutputType::Oscillate,
            OutputType::Constrict,
            OutputType::Position,
        ]
        .map(|kind| M::V3(ScalarCmdV3::new(device, vec![ScalarSubcommandV3::new(n, at, kind)]).into())),
    );
    commands
}

/// The library's conversion for a message version.
async fn converter(server: &ButtplugServer, version: Version) -> ButtplugServer {
    let converter = ButtplugServerBuilder::with_shared_device_manager(server.device_manager())
        .finish()
        .expect("a server");
    let hello = RequestServerInfoV4::new("test", version, 0);
    let greeted = converter.parse_checked_message(hello.into()).await;
    greeted.expect("a handshake");
    converter
}

/// The gateway scales positions in another way, but to the same ends; simulated devices have no limits.
#[tokio::test]
async fn a_command_is_converted_as_the_library_does_it() {
    let (server, devices) = simulated().await;
    let (reference, references) = simulated().await;
    let mut observed = Box::pin(server.output_observation_stream().expect("observations are on"));
    let mut expected = Box::pin(
        reference
            .output_observation_stream()
            .expect("observations are on"),
    );
    let mut converters = BTreeMap::new();
    for version in [
        Version::Version0,
        Version::Version1,
        Version::Version2,
        Version::Version3,
    ] {
        converters.insert(version as u32, converter(&reference, version).await);
    }
    let (mut passed, mut refused) = (0, 0);
    for (kind, (index, device)) in &devices {
        let all = device
            .features()
            .values()
            .flat_map(|feature| feature.output.iter());
        let scalars = all
            .filter(|output| !matches!(output, Output::HwPositionWithDuration(_)))
            .count();
        for n in 0..3 {
            for (at, clockwise) in [(0.0, true), (0.5, false), (1.0, true), (0.5, true)] {
                let pairs = commands(*index, n, at, clockwise).into_iter().zip(commands(
                    references[kind].0,
                    n,
                    at,
                    clockwise,
                ));
                for (ours, theirs) in pairs {
                    // The library takes this for a success, although nothing is there.
                    if scalars == 0
                        && matches!(
                            ours,
                            ButtplugClientMessageVariant::V3(ButtplugClientMessageV3::ScalarCmd(_))
                        )
                    {
                        continue;
                    }
                    let what = format!("{kind}: {ours:?}");
                    let converted = check(&ours, device).expect("a command that sets outputs");
                    let ours = match converted {
                        Ok(message) => {
                            passed += 1;
                            server
                                .parse_checked_message(message.into())
                                .await
                                .map(drop)
                                .map_err(|e| e.error_message().clone())
                        }
                        Err(e) => {
                            refused += 1;
                            Err(wire::error(1, e).error_message().clone())
                        }
                    };
                    let converter = &converters[&(theirs.version() as u32)];
                    let theirs = match converter.parse_message(theirs).await {
                        Ok(_) => Ok(()),
                        Err(e) => Err(error_text(&e)),
                    };
                    assert_eq!(ours, theirs, "{what}");
                    loop {
                        let seen = tokio::task::unconstrained(observed.next())
                            .now_or_never()
                            .flatten();
                        let wanted = tokio::task::unconstrained(expected.next())
                            .now_or_never()
                            .flatten();
                        let is_over = seen.is_none() && wanted.is_none();
                        assert_eq!(
                            seen.map(|o| (o.feature_index, o.output_type, o.value)),
                            wanted.map(|o| (o.feature_index, o.output_type, o.value)),
                            "{what}"
                        );
                        if is_over {
                            break;
                        }
                    }
                }
            }
        }
    }
    assert!(passed > 50 && refused > 50, "{passed} passed, {refused} refused");
}

fn error_text(message: &ButtplugServerMessageVariant) -> String {
    let text = wire::encode(std::slice::from_ref(message));
    let reply: Value = serde_json::from_str(&text).expect("JSON");
    reply[0]["Error"]["ErrorMessage"]
        .as_str()
        .expect("an Error")
        .to_owned()
}

fn range(both_ways: bool) -> impl Strategy<Value = RangeWithLimit> {
    (1..=1_000_i32).prop_flat_map(move |full| {
        let end = full.unsigned_abs();
        let pair = (0..=end, 0..=end).prop_map(|(a, b)| RangeInclusive::new(a.min(b), a.max(b)));
        let base = RangeInclusive::new(if both_ways { -full } else { 0 }, full);
        proptest::option::of(pair).prop_map(move |user| RangeWithLimit::new_with_user(base, user))
    })
}

fn output() -> impl Strategy<Value = Output> {
    let duration = || RangeWithLimit::new(RangeInclusive::new(0, 10_000));
    prop_oneof![
        (range(false), any::<bool>()).prop_map(|(r, off)| Output::Vibrate(Level::new(r, off))),
        (range(false), any::<bool>()).prop_map(|(r, off)| Output::Oscillate(Level::new(r, off))),
        (range(true), any::<bool>()).prop_map(|(r, off)| Output::Rotate(Level::new(r, off))),
        (range(false), any::<(bool, bool)>())
            .prop_map(|(r, (off, reversed))| Output::Position(Untimed::new(r, off, reversed))),
        (range(false), any::<(bool, bool)>()).prop_map(move |(r, (off, reversed))| {
            Output::HwPositionWithDuration(Timed::new(r, duration(), off, reversed))
        }),
    ]
}

fn device() -> impl Strategy<Value = ServerDeviceDefinition> {
    let feature = proptest::collection::vec(output(), 1..=3);
    proptest::collection::vec(feature, 1..=4).prop_map(|features| {
        let mut device = ServerDeviceDefinitionBuilder::new("test", &Uuid::nil());
        for (n, mut outputs) in (0..).zip(features) {
            let mut kinds = Vec::new();
            outputs.retain(|output| {
                let kind = output.output_type();
                let is_new = !kinds.contains(&kind);
                kinds.push(kind);
                is_new
            });
            device.add_feature(&ServerDeviceFeature::new(
                n,
                String::new(),
                Uuid::from_u128(n.into()),
                None,
                None,
                outputs.into(),
                Vec::new().into(),
            ));
        }
        device.finish()
    })
}

fn position(output: &Output) -> Option<&RangeWithLimit> {
    match output {
        Output::Position(p) => Some(&p.value),
        Output::HwPositionWithDuration(p) => Some(&p.value),
        _ => None,
    }
}

/// Whether a command is inside all limits that the user set for its output.
fn is_allowed(command: &CheckedOutputCmdV4, device: &ServerDeviceDefinition) -> bool {
    let feature = &device.features()[&command.feature_index()];
    let command = command.output_command();
    let output = feature
        .get_output(command.as_output_type())
        .expect("an output of it");
    let value = command.value();
    if output.is_disabled() {
        return false;
    }
    let limits = |range: &RangeWithLimit| {
        let limits = range.internal();
        (i64::from(limits.start()), i64::from(limits.end()))
    };
    match position(output) {
        Some(own) => feature.output.iter().filter_map(position).all(|range| {
            let (low, high) = limits(range);
            let (full, own) = (i64::from(range.base.end()), i64::from(own.base.end()));
            let at = i64::from(value) * full;
            at >= low * own && at <= high * own
        }),
        None => {
            let range = &output.as_value_properties().expect("a level").value;
            let (low, high) = limits(range);
            let magnitude = i64::from(value.unsigned_abs());
            // The library refuses a sign for outputs that have none.
            value == 0 || (low..=high).contains(&magnitude)
        }
    }
}

/// The device as clients of version 3 see it.
fn seen(device: &ServerDeviceDefinition) -> Value {
    let features = device.features().values();
    let features = features.map(|feature| (feature.index(), feature.as_device_feature().expect("a feature")));
    let info = DeviceMessageInfoV4::new(7, "test", &None, 0, &features.collect());
    let added = ButtplugServerMessageV3::DeviceAdded(DeviceAddedV3::from(info));
    let text = wire::encode(&[added.into()]);
    let added: Value = serde_json::from_str(&text).expect("JSON");
    added[0]["DeviceAdded"]["DeviceMessages"].clone()
}

proptest! {
    #[test]
    fn no_command_of_any_version_leaves_a_limit(
        device in device(), n in 0_u32..8, at in prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0_f64], clockwise: bool,
        feature in 0_u32..4, value in prop_oneof![-1_100..=1_100_i32, any::<i32>()],
    ) {
        for message in commands(7, n, at, clockwise) {
            let Some(Ok(converted)) = check(&message, &device) else { continue };
            for command in converted.value_vec() {
                prop_assert!(is_allowed(command, &device), "{message:?}: {command:?}");
            }
        }
        let timed = OutputHwPositionWithDuration::new(value.unsigned_abs(), 100);
        for command in [
            OutputCommand::Vibrate(OutputValue::new(value)),
            OutputCommand::Rotate(OutputValue::new(value)),
            OutputCommand::Oscillate(OutputValue::new(value)),
            OutputCommand::Position(OutputValue::new(value)),
            OutputCommand::HwPositionWithDuration(timed),
        ] {
            let checked = check_output(&OutputCmdV4::new(7, feature, command), Some(&device));
            let Ok(ButtplugCheckedClientMessageV4::OutputCmd(checked)) = checked else { continue };
            prop_assert!(is_allowed(&checked, &device), "{command:?}: {checked:?}");
        }
    }

    #[test]
    fn what_clients_see_is_what_they_can_set(device in device(), at in 0.0..=1.0_f64) {
        let seen = seen(&device);
        let count = |name: &str| {
            let all = seen[name].as_array().map_or(0, Vec::len);
            u32::try_from(all).expect("few")
        };
        let set = |message: ButtplugClientMessageVariant| check(&message, &device).expect("it sets outputs");
        let excluded = |why: &ButtplugError| why.to_string().contains("exclude each other");
        for (n, scalar) in (0..).zip(seen["ScalarCmd"].as_array().into_iter().flatten()) {
            let kind: OutputType = serde_json::from_value(scalar["ActuatorType"].clone()).expect("a kind");
            let scalar = ScalarCmdV3::new(7, vec![ScalarSubcommandV3::new(n, at, kind)]);
            let set = set(ButtplugClientMessageVariant::V3(scalar.into()));
            prop_assert!(set.as_ref().err().is_none_or(excluded), "{kind} {n} of {seen}: {set:?}");
        }
        for n in 0..=count("LinearCmd") {
            let linear = LinearCmdV1::new(7, vec![VectorSubcommandV1::new(n, 100, at)]);
            let set = set(ButtplugClientMessageVariant::V3(linear.into()));
            let is_set = set.as_ref().err().is_none_or(excluded);
            prop_assert_eq!(is_set, n < count("LinearCmd"), "linear {} of {}: {:?}", n, &seen, set);
        }
        for n in 0..=count("RotateCmd") {
            let rotate = RotateCmdV1::new(7, vec![RotationSubcommandV1::new(n, at, true)]);
            let set = set(ButtplugClientMessageVariant::V3(rotate.into()));
            prop_assert_eq!(set.is_ok(), n < count("RotateCmd"), "rotate {} of {}: {:?}", n, &seen, set);
        }
        let vibrators = seen["ScalarCmd"].as_array().into_iter().flatten();
        let vibrators = vibrators.filter(|scalar| scalar["ActuatorType"] == "Vibrate").count();
        for n in 0..=vibrators {
            let index = u32::try_from(n).expect("few");
            let vibrate = VibrateCmdV1::new(7, vec![VibrateSubcommandV1::new(index, at)]);
            let set = set(ButtplugClientMessageVariant::V2(vibrate.into()));
            prop_assert_eq!(set.is_ok(), n < vibrators, "vibrate {} of {}: {:?}", n, &seen, set);
        }
    }
}
