//! Reads JSON files, with hints on common mistakes in handwritten JSON.

use std::path::Path;

use serde_json::Value;

use super::position::Position;
use super::{CURRENT_MAJOR, MAJORS, UdcfError};

/// For comparison: the server's whole device base has half a megabyte.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a file that should contain JSON.
pub(super) fn read(path: &Path) -> Result<String, UdcfError> {
    let name = path.display();
    let hint = |text: &str| Some(text.to_owned());
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return Err(UdcfError::new(
                name,
                "is a directory, not a file",
                hint("name the file in it"),
            ));
        }
        Ok(meta) if meta.len() > MAX_BYTES => {
            let problem = format!("has {} bytes, at most {MAX_BYTES} are read", meta.len());
            return Err(UdcfError::new(name, problem, hint("this is hardly a UDCF")));
        }
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|e| {
        let hint = match e.kind() {
            std::io::ErrorKind::NotFound => hint(
                "look at the path; `wsdm-gateway udcf add --protocol lovense --websocket NAME FILE` makes a new file",
            ),
            std::io::ErrorKind::PermissionDenied => hint("this user may not read it: look at its owner and mode"),
            _ => None,
        };
        UdcfError::new(&name, format!("cannot be read: {e}"), hint)
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&e.as_bytes()[..at]).into_owned();
        let at = format!("{name}{}", Position::at(&before, before.len()));
        UdcfError::new(
            at,
            "is not UTF-8",
            hint("save the file as UTF-8, without a byte order mark"),
        )
    })
}

pub(super) fn parse_json(text: &str, name: &str) -> Result<Value, UdcfError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        let hint = "the least that a UDCF has is {\"version\": {\"major\": 5, \"minor\": 0}}";
        return Err(UdcfError::new(
            format!("{name}:1:1"),
            "is empty",
            Some(hint.to_owned()),
        ));
    }
    serde_json::from_str(text).map_err(|e| {
        let at = format!("{name}:{}:{}", e.line(), e.column());
        let problem = e.to_string();
        // The place is already at the front.
        let problem = problem.split(" at line ").next().unwrap_or_default();
        UdcfError::new(
            at,
            format!("not JSON: {problem}"),
            Some(syntax_hint(text, e.line(), problem)),
        )
    })
}

/// Hints on common mistakes in handwritten JSON.
fn syntax_hint(text: &str, line: usize, problem: &str) -> String {
    let around: Vec<&str> = text
        .lines()
        .skip(line.saturating_sub(2))
        .take(2)
        .map(str::trim)
        .collect();
    let has_comment = around
        .iter()
        .any(|l| l.starts_with("//") || l.starts_with("/*") || l.starts_with('#'));
    if has_comment {
        "JSON has no comments: take them out".to_owned()
    } else if problem.contains("trailing comma") {
        "take the comma before the closing bracket out".to_owned()
    } else if problem.contains("EOF") {
        "the file ends too early: a bracket or a quote is not closed".to_owned()
    } else if problem.contains("trailing characters") {
        "the file goes on after its last bracket: perhaps the first line lacks a {".to_owned()
    } else if problem.contains("key must be a string") || around.iter().any(|l| l.contains('\'')) {
        "names and texts stand in double quotes".to_owned()
    } else if problem.contains("expected `,`") {
        "a comma is missing, here or at the end of the line before".to_owned()
    } else {
        "an editor that knows JSON shows the place".to_owned()
    }
}

/// The major version; or the pointer, the problem, and a hint.
pub(super) fn version(value: &Value) -> Result<u64, (&'static str, String, String)> {
    let example = || "add \"version\": { \"major\": 5, \"minor\": 0 }".to_owned();
    if !value.is_object() {
        return Err((
            "",
            "is JSON, but not an object".to_owned(),
            "a UDCF begins with { \"version\": ...".to_owned(),
        ));
    }
    match value.get("version") {
        None => return Err(("", "has no \"version\"".to_owned(), example())),
        Some(v) if !v.is_object() => {
            return Err(("/version", "\"version\" is not an object".to_owned(), example()));
        }
        Some(_) => {}
    }
    match &value["version"]["major"] {
        Value::Null => Err(("/version", "\"version\" has no \"major\"".to_owned(), example())),
        Value::Number(n) if n.as_u64().is_some_and(|n| MAJORS.contains(&n)) => {
            Ok(n.as_u64().unwrap_or(CURRENT_MAJOR))
        }
        Value::Number(n) => Err((
            "/version/major",
            format!(
                "major version {n} is not known; {} to {} are",
                MAJORS.start(),
                MAJORS.end()
            ),
            "for a newer version, look for a newer wsdm-gateway".to_owned(),
        )),
        other => Err((
            "/version/major",
            format!("\"major\" is {other}, not a number"),
            "write 5, without quotes".to_owned(),
        )),
    }
}
