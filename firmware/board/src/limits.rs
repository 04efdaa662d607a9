//! How far each output may go, whatever an app asks for: set on the board, kept on the board.

use core::fmt;

use heapless::Vec;
use wsdm_device::{Channel, Kind, Level};

use crate::pins::{OUTPUTS_MAX, channel};

/// Why a text is no limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// Not of the form `V0=60`.
    Syntax,
    /// Not V0 to V3, L0 to L2, R0 to R2 or A0 to A2.
    Channel,
    /// A maximum for a stroke, or a range for something else.
    Form(Channel),
    /// Over 100 percent, or a range without room.
    Range,
    /// An output that has one already.
    Twice,
    /// More than a board has outputs.
    TooMany,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("limits are written V0=60 L0=10-90, in percent, or none"),
            Self::Channel => f.write_str("a limit is for one of V0 to V3, L0 to L2, R0 to R2, A0 to A2"),
            Self::Form(channel) if channel.kind == Kind::Linear => {
                write!(f, "{channel} has a range, such as {channel}=10-90")
            }
            Self::Form(channel) => write!(f, "{channel} has one maximum, such as {channel}=60"),
            Self::Range => f.write_str("a limit is from 0 to 100, and a range goes up"),
            Self::Twice => f.write_str("an output has two limits"),
            Self::TooMany => write!(f, "{OUTPUTS_MAX} limits at most"),
        }
    }
}

/// What one output may do, in percent of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    channel: Channel,
    /// 0 but for strokes.
    low: u8,
    high: u8,
}

/// The limits of a board; no output is in them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(Vec<Limit, OUTPUTS_MAX>);

impl Limits {
    /// Reads `V0=60 L0=10-90`; nothing at all, or `none`, is no limit.
    ///
    /// # Errors
    /// What can be no limit.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        let mut limits = Self::default();
        if text.trim() == "none" {
            return Ok(limits);
        }
        for word in text.split_ascii_whitespace() {
            let (name, range) = word.split_once('=').ok_or(LimitError::Syntax)?;
            let channel = channel(name).ok_or(LimitError::Channel)?;
            let (low, high) = match (range.split_once('-'), channel.kind) {
                (Some((low, high)), Kind::Linear) => (percent(low)?, percent(high)?),
                (None, Kind::Vibrate | Kind::Rotate | Kind::Auxiliary) => (0, percent(range)?),
                _ => return Err(LimitError::Form(channel)),
            };
            if channel.kind == Kind::Linear && low >= high {
                return Err(LimitError::Range);
            }
            if limits.0.iter().any(|limit| limit.channel == channel) {
                return Err(LimitError::Twice);
            }
            let limit = Limit { channel, low, high };
            limits.0.push(limit).map_err(|_| LimitError::TooMany)?;
        }
        Ok(limits)
    }

    /// The outputs that have a limit.
    pub(crate) fn channels(&self) -> impl Iterator<Item = Channel> {
        self.0.iter().map(|limit| limit.channel)
    }

    /// What an output gets where an app wants this. Its whole range is brought into what it may use; what is off stays
    /// off.
    pub fn apply(&self, channel: Channel, level: Level) -> Level {
        let Some(limit) = self.0.iter().find(|limit| limit.channel == channel) else {
            return level;
        };
        if level == Level::OFF && !channel.is_position() {
            return level;
        }
        let (low, high) = limit.range();
        let span = u32::from(high.0.saturating_sub(low.0));
        // At most `span`, and low + span is high.
        Level(
            low.0
                .saturating_add(u16::try_from(level.times(span)).unwrap_or(0)),
        )
    }

    /// How strongly a motor on an H-bridge turns where an app wants this: R0 is a strength then, and no angle.
    pub fn turn(&self, level: Level) -> Level {
        let rotation = Channel::new(Kind::Rotate, 0);
        let limit = self.0.iter().find(|limit| limit.channel == rotation);
        limit.map_or(level, |limit| {
            let most = Level::of(limit.high.into(), 100);
            Level(u16::try_from(level.times(most.0.into())).unwrap_or(0))
        })
    }
}

impl Limit {
    fn range(self) -> (Level, Level) {
        match self.channel.kind {
            // An angle goes as far to either side of its middle.
            Kind::Rotate => (
                Level::of(100_u32.saturating_sub(self.high.into()), 200),
                Level::of(100 + u32::from(self.high), 200),
            ),
            Kind::Vibrate | Kind::Linear | Kind::Auxiliary => {
                (Level::of(self.low.into(), 100), Level::of(self.high.into(), 100))
            }
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Limit { channel, low, high }) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{channel}=")?;
            match channel.kind {
                Kind::Linear => write!(f, "{low}-{high}")?,
                Kind::Vibrate | Kind::Rotate | Kind::Auxiliary => write!(f, "{high}")?,
            }
        }
        Ok(())
    }
}

fn percent(text: &str) -> Result<u8, LimitError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LimitError::Syntax);
    }
    let number = text.parse().map_err(|_| LimitError::Range)?;
    if number > 100 {
        return Err(LimitError::Range);
    }
    Ok(number)
}

/// A limit that limits nothing, since the board does not have this output: it was meant for another one, which goes as far
/// as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleLimit(pub(crate) Channel);

impl fmt::Display for IdleLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a limit limits nothing: this device has no {}", self.0)
    }
}

