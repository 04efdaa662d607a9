//! Finds what a file gives to its devices and their protocols cannot carry out.

use buttplug_core::message::OutputType;
use buttplug_server_device_config::{
    BaseDeviceIdentifier, DeviceConfigurationManager, ServerDeviceDefinition, ServerDeviceFeature,
    ServerDeviceFeatureOutput,
};
use serde_json::Value;

use super::probe::{Outcome, Trial, try_all};
use super::{CURRENT_MAJOR, Udcf, protocols, tcode};

/// At most so many names are listed in a sentence.
const NAMES_MAX: usize = 8;

/// A name that devices may connect with, its protocol, and their definition.
struct Named<'a> {
    name: String,
    protocol: String,
    definition: &'a ServerDeviceDefinition,
    /// It is defined in this file.
    is_own: bool,
}

impl<'a> Named<'a> {
    /// A name of a protocol; `None` if `loaded` has no definition for it.
    fn of(loaded: &'a DeviceConfigurationManager, name: String, protocol: String) -> Option<Self> {
        let definitions = loaded.base_device_definitions();
        let own = BaseDeviceIdentifier::new_with_identifier(&protocol, &name);
        let default = BaseDeviceIdentifier::new_default(&protocol);
        let definition = definitions.get(&own).or_else(|| definitions.get(&default))?;
        Some(Self {
            is_own: definitions.contains_key(&own) && !protocols::has_configuration(&protocol, &name),
            name,
            protocol,
            definition,
        })
    }

    fn trial(&self) -> Trial<'_> {
        Trial {
            protocol: &self.protocol,
            name: &self.name,
            definition: self.definition,
        }
    }
}

impl Udcf {
    /// Reports names that their protocol does not accept, outputs that it cannot carry out, and ranges that it would
    /// misunderstand.
    pub(super) fn protocol_warnings(&self, loaded: &DeviceConfigurationManager) -> Vec<String> {
        let names = self.websocket_names().into_iter().chain(self.bridged_names());
        let named: Vec<_> = names
            .filter_map(|(name, protocol)| Named::of(loaded, name, protocol))
            .collect();
        let trials: Vec<Trial<'_>> = named.iter().map(Named::trial).collect();
        let mut warnings = Vec::new();
        for (named, outcome) in named.iter().zip(try_all(&trials)) {
            let protocol = &named.protocol;
            if outcome.refused {
                warnings.push(refusal(named));
            }
            if !named.is_own {
                continue;
            }
            for feature in named.definition.features().values() {
                for output in feature.output.iter().filter(|output| !output.is_disabled()) {
                    if lacks(protocol, &outcome, feature, output) {
                        warnings.push(lack(named, &outcome, output.output_type()));
                    }
                }
            }
        }
        warnings.extend(self.tcode_range_warnings());
        warnings
    }

    /// Reports ranges of TCode outputs that begin or end elsewhere than the decimal fraction does.
    fn tcode_range_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        // The migration has already converted the ranges of older versions.
        if self.major != CURRENT_MAJOR {
            return warnings;
        }
        let configurations = &self.value["user_configs"]["protocols"][tcode::PROTOCOL]["configurations"];
        for configuration in configurations.as_array().into_iter().flatten() {
            let features = configuration["features"].as_array().into_iter().flatten();
            let outputs = features.flat_map(|feature| feature["output"].as_object().into_iter().flatten());
            for (kind, properties) in outputs {
                let whole = match kind.as_str() {
                    "vibrate" => 99,
                    "position" | "hw_position_with_duration" => 999,
                    _ => continue,
                };
                let range = &properties["value"];
                let (Some(start), Some(end)) = (range[0].as_i64(), range[1].as_i64()) else {
                    continue;
                };
                let name = &configuration["name"];
                if end > 0 && start != 0 {
                    warnings.push(tcode_start(kind, name, start, end, whole));
                } else if end > 0 && end != whole {
                    warnings.push(tcode_range(kind, name, end, whole));
                }
            }
        }
        warnings
    }
}

/// Why a protocol that knows its models by name does not take this one, with names that it takes; `None` if the name is
/// not the reason. Takes milliseconds.
pub fn refused_name(loaded: &DeviceConfigurationManager, protocol: &str, name: &str) -> Option<String> {
    let named = Named::of(loaded, name.to_owned(), protocol.to_owned())?;
    let outcome = try_all(&[named.trial()]).pop()?;
    outcome.refused.then(|| refusal(&named))
}

