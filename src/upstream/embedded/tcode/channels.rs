//! Maps features to axes, and the library's frames to those that the board receives.

use std::collections::{HashMap, HashSet};

use buttplug_core::message::{OutputCommand, OutputType, OutputValue};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server::message::checked_output_vec_cmd::CheckedOutputVecCmdV4;
use buttplug_server_device_config::{
    RangeWithLimit, ServerDeviceDefinition, ServerDeviceDefinitionBuilder, ServerDeviceFeature,
    ServerDeviceFeatureOutput as Output,
};
use bytes::Bytes;
use tracing::warn;
use uuid::Uuid;

use crate::device::language::tcode::{self, Channel, Kind};
use crate::udcf::tcode::{channel, named_for_position};

/// The axes of a device's features, by the feature's id.
#[derive(Debug, Default)]
pub(in super::super) struct Channels {
    routes: HashMap<Uuid, Route>,
}

/// Where a feature's commands go.
#[derive(Debug)]
struct Route {
    /// The feature's index, which the library writes in place of the axis.
    index: u32,
    position: Option<Travel>,
    timed: Option<Travel>,
    level: Option<Travel>,
    /// The output that clients see where the library has a vibration.
    shown: Option<OutputType>,
}

/// An axis, and what a value means on it.
#[derive(Debug)]
struct Travel {
    channel: Channel,
    /// An axis that is moved together with it.
    with: Option<Channel>,
    /// The value of its whole travel.
    full: u32,
    /// The values that the user, or the board, allows.
    limits: (u32, u32),
}

impl Travel {
    fn new(channel: Channel, range: &RangeWithLimit) -> Self {
        let full = u32::try_from(range.base.end()).unwrap_or(0);
        Self {
            channel,
            with: None,
            full,
            limits: range
                .user
                .map_or((0, full), |user| (user.start().min(user.end()), user.end())),
        }
    }

    /// Narrows the limits to `low` to `high` of `full`, rounded inwards. If nothing remains, only the lower limit is
    /// allowed.
    fn keep_inside(&mut self, full: u32, low: u32, high: u32) {
        let scaled = |value: u32| u64::from(value) * u64::from(self.full);
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let low = narrow(scaled(low).div_ceil(full.into())).max(self.limits.0);
        let high = narrow(scaled(high) / u64::from(full)).min(self.limits.1);
        self.limits = (low, high.max(low));
    }

    fn frame(&self, value: u32, within_ms: Option<u32>) -> Bytes {
        let mut frame = String::new();
        for channel in [Some(self.channel), self.with].into_iter().flatten() {
            frame += &tcode::set(channel, value, self.full, within_ms);
            frame.push('\n');
        }
        frame.into()
    }
}

impl Channels {
    /// Finds the axes of a definition's features; also returns the definition for the library, which can express
    /// only vibrations and positions for TCode: every other level is a vibration in it.
    pub(super) fn of(definition: &ServerDeviceDefinition) -> (ServerDeviceDefinition, Self) {
        let mut in_library = ServerDeviceDefinitionBuilder::from_user(definition);
        let mut channels = Self::default();
        let moves = |feature: &&ServerDeviceFeature| {
            feature.contains_output(OutputType::Position)
                || feature.contains_output(OutputType::HwPositionWithDuration)
        };
        let is_alone = definition.features().values().filter(moves).count() == 1;
        for feature in definition.features().values() {
            let route = Route::new(feature, is_alone);
            if let Some(shown) = route.shown {
                let mut feature = feature.clone();
                for output in feature.output.iter_mut() {
                    if let Some(level) = output.as_value_properties()
                        && output.output_type() == shown
                    {
                        *output = Output::Vibrate(level.clone());
                    }
                }
                in_library.replace_feature(&feature);
            }
            channels.routes.insert(feature.id(), route);
        }
        channels.share_limits();
        (in_library.finish(), channels)
    }

    /// Makes features on one axis share their limits: none may move it where another may not.
    fn share_limits(&mut self) {
        let travels = |route: &Route| {
            let all = [&route.position, &route.timed, &route.level];
            all.into_iter()
                .flatten()
                .map(|travel| (travel.channel, travel.full, travel.limits))
                .collect::<Vec<_>>()
        };
        let all: Vec<_> = self.routes.values().flat_map(travels).collect();
        for route in self.routes.values_mut() {
            let Route {
                position,
                timed,
                level,
                ..
            } = route;
            for travel in [position, timed, level].into_iter().flatten() {
                for (channel, full, (low, high)) in &all {
                    if *channel == travel.channel && *full > 0 {
                        travel.keep_inside(*full, *low, *high);
                    }
                }
            }
        }
    }

