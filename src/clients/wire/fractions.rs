//! Levels and positions outside 0 to 1 in messages of versions 0 to 3. The schema refuses them without a word on which
//! it is; the check against the device names it, with its output, and refuses it too.

use serde_json::Value;

use super::Schema;

/// The messages with such fractions: the list that they stand in, if they do, and their key.
const FRACTIONS: [(&str, Option<&str>, &str); 5] = [
    ("SingleMotorVibrateCmd", None, "Speed"),
    ("VibrateCmd", Some("Speeds"), "Speed"),
    ("RotateCmd", Some("Rotations"), "Speed"),
    ("LinearCmd", Some("Vectors"), "Position"),
    ("ScalarCmd", Some("Scalars"), "Scalar"),
];

/// Whether a message would be valid with other fractions.
pub(super) fn are_all_that_is_wrong(schema: &Schema, message: &Value) -> bool {
    let mut mended = message.clone();
    for (name, list, key) in FRACTIONS {
        let Some(body) = mended.get_mut(name) else {
            continue;
        };
        let parts: Vec<&mut Value> = match list {
            Some(list) => body
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .collect(),
            None => vec![body],
        };
        for fraction in parts.into_iter().filter_map(|part| part.get_mut(key)) {
            if fraction.is_number() {
                *fraction = 0.into();
            }
        }
    }
    mended != *message && (schema.0)(&Value::Array(vec![mended]))
}
