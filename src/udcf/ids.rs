//! Suggests values for ids that are missing or wrong.

use serde_json::Value;
use uuid::Uuid;

use super::migrate;

/// What to write under `key` in the object at a pointer of a version 5 file; `None` if the key is not an id.
pub(super) fn hint(file: &Value, object: &str, key: &str) -> Option<String> {
    let given = file.pointer(object).and_then(|object| object[key].as_str());
    match (key, given.and_then(|id| Uuid::try_parse(id).ok())) {
        ("id" | "base_id", Some(id)) => Some(format!("write {key:?}: \"{id}\"")),
        ("id", None) => {
            let id = Uuid::new_v4();
            Some(format!("write \"id\": \"{id}\", or any UUID that nothing else has"))
        }
        ("base_id", None) => Some(match base_id(file, object) {
            Some(id) => format!("write \"base_id\": \"{id}\", the id of what this builds on"),
            None => "write the \"id\" of the configuration that this builds on; if there is none, take the device out of \
                     the list: it gets an entry when it connects"
                .to_owned(),
        }),
        _ => None,
    }
}

/// The id that a device, or one of its features, is based on.
fn base_id(file: &Value, object: &str) -> Option<String> {
    let steps: Vec<&str> = object
        .strip_prefix("/user_configs/devices/")?
        .split('/')
        .collect();
    let user = &file["user_configs"];
    let device = &user["devices"][steps.first()?.parse::<usize>().ok()?];
    let (own, of_features) = migrate::base_ids(user, device)?;
    let id = match steps[1..] {
        ["config"] => own,
        ["config", "features", at] => {
            let at: usize = at.parse().ok()?;
            let features = device["config"]["features"].as_array()?;
            // A feature may have another position than the one that it is based on.
            let is_free = |id: &&Value| features.iter().all(|feature| feature["base_id"] != **id);
            of_features
                .get(at)
                .filter(is_free)
                .or_else(|| of_features.iter().find(is_free))?
                .clone()
        }
        _ => return None,
    };
    id.as_str().map(str::to_owned)
}
