//! Writes a change of a device into the text of a file.

use jsonc_parser::cst::{CstArray, CstNode, CstObject};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::limits::{self, Limit, defined, own_feature};
use super::{DeviceChange, DeviceEntry, LimitChange, Subject, entries, show};
use crate::udcf::edit::cst::{input, parse, set, unset, user_part};
use crate::udcf::edit::{newest, unusual};
use crate::udcf::migrate::Base;
use crate::udcf::{Udcf, UdcfError, tcode};

/// The longest name, in characters.
const NAME_MAX: usize = 100;

/// The text of a file of version 5 with a change of a device. Everything else stays as it is written, and so does all of
/// it if nothing changes. Errors call the file `file`.
///
/// # Errors
/// If the file cannot be used, is of an older version, or cannot be edited; if the change is not possible.
pub fn change(text: &str, file: &str, subject: &Subject, wanted: &DeviceChange) -> Result<String, UdcfError> {
    let udcf = Udcf::parse(text, file)?;
    newest(&udcf, file)?;
    let now = show(&udcf, file, subject)?;
    let then = changed(&udcf, subject, &now, wanted).map_err(|refused| refused.at(file))?;
    if then == now {
        return Ok(text.to_owned());
    }
    let edited = write(text, &udcf, subject, &now, &then).ok_or_else(|| unusual(file))?;
    // The proof that the change is what was asked for, and can be read.
    let read = show(&Udcf::parse(&edited, file)?, file, subject)?;
    let is_it = DeviceEntry {
        allowed: then.allowed.clone(),
        ..read
    } == then;
    if is_it { Ok(edited) } else { Err(unusual(file)) }
}

/// A change that is not possible, and what is.
struct Refused(String, String);

impl Refused {
    fn at(self, file: &str) -> UdcfError {
        UdcfError::new(file, self.0, self.1)
    }
}

/// What is to be said of the device after a change.
fn changed(
    udcf: &Udcf,
    subject: &Subject,
    now: &DeviceEntry,
    wanted: &DeviceChange,
) -> Result<DeviceEntry, Refused> {
    let mut then = now.clone();
    let is_more = wanted.display_name.is_some() || wanted.index.is_some() || !wanted.limits.is_empty();
    if subject.identifier.is_none() && is_more {
        return Err(Refused(
            format!(
                "the model of {:?} is not known: it is not connected",
                subject.address
            ),
            "it can be allowed or denied now; connect it for the rest".to_owned(),
        ));
    }
    if let Some(name) = &wanted.display_name {
        let name = name.trim();
        if name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            let problem = "the name is too long, or has characters that cannot be shown".to_owned();
            return Err(Refused(
                problem,
                format!("use up to {NAME_MAX} letters, digits and signs"),
            ));
        }
        then.display_name = Some(name.to_owned()).filter(|name| !name.is_empty());
    }
    then.allow = wanted.allow.unwrap_or(then.allow);
    then.deny = wanted.deny.unwrap_or(then.deny);
    for limit in &wanted.limits {
        apply(&mut then.limits, limit)?;
    }
    let devices = &udcf.value["user_configs"]["devices"];
    let own = subject.position(devices);
    let others = || entries(devices).filter(|(at, _)| Some(*at) != own);
    let holder = |index: u32| others().find(|(_, entry)| entry["config"]["user_config"]["index"] == index);
    if let Some(index) = wanted.index {
        if let Some((_, other)) = holder(index) {
            let address = other["identifier"]["address"].as_str().unwrap_or_default();
            return Err(Refused(
                format!("the device {address:?} has the index {index}"),
                "choose another one, or give that device another one first".to_owned(),
            ));
        }
        then.index = Some(index);
    }
    if then != *now && !now.is_in_file {
        then.is_in_file = true;
        let is_free = |index: &u32| holder(*index).is_none();
        let free = || (0..).find(|index| is_free(index) && !subject.taken.contains(index));
        then.index = then.index.filter(is_free).or_else(free);
    }
    Ok(then)
}

