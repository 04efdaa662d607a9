//! Reads JSON files, with hints on common mistakes in handwritten JSON.

use std::path::Path;

use serde_json::{Value, json};

use super::position::Position;
use super::remark::Remark;
use super::{CURRENT_MAJOR, MAJORS, UdcfError};

/// The server's whole device base, for comparison, has half a megabyte.
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
                "check the path; `wsdm-gateway udcf add --protocol lovense --websocket NAME FILE` makes a new file",
            ),
            std::io::ErrorKind::PermissionDenied => hint("this user may not read it: check its owner and mode"),
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
        "JSON has no comments: remove them".to_owned()
    } else if problem.contains("trailing comma") {
        "remove the comma before the closing bracket".to_owned()
    } else if problem.contains("EOF") {
        "the file ends too early: a bracket or a quote is not closed".to_owned()
    } else if problem.contains("trailing characters") {
        "the file goes on after its last bracket: perhaps the first line lacks a {".to_owned()
    } else if problem.contains("key must be a string") || around.iter().any(|l| l.contains('\'')) {
        "keys and strings need double quotes".to_owned()
    } else if problem.contains("expected `,`") {
        "a comma is missing, here or at the end of the line before".to_owned()
    } else {
        "an editor that knows JSON shows the place".to_owned()
    }
}

/// Why a file's version cannot be read: the pointer, the problem, and a hint.
pub(super) type VersionProblem = (&'static str, String, String);

/// The major version. A file without one gets the version that its body is written in, and a remark about that.
pub(super) fn version(file: &mut Value) -> Result<(u64, Option<Remark>), VersionProblem> {
    let Some(members) = file.as_object() else {
        return Err((
            "",
            "is JSON, but not an object".to_owned(),
            "a UDCF begins with { \"version\": ...".to_owned(),
        ));
    };
    let of_body = body_version(file);
    let likely = of_body.unwrap_or(CURRENT_MAJOR);
    let header = format!("\"version\": {{ \"major\": {likely}, \"minor\": 0 }}");
    let Some(version) = members.get("version") else {
        let Some(major) = of_body else {
            return Err(("", "has no \"version\"".to_owned(), format!("add {header}")));
        };
        let text = format!(
            "has no \"version\": read as version {major}, judging by its content; add {header} to make that certain"
        );
        if let Some(members) = file.as_object_mut() {
            members.shift_insert(0, "version".to_owned(), json!({ "major": major, "minor": 0 }));
        }
        return Ok((major, Some(Remark::note("", text))));
    };
    if !version.is_object() {
        let problem = "\"version\" is not an object".to_owned();
        return Err(("/version", problem, format!("write {header}")));
    }
    let major = &version["major"];
    match major {
        Value::Null => Err((
            "/version",
            "\"version\" has no \"major\"".to_owned(),
            format!("write {header}"),
        )),
        Value::Number(n) => match n.as_u64() {
            Some(n) if MAJORS.contains(&n) => Ok((n, None)),
            Some(n) if n > CURRENT_MAJOR => Err((
                "/version/major",
                unknown_major(major),
                "for a newer version, look for a newer wsdm-gateway".to_owned(),
            )),
            _ => Err((
                "/version/major",
                unknown_major(major),
                format!("write \"major\": {likely}"),
            )),
        },
        other => {
            let quoted = other.as_str().and_then(|text| text.trim().parse().ok());
            let meant = quoted.filter(|n: &u64| MAJORS.contains(n)).unwrap_or(likely);
            Err((
                "/version/major",
                format!("\"major\" is {other}, not a number"),
                format!("write \"major\": {meant}, without quotes"),
            ))
        }
    }
}

fn unknown_major(major: &Value) -> String {
    format!(
        "major version {major} is not known; {} to {} are",
        MAJORS.start(),
        MAJORS.end()
    )
}

/// The version that the body of a file is written in, if it has a body. Each version has keys of its own, see
/// [`super::migrate`].
fn body_version(file: &Value) -> Option<u64> {
    let section = [("user-configs", true), ("user_configs", false)]
        .into_iter()
        .find_map(|(key, old)| Some((file.get(key).filter(|section| section.is_object())?, old)));
    let (body, old_section) = section.unwrap_or((file, false));
    let is_list = |key: &str| body.get(key).is_some_and(Value::is_array);
    let is_map = |key: &str| body.get(key).is_some_and(Value::is_object);
    if !["protocols", "specifiers", "selectors"].into_iter().any(is_map) && !is_list("devices") {
        return None;
    }
    let mut words = Words::default();
    words.collect(body);
    Some(
        if is_map("specifiers") || is_map("selectors") || words.of_version_2 {
            2
        } else if old_section || words.of_version_3 {
            3
        } else if words.of_version_4 {
            4
        } else if words.lists_of_names && !words.of_version_5 {
            2
        } else {
            CURRENT_MAJOR
        },
    )
}

/// Which versions have the keys that a file uses.
#[derive(Default)]
struct Words {
    of_version_2: bool,
    of_version_3: bool,
    of_version_4: bool,
    of_version_5: bool,
    /// `websocket` with a list of names.
    lists_of_names: bool,
}

impl Words {
    fn collect(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match key.as_str() {
                        "StepRange" | "ActuatorType" | "FeatureDescriptor" | "VibrateCmd" => {
                            self.of_version_2 = true
                        }
                        "feature-type" | "step-range" | "step-limit" | "user-config" | "value-range" => {
                            self.of_version_3 = true;
                        }
                        "xinput" => self.of_version_4 = true,
                        "communication" | "user_config" | "base_id" | "output" => self.of_version_5 = true,
                        "websocket" => {
                            self.lists_of_names |= member.get("names").is_some_and(Value::is_array)
                        }
                        _ => {}
                    }
                    self.collect(member);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|element| self.collect(element)),
            _ => {}
        }
    }
}