/// Outputs that stay within limits. The last thing before the pins: nothing that commands goes past it.
#[derive(Debug)]
pub struct Limited<O> {
    outputs: O,
    limits: Limits,
}

impl<O> Limited<O> {
    /// These outputs within these limits.
    pub const fn new(outputs: O, limits: Limits) -> Self {
        Self { outputs, limits }
    }
}

impl<O: wsdm_device::Outputs> wsdm_device::Outputs for Limited<O> {
    fn set(&mut self, channel: Channel, level: Level) {
        self.outputs.set(channel, self.limits.apply(channel, level));
    }

    fn turn(&mut self, level: Level, is_reversed: bool) {
        self.outputs.turn(self.limits.turn(level), is_reversed);
    }

    fn charge(&self) -> Option<u8> {
        self.outputs.charge()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V0: Channel = Channel::new(Kind::Vibrate, 0);
    const L0: Channel = Channel::new(Kind::Linear, 0);
    const R0: Channel = Channel::new(Kind::Rotate, 0);

    fn thousandths(limits: &Limits, channel: Channel, level: Level) -> u32 {
        limits.apply(channel, level).times(1_000)
    }

    #[test]
    fn each_kind_of_output_has_its_kind_of_limit() {
        let limits = Limits::parse(" v0=60  L0=10-90 R0=50").unwrap();
        assert_eq!(limits.to_string(), "V0=60 L0=10-90 R0=50");
        assert_eq!(thousandths(&limits, V0, Level::FULL), 600);
        assert_eq!(thousandths(&limits, V0, Level::MIDDLE), 300);
        assert_eq!(limits.apply(V0, Level::OFF), Level::OFF);
        assert_eq!(thousandths(&limits, L0, Level::OFF), 100);
        assert_eq!(thousandths(&limits, L0, Level::FULL), 900);
        assert_eq!(thousandths(&limits, L0, Level::MIDDLE), 500);
        assert_eq!(thousandths(&limits, R0, Level::OFF), 250);
        assert_eq!(thousandths(&limits, R0, Level::MIDDLE), 500);
        assert_eq!(thousandths(&limits, R0, Level::FULL), 750);
        // On an H-bridge it is a strength.
        assert_eq!(limits.turn(Level::FULL).times(1_000), 500);
        assert_eq!(limits.turn(Level::OFF), Level::OFF);
        assert_eq!(Limits::default().turn(Level::FULL), Level::FULL);
        // What has none goes as far as it can.
        assert_eq!(
            limits.apply(Channel::new(Kind::Vibrate, 1), Level::FULL),
            Level::FULL
        );
        assert_eq!(Limits::parse("V0=0").unwrap().apply(V0, Level::FULL), Level::OFF);
        assert_eq!(Limits::parse(" none "), Ok(Limits::default()));
    }

    #[test]
    fn what_is_no_limit_is_told() {
        for (text, wanted) in [
            ("V0", LimitError::Syntax),
            ("none V0=1", LimitError::Syntax),
            ("V0=", LimitError::Syntax),
            ("V0=+5", LimitError::Syntax),
            ("V0=6e1", LimitError::Syntax),
            ("X0=5", LimitError::Channel),
            ("V9=5", LimitError::Channel),
            ("V0=10-90", LimitError::Form(V0)),
            ("L0=90", LimitError::Form(L0)),
            ("R0=10-90", LimitError::Form(R0)),
            ("V0=101", LimitError::Range),
            ("V0=999999", LimitError::Range),
            ("L0=90-10", LimitError::Range),
            ("L0=50-50", LimitError::Range),
            ("V0=5 V0=6", LimitError::Twice),
            ("V0=1 V1=1 V2=1 V3=1 A0=1 A1=1 A2=1", LimitError::TooMany),
        ] {
            assert_eq!(Limits::parse(text), Err(wanted), "{text}");
        }
        assert_eq!(
            LimitError::Form(L0).to_string(),
            "L0 has a range, such as L0=10-90"
        );
        assert_eq!(
            LimitError::Form(V0).to_string(),
            "V0 has one maximum, such as V0=60"
        );
    }

    proptest! {
        #[test]
        fn nothing_goes_beyond(low in 0_u8..100, more in 1_u8..101, level: u16, maximum in 0_u8..101) {
            let high = low.saturating_add(more).min(100);
            let limits = Limits::parse(&std::format!("L0={low}-{high} V0={maximum} R0={maximum}")).unwrap();
            let at = limits.apply(L0, Level(level));
            prop_assert!(at >= Level::of(low.into(), 100) && at <= Level::of(high.into(), 100));
            prop_assert!(limits.apply(V0, Level(level)) <= Level::of(maximum.into(), 100));
            let at = limits.apply(R0, Level(level));
            prop_assert!(at >= Level::of(100 - u32::from(maximum), 200));
            prop_assert!(at <= Level::of(100 + u32::from(maximum), 200));
            prop_assert!(limits.turn(Level(level)) <= Level::of(maximum.into(), 100));
        }

        #[test]
        fn no_text_breaks_it(text in "([VLRAvlra][0-4]=[0-9-]{0,5} ?){0,3}|\\PC{0,30}") {
            if let Ok(limits) = Limits::parse(&text) {
                prop_assert_eq!(Limits::parse(&limits.to_string()), Ok(limits));
            }
        }
    }
}
