//! Compares features: kinds of outputs and inputs, ranges, limits, descriptions.

use serde_json::Value;

use super::super::base::Base;
use super::super::kinds::{
    both_ways, current_output, ends, feature_type, input_key, kind_of_message, message_names, output_key,
    step_range,
};
use super::super::{either, tcode};
use super::{Compare, members};
use crate::udcf::remark::{elements, step};

/// The messages of the older versions. Version 5 derives them from the kinds of outputs and inputs.
const MESSAGES: &[&str] = &[
    "ScalarCmd",
    "VibrateCmd",
    "LinearCmd",
    "RotateCmd",
    "SensorReadCmd",
    "SensorSubscribeCmd",
    "SensorUnsubscribeCmd",
    "StopDeviceCmd",
];

/// What the result has for the features of one device or configuration.
pub(super) struct Counted<'c> {
    protocol: String,
    /// The features that say what the device has.
    definition: Vec<Value>,
    /// The settings of a device's features, by the ids of the definition's; `None` for a configuration.
    settings: Option<&'c Value>,
}

impl<'c> Counted<'c> {
    pub(super) fn of_configuration(protocol: &str, configuration: &Value) -> Self {
        Self {
            protocol: protocol.to_owned(),
            definition: configuration["features"].as_array().cloned().unwrap_or_default(),
            settings: None,
        }
    }

    pub(super) fn of_device(protocol: &str, base: Option<Base>, config: &'c Value) -> Self {
        Self {
            protocol: protocol.to_owned(),
            definition: base.map(|base| base.features).unwrap_or_default(),
            settings: Some(&config["features"]),
        }
    }

    /// The nth feature with such an output or input.
    fn nth(&self, part: &str, kind: &str, nth: usize) -> Option<&Value> {
        let mut with = self
            .definition
            .iter()
            .filter(|feature| feature[part].get(kind).is_some());
        with.nth(nth)
    }

    /// What a device sets for an output.
    fn setting(&self, feature: &Value, kind: &str) -> &Value {
        let settings = self.settings.and_then(Value::as_array).into_iter().flatten();
        let mut of_feature = settings.filter(|setting| setting["base_id"] == feature["id"]);
        of_feature
            .next()
            .map_or(&Value::Null, |setting| &setting["output"][kind])
    }

    /// Whether the whole range of an output is the one that was `range` in the original.
    fn has_range(&self, feature: &Value, kind: &str, range: [i64; 2], both_ways: bool) -> bool {
        let now = ends(&feature["output"][kind]["value"]);
        match tcode::full(&self.protocol, kind) {
            Some(full) if range[1] > 0 => {
                now == Some([0, full]) && (range[0] == 0 || self.settings.is_some())
            }
            _ if both_ways => now == Some([range[1].saturating_neg(), range[1]]),
            // A range that does not begin at 0 is a limit as well.
            _ => now == Some(range) || (self.settings.is_some() && now == Some([range[0].min(0), range[1]])),
        }
    }

    /// Whether a device is limited to this part of a range, which had `steps` steps in the original.
    fn has_limit(&self, feature: &Value, kind: &str, limit: [i64; 2], steps: Option<i64>) -> bool {
        let setting = self.setting(feature, kind);
        if setting["disabled"] == true {
            return true;
        }
        let meant = match tcode::full(&self.protocol, kind) {
            Some(full) => tcode::scaled(
                limit,
                steps.unwrap_or_else(|| tcode::likely_steps(limit[1])),
                full,
            ),
            None => limit,
        };
        let whole = ends(&feature["output"][kind]["value"]);
        match ends(&setting["value"]) {
            Some(now) => now == meant || (limit[0] < 0 && now == [0, meant[1]]),
            None => whole == Some(meant),
        }
    }

    /// Whether an output has such a property, of the definition or of the device.
    fn has_property(&self, feature: &Value, kind: &str, name: &str, value: &Value) -> bool {
        let (defined, set) = (&feature["output"][kind][name], &self.setting(feature, kind)[name]);
        let is_same = |now: &Value| now == value;
        if is_same(set) || is_same(defined) {
            return true;
        }
        let (Some(old), Some(full)) = (ends(value), tcode::full(&self.protocol, kind)) else {
            // One limit for both directions.
            return ends(value).is_some_and(|[low, high]| low < 0 && ends(set) == Some([0, high]));
        };
        // A whole range in a configuration; in a device a limit, in steps of that range or in those of TCode.
        name == "value"
            && match self.settings {
                None => ends(defined) == Some([0, full]),
                Some(_) => ends(set).is_some_and(|now| now == [old[0], old[1].min(full)] || now[1] <= full),
            }
    }
}

