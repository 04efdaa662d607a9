//! What an old entry sets for individual outputs of a device: ranges, limits, directions.

use serde_json::{Value, json};

use super::base::Base;
use super::kinds::{
    both_ways, current_output, ends, feature_type, kind_of_message, message_names, output_key, step_range,
};
use super::{Migration, either, member, tcode};
use crate::udcf::remark::step;

/// What an old entry sets for one output.
pub(super) struct Setting {
    /// Where it stands.
    pub(super) at: String,
    /// The index of its feature.
    position: usize,
    /// The kind of output, as version 5 calls it.
    pub(super) kind: String,
    /// Its index among the settings of its kind.
    pub(super) nth: usize,
    base_id: Option<Value>,
    /// The output's whole range, in steps: version 3.
    pub(super) range: Option<[i64; 2]>,
    /// The part of it that is allowed: versions 2 and 3.
    pub(super) limit: Option<[i64; 2]>,
    pub(super) description: Option<String>,
    /// The output turns in both directions, and its range is meant for each.
    pub(super) both_ways: bool,
    /// It belongs to a list of everything that the device has.
    pub(super) of_whole_list: bool,
    /// The limit may exceed the model's range: then it is the range.
    pub(super) may_exceed: bool,
    /// As version 5 has them.
    properties: Value,
}

impl Setting {
    fn new(at: String, position: usize, kind: &str) -> Self {
        Self {
            at,
            position,
            kind: kind.to_owned(),
            nth: 0,
            base_id: None,
            range: None,
            limit: None,
            description: None,
            both_ways: false,
            of_whole_list: false,
            may_exceed: false,
            properties: json!({}),
        }
    }
}

/// The settings of an old entry: `actuator` of version 3, `output` of version 4, `messages` of version 2.
pub(super) fn settings(at: &str, config: &Value) -> Vec<Setting> {
    let mut all = Vec::new();
    let features_at = step(at, "features");
    for (position, feature) in config["features"].as_array().into_iter().flatten().enumerate() {
        let at = step(&features_at, position);
        for (kind, properties) in feature["output"].as_object().into_iter().flatten() {
            let at = step(&step(&at, "output"), kind);
            let mut setting = Setting::new(at, position, current_output(kind).unwrap_or(kind));
            setting.base_id = either(feature, "base_id").cloned();
            setting.properties = properties.clone();
            all.push(setting);
        }
        all.extend(of_feature(&at, position, feature));
    }
    let (custom_at, custom) = match member(config, "user_config") {
        Some((key, custom)) => (step(at, key), custom),
        None => (at.to_owned(), config),
    };
    let found = [(custom_at, custom), (at.to_owned(), config)]
        .into_iter()
        .find_map(|(at, of)| Some((step(&at, "messages"), of.get("messages")?)));
    if let Some((at, messages)) = found {
        all.extend(of_messages(&at, messages));
    }
    for i in 0..all.len() {
        all[i].nth = all[..i].iter().filter(|other| other.kind == all[i].kind).count();
    }
    all
}

/// The setting of a feature of version 3.
fn of_feature(at: &str, position: usize, feature: &Value) -> Option<Setting> {
    let (actuator, at) = match feature.get("actuator") {
        Some(actuator) => (actuator, step(at, "actuator")),
        None => (feature, at.to_owned()),
    };
    let messages = message_names(actuator);
    let kind = output_key(feature_type(feature), &messages)?;
    let range = step_range(actuator);
    let limit = member(actuator, "step_limit");
    let leaf = limit
        .as_ref()
        .map(|(key, _)| key)
        .or(range.as_ref().map(|(key, _)| key))?;
    let mut setting = Setting::new(step(&at, leaf), position, kind);
    setting.both_ways = both_ways(kind, &messages);
    setting.of_whole_list = true;
    setting.description = either(feature, "description")
        .and_then(Value::as_str)
        .map(str::to_owned);
    setting.range = range.map(|(_, range)| range);
    match limit {
        Some((_, limit)) => match ends(limit) {
            Some(limit) if Some(limit) != setting.range || limit[0] > 0 => setting.limit = Some(limit),
            Some(_) => {}
            None => setting.properties = json!({ "value": limit }),
        },
        // A range that does not begin at 0 is a limit of one that does.
        None => setting.limit = setting.range.filter(|[low, _]| *low > 0),
    }
    Some(setting)
}