fn apply(limits: &mut [Limit], wanted: &LimitChange) -> Result<(), Refused> {
    let LimitChange { feature, kind, .. } = wanted;
    let limit = limits
        .iter_mut()
        .find(|limit| limit.feature == *feature && limit.kinds.contains(kind));
    let Some(limit) = limit else {
        return Err(Refused(
            format!("the device has no output {kind:?} at feature {feature}"),
            "its outputs are in the answer to the GET of the same path".to_owned(),
        ));
    };
    limit.low = wanted.low.unwrap_or(limit.low);
    limit.high = wanted.high.unwrap_or(limit.high);
    limit.is_off = wanted.is_off.unwrap_or(limit.is_off);
    if limit.low >= limit.high || limit.high > limit.full {
        let (low, high, full) = (limit.low, limit.high, limit.full);
        return Err(Refused(
            format!("{kind} from {low} to {high} is no range of 0 to {full}"),
            "the upper end is above the lower one; turn an output off if no app may use it".to_owned(),
        ));
    }
    match (wanted.is_reversed, limit.is_reversed) {
        (Some(true), None) => Err(Refused(
            format!("{kind} cannot be reversed"),
            "only positions can".to_owned(),
        )),
        (Some(is_reversed), Some(_)) => {
            limit.is_reversed = Some(is_reversed);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `None` if something in the text is not where it is expected.
fn write(
    text: &str,
    udcf: &Udcf,
    subject: &Subject,
    now: &DeviceEntry,
    then: &DeviceEntry,
) -> Option<String> {
    let (mark, root) = parse(text)?;
    let user = match user_part(&root) {
        Some(user) => user,
        None => root.object_value()?.object_value_or_create("user_configs")?,
    };
    let devices = user.array_value_or_create("devices")?;
    let as_written = CstNode::from(devices.clone()).to_serde_value()?;
    let config = &udcf.value["user_configs"];
    match (subject.position(&as_written), now.is_in_file) {
        (Some(at), true) => {
            let entry = devices.elements().get(at)?.as_object()?;
            let base = subject.base(config, Some(&as_written[at]))?;
            rewrite(&entry.object_value("config")?, &base, now, then)?;
        }
        (None, false) => {
            let base = match subject.base(config, None) {
                Some(base) => base,
                None => define(&user, subject)?,
            };
            devices.append(input(&entry(subject, &base, then)));
        }
        _ => return None,
    }
    admit(&devices, subject, now, then);
    Some(format!("{mark}{root}"))
}

/// The members of an entry whose values a change may be about.
fn rewrite(config: &CstObject, base: &Base, now: &DeviceEntry, then: &DeviceEntry) -> Option<()> {
    let settings = config.object_value_or_create("user_config")?;
    if now.display_name != then.display_name {
        match &then.display_name {
            Some(name) => set(&settings, "display_name", &name.as_str().into()),
            None => unset(&settings, "display_name"),
        }
    }
    if now.index != then.index {
        set(&settings, "index", &then.index?.into());
    }
    let features = config.array_value_or_create("features")?;
    for feature in &base.features {
        let is_it = |object: &CstObject| {
            let one = json!({ "config": { "features": [object.to_serde_value()] } });
            own_feature(&one, feature).is_some()
        };
        let found = features
            .elements()
            .iter()
            .filter_map(CstNode::as_object)
            .find(is_it);
        let own = match found {
            Some(own) => own,
            None => features
                .append(input(&json!({ "id": Uuid::new_v4(), "base_id": feature["id"] })))
                .as_object()?,
        };
        for limit in then
            .limits
            .iter()
            .filter(|limit| feature["index"] == limit.feature)
        {
            if now.limits.contains(limit) {
                continue;
            }
            for kind in &limit.kinds {
                limit_output(&own, feature, kind, limit)?;
            }
        }
    }
    Some(())
}

/// Writes a limit of an output, and nothing else of the output.
fn limit_output(own: &CstObject, feature: &Value, kind: &str, limit: &Limit) -> Option<()> {
    let wanted = output(feature, kind, limit);
    let there = own
        .object_value("output")
        .and_then(|outputs| outputs.object_value(kind));
    let Some(there) = there else {
        if let Some(wanted) = wanted {
            set(&own.object_value_or_create("output")?, kind, &wanted);
        }
        return Some(());
    };
    let wanted = wanted.unwrap_or_default();
    for key in ["value", "disabled", "reverse"] {
        match wanted.get(key) {
            Some(value) => set(&there, key, value),
            // What says the same is left.
            None if there
                .get(key)
                .is_some_and(|member| is_default(&member.value(), limit)) => {}
            None => unset(&there, key),
        }
    }
    Some(())
}

fn is_default(value: &Option<CstNode>, limit: &Limit) -> bool {
    let value = value.as_ref().and_then(CstNode::to_serde_value);
    value.is_some_and(|value| value == false || value == json!([0, limit.full]))
}

/// What an entry says of an output to limit it; `None` if it can leave the output out.
fn output(feature: &Value, kind: &str, limit: &Limit) -> Option<Value> {
    let defined = defined(feature, kind)?;
    let mut output = Map::new();
    if (limit.low, limit.high) != (0, limit.full) {
        output.insert("value".to_owned(), json!([limit.low, limit.high]));
    }
    if limit.is_off {
        output.insert("disabled".to_owned(), true.into());
    }
    if limit.is_reversed == Some(true) {
        output.insert("reverse".to_owned(), true.into());
    }
    // An output in an entry takes the place of what the definition says of these.
    let differs =
        defined.is_off != limit.is_off || limit.is_reversed.is_some_and(|is| is != defined.is_reversed);
    (differs || output.contains_key("value")).then_some(output.into())
}

/// An entry for a device that has none.
fn entry(subject: &Subject, base: &Base, then: &DeviceEntry) -> Value {
    let features = base.features.iter().map(|feature| {
        let mut own = json!({ "id": Uuid::new_v4(), "base_id": feature["id"] });
        let limits = then
            .limits
            .iter()
            .filter(|limit| feature["index"] == limit.feature);
        for limit in limits {
            for kind in &limit.kinds {
                if let Some(output) = output(feature, kind, limit) {
                    own["output"][kind] = output;
                }
            }
        }
        own
    });
    let mut settings = json!({ "allow": then.allow, "deny": then.deny, "index": then.index });
    if let Some(name) = &then.display_name {
        settings["display_name"] = name.as_str().into();
    }
    // An entry takes the place of what the definition says of this, but for TCode the gateway keeps no gap by itself.
    if let Some(gap) = base
        .details
        .get("message_gap_ms")
        .filter(|_| subject.protocol != tcode::PROTOCOL)
    {
        settings["message_gap_ms"] = gap.clone();
    }
    json!({
        "identifier": subject.id(),
        "config": {
            "id": Uuid::new_v4(),
            "base_id": base.id,
            "features": features.collect::<Vec<_>>(),
            "user_config": settings,
        },
    })
}

/// Writes the definition of a board that listed its axes, so that an entry can build on it.
fn define(user: &CstObject, subject: &Subject) -> Option<Base> {
    let (mut base, _) = limits::own(&subject.protocol, subject.own.as_ref()?);
    base.id = json!(Uuid::new_v4());
    for feature in &mut base.features {
        feature["id"] = json!(Uuid::new_v4());
    }
    let called = subject.identifier.as_deref().unwrap_or(&subject.protocol);
    let mut definition = json!({
        "identifier": [format!("{called} at {}", subject.address)],
        "name": base.name,
        "id": base.id,
        "features": base.features,
    });
    for (key, detail) in &base.details {
        definition[key] = detail.clone();
    }
    let protocol = user
        .object_value_or_create("protocols")?
        .object_value_or_create(&subject.protocol)?;
    protocol
        .array_value_or_create("configurations")?
        .append(input(&definition));
    Some(base)
}

/// Sets in all entries of an address whether it may connect: one that is denied denies it.
fn admit(devices: &CstArray, subject: &Subject, now: &DeviceEntry, then: &DeviceEntry) {
    for entry in devices.elements().iter().filter_map(CstNode::as_object) {
        let id = entry
            .object_value("identifier")
            .and_then(|id| id.to_serde_value());
        if id.is_none_or(|id| id["address"] != subject.address) {
            continue;
        }
        let settings = entry
            .object_value("config")
            .and_then(|config| config.object_value("user_config"));
        let Some(settings) = settings else { continue };
        if now.allow != then.allow {
            set(&settings, "allow", &then.allow.into());
        }
        if now.deny != then.deny {
            set(&settings, "deny", &then.deny.into());
        }
    }
}
