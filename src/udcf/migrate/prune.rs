//! Removes from a migrated file what the published schema rejects.

use serde_json::{Value, json};

use super::Origins;
use crate::udcf::remark::Remark;
use crate::udcf::{CURRENT_MAJOR, schema};

/// After this many removed entries, the rest is given up.
const MAX_FAULTS: usize = 1_000;

/// Removes what the schema rejects: the smallest entry around each fault, with a remark.
pub(super) fn prune(value: &mut Value, origins: &mut Origins) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for _ in 0..MAX_FAULTS {
        let Some(fault) = schema::fault(value) else {
            return remarks;
        };
        let steps: Vec<&str> = fault.pointer.split('/').skip(1).collect();
        // An entry is an element of the innermost list; outside of lists, a member of the user's part.
        let depth = steps
            .iter()
            .rposition(|s| s.parse::<usize>().is_ok())
            .unwrap_or(steps.len().saturating_sub(1));
        // A faulty device or configuration is removed as a whole: half of it would be another device.
        let depth = steps
            .iter()
            .position(|s| matches!(*s, "devices" | "configurations"))
            .map_or(depth, |list| list + 1);
        let removed = match (steps.get(..depth), steps.get(depth)) {
            (Some(parent), Some(last)) => {
                let parent: String = parent.iter().map(|s| format!("/{s}")).collect();
                remove(value, &parent, last).map(|removed| (parent, *last, removed))
            }
            _ => None,
        };
        let Some((parent, last, removed)) = removed else {
            *value = json!({ "version": { "major": CURRENT_MAJOR, "minor": 0 } });
            remarks.push(Remark::of_the_file(format!(
                "nothing could be carried over: {}",
                fault.problem
            )));
            return remarks;
        };
        let origin = last.parse().ok().and_then(|index| origins.remove(&parent, index));
        remarks.push(Remark {
            pointer: origin,
            ..Remark::of_the_file(format!("left out of {parent}: {removed}: {}", fault.problem))
        });
    }
    remarks
}

fn remove(value: &mut Value, parent: &str, last: &str) -> Option<Value> {
    match value.pointer_mut(parent)? {
        Value::Array(list) => {
            let index = last.parse().ok().filter(|i| *i < list.len());
            index.map(|i: usize| list.remove(i))
        }
        Value::Object(members) => members.shift_remove(&last.replace("~1", "/").replace("~0", "~")),
        _ => None,
    }
}
