//! Edits the axes of TCode boards with one websocket name: an entry of `configurations`, with an id for each axis.

#[cfg(test)]
mod tests;

use jsonc_parser::cst::{CstNode, CstObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::cst::{input, parse, set, user_part};
use super::{newest, unusual};
use crate::device::language::tcode::{Channel, Kind};
use crate::udcf::migrate::base_of;
use crate::udcf::tcode::PROTOCOL;
use crate::udcf::{Udcf, UdcfError};

/// The kind of an axis that moves to a place.
const POSITION: &str = "position";
/// The kinds of axes that have a level, 0 of which is off.
const LEVELS: [&str; 7] = [
    "vibrate",
    "constrict",
    "oscillate",
    "rotate",
    "spray",
    "temperature",
    "led",
];
/// The longest description, in characters.
const DESCRIPTION_MAX: usize = 100;

/// An axis of a board.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Its channel, such as `L0`, `R1`, `V0` or `A0`.
    pub channel: String,
    /// `position` for `L` and `R`. For `V` and `A`: `vibrate`, `constrict`, `oscillate`, `rotate`, `spray`, `temperature`
    /// or `led`.
    pub kind: String,
    /// What it is, for people.
    #[serde(default)]
    pub description: String,
}

/// The axes of the boards with one websocket name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Axes {
    /// The name that apps show.
    pub name: String,
    /// Whether the file describes them; otherwise they are those that the protocol has by itself.
    pub is_in_file: bool,
    /// By channel.
    pub axes: Vec<Axis>,
}

/// The axes that a file gives to the boards with a websocket name. Errors call the file `file`.
///
/// # Errors
/// If the file has no such name of TCode, or describes the boards in a way that is not a list of axes.
pub fn show(udcf: &Udcf, file: &str, identifier: &str) -> Result<Axes, UdcfError> {
    let mut names = udcf.websocket_names().into_iter().chain(udcf.bridged_names());
    if !names.any(|(name, protocol)| name == identifier && protocol == PROTOCOL) {
        let problem = format!("{identifier:?} is no name of {PROTOCOL} in it");
        return Err(UdcfError::new(file, problem, "add the name first".to_owned()));
    }
    let user = &udcf.value["user_configs"];
    let of_name = json!({ "identifier": { "protocol": PROTOCOL, "identifier": identifier } });
    let base = base_of(user, &of_name).ok_or_else(|| unusual(file))?;
    let axes: Option<Vec<Axis>> = base.features.iter().map(axis).collect();
    let mut axes = axes.ok_or_else(|| {
        let problem =
            format!("the configuration of {identifier:?} has features that are not one TCode axis each");
        UdcfError::new(file, problem, "edit it by hand".to_owned())
    })?;
    axes.sort();
    let configurations = &user["protocols"][PROTOCOL]["configurations"];
    Ok(Axes {
        name: base.name,
        is_in_file: position(configurations, identifier).is_some(),
        axes,
    })
}

/// The text of a file of version 5 with these axes for the boards with a websocket name. The ids of axes that stay are
/// kept, and so are the limits that single devices have for them. Errors call the file `file`.
///
/// # Errors
/// As [`show`]; if an axis is not possible, or the file is of an older version or cannot be edited.
pub fn change(text: &str, file: &str, identifier: &str, wanted: &Axes) -> Result<String, UdcfError> {
    let udcf = Udcf::parse(text, file)?;
    newest(&udcf, file)?;
    let now = show(&udcf, file, identifier)?;
    let then = checked(wanted).map_err(|(problem, hint)| UdcfError::new(file, problem, hint.to_owned()))?;
    if (&now.name, &now.axes) == (&then.name, &then.axes) {
        return Ok(text.to_owned());
    }
    let edited = write(text, &udcf, identifier, &then).ok_or_else(|| unusual(file))?;
    // The proof that the change is what was asked for, and that no device lost its entry by it.
    let again = Udcf::parse(&edited, file)?;
    let devices = |udcf: &Udcf| Ok(udcf.device_configuration()?.user_device_definitions().len());
    let is_it = show(&again, file, identifier)? == then && devices(&again)? == devices(&udcf)?;
    if is_it { Ok(edited) } else { Err(unusual(file)) }
}

