//! Definitions of a device's own: versions 2 and 3 let the entry of a single device have its own name, features and
//! ranges. In version 5 only a configuration has these. It is made with an identifier that no device has, so only the
//! device that builds on it by its id gets it.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::base::Base;
use super::kinds::{feature_type, has_old_features, input_key, message_names, output_key};
use super::limits::Setting;
use super::{Migration, either, tcode};
use crate::udcf::protocols;

/// A device as its entry describes it.
pub(super) struct Described<'d> {
    pub(super) at: &'d str,
    pub(super) address: &'d str,
    pub(super) protocol: &'d str,
    pub(super) identifier: Option<&'d str>,
    pub(super) config: &'d Value,
    pub(super) custom: &'d Value,
}

impl Described<'_> {
    /// Distinguishes the device from all others.
    pub(super) fn seed(&self) -> String {
        format!(
            "{}/{}/{}",
            self.protocol,
            self.identifier.unwrap_or_default(),
            self.address
        )
    }

    /// For sentences about it.
    pub(super) fn called(&self) -> String {
        let identifier = self.identifier.map(|i| format!(" {i}")).unwrap_or_default();
        format!("the device {:?} ({}{identifier})", self.address, self.protocol)
    }

    /// Whether the entry is one of version 2 or 3: the later ones name what they build on.
    fn is_old(&self) -> bool {
        let mut features = self.config["features"].as_array().into_iter().flatten();
        self.config.get("base_id").is_none()
            && features.all(|f| f.get("output").is_none() && f.get("base_id").is_none())
    }

    fn old_features(&self) -> Option<&Vec<Value>> {
        let features = self.config["features"].as_array()?;
        (!features.is_empty() && has_old_features(self.config)).then_some(features)
    }

    /// Its own name: not the one of its model, nor the one that apps show anyway.
    fn name(&self, base: Option<&Base>) -> Option<&str> {
        let name = self.config["name"].as_str().filter(|name| !name.is_empty())?;
        let shown = either(self.custom, "display_name").and_then(Value::as_str);
        (base.is_none_or(|base| base.name != name) && shown != Some(name)).then_some(name)
    }
}

impl Migration {
    /// Makes a definition of the device's own if its entry differs from the definition of its model.
    pub(super) fn own_definition(
        &mut self,
        device: &Described<'_>,
        base: Option<&Base>,
        settings: &[Setting],
    ) -> Option<Base> {
        if !device.is_old() || !protocols::is_known(device.protocol) {
            return None;
        }
        let differs = match base {
            Some(base) => settings
                .iter()
                .any(|setting| setting.differs_from(device.protocol, base)),
            None => device.old_features().is_some(),
        };
        // A name alone is no definition.
        if !differs && (base.is_none() || device.name(base).is_none()) {
            return None;
        }
        let own_identifier = format!(
            "{} at {}",
            device.identifier.unwrap_or(device.protocol),
            device.address
        );
        let name = device.config["name"].as_str().filter(|name| !name.is_empty());
        let name = name.or(base.map(|base| base.name.as_str())).or(device.identifier);
        let mut own = json!({
            "identifier": [own_identifier],
            "name": name.unwrap_or(device.protocol),
            "features": match device.old_features().filter(|_| differs || base.is_none()) {
                Some(features) => with_indexes(device.protocol, features, base).into(),
                None => base.map_or_else(|| json!([]), |base| with_ranges(base, settings)),
            },
        });
        for (key, detail) in base.map(|base| base.details.clone()).into_iter().flatten() {
            own[key] = detail;
        }
        let definition = self.configuration(device.at, device.protocol, &own)?;
        let id = definition["id"].clone();
        self.add(device.protocol, "configurations", definition, device.at);
        super::base::custom(self.protocols.get(device.protocol), |c| c["id"] == id)
    }
}

impl Setting {
    /// Whether the entry describes this output differently from the definition.
    fn differs_from(&self, protocol: &str, base: &Base) -> bool {
        let Some(at) = base.with_output(&self.kind, self.nth) else {
            // Only a whole list of features can add one.
            return self.of_whole_list;
        };
        let feature = &base.features[at];
        let described = self.description.as_deref().filter(|d| !d.is_empty());
        if described.is_some_and(|d| feature["description"].as_str() != Some(d)) {
            return true;
        }
        if tcode::full(protocol, &self.kind).is_some() {
            return false;
        }
        let [low, high] = match super::kinds::ends(&feature["output"][&self.kind]["value"]) {
            Some(ends) => ends,
            None => return false,
        };
        match self.range {
            Some([_, own]) if self.both_ways => own != high,
            Some([own_low, own]) => own != high || own_low.min(0) != low.min(0),
            // In version 2 a range that exceeds the model's was the range.
            None => self
                .limit
                .is_some_and(|[_, limit]| self.may_exceed && limit > high),
        }
    }
}

/// Features as the entry lists them, each with the index that its model has for it: the protocol relies on that.
fn with_indexes(protocol: &str, features: &[Value], base: Option<&Base>) -> Vec<Value> {
    let mut taken: HashSet<u64> = HashSet::new();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut with: Vec<Value> = Vec::new();
    for feature in features {
        let mut feature = feature.clone();
        let kind = feature_type(&feature);
        let messages = message_names(feature.get("actuator").unwrap_or(&feature));
        let key = output_key(kind, &messages);
        if key.is_some_and(|key| tcode::full(protocol, key).is_some()) || !feature.is_object() {
            with.push(feature);
            continue;
        }
        let of_model = base.and_then(|base| {
            let at = match (key, input_key(kind)) {
                (Some(key), _) => {
                    let nth = counts.entry(key).or_insert(0);
                    *nth += 1;
                    base.with_output(key, *nth - 1)
                }
                (None, Some(input)) => base.with_input(input),
                (None, None) => None,
            };
            Some(&base.features[at?])
        });
        let index = of_model
            .and_then(|model| model["index"].as_u64())
            .filter(|index| !taken.contains(index));
        let index = index.or_else(|| (with.len() as u64..).find(|index| !taken.contains(index)));
        if let Some(index) = index {
            taken.insert(index);
            feature["index"] = index.into();
        }
        if let Some(settings) = of_model.and_then(|model| model.get("feature_settings")) {
            feature["feature_settings"] = settings.clone();
        }
        with.push(feature);
    }
    with
}

/// The features of the model, with the ranges of the entry.
fn with_ranges(base: &Base, settings: &[Setting]) -> Value {
    let mut features = base.features.clone();
    for feature in &mut features {
        if let Some(members) = feature.as_object_mut() {
            members.shift_remove("id");
        }
    }
    for setting in settings {
        let Some(at) = base.with_output(&setting.kind, setting.nth) else {
            continue;
        };
        if let Some(description) = &setting.description {
            features[at]["description"] = description.as_str().into();
        }
        let value = &mut features[at]["output"][&setting.kind]["value"];
        let exceeds = setting
            .limit
            .filter(|[_, high]| value[1].as_i64().is_some_and(|model| *high > model));
        if let Some([_, high]) = exceeds.filter(|_| setting.may_exceed) {
            value[1] = high.into();
        }
    }
    features.into()
}
