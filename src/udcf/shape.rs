//! What the server's loader reads of a file of version 5. It skips other keys silently, so they are named here.

use serde_json::{Map, Value};

use super::is_comment;
use super::remark::{Remark, excerpt, step};

/// Keys less similar than this are not suggested.
const MIN_SIMILARITY: f64 = 0.8;

/// What is allowed at a place.
pub(super) enum Shape {
    /// Anything: the published schema judges it, or something else names what is wrong there.
    Any,
    /// An object with keys of the user's own choice.
    Each(&'static Shape),
    /// A list.
    List(&'static Shape),
    /// An object with these keys and no others, and what people call it.
    Keys(&'static str, &'static [(&'static str, &'static Shape)]),
}

use Shape::{Any, Each, Keys, List};

const VALUE: Shape = Keys(
    "an output of a configuration's feature",
    &[("value", &Any), ("disabled", &Any)],
);
const POSITION: Shape = Keys(
    "a position output of a configuration's feature",
    &[("value", &Any), ("disabled", &Any), ("reverse_position", &Any)],
);
const TIMED: Shape = Keys(
    "a position output of a configuration's feature",
    &[
        ("value", &Any),
        ("duration", &Any),
        ("disabled", &Any),
        ("reverse_position", &Any),
    ],
);
const OUTPUTS: Shape = Keys(
    "the \"output\" of a configuration's feature",
    &[
        ("vibrate", &VALUE),
        ("rotate", &VALUE),
        ("oscillate", &VALUE),
        ("constrict", &VALUE),
        ("temperature", &VALUE),
        ("led", &VALUE),
        ("spray", &VALUE),
        ("position", &POSITION),
        ("hw_position_with_duration", &TIMED),
    ],
);
const INPUT: Shape = Keys("an input of a feature", &[("value", &Any), ("command", &Any)]);
const INPUTS: Shape = Keys(
    "the \"input\" of a configuration's feature",
    &[
        ("battery", &INPUT),
        ("rssi", &INPUT),
        ("button", &INPUT),
        ("pressure", &INPUT),
        ("depth", &INPUT),
        ("position", &INPUT),
    ],
);
const FEATURE: Shape = Keys(
    "a feature of a configuration",
    &[
        ("index", &Any),
        ("id", &Any),
        ("description", &Any),
        ("output", &OUTPUTS),
        ("input", &INPUTS),
        (
            "feature_settings",
            &Keys("feature_settings", &[("alt_protocol_index", &Any)]),
        ),
    ],
);
const CONFIGURATION: Shape = Keys(
    "an element of \"configurations\"",
    &[
        ("identifier", &Any),
        ("name", &Any),
        ("id", &Any),
        ("protocol_variant", &Any),
        ("message_gap_ms", &Any),
        ("features", &List(&FEATURE)),
    ],
);
const SPECIFIER_NAME: &str = "an element of \"communication\"";
const PAIRS: Shape = Keys("a \"usb\" or \"hid\" entry", &[("pairs", &Any)]);
const EXISTS: Shape = Keys("an entry for a kind of hardware", &[("exists", &Any)]);
const SPECIFIER: Shape = Keys(
    SPECIFIER_NAME,
    &[
        ("websocket", &Keys("a \"websocket\" entry", &[("name", &Any)])),
        (
            "serial",
            &Keys(
                "a \"serial\" entry",
                &[
                    ("port", &Any),
                    ("baud_rate", &Any),
                    ("data_bits", &Any),
                    ("parity", &Any),
                    ("stop_bits", &Any),
                ],
            ),
        ),
        (
            "btle",
            &Keys(
                "a \"btle\" entry",
                &[
                    ("names", &Any),
                    (
                        "manufacturer_data",
                        &List(&Keys(
                            "an element of \"manufacturer_data\"",
                            &[("company", &Any), ("expected_length", &Any), ("data", &Any)],
                        )),
                    ),
                    ("advertised_services", &Any),
                    ("services", &Any),
                ],
            ),
        ),
        ("usb", &PAIRS),
        ("hid", &PAIRS),
        ("sdl-gamepad", &EXISTS),
        ("lovense_connect_service", &EXISTS),
        ("simulated", &Keys("a \"simulated\" entry", &[("names", &Any)])),
    ],
);
const PROTOCOL: Shape = Keys(
    "a protocol under \"protocols\"",
    &[
        ("communication", &List(&SPECIFIER)),
        ("configurations", &List(&CONFIGURATION)),
        ("defaults", &Any),
        ("devices", &Any),
    ],
);
const LIMITED: Shape = Keys(
    "an output of a device's feature",
    &[("value", &Any), ("disabled", &Any)],
);
const LIMITED_POSITION: Shape = Keys(
    "a position output of a device's feature",
    &[("value", &Any), ("disabled", &Any), ("reverse", &Any)],
);
const LIMITED_TIMED: Shape = Keys(
    "a position output of a device's feature",
    &[
        ("value", &Any),
        ("duration", &Any),
        ("disabled", &Any),
        ("reverse", &Any),
    ],
);
const LIMITS: Shape = Keys(
    "the \"output\" of a device's feature",
    &[
        ("vibrate", &LIMITED),
        ("rotate", &LIMITED),
        ("oscillate", &LIMITED),
        ("constrict", &LIMITED),
        ("temperature", &LIMITED),
        ("led", &LIMITED),
        ("spray", &LIMITED),
        ("position", &LIMITED_POSITION),
        ("hw_position_with_duration", &LIMITED_TIMED),
    ],
);
const DEVICE_CONFIG_NAME: &str = "the \"config\" of a device";
const DEVICE: Shape = Keys(
    "an element of \"devices\"",
    &[
        (
            "identifier",
            &Keys(
                "the \"identifier\" of a device",
                &[("address", &Any), ("protocol", &Any), ("identifier", &Any)],
            ),
        ),
        (
            "config",
            &Keys(
                DEVICE_CONFIG_NAME,
                &[
                    ("id", &Any),
                    ("base_id", &Any),
                    (
                        "features",
                        &List(&Keys(
                            "a feature of a device",
                            &[("id", &Any), ("base_id", &Any), ("output", &LIMITS)],
                        )),
                    ),
                    (
                        "user_config",
                        &Keys(
                            "the \"user_config\" of a device",
                            &[
                                ("allow", &Any),
                                ("deny", &Any),
                                ("display_name", &Any),
                                ("index", &Any),
                                ("message_gap_ms", &Any),
                            ],
                        ),
                    ),
                ],
            ),
        ),
    ],
);
/// A whole file.
pub(super) static FILE: Shape = Keys(
    "the file",
    &[
        (
            "version",
            &Keys("\"version\"", &[("major", &Any), ("minor", &Any)]),
        ),
        (
            "user_configs",
            &Keys(
                "\"user_configs\"",
                &[
                    ("protocols", &Each(&PROTOCOL)),
                    ("devices", &List(&DEVICE)),
                    (
                        "simulated_devices",
                        &List(&Keys(
                            "an element of \"simulated_devices\"",
                            &[("identifier", &Any), ("display_name", &Any), ("address", &Any)],
                        )),
                    ),
                ],
            ),
        ),
    ],
);

/// Keys of a version 5 file that the server does not read, each with the place where it belongs.
pub(super) fn ignored_keys(file: &Value) -> Vec<Remark> {
    let mut found = Vec::new();
    walk(&FILE, file, "", &mut found);
    found
}

fn walk(shape: &'static Shape, value: &Value, pointer: &str, found: &mut Vec<Remark>) {
    match (shape, value) {
        (Each(inner), Value::Object(members)) => {
            for (key, member) in members {
                walk(inner, member, &step(pointer, key), found);
            }
        }
        (List(inner), Value::Array(elements)) => {
            for (index, element) in elements.iter().enumerate() {
                walk(inner, element, &step(pointer, index), found);
            }
        }
        (Keys(called, keys), Value::Object(members)) => {
            for (key, member) in members {
                match keys.iter().find(|(known, _)| known == key) {
                    Some((_, inner)) => walk(inner, member, &step(pointer, key), found),
                    // Unknown kinds of communication are reported with what they would be.
                    None if is_comment(key) || *called == SPECIFIER_NAME => {}
                    None => found.push(Remark::at(
                        step(pointer, key),
                        format!(
                            "{key:?} has no effect in {called}: the server does not read it: {}; {}",
                            excerpt(member),
                            suggestion(called, key, keys)
                        ),
                    )),
                }
            }
        }
        _ => {}
    }
}

fn suggestion(called: &str, key: &str, keys: &[(&'static str, &Shape)]) -> String {
    if called == DEVICE_CONFIG_NAME && key == "name" {
        return "apps show the \"display_name\" of its \"user_config\"".to_owned();
    }
    if let Some(word) = nearest(key, keys.iter().map(|(word, _)| *word)) {
        return format!("did you mean {word:?}?");
    }
    match place_of(key) {
        Some(place) => format!("it belongs in {place}"),
        None => "take it out".to_owned(),
    }
}

/// The keys that are allowed in the object at a pointer of a version 5 file.
pub(super) fn allowed_keys(pointer: &str) -> Vec<&'static str> {
    let mut shape: &'static Shape = &FILE;
    for part in pointer.split('/').skip(1) {
        shape = match shape {
            Any => return Vec::new(),
            Each(inner) | List(inner) => inner,
            Keys(_, keys) => match keys.iter().find(|(key, _)| *key == part) {
                Some((_, inner)) => inner,
                None => return Vec::new(),
            },
        };
    }
    match shape {
        Keys(_, keys) => keys.iter().map(|(key, _)| *key).collect(),
        _ => Vec::new(),
    }
}

/// The place in a version 5 file that a key belongs in, in words; `None` if the format has no such key.
pub(super) fn place_of(key: &str) -> Option<String> {
    let mut places = Vec::new();
    collect(&FILE, key, &mut places);
    match places.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        // Of many places two are enough to know which kind of place it is.
        [first, .., last] => Some(format!("{first}, or {last}")),
    }
}

/// The name of the list or object that a value like this is an element of or stands in, if two of its keys or more tell.
pub(super) fn looks_like(value: &Value) -> Option<&'static str> {
    let object = value.as_object()?;
    let mut best = (1, None);
    likest(&FILE, object, &mut best);
    best.1
}

fn likest(shape: &'static Shape, object: &Map<String, Value>, best: &mut (usize, Option<&'static str>)) {
    match shape {
        Any => {}
        Each(inner) | List(inner) => likest(inner, object, best),
        Keys(called, keys) => {
            let has = keys.iter().filter(|(key, _)| object.contains_key(*key)).count();
            if has > best.0 {
                *best = (has, Some(called));
            }
            keys.iter().for_each(|(_, inner)| likest(inner, object, best));
        }
    }
}

fn collect(shape: &'static Shape, key: &str, places: &mut Vec<&'static str>) {
    match shape {
        Any => {}
        Each(inner) | List(inner) => collect(inner, key, places),
        Keys(called, keys) => {
            for (word, inner) in *keys {
                if *word == key && !places.contains(called) {
                    places.push(called);
                }
                collect(inner, key, places);
            }
        }
    }
}

/// The most similar other word, if it is similar enough.
pub(super) fn nearest<'w>(key: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let written = key.to_lowercase().replace('-', "_");
    words
        .filter(|word| *word != key)
        .map(|word| (strsim::jaro_winkler(word, &written), word))
        .filter(|(likeness, _)| *likeness >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
