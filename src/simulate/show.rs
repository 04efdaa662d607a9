//! Events of simulated devices as lines of text, or of JSON for scripts.

use std::time::Duration;

use serde_json::json;

use super::connection::EventKind;
use super::{DeviceOptions, Event};
use crate::advice::Advice;
use crate::text::printable;

/// The event as text; `None` if it is not worth a line.
pub fn line(options: &DeviceOptions, event: &Event) -> Option<String> {
    let prefix = format!("{} {}", clock(event.at), options.address);
    Some(match &event.kind {
        EventKind::Connected => {
            let target = options.target.url();
            let target = target.split('?').next().unwrap_or_default();
            format!("{prefix}  connected to {target} as {}", options.identifier)
        }
        EventKind::Frame { bytes, commands, .. } if commands.is_empty() => {
            format!("{prefix}  {}  (not yet a whole command)", printable(bytes))
        }
        EventKind::Frame { commands, .. } => {
            let unknown_prefix = |known: bool| if known { "" } else { "? " };
            let lines: Vec<String> = commands
                .iter()
                .map(|c| {
                    format!(
                        "{prefix}  {:<20} {}{}",
                        c.text,
                        unknown_prefix(c.known),
                        c.meaning
                    )
                })
                .collect();
            lines.join("\n")
        }
        EventKind::Stopped(changes) => {
            let names: Vec<&str> = changes.iter().map(|c| c.actuator.name).collect();
            format!("{prefix}  lost control; stopped {}", names.join(", "))
        }
        EventKind::Ended(ended) => match ended.hint() {
            Some(hint) => format!("{prefix}  {ended}; {hint}"),
            None => format!("{prefix}  {ended}"),
        },
        EventKind::Unreachable { error, hint } => format!("{prefix}  {error}; trying again. {hint}"),
        EventKind::Waiting(_) => return None,
    })
}

/// The event as one JSON object.
pub fn json_line(options: &DeviceOptions, event: &Event) -> String {
    let mut object = json!({
        "at_ms": event.at.as_millis() as u64,
        "address": options.address,
        "identifier": options.identifier,
    });
    match &event.kind {
        EventKind::Connected => object["event"] = "connected".into(),
        EventKind::Frame {
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
        EventKind::Stopped(changes) => {
            object["event"] = "stopped".into();
            object["outputs"] = changes
                .iter()
                .map(|c| json!({ "name": c.actuator.name, "value": c.actuator.target() }))
                .collect();
        }
        EventKind::Ended(ended) => {
            object["event"] = "ended".into();
            object["reason"] = ended.to_string().into();
            object["code"] = json!(ended.code());
        }
        EventKind::Unreachable { error, hint } => {
            object["event"] = "unreachable".into();
            object["reason"] = error.as_str().into();
            object["hint"] = hint.as_str().into();
        }
        EventKind::Waiting(pause) => {
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
