//! What a person, or a script, sees of simulated devices: one line for each thing that happens.

use std::time::Duration;

use serde_json::json;

use super::connection::Happening;
use super::{DeviceOptions, Event};
use crate::advice::Advice;
use crate::text::printable;

/// One line for people; `None` for what is not worth one.
pub fn line(options: &DeviceOptions, event: &Event) -> Option<String> {
    let prefix = format!("{} {}", clock(event.at), options.address);
    Some(match &event.what {
        Happening::Connected => {
            let target = options.target.url();
            let target = target.split('?').next().unwrap_or_default();
            format!("{prefix}  connected to {target} as {}", options.identifier)
        }
        Happening::Frame { bytes, commands, .. } if commands.is_empty() => {
            format!("{prefix}  {}  (not yet a whole command)", printable(bytes))
        }
        Happening::Frame { commands, .. } => {
            let mark = |known: bool| if known { "" } else { "? " };
            let lines: Vec<String> = commands
                .iter()
                .map(|c| format!("{prefix}  {:<20} {}{}", c.text, mark(c.known), c.meaning))
                .collect();
            lines.join("\n")
        }
        Happening::Stopped(changes) => {
            let names: Vec<&str> = changes.iter().map(|c| c.actuator.name).collect();
            format!("{prefix}  control is lost: stopped {}", names.join(", "))
        }
        Happening::Ended(ended) => match ended.hint() {
            Some(hint) => format!("{prefix}  {ended}; {hint}"),
            None => format!("{prefix}  {ended}"),
        },
        Happening::Unreachable { error, hint } => format!("{prefix}  {error}; trying again. {hint}"),
        Happening::Waiting(_) => return None,
    })
}

/// One JSON object.
pub fn json_line(options: &DeviceOptions, event: &Event) -> String {
    let mut object = json!({
        "at_ms": event.at.as_millis() as u64,
        "address": options.address,
        "identifier": options.identifier,
    });
    match &event.what {
        Happening::Connected => object["event"] = "connected".into(),
        Happening::Frame {
            bytes,
            commands,
            changes,
        } => {
            object["event"] = "frame".into();
            object["text"] = printable(bytes).into();
            object["commands"] = commands
                .iter()
                .map(|c| json!({ "text": c.text, "meaning": c.meaning, "known": c.known }))
                .collect();
            object["outputs"] = changes
                .iter()
                .map(|c| json!({ "name": c.actuator.name, "value": c.actuator.target() }))
                .collect();
        }
        Happening::Stopped(changes) => {
            object["event"] = "stopped".into();
            object["outputs"] = changes
                .iter()
                .map(|c| json!({ "name": c.actuator.name, "value": c.actuator.target() }))
                .collect();
        }
        Happening::Ended(ended) => {
            object["event"] = "ended".into();
            object["reason"] = ended.to_string().into();
            object["code"] = json!(ended.code());
        }
        Happening::Unreachable { error, hint } => {
            object["event"] = "unreachable".into();
            object["reason"] = error.as_str().into();
            object["hint"] = hint.as_str().into();
        }
        Happening::Waiting(pause) => {
            object["event"] = "waiting".into();
            object["pause_ms"] = (pause.as_millis() as u64).into();
        }
    }
    object.to_string()
}

/// Minutes, seconds and milliseconds since the start.
fn clock(at: Duration) -> String {
    let ms = at.as_millis();
    format!("{:02}:{:02}.{:03}", ms / 60_000, ms / 1_000 % 60, ms % 1_000)
}
