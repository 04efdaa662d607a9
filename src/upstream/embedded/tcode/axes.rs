//! The definition of a board that listed its axes.

use buttplug_core::message::OutputType;
use buttplug_core::util::range::RangeInclusive;
use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinition, ServerDeviceDefinitionBuilder, ServerDeviceFeature,
    ServerDeviceFeatureOutput, ServerDeviceFeatureOutputHwPositionWithDurationProperties,
    ServerDeviceFeatureOutputPositionProperties, ServerDeviceFeatureOutputValueProperties,
};
use uuid::{Uuid, uuid};

use crate::device::language::tcode::{Channel, Kind};
use crate::device::recognition::{Axis, Recognised};

/// Ids are derived from a board's address and the channel, so that they stay the same.
const NAMESPACE: Uuid = uuid!("6f0c2f0e-6a52-4f6b-9a4e-2f1f6f3b7d11");
/// The end of an axis's travel: the unit of the ranges that boards prefer.
const FULL: u16 = 9_999;
/// The longest move in milliseconds, as in the library's own definition.
const LONGEST_MS: i32 = 99_999;
/// The name of a board that gave none.
const NAME: &str = "TCode board";

/// A device with a feature for each axis, in the board's order. A board that lists none gets `L0`, which all boards have.
pub(super) fn definition(address: &str, recognised: &Recognised) -> ServerDeviceDefinition {
    let id = Uuid::new_v5(&NAMESPACE, address.as_bytes());
    let name = recognised.name.as_deref().unwrap_or(NAME);
    let mut definition = ServerDeviceDefinitionBuilder::new(name, &id);
    let stroke = [Axis {
        channel: "L0".to_owned(),
        name: "Stroke".to_owned(),
        range: 0..=FULL,
    }];
    let axes = match &recognised.axes[..] {
        [] => &stroke[..],
        axes => axes,
    };
    let mut known = Vec::new();
    for axis in axes {
        let Some(channel) = Channel::parse(&axis.channel).filter(|channel| !known.contains(channel)) else {
            continue;
        };
        let index = u32::try_from(known.len()).unwrap_or(u32::MAX);
        known.push(channel);
        definition.add_feature(&ServerDeviceFeature::new(
            index,
            // The channel comes first: this is how a feature is given its axis.
            format!("{channel} {}", axis.name).trim_end().to_owned(),
            Uuid::new_v5(&id, axis.channel.as_bytes()),
            None,
            None,
            outputs(channel, axis).into(),
            Vec::new().into(),
        ));
    }
    definition.finish()
}

fn outputs(channel: Channel, axis: &Axis) -> Vec<ServerDeviceFeatureOutput> {
    use ServerDeviceFeatureOutput as Output;
    let value = range(axis);
    let level = ServerDeviceFeatureOutputValueProperties::new(value.clone(), false);
    match channel.kind() {
        Kind::Linear | Kind::Rotary => {
            let duration = RangeWithLimit::new(RangeInclusive::new(0, LONGEST_MS));
            let position = ServerDeviceFeatureOutputPositionProperties::new(value.clone(), false, false);
            let timed =
                ServerDeviceFeatureOutputHwPositionWithDurationProperties::new(value, duration, false, false);
            // Some apps know only one of the two.
            vec![Output::Position(position), Output::HwPositionWithDuration(timed)]
        }
        Kind::Vibration => vec![of_level(
            of_name(&axis.name).unwrap_or(OutputType::Vibrate),
            level,
        )],
        // A constriction can be set and kept, is off at zero, and works on a body, so that apps apply it with care: those
        // that make everything vibrate leave it alone, and none puts it at full power as it may do with a light.
        Kind::Auxiliary => vec![of_level(
            of_name(&axis.name).unwrap_or(OutputType::Constrict),
            level,
        )],
    }
}

fn of_level(kind: OutputType, level: ServerDeviceFeatureOutputValueProperties) -> ServerDeviceFeatureOutput {
    use ServerDeviceFeatureOutput as Output;
    match kind {
        OutputType::Vibrate => Output::Vibrate(level),
        OutputType::Rotate => Output::Rotate(level),
        OutputType::Oscillate => Output::Oscillate(level),
        OutputType::Temperature => Output::Temperature(level),
        OutputType::Led => Output::Led(level),
        OutputType::Spray => Output::Spray(level),
        // No name says that a level is a position.
        OutputType::Constrict | OutputType::Position | OutputType::HwPositionWithDuration => {
            Output::Constrict(level)
        }
    }
}

/// What an axis is for, by how a word of its name begins.
const BEGINNINGS: [(&str, OutputType); 19] = [
    ("vib", OutputType::Vibrate),
    ("buzz", OutputType::Vibrate),
    ("rumbl", OutputType::Vibrate),
    ("rotat", OutputType::Rotate),
    ("oscillat", OutputType::Oscillate),
    ("thrust", OutputType::Oscillate),
    ("constrict", OutputType::Constrict),
    ("inflat", OutputType::Constrict),
    ("squeez", OutputType::Constrict),
    ("suck", OutputType::Constrict),
    ("suction", OutputType::Constrict),
    ("vacuum", OutputType::Constrict),
    ("valve", OutputType::Constrict),
    ("lub", OutputType::Spray),
    ("spray", OutputType::Spray),
    ("squirt", OutputType::Spray),
    ("heat", OutputType::Temperature),
    ("temperature", OutputType::Temperature),
    ("warm", OutputType::Temperature),
];

/// What an axis is for, by a whole word of its name: longer words that begin so mean something else.
const WORDS: [(&str, OutputType); 9] = [
    ("spin", OutputType::Rotate),
    ("spinner", OutputType::Rotate),
    ("temp", OutputType::Temperature),
    ("lamp", OutputType::Led),
    ("led", OutputType::Led),
    ("leds", OutputType::Led),
    ("light", OutputType::Led),
    ("lights", OutputType::Led),
    ("rgb", OutputType::Led),
];

/// The output that the name of an axis says, such as `Lube pump` or `HeaterTemp`. `None` if it says none, or several:
/// what is a light in one word and a motor in another must not be driven as either.
fn of_name(name: &str) -> Option<OutputType> {
    let of_word = |word: &String| {
        let begins = BEGINNINGS.iter().find(|(start, _)| word.starts_with(start));
        let known = begins.or_else(|| WORDS.iter().find(|(known, _)| word == known));
        known.map(|(_, kind)| *kind)
    };
    let words = words(name);
    let mut kinds = words.iter().filter_map(of_word);
    let first = kinds.next()?;
    kinds.all(|kind| kind == first).then_some(first)
}

/// The words of a name in lower case; `LubePump`, `LED2` and `lube_pump` have two, or one and a number.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let begins = letter.is_uppercase()
            && (before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase()));
        if begins || !letter.is_alphabetic() {
            words.push(String::new());
        }
        if letter.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The travel of an axis, limited to what the board prefers. An empty range is ignored, since no board can mean it.
fn range(axis: &Axis) -> RangeWithLimit {
    let (start, end) = (*axis.range.start(), (*axis.range.end()).min(FULL));
    let is_limit = start < end && (start, end) != (0, FULL);
    RangeWithLimit::new_with_user(
        RangeInclusive::new(0, FULL.into()),
        is_limit.then(|| RangeInclusive::new(start.into(), end.into())),
    )
}