/// The axes that are wanted, by channel; or why they are not possible, and what is.
fn checked(wanted: &Axes) -> Result<Axes, (String, &'static str)> {
    let mut axes = wanted.axes.clone();
    for axis in &mut axes {
        let Some(channel) = Channel::parse(&axis.channel) else {
            let problem = format!("{:?} is no TCode channel", axis.channel);
            return Err((problem, "a channel is L, R, V or A and a digit"));
        };
        axis.channel = channel.to_string();
        axis.description = axis.description.trim().to_owned();
        let is_position = matches!(channel.kind(), Kind::Linear | Kind::Rotary);
        if is_position != (axis.kind == POSITION) || !is_position && !LEVELS.contains(&axis.kind.as_str()) {
            let problem = format!("{channel} cannot be {:?}", axis.kind);
            return Err((
                problem,
                "L and R are positions; V and A are levels, such as vibrate or constrict",
            ));
        }
        let text = &axis.description;
        if text.chars().count() > DESCRIPTION_MAX || text.chars().any(char::is_control) {
            let problem = format!("the description of {channel} is too long, or cannot be shown");
            return Err((problem, "use up to 100 letters, digits and signs"));
        }
    }
    axes.sort();
    if axes.windows(2).any(|two| two[0].channel == two[1].channel) {
        return Err(("a channel is listed twice".to_owned(), "each channel is one axis"));
    }
    if axes.is_empty() {
        return Err(("the board would have no axis".to_owned(), "leave at least one on"));
    }
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > DESCRIPTION_MAX || name.chars().any(char::is_control) {
        return Err((
            "the name is empty, too long, or cannot be shown".to_owned(),
            "use up to 100 letters, digits and signs",
        ));
    }
    Ok(Axes {
        name: name.to_owned(),
        is_in_file: true,
        axes,
    })
}

/// The position of the configuration for an identifier.
fn position(configurations: &Value, identifier: &str) -> Option<usize> {
    let all = configurations.as_array()?;
    all.iter().rposition(|configuration| {
        let mut identifiers = configuration["identifier"].as_array().into_iter().flatten();
        identifiers.any(|id| id == identifier)
    })
}

/// The axis that a feature is; `None` if it is none, or several.
fn axis(feature: &Value) -> Option<Axis> {
    let text = feature["description"].as_str().unwrap_or_default();
    let mut kinds = feature["output"].as_object()?.keys().map(String::as_str);
    let first = kinds.next()?;
    let is_position = |kind: &str| kind == POSITION || kind == "hw_position_with_duration";
    let named = Channel::of_description(text).filter(|channel| {
        let on_axis = matches!(channel.kind(), Kind::Linear | Kind::Rotary);
        on_axis == is_position(first)
    });
    let index = u32::try_from(feature["index"].as_u64()?).ok()?;
    let (kind, numbered) = match first {
        first if is_position(first) => {
            if !kinds.all(is_position) {
                return None;
            }
            (POSITION, Channel::new(Kind::Linear, index))
        }
        level => {
            let level = LEVELS.into_iter().find(|known| *known == level)?;
            if kinds.next().is_some() {
                return None;
            }
            let numbered = Channel::new(Kind::Vibration, index).filter(|_| level == "vibrate");
            (level, numbered)
        }
    };
    let channel = match (named, Channel::of_description(text)) {
        (Some(named), _) => named,
        (None, None) => numbered?,
        // A level or a position on a channel that the form has for the other.
        (None, Some(_)) => return None,
    };
    Some(Axis {
        channel: channel.to_string(),
        kind: kind.to_owned(),
        description: without_channel(text, named).to_owned(),
    })
}

/// A description without the channel that it names, first or last.
fn without_channel(text: &str, named: Option<Channel>) -> &str {
    let text = text.trim();
    let Some(channel) = named.map(|channel| channel.to_string()) else {
        return text;
    };
    let first = text
        .get(..channel.len())
        .filter(|first| first.eq_ignore_ascii_case(&channel));
    match first {
        Some(first) => text[first.len()..].trim(),
        None => text.rsplit_once('(').map_or(text, |(before, _)| before.trim()),
    }
}

fn description(axis: &Axis) -> String {
    format!("{} {}", axis.channel, axis.description)
        .trim_end()
        .to_owned()
}

fn output(axis: &Axis) -> Value {
    match axis.kind.as_str() {
        // Some apps know only one of the two.
        POSITION => json!({
            "position": { "value": [0, 999] },
            "hw_position_with_duration": { "value": [0, 999], "duration": [0, 99_999] },
        }),
        level => json!({ level: { "value": [0, 99] } }),
    }
}