impl Compare<'_> {
    pub(super) fn features(&mut self, at: &str, list: &Value, counted: &Counted<'_>) {
        if !list.is_array() {
            return self.report(at, "features", list);
        }
        let mut before: Vec<String> = Vec::new();
        for (i, feature) in elements(list) {
            let at = step(at, i);
            if !feature.is_object() {
                self.report(&at, "features", feature);
            } else if feature.get("output").is_some() || feature.get("input").is_some() {
                self.feature(&at, feature, counted, &mut before);
            } else {
                self.old_feature(&at, feature, counted, &mut before);
            }
        }
    }

    /// A feature as in versions 4 and 5.
    fn feature(&mut self, at: &str, old: &Value, counted: &Counted<'_>, before: &mut Vec<String>) {
        let mut new = None;
        for part in ["output", "input"] {
            let at = step(at, part);
            for (name, properties) in members(&old[part]) {
                let at = step(&at, name);
                let kind = current_output(name).filter(|_| part == "output").unwrap_or(name);
                let nth = count(before, &format!("{part}/{kind}"));
                let Some(feature) = counted.nth(part, kind, nth) else {
                    self.report(&at, name, properties);
                    continue;
                };
                new = Some(feature);
                for (property, value) in members(properties) {
                    let is_there = match part {
                        "output" => counted.has_property(feature, kind, property, value),
                        _ => feature[part][kind][property] == *value,
                    };
                    self.report_unless(is_there, &step(&at, property), property, value);
                }
                self.report_unless(properties.is_object(), &at, name, properties);
            }
        }
        for (key, value) in members(old) {
            let at = step(at, key);
            let is_there = match key {
                // An id only ties the parts of a file together, and is looked up anew.
                "id" | "base_id" | "base-id" => true,
                "output" | "input" => value.is_object(),
                "index" => new.is_some_and(|new| new[key] == *value),
                "description" | "descriptor" => describes(new, value),
                "feature_settings" | "feature-settings" => {
                    new.is_some_and(|new| new["feature_settings"] == *value)
                }
                _ => false,
            };
            self.report_unless(is_there, &at, key, value);
        }
    }

    /// A feature as in version 3.
    fn old_feature(&mut self, at: &str, old: &Value, counted: &Counted<'_>, before: &mut Vec<String>) {
        let kind = feature_type(old);
        let actuator = old.get("actuator").unwrap_or(old);
        let messages = message_names(actuator);
        let (part, kind) = match (output_key(kind, &messages), input_key(kind)) {
            (Some(output), _) => ("output", output),
            (None, Some(input)) => ("input", input),
            (None, None) => return self.report(at, "features", old),
        };
        let nth = count(before, &format!("{part}/{kind}"));
        let Some(new) = counted.nth(part, kind, nth) else {
            return self.report(at, "features", old);
        };
        let same = Same {
            new,
            part,
            kind,
            both_ways: both_ways(kind, &messages),
            steps: step_range(actuator).map(|(_, [_, end])| end),
        };
        for (key, value) in members(old) {
            let at = step(at, key);
            match key {
                "feature-type" | "feature_type" | "actuator-type" | "actuator_type" => {
                    let is_there = value.is_string() && either(old, key) == Some(value);
                    self.report_unless(is_there, &at, key, value);
                }
                "description" | "descriptor" => {
                    self.report_unless(describes(Some(new), value), &at, key, value)
                }
                "index" => self.report_unless(new[key] == *value, &at, key, value),
                "id" => {}
                "actuator" | "sensor" if (key == "actuator") == (part == "output") => {
                    for (key, value) in members(value) {
                        self.old_property(&step(&at, key), key, value, counted, &same);
                    }
                }
                key => self.old_property(&at, key, value, counted, &same),
            }
        }
    }

    fn old_property(&mut self, at: &str, key: &str, value: &Value, counted: &Counted<'_>, same: &Same<'_>) {
        let Same {
            new,
            part,
            kind,
            both_ways,
            steps,
        } = *same;
        let is_there = match (key, part, ends(value)) {
            ("messages", ..) => return self.message_names(at, value),
            ("step-range" | "step_range" | "value", "output", Some(range)) => {
                counted.has_range(new, kind, range, both_ways)
            }
            ("step-limit" | "step_limit", "output", Some(limit)) => {
                let whole = steps.is_some_and(|steps| limit == [0, steps]);
                match counted.settings {
                    Some(_) => counted.has_limit(new, kind, limit, steps),
                    // A configuration has no limits.
                    None => whole,
                }
            }
            ("value-range" | "value_range", "input", _) => new["input"][kind]["value"] == *value,
            _ => false,
        };
        self.report_unless(is_there, at, key, value);
    }

    fn message_names(&mut self, at: &str, messages: &Value) {
        for (i, message) in elements(messages) {
            let is_known = message
                .as_str()
                .is_some_and(|message| MESSAGES.contains(&message));
            self.report_unless(is_known, &step(at, i), "messages", message);
        }
        for (message, attributes) in members(messages) {
            let at = step(at, message);
            // Some files repeat the range under each message.
            for (key, value) in members(attributes) {
                let is_range = matches!(key, "step-range" | "step_range");
                self.report_unless(is_range && ends(value).is_some(), &step(&at, key), key, value);
            }
            self.report_unless(attributes.is_object(), &at, message, attributes);
        }
        self.report_unless(
            messages.is_array() || messages.is_object(),
            at,
            "messages",
            messages,
        );
    }

    /// The `messages` of version 2.
    pub(super) fn messages(&mut self, at: &str, messages: &Value, counted: &Counted<'_>) {
        if !messages.is_object() {
            return self.report(at, "messages", messages);
        }
        let mut before: Vec<(String, Value, String)> = Vec::new();
        for (message, list) in members(messages) {
            let at = step(at, message);
            if !MESSAGES.contains(&message) || !(list.is_array() || super::is_empty(list)) {
                self.report(&at, message, list);
                continue;
            }
            for (i, attributes) in elements(list) {
                let at = step(&at, i);
                let name = kind_of_message(message, attributes);
                let (part, kind) = match (output_key(name, &[message.to_owned()]), input_key(name)) {
                    (Some(output), _) => ("output", output),
                    (None, Some(input)) => ("input", input),
                    (None, None) => {
                        self.report(&at, message, attributes);
                        continue;
                    }
                };
                // One motor may be listed under several messages.
                let is_same = |(other_kind, range, of): &&(String, Value, String)| {
                    other_kind == kind && *range == attributes["StepRange"] && of != message
                };
                let of_kind = before.iter().filter(|(other, ..)| other == kind);
                let nth = match before.iter().position(|one| is_same(&one)) {
                    Some(at) if counted.settings.is_none() => {
                        before[..at].iter().filter(|(other, ..)| other == kind).count()
                    }
                    _ => of_kind.count(),
                };
                let Some(new) = counted.nth(part, kind, nth) else {
                    self.report(&at, message, attributes);
                    continue;
                };
                before.push((
                    kind.to_owned(),
                    attributes["StepRange"].clone(),
                    message.to_owned(),
                ));
                self.attributes(&at, attributes, counted, (new, part, kind, message));
            }
        }
    }

    fn attributes(
        &mut self,
        at: &str,
        attributes: &Value,
        counted: &Counted<'_>,
        (new, part, kind, message): (&Value, &str, &str, &str),
    ) {
        for (key, value) in members(attributes) {
            let at = step(at, key);
            let is_there = match (key, part, ends(value)) {
                ("StepRange", "output", Some(range)) => match counted.settings {
                    Some(_) => counted.has_limit(new, kind, range, None),
                    None => counted.has_range(new, kind, range, both_ways(kind, &[message.to_owned()])),
                },
                ("SensorRange", "input", _) => new["input"][kind]["value"] == *value,
                ("FeatureDescriptor", ..) => describes(Some(new), value),
                ("ActuatorType" | "SensorType", ..) => {
                    let named = value.as_str().unwrap_or_default();
                    output_key(named, &[message.to_owned()]).or(input_key(named)) == Some(kind)
                }
                _ => false,
            };
            self.report_unless(is_there, &at, key, value);
        }
    }
}

/// The feature of the result that was made from one of the original.
#[derive(Clone, Copy)]
struct Same<'s> {
    new: &'s Value,
    part: &'s str,
    kind: &'s str,
    both_ways: bool,
    steps: Option<i64>,
}

/// Counts one more of a kind; returns how many there were.
fn count(before: &mut Vec<String>, kind: &str) -> usize {
    let count = before.iter().filter(|other| *other == kind).count();
    before.push(kind.to_owned());
    count
}

/// Whether a feature has this description, on its own or next to that of a feature that it was joined with.
fn describes(new: Option<&Value>, description: &Value) -> bool {
    let now = new
        .and_then(|new| new["description"].as_str())
        .unwrap_or_default();
    description.as_str().is_some_and(|before| now.contains(before))
}