/// Whether a protocol cannot carry out an output of a feature, as far as `outcome` tells. For TCode the gateway sends
/// what the library lacks.
pub(super) fn lacks(
    protocol: &str,
    outcome: &Outcome,
    feature: &ServerDeviceFeature,
    output: &ServerDeviceFeatureOutput,
) -> bool {
    match protocol {
        tcode::PROTOCOL => tcode::channel(feature, output).is_none(),
        _ => outcome.impossible.contains(&output.output_type()),
    }
}

/// A sentence about an output that a configuration has and its protocol lacks.
fn lack(named: &Named<'_>, outcome: &Outcome, kind: OutputType) -> String {
    let Named { name, protocol, .. } = named;
    let kind = key(kind);
    if protocol == tcode::PROTOCOL {
        return format!(
            "the configuration of {name:?} has {kind} without a TCode axis: nothing moves; a level names its channel in \
             \"description\", such as \"A0 Valve\", one for each feature, and an axis that turns or moves to a place is \
             hw_position_with_duration or position"
        );
    }
    format!(
        "the configuration of {name:?} has {kind}, which the server's {protocol} cannot carry out: nothing moves{}",
        alternatives(outcome)
    )
}

/// A sentence about the effect of a TCode range that ends at `end` instead of `whole`.
fn tcode_range(kind: &str, configuration: &Value, end: i64, whole: i64) -> String {
    let there = if end < whole {
        // 0 to 999 is a thousand steps.
        let percent = end as f64 * 100.0 / (whole + 1) as f64;
        format!("goes no further than {percent} %")
    } else {
        format!("jumps back to 10 % beyond {whole}")
    };
    format!(
        "the value of {kind} of the configuration {configuration} is 0 to {end}, but TCode reads digits as a decimal \
         fraction: write [0, {whole}] for the whole travel; the server inside takes 0 to {end} as that, but another \
         one, such as Intiface, {there}"
    )
}

/// A sentence about a range of TCode that begins at `start`, but should be 0 to `whole`.
fn tcode_start(kind: &str, configuration: &Value, start: i64, end: i64, whole: i64) -> String {
    let here = match start < 0 {
        true => "apps are offered values below 0, and get an Error for them".to_owned(),
        false => {
            format!("0 to {end} is the whole travel here; a limit is the value of an output in \"devices\"")
        }
    };
    format!(
        "the value of {kind} of the configuration {configuration} is {start} to {end}, but a TCode axis begins at 0: write \
         [0, {whole}] for the whole travel; {here}"
    )
}

/// A sentence about a name that is refused, with names that are not.
fn refusal(named: &Named<'_>) -> String {
    let Named { name, protocol, .. } = named;
    let models = protocols::models(protocol);
    let trials: Vec<Trial<'_>> = models
        .iter()
        .map(|(model, definition)| Trial {
            protocol,
            name: model,
            // A configuration of the user's own keeps its definition under another name.
            definition: if named.is_own {
                named.definition
            } else {
                definition
            },
        })
        .collect();
    let taken = trials.iter().zip(try_all(&trials));
    let taken: Vec<String> = taken
        .filter(|(_, outcome)| !outcome.refused)
        .map(|(trial, _)| format!("{:?}", trial.name))
        .take(NAMES_MAX)
        .collect();
    let start = format!("the server's {protocol} knows its models by name, and {name:?} is none of them: ");
    match (taken.is_empty(), named.is_own) {
        (false, _) => format!("{start}call the device {}", taken.join(" or ")),
        (true, true) => {
            format!(
                "{start}its configuration needs the \"protocol_variant\" of a model, and the device its name"
            )
        }
        (true, false) => format!("{start}the device never appears"),
    }
}

fn alternatives(outcome: &Outcome) -> String {
    let possible: Vec<String> = outcome.possible.iter().map(|kind| key(*kind)).collect();
    if possible.is_empty() {
        return String::new();
    }
    format!("; it has {}", possible.join(", "))
}

/// The name of an output in a UDCF.
pub(super) fn key(kind: OutputType) -> String {
    let mut key = String::new();
    for c in kind.to_string().chars() {
        if c.is_ascii_uppercase() && !key.is_empty() {
            key.push('_');
        }
        key.push(c.to_ascii_lowercase());
    }
    key
}