    /// The frame for the board, from the library's frame for these features. `None` if it cannot be expressed: the
    /// feature has no axis.
    pub(in super::super) fn rewrite(&self, features: &HashSet<Uuid>, frame: &[u8]) -> Option<Bytes> {
        let route = features.iter().find_map(|id| self.routes.get(id))?;
        let (travel, value, within_ms) = route.read(std::str::from_utf8(frame).ok()?)?;
        let (lowest, highest) = travel.limits;
        // The limits of a level may begin above 0, and 0 is always allowed.
        let is_off = value == 0 && matches!(travel.channel.kind(), Kind::Vibration | Kind::Auxiliary);
        let value = if is_off { 0 } else { value.clamp(lowest, highest) };
        Some(travel.frame(value, within_ms))
    }

    /// The axes that an output moves.
    pub(in super::super) fn names(&self, feature: Uuid, output: OutputType) -> Vec<String> {
        let travel = self.routes.get(&feature).and_then(|route| match output {
            OutputType::Position => route.position.as_ref(),
            OutputType::HwPositionWithDuration => route.timed.as_ref(),
            _ => route.level.as_ref(),
        });
        let channels = travel.map(|travel| [Some(travel.channel), travel.with]);
        channels
            .into_iter()
            .flatten()
            .flatten()
            .map(|channel| channel.to_string())
            .collect()
    }

    /// A client's command as the library can carry it out.
    pub(in super::super) fn for_library(&self, command: CheckedOutputCmdV4) -> CheckedOutputCmdV4 {
        let shown = self
            .routes
            .get(&command.feature_id())
            .and_then(|route| route.shown);
        let given = command.output_command();
        if shown != Some(given.as_output_type()) {
            return command;
        }
        CheckedOutputCmdV4::new(
            command.id(),
            command.device_index(),
            command.feature_index(),
            command.feature_id(),
            OutputCommand::Vibrate(OutputValue::new(given.value())),
        )
    }

    /// As [`Channels::for_library`], for a command with several values.
    pub(in super::super) fn all_for_library(&self, command: &CheckedOutputVecCmdV4) -> CheckedOutputVecCmdV4 {
        let values = command.value_vec().iter();
        CheckedOutputVecCmdV4::new(
            command.id(),
            command.device_index(),
            values.map(|value| self.for_library(value.clone())).collect(),
        )
    }
}

impl Route {
    /// The route of a feature. If `is_alone` is set, the device has no other feature that moves.
    fn new(feature: &ServerDeviceFeature, is_alone: bool) -> Self {
        let index = feature.index();
        let mut route = Self {
            index,
            position: None,
            timed: None,
            level: None,
            shown: None,
        };
        for output in feature.output.iter() {
            let Some(channel) = channel(feature, output) else {
                continue;
            };
            match output {
                Output::Position(p) => {
                    let is_numbered = named_for_position(feature).is_none();
                    route.position = Some(Travel {
                        // The library turns a stroker of one axis while it strokes.
                        with: Channel::new(Kind::Rotary, index)
                            .filter(|_| is_numbered && is_alone && index == 0),
                        ..Travel::new(channel, &p.value)
                    });
                }
                Output::HwPositionWithDuration(p) => {
                    route.timed = Some(Travel::new(channel, &p.value));
                }
                level => {
                    let kind = level.output_type();
                    route.level = level
                        .as_value_properties()
                        .map(|p| Travel::new(channel, &p.value));
                    route.shown = (kind != OutputType::Vibrate).then_some(kind);
                }
            }
        }
        let has_axis = route.position.is_some() || route.timed.is_some() || route.level.is_some();
        if feature.has_output() && !has_axis {
            warn!(
                feature = index,
                "a feature of this device has no axis, and cannot be used: begin its \"description\" with the channel, \
                 such as \"R1 Roll\" or \"A0 Valve\""
            );
        }
        route
    }

    /// Reads the library's frame: which axis it sets to what, and within how many milliseconds.
    fn read(&self, frame: &str) -> Option<(&Travel, u32, Option<u32>)> {
        // The second line of a position repeats the first one for another axis.
        let line = frame.lines().next()?;
        let index = self.index.to_string();
        if let Some(level) = line.strip_prefix('V') {
            let value = level.strip_prefix(&index)?.parse().ok()?;
            return Some((self.level.as_ref()?, value, None));
        }
        let moved = line.strip_prefix('L')?;
        match moved.split_once('I') {
            Some((value, ms)) => {
                let value = value.strip_prefix(&index)?.parse().ok()?;
                Some((self.timed.as_ref()?, value, Some(ms.parse().ok()?)))
            }
            // Written to the first axis, whatever the feature's index.
            None => Some((
                self.position.as_ref()?,
                moved.strip_prefix('0')?.parse().ok()?,
                None,
            )),
        }
    }
}