/// The settings in the `messages` of version 2, where one range is both.
fn of_messages(at: &str, messages: &Value) -> Vec<Setting> {
    let mut all = Vec::new();
    for (message, list) in messages.as_object().into_iter().flatten() {
        let at = step(at, message);
        for (i, attributes) in list.as_array().into_iter().flatten().enumerate() {
            let kind = output_key(
                kind_of_message(message, attributes),
                std::slice::from_ref(message),
            );
            let (Some(kind), Some(range)) = (kind, attributes.get("StepRange")) else {
                continue;
            };
            let mut setting = Setting::new(step(&step(&at, i), "StepRange"), all.len(), kind);
            setting.description = attributes["FeatureDescriptor"].as_str().map(str::to_owned);
            setting.may_exceed = true;
            match ends(range) {
                Some(ends) => setting.limit = Some(ends),
                None => setting.properties = json!({ "value": range }),
            }
            all.push(setting);
        }
    }
    all
}

impl Migration {
    /// Applies a setting of the old entry to the feature that it belongs to.
    pub(super) fn apply(
        &mut self,
        called: &str,
        protocol: &str,
        base: &Base,
        features: &mut [Value],
        setting: &Setting,
    ) {
        let fits = |at: &usize| base.features[*at]["output"].get(&setting.kind).is_some();
        let by_id = setting
            .base_id
            .as_ref()
            .and_then(|id| base.features.iter().position(|f| f["id"] == *id));
        let at = by_id
            .filter(fits)
            .or_else(|| base.with_output(&setting.kind, setting.nth))
            .or_else(|| {
                Some(setting.position)
                    .filter(|at| *at < base.features.len())
                    .filter(fits)
            });
        let Some(at) = at else {
            let text = format!(
                "{called}: its setting of {:?} was left out: no feature takes it",
                setting.kind
            );
            return self.lose(&setting.at, text);
        };
        let mut kinds = vec![setting.kind.as_str()];
        let is_old = setting.of_whole_list || setting.may_exceed;
        if is_old
            && setting.kind == "hw_position_with_duration"
            && tcode::full(protocol, &setting.kind).is_some()
        {
            // The same axis by another command.
            kinds.extend(base.features[at]["output"].get("position").map(|_| "position"));
        }
        for (i, kind) in kinds.into_iter().enumerate() {
            let properties = self.properties(called, protocol, base, (at, kind), setting, i == 0);
            if properties
                .as_object()
                .is_some_and(|properties| !properties.is_empty())
            {
                if !features[at]["output"].is_object() {
                    features[at]["output"] = json!({});
                }
                features[at]["output"][kind] = properties;
            }
        }
    }

