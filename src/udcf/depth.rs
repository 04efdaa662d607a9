//! Lists and objects of a version 5 file that stand where the other is meant: mostly at the wrong depth.

use serde_json::Value;

use super::remark::step;
use super::schema::{Fault, short};
use super::shape::Shape::{self, Any, Each, Keys, List};
use super::shape::{FILE, looks_like, place_of};

/// The first list or object that is of the wrong kind, with where it belongs.
pub(super) fn fault(file: &Value) -> Option<Fault> {
    find(&FILE, file, "", None)
}

/// `key` is what the user chose for it, if that is a choice.
fn find(shape: &'static Shape, value: &Value, pointer: &str, key: Option<&str>) -> Option<Fault> {
    match (shape, value) {
        (Any, _) => None,
        (Each(inner), Value::Object(members)) => (members.iter())
            .find_map(|(key, member)| find(inner, member, &step(pointer, key), Some(key.as_str()))),
        (List(inner), Value::Array(elements)) => (elements.iter().enumerate())
            .find_map(|(at, element)| find(inner, element, &step(pointer, at), None)),
        (Keys(_, keys), Value::Object(members)) => keys
            .iter()
            .find_map(|(key, inner)| find(inner, members.get(*key)?, &step(pointer, key), None)),
        (Each(_) | Keys(..), other) => Some(Fault {
            pointer: pointer.to_owned(),
            problem: format!("{} is not an object", short(other)),
            hint: Some(hint(shape, other, key)),
        }),
        (List(_), other) => Some(Fault {
            pointer: pointer.to_owned(),
            problem: format!("{} is not a list", short(other)),
            hint: Some(hint(shape, other, key)),
        }),
    }
}

/// Where a value belongs that is not what `shape` wants.
fn hint(shape: &Shape, value: &Value, key: Option<&str>) -> String {
    // `"protocols": {"configurations": [...]}`
    if let Some(key) = key
        && let Some(place) = place_of(key)
    {
        return format!("{key:?} belongs in {place}: in the object that has the protocol's name");
    }
    // `"configurations": {"configurations": [...]}`, or by the name of a protocol
    let mut inner = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, inner)| inner.is_array());
    if let (List(element), Some((inner, elements))) = (shape, inner.next())
        && !is_like(element, value)
    {
        return match place_of(inner) {
            Some(place) if !is_like(element, &elements[0]) => format!("{inner:?} belongs in {place}"),
            _ => format!("write the list of {inner:?} in its place, without the object around it"),
        };
    }
    let content = value.get(0).unwrap_or(value);
    match shape {
        Any => String::new(),
        List(element) if is_like(element, value) => "put it in brackets: [ ... ]".to_owned(),
        List(_) => "write a list: [ ... ]".to_owned(),
        Keys(called, _) if looks_like(content) == Some(called) => {
            "leave the brackets around it out".to_owned()
        }
        Each(_) | Keys(..) => match looks_like(content) {
            Some(place) => match place.split('"').nth(1).and_then(place_of) {
                Some(outer) => format!("what is in it is {place}, which belongs in {outer}"),
                None => format!("what is in it is {place}"),
            },
            None => match shape {
                Keys(called, keys) => format!("{called} is an object: {{ {:?}: ... }}", keys[0].0),
                _ => "write the names of the protocols as its keys: { \"lovense\": { ... } }".to_owned(),
            },
        },
    }
}

fn is_like(shape: &Shape, value: &Value) -> bool {
    matches!(shape, Keys(called, _) if looks_like(value) == Some(called))
}
