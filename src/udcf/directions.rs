//! Which way positions count: what a file says of the two outputs of an axis, if it says two things.

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use serde_json::Value;

use super::{Udcf, axis};

/// The outputs that move one axis.
const POSITIONS: [&str; 2] = ["position", "hw_position_with_duration"];

impl Udcf {
    /// Reports features whose outputs contradict each other. One that leaves the key out does not.
    pub(super) fn contradictory_directions(&self, loaded: &DeviceConfigurationManager) -> Vec<String> {
        let mut warnings = Vec::new();
        for (_, entry) in self.protocols() {
            for configuration in list(&entry["configurations"]) {
                for (at, feature) in list(&configuration["features"]).enumerate() {
                    let says = |wanted| saying(feature, "reverse_position", wanted);
                    if says(true).is_some()
                        && let Some(forward) = says(false)
                    {
                        let of = format!("feature {at} of the configuration {}", configuration["name"]);
                        warnings.push(contradiction(forward, "reverse_position", &of));
                    }
                }
            }
        }
        for device in list(&self.value["user_configs"]["devices"]) {
            let text = |field: &str| device["identifier"][field].as_str().map(str::to_owned);
            let (Some(address), Some(protocol)) = (text("address"), text("protocol")) else {
                continue;
            };
            let id = UserDeviceIdentifier::new(&address, &protocol, &text("identifier"));
            let Some(definition) = loaded.user_device_definitions().get(&id) else {
                continue;
            };
            for feature in list(&device["config"]["features"]) {
                let is_it = |id: String| {
                    feature["id"]
                        .as_str()
                        .is_some_and(|own| own.eq_ignore_ascii_case(&id))
                };
                let mut features = definition.features().values();
                // The other output may be reversed by the configuration.
                let reversed = features.find(|f| is_it(f.id().to_string()) && axis::is_reversed(f));
                if let (Some(feature), Some(forward)) = (reversed, saying(feature, "reverse", false)) {
                    let of = format!("feature {} of the device {address:?}", feature.index());
                    warnings.push(contradiction(forward, "reverse", &of));
                }
            }
        }
        warnings
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The output of a feature that says this of its direction.
fn saying(feature: &Value, key: &str, wanted: bool) -> Option<&'static str> {
    let mut outputs = POSITIONS.into_iter();
    outputs.find(|output| feature["output"][output][key] == wanted)
}

fn contradiction(forward: &str, key: &str, of: &str) -> String {
    format!(
        "{of} is not to be reversed by {forward}, and is by another output: both move one axis, which is reversed; write \
         the same {key:?} for both"
    )
}
