//! Explains what is wrong with the fields of a `RequestServerInfo`.
//!
//! An app that fails here sees nothing of the gateway but this sentence. The library would try one version after the
//! other and report the last one's complaint, such as a missing field that the app did send.

use serde_json::Value;

use crate::text::cut;

/// The fields of all message versions.
const FIELDS: [&str; 5] = [
    "Id",
    "ClientName",
    "MessageVersion",
    "ProtocolVersionMajor",
    "ProtocolVersionMinor",
];
/// The longest part of a value that is quoted.
const QUOTE_MAX_CHARS: usize = 40;

/// The first fault of a `RequestServerInfo`'s body. A version that is a number is never a fault here, however high.
pub(super) fn fault(body: &Value) -> Option<String> {
    let Some(fields) = body.as_object() else {
        return Some(format!("RequestServerInfo is {}, not an object", described(body)));
    };
    let id = match fields.get("Id") {
        None => Some("has no Id, a whole number from 1 to 4294967295".to_owned()),
        Some(id)
            if id
                .as_u64()
                .is_some_and(|id| (1..=u64::from(u32::MAX)).contains(&id)) =>
        {
            None
        }
        Some(id) => Some(format!(
            "has an Id that is {}; it must be a whole number from 1 to 4294967295",
            described(id)
        )),
    };
    let name = || match fields.get("ClientName") {
        None => Some("has no ClientName, the name of the app".to_owned()),
        Some(Value::String(_)) => None,
        Some(other) => Some(format!(
            "has a ClientName that is {}; it must be a string",
            described(other)
        )),
    };
    let versions = || {
        FIELDS
            .iter()
            .filter(|field| field.contains("Version"))
            .find_map(|field| {
                let value = fields.get(*field)?;
                (value.as_u64().is_none()).then(|| {
                    format!(
                        "has a {field} that is {}; it must be a whole number",
                        described(value)
                    )
                })
            })
    };
    let minor = || {
        (fields.contains_key("ProtocolVersionMajor") && !fields.contains_key("ProtocolVersionMinor"))
            .then(|| "has a ProtocolVersionMajor and no ProtocolVersionMinor, which is 0".to_owned())
    };
    let unknown = || {
        let unknown = fields.keys().find(|field| !FIELDS.contains(&field.as_str()))?;
        let unknown = Value::from(unknown.as_str());
        Some(format!(
            "has a field that no message version has: {}",
            quoted(&unknown)
        ))
    };
    let fault = id
        .or_else(name)
        .or_else(versions)
        .or_else(minor)
        .or_else(unknown)?;
    Some(format!("RequestServerInfo {fault}"))
}

/// A value, in words.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => format!("{value}"),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.trim().parse::<u64>().is_ok() => {
            format!("the string {}, with quotes", quoted(value))
        }
        Value::String(_) => format!("the string {}", quoted(value)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn quoted(value: &Value) -> String {
    cut(value.to_string(), QUOTE_MAX_CHARS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_fault_is_named_with_its_field_and_value() {
        for (body, wanted) in [
            (json!([]), "is a list"),
            (json!({"ClientName": "x"}), "no Id"),
            (json!({"Id": 0, "ClientName": "x"}), "Id that is 0;"),
            (json!({"Id": -1, "ClientName": "x"}), "Id that is -1;"),
            (json!({"Id": 1.5, "ClientName": "x"}), "Id that is 1.5;"),
            (
                json!({"Id": "1", "ClientName": "x"}),
                "Id that is the string \"1\", with quotes",
            ),
            (
                json!({"Id": 4_294_967_296_u64, "ClientName": "x"}),
                "Id that is 4294967296;",
            ),
            (json!({"Id": 1}), "no ClientName"),
            (json!({"Id": 1, "ClientName": 7}), "ClientName that is 7;"),
            (
                json!({"Id": 1, "ClientName": "x", "MessageVersion": "3"}),
                "MessageVersion that is the string \"3\"",
            ),
            (
                json!({"Id": 1, "ClientName": "x", "ProtocolVersionMajor": "4", "ProtocolVersionMinor": 0}),
                "ProtocolVersionMajor that is the string \"4\"",
            ),
            (
                json!({"Id": 1, "ClientName": "x", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": null}),
                "ProtocolVersionMinor that is null",
            ),
            (
                json!({"Id": 1, "ClientName": "x", "ProtocolVersionMajor": 4}),
                "no ProtocolVersionMinor",
            ),
            (
                json!({"Id": 1, "ClientName": "x", "clientname": "y"}),
                "\"clientname\"",
            ),
        ] {
            let fault = fault(&body).unwrap_or_else(|| panic!("{body}"));
            assert!(fault.contains(wanted), "{body}: {fault}");
        }
        for body in [
            json!({"Id": 1, "ClientName": "x"}),
            json!({"Id": 1, "ClientName": "x", "MessageVersion": 99}),
            json!({"Id": 4_294_967_295_u32, "ClientName": "", "ProtocolVersionMajor": 4, "ProtocolVersionMinor": 0}),
        ] {
            assert_eq!(fault(&body), None, "{body}");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let fault = fault(&json!({"Id": "é".repeat(10_000), "ClientName": "x"})).expect("a fault");
        assert!(fault.len() < 300, "{fault}");
    }
}
