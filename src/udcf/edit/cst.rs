//! Changes of a JSON text that keep everything else in it.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;

use crate::udcf::mend::has_user_part_at_the_top;

/// A text's byte order mark, which is not JSON but must be kept, and the rest.
pub(super) fn parse(text: &str) -> Option<(&'static str, CstRootNode)> {
    let (mark, json_text) = match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    Some((
        mark,
        CstRootNode::parse(json_text, &ParseOptions::default()).ok()?,
    ))
}

/// The user's part of a file, if it has one.
pub(super) fn user_part(root: &CstRootNode) -> Option<CstObject> {
    let object = root.object_value()?;
    if root
        .to_serde_value()
        .is_some_and(|file| has_user_part_at_the_top(&file))
    {
        return Some(object);
    }
    let mut sections = ["user_configs", "user-configs"].into_iter();
    sections.find_map(|section| object.object_value(section))
}

/// Sets a member of an object. A member that has the value already is left as it is written.
pub(super) fn set(object: &CstObject, key: &str, value: &Value) {
    match object.get(key) {
        Some(member) => {
            let now = member.value().and_then(|now| now.to_serde_value());
            if now.as_ref() != Some(value) {
                member.set_value(input(value));
            }
        }
        None => drop(object.append(key, input(value))),
    }
}

/// Removes a member of an object, if there is one.
pub(super) fn unset(object: &CstObject, key: &str) {
    if let Some(member) = object.get(key) {
        member.remove();
    }
}

/// A value to be written.
pub(super) fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(elements) => CstInputValue::Array(elements.iter().map(input).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.clone(), input(value)));
            CstInputValue::Object(members.collect())
        }
    }
}
