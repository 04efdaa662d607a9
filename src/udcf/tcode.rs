//! Which channel of a TCode board an output of a definition goes to.

use buttplug_core::message::OutputType;
use buttplug_server_device_config::{ServerDeviceFeature, ServerDeviceFeatureOutput as Output};

use crate::device::language::tcode::{Channel, Kind};

/// The protocol, by its name in a UDCF.
pub const PROTOCOL: &str = "tcode-v03";

/// The channel of one of a feature's outputs: the one that its description names, if that is of the right kind;
/// otherwise, for positions and vibrations, the one with the number of its index. `None` if nothing moves.
pub fn channel(feature: &ServerDeviceFeature, output: &Output) -> Option<Channel> {
    match output {
        Output::Position(_) | Output::HwPositionWithDuration(_) => {
            named_for_position(feature).or(Channel::new(Kind::Linear, feature.index()))
        }
        Output::Vibrate(_) => named_for_level(feature).or(Channel::new(Kind::Vibration, feature.index())),
        // A feature has one axis: of several levels, it belongs to a vibration, or else to the first one.
        level => {
            let mut levels = feature.output.iter().filter(|output| can_be_a_level(output));
            let is_first = levels.next().map(Output::output_type) == Some(level.output_type());
            let is_it = is_first && !feature.contains_output(OutputType::Vibrate);
            named_for_level(feature).filter(|_| is_it)
        }
    }
}

/// The channel that a description names for positions: it may begin with `V2` for other reasons, and no position is a
/// vibration.
pub fn named_for_position(feature: &ServerDeviceFeature) -> Option<Channel> {
    named(feature).filter(|channel| channel.kind() != Kind::Vibration)
}

/// The channel that a description names for levels: a stop sets levels to 0, which is a position on any other axis.
fn named_for_level(feature: &ServerDeviceFeature) -> Option<Channel> {
    named(feature).filter(|channel| matches!(channel.kind(), Kind::Vibration | Kind::Auxiliary))
}

fn named(feature: &ServerDeviceFeature) -> Option<Channel> {
    Channel::of_description(&feature.description)
}

/// Whether an output is a level that has one direction.
fn can_be_a_level(output: &Output) -> bool {
    let properties = output.as_value_properties();
    properties.is_some_and(|level| level.value.base.start() >= 0)
}
