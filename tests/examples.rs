//! Every folder of `udcf-examples/` is complete, loads, and gives the devices that its `expected.json` names.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use buttplug_core::message::OutputType;
use buttplug_server_device_config::{
    DeviceConfigurationManager, ProtocolCommunicationSpecifier, ServerDeviceDefinition, UserDeviceIdentifier,
    load_protocol_configs,
};
use serde::Deserialize;
use serde_json::Value;
use wsdm_gateway::udcf::Udcf;

/// What an example's `expected.json` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    devices: Vec<ExpectedDevice>,
}

/// One device that the example makes possible.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedDevice {
    /// The identifier of its handshake.
    websocket: String,
    protocol: String,
    /// What the protocol's initialisation makes of it: the model of a lovense, else the websocket name.
    identifier: String,
    /// Given where the UDCF says something of this one device.
    address: Option<String>,
    name: String,
    display_name: Option<String>,
    /// Given where the UDCF fixes it.
    index: Option<u32>,
    /// As a Buttplug client sees them, message version 4.
    features: Value,
    /// By feature index and output type: what reaches the device for a client's least and greatest value.
    hardware: BTreeMap<u32, BTreeMap<String, [i32; 2]>>,
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("udcf-examples");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "udcf-examples/ has no folder");
    folders
}

fn read(folder: &Path, file: &str) -> String {
    let path = folder.join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn expected(folder: &Path) -> Vec<ExpectedDevice> {
    let expected: Expected = serde_json::from_str(&read(folder, "expected.json"))
        .unwrap_or_else(|e| panic!("{}/expected.json: {e}", folder.display()));
    assert!(
        !expected.devices.is_empty(),
        "{}: no device is expected",
        folder.display()
    );
    expected.devices
}

fn major(udcf: &str) -> u64 {
    let udcf: Value = serde_json::from_str(udcf).unwrap();
    udcf["version"]["major"].as_u64().unwrap()
}

fn server_loads(udcf: String) -> Result<DeviceConfigurationManager, String> {
    load_protocol_configs(&None, &Some(udcf), false)
        .and_then(|mut builder| builder.finish())
        .map_err(|e| e.to_string())
}

/// Every websocket name that the user's file adds, with its protocol.
fn websocket_names(dcm: &DeviceConfigurationManager) -> BTreeSet<(String, String)> {
    let mut names = BTreeSet::new();
    for entry in dcm.user_communication_specifiers() {
        for specifier in entry.value() {
            if let ProtocolCommunicationSpecifier::Websocket(websocket) = specifier {
                names.insert((websocket.name().clone(), entry.key().clone()));
            }
        }
    }
    names
}

/// The least and the greatest value that reach the hardware, by feature and output type.
fn hardware_range(definition: &ServerDeviceDefinition) -> BTreeMap<u32, BTreeMap<String, [i32; 2]>> {
    let mut ranges = BTreeMap::new();
    for feature in definition.features().values().filter(|f| f.has_output()) {
        let outputs: &mut BTreeMap<_, _> = ranges.entry(feature.index()).or_default();
        for output in feature.output.iter() {
            let seen = serde_json::to_value(feature.as_device_feature().unwrap()).unwrap();
            let kind: OutputType = output.output_type();
            let steps = &seen["Output"][kind.to_string()]["Value"][1];
            let greatest = i32::try_from(steps.as_i64().unwrap()).unwrap();
            let at = |steps| output.calculate_from_value(steps).unwrap();
            outputs.insert(kind.to_string(), [at(1), at(greatest)]);
        }
    }
    ranges
}

fn assert_devices(folder: &Path, dcm: &DeviceConfigurationManager) {
    let devices = expected(folder);
    let wanted: BTreeSet<_> = devices
        .iter()
        .map(|d| (d.websocket.clone(), d.protocol.clone()))
        .collect();
    assert_eq!(
        websocket_names(dcm),
        wanted,
        "websocket names of {}",
        folder.display()
    );

    for (n, device) in devices.into_iter().enumerate() {
        let what = format!("device {n} of {}", folder.display());
        let address = device.address.unwrap_or_else(|| format!("address-{n}"));
        let identifier = UserDeviceIdentifier::new(&address, &device.protocol, &Some(device.identifier));
        let definition = dcm
            .device_definition(&identifier)
            .unwrap_or_else(|| panic!("{what} is not known"));

        assert_eq!(definition.name(), &device.name, "name of {what}");
        assert_eq!(
            definition.display_name(),
            &device.display_name,
            "display name of {what}"
        );
        if let Some(index) = device.index {
            assert_eq!(definition.index(), index, "index of {what}");
        }
        let features: Vec<_> = definition
            .features()
            .values()
            .map(|f| f.as_device_feature().unwrap())
            .collect();
        let features = serde_json::to_value(features).unwrap();
        assert_eq!(features, device.features, "features of {what}");
        assert_eq!(
            hardware_range(&definition),
            device.hardware,
            "hardware values of {what}"
        );
    }
}

#[test]
fn every_folder_is_complete() {
    for folder in folders() {
        let readme = read(&folder, "README.md");
        let path = format!(
            "udcf-examples/{}/udcf.json",
            folder.file_name().unwrap().display()
        );
        assert!(
            readme.contains(&path),
            "{}/README.md does not run {path}",
            folder.display()
        );
        assert!(!expected(&folder).is_empty());
        assert!(major(&read(&folder, "udcf.json")) >= 2);
    }
}

#[test]
fn every_version_5_example_holds_by_the_published_schema() {
    let schema = include_str!("../src/udcf/schema-v5.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let mut checked = 0;
    for folder in folders() {
        let udcf: Value = serde_json::from_str(&read(&folder, "udcf.json")).unwrap();
        if udcf["version"]["major"] == 5 {
            let faults: Vec<_> = schema
                .iter_errors(&udcf)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{}: {faults:#?}", folder.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no example is of version 5");
}

#[test]
fn every_version_5_example_loads_through_the_servers_own_loader() {
    let mut checked = 0;
    for folder in folders() {
        let udcf = read(&folder, "udcf.json");
        if major(&udcf) == 5 {
            let dcm = server_loads(udcf).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            assert_devices(&folder, &dcm);
            checked += 1;
        }
    }
    assert!(checked > 0, "no example is of version 5");
}

#[test]
fn the_documentations_file_is_refused_by_the_servers_own_loader() {
    // Why the example exists: what the server refuses, the gateway migrates (next test).
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("udcf-examples/v2-documentation");
    let udcf = read(&folder, "udcf.json");
    assert_eq!(major(&udcf), 2);
    assert!(server_loads(udcf).is_err());
}

#[test]
fn every_example_loads_through_the_gateway() {
    for folder in folders() {
        let udcf =
            Udcf::load(&folder.join("udcf.json")).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        assert!(
            udcf.warnings().is_empty(),
            "{}: {:?}",
            folder.display(),
            udcf.warnings()
        );
        let migrated = major(&read(&folder, "udcf.json")) < 5;
        assert_eq!(
            udcf.summary().is_some(),
            migrated,
            "summary for {}",
            folder.display()
        );
        let dcm = udcf
            .device_configuration()
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        assert_devices(&folder, &dcm);
    }
}