    /// A setting as version 5 has it; with remarks on what changes if `with_remarks`.
    fn properties(
        &mut self,
        called: &str,
        protocol: &str,
        base: &Base,
        (at, kind): (usize, &str),
        setting: &Setting,
        with_remarks: bool,
    ) -> Value {
        let mut properties = setting.properties.clone();
        let of_base = &base.features[at]["output"][kind];
        let full = tcode::full(protocol, kind);
        if let Some(limit) = setting.limit {
            let [low, high] = if limit[0] >= 0 && limit[0] > limit[1] {
                if with_remarks {
                    let text = format!(
                        "{called}: the limit of {kind}, {} to {}, was read as {1} to {0}",
                        limit[0], limit[1]
                    );
                    self.lose(&setting.at, text);
                }
                [limit[1].max(0), limit[0]]
            } else {
                limit
            };
            properties["value"] = match full {
                Some(full) => {
                    let steps = setting
                        .range
                        .map_or_else(|| tcode::likely_steps(high), |[_, end]| end);
                    tcode::range(tcode::scaled([low, high], steps, full))
                }
                None => tcode::range([low, high]),
            };
            let is_empty = ends(&properties["value"]).is_some_and(|[low, high]| low >= high);
            if is_empty && low >= 0 {
                if with_remarks {
                    let text = format!(
                        "{called}: the limit of {kind}, {low} to {high}, leaves nothing: the output is disabled"
                    );
                    self.warn(&setting.at, text);
                }
                return json!({ "disabled": true });
            }
            if properties["value"] == of_base["value"] {
                properties = json!({});
            }
        } else if let (Some(full), Some(ends)) = (full, ends(&properties["value"])) {
            let id = base.features[at]["id"].as_str().unwrap_or_default();
            let steps = self.steps.get(&(id.to_owned(), kind.to_owned())).copied();
            // Without a range of the file's own, version 4 counted as TCode does, up to one more.
            let steps = steps.or((ends[1] == full + 1).then_some(full + 1));
            if let Some(steps) = steps.filter(|_| ends[0] >= 0 && ends[0] < ends[1]) {
                properties["value"] = match steps {
                    steps if steps == full + 1 => tcode::range([ends[0], ends[1].min(full)]),
                    steps => tcode::range(tcode::scaled(ends, steps, full)),
                };
            }
        }
        for range in ["value", "duration"] {
            self.clamp(
                called,
                (kind, range),
                &mut properties,
                of_base,
                (setting, with_remarks),
            );
        }
        properties
    }

    /// The server skips a device whose limits exceed the device's own range. It counts limits from 0, and applies
    /// them to both directions if that range begins below 0.
    fn clamp(
        &mut self,
        called: &str,
        (kind, name): (&str, &str),
        properties: &mut Value,
        base: &Value,
        (setting, with_remarks): (&Setting, bool),
    ) {
        let Some(object) = properties.as_object_mut() else {
            return;
        };
        let Some(given) = object.get(name) else { return };
        let is_leaf = setting.of_whole_list || setting.may_exceed;
        let at = if is_leaf {
            setting.at.clone()
        } else {
            step(&setting.at, name)
        };
        let mut report = |text: String| {
            if with_remarks {
                self.lose(&at, text);
            }
        };
        let bound = |i: usize| base[name][i].as_i64().unwrap_or(0);
        let (least, most) = (bound(0).min(0), bound(1));
        let (Some(low), Some(high)) = (given[0].as_i64(), given[1].as_i64()) else {
            let given = object.remove(name).unwrap_or_default();
            return report(format!(
                "{called}: the {name} of {kind} is not a range: left out: {given}"
            ));
        };
        let both_ways = least < 0 && low < 0 && high > 0;
        // The smaller of the two never exceeds what was asked for.
        let wanted = if both_ways {
            (0, high.min(low.saturating_neg()))
        } else {
            (low, high)
        };
        let limit = (wanted.0.max(0), wanted.1.min(most));
        if limit.0 >= limit.1 {
            object.remove(name);
            let nothing = if most <= 0 { ", nothing above 0" } else { "" };
            return report(format!(
                "{called}: the {name} of {kind}, {low} to {high}, was left out: the device has {least} to {most}{nothing}"
            ));
        }
        let became = if both_ways { (-limit.1, limit.1) } else { limit };
        if became != (low, high) {
            let why = if both_ways && limit == wanted {
                "the server has one limit for both directions".to_owned()
            } else {
                format!("the device has {least} to {most}")
            };
            report(format!(
                "{called}: the {name} of {kind}, {low} to {high}, became {} to {}: {why}",
                became.0, became.1
            ));
        }
        object.insert(name.to_owned(), json!([limit.0, limit.1]));
    }
}