/// `None` if something in the text is not where it is expected.
fn write(text: &str, udcf: &Udcf, identifier: &str, then: &Axes) -> Option<String> {
    let (mark, root) = parse(text)?;
    let user = match user_part(&root) {
        Some(user) => user,
        None => root.object_value()?.object_value_or_create("user_configs")?,
    };
    let configurations = user
        .object_value_or_create("protocols")?
        .object_value_or_create(PROTOCOL)?
        .array_value_or_create("configurations")?;
    let as_written = CstNode::from(configurations.clone()).to_serde_value()?;
    let configuration = match position(&as_written, identifier) {
        Some(at) => configurations.elements().get(at)?.as_object()?,
        None => configurations
            .append(input(&json!({
                "identifier": [identifier], "name": then.name, "id": Uuid::new_v4(), "features": [],
            })))
            .as_object()?,
    };
    set(&configuration, "name", &then.name.as_str().into());
    features(&configuration, then)?;
    devices(&user, udcf, identifier, &configuration.to_serde_value()?)?;
    Some(format!("{mark}{root}"))
}

/// Removes features, changes what differs of those that stay, and adds others.
fn features(configuration: &CstObject, then: &Axes) -> Option<()> {
    let features = configuration.array_value_or_create("features")?;
    let mut taken = Vec::new();
    let mut there = Vec::new();
    for element in features.elements() {
        let feature = element.to_serde_value()?;
        let was = axis(&feature)?;
        let Some(is) = then.axes.iter().find(|axis| axis.channel == was.channel) else {
            element.remove();
            continue;
        };
        let object = element.as_object()?;
        if is.kind != was.kind {
            set(&object, "output", &output(is));
        }
        if is.description != was.description {
            set(&object, "description", &description(is).into());
        }
        taken.push(feature["index"].as_u64()?);
        there.push(&is.channel);
    }
    for axis in then.axes.iter().filter(|axis| !there.contains(&&axis.channel)) {
        let index = (0..).find(|index| !taken.contains(index))?;
        taken.push(index);
        features.append(input(&json!({
            "index": index, "id": Uuid::new_v4(), "description": description(axis), "output": output(axis),
        })));
    }
    Some(())
}

/// Makes the entries of single devices build on the configuration, with their limits for the axes that stay: the server
/// skips an entry whose features are not those of its definition.
fn devices(user: &CstObject, udcf: &Udcf, identifier: &str, configuration: &Value) -> Option<()> {
    let Some(devices) = user.array_value("devices") else {
        return Some(());
    };
    let features = configuration["features"].as_array()?;
    for element in devices.elements() {
        let entry = element.to_serde_value()?;
        let is_of_name = entry["identifier"]["protocol"] == PROTOCOL
            && (entry["identifier"]["identifier"] == identifier
                || entry["config"]["base_id"] == configuration["id"]);
        if !is_of_name {
            continue;
        }
        let before = base_of(&udcf.value["user_configs"], &entry)?;
        let config = element.as_object()?.object_value("config")?;
        set(&config, "base_id", &configuration["id"]);
        let own = config.array_value_or_create("features")?;
        let mut there = Vec::new();
        for feature in own.elements() {
            let object = feature.as_object()?;
            let value = object.to_serde_value()?;
            let was = before
                .features
                .iter()
                .find(|base| base["id"] == value["base_id"])
                .and_then(axis);
            let is = features.iter().find_map(|base| {
                let is = axis(base)?;
                (was.as_ref()?.channel == is.channel).then_some((base, is))
            });
            let Some((base, is)) = is else {
                feature.remove();
                continue;
            };
            set(&object, "base_id", &base["id"]);
            // A limit stays with its axis, whatever that does now: all levels have the same range.
            if let Some(was) = was.filter(|was| was.kind != is.kind)
                && let Some(limit) = value["output"].get(&was.kind)
            {
                set(&object, "output", &json!({ is.kind.as_str(): limit }));
            }
            there.push(base["id"].clone());
        }
        for base in features.iter().filter(|base| !there.contains(&base["id"])) {
            own.append(input(&json!({ "id": Uuid::new_v4(), "base_id": base["id"] })));
        }
    }
    Some(())
}
