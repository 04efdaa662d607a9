//! Keeps Lovense commands inside limits.

use super::{MPLY, POSITION, setting, step};
use crate::device::language::limits::{Kind, Limit, Limits, nearest};

/// The only query with a digit; every other unknown command with one may move something.
const QUERY: &str = "Status:1";

/// The frame inside the limits, and with its end; `None` if that is not certain.
pub(super) fn frame(frame: &str, limits: &Limits) -> Option<String> {
    let text = frame.trim_ascii_end();
    if text.is_empty() || text.ends_with(';') {
        return frame
            .split_inclusive(';')
            .map(|part| command(part, limits))
            .collect();
    }
    // The next frame would continue a command without an end.
    self::frame(&format!("{text};"), limits)
}

/// The command inside the limits; `None` if that is not certain: a step starts from an unknown level, and a pattern has
/// its own levels.
fn command(command: &str, limits: &Limits) -> Option<String> {
    let text = command.trim_ascii();
    let unchanged = || Some(command.to_owned());
    if step(text).is_some() {
        let mut level = levels(limits, |kind| kind == Kind::Constrict).into_iter();
        return level.all(Limit::is_open).then(unchanged)?;
    }
    let Some(known) = setting(text) else {
        let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_digit());
        return (is_plain || text.strip_suffix(';') == Some(QUERY)).then(unchanged)?;
    };
    if known.actuator == "Preset" && !known.is_nothing {
        return limits.all().all(Limit::is_open).then(unchanged)?;
    }
    let values = text.strip_suffix(';')?.get(known.actuator.len() + 1..)?;
    let mut kept = known.actuator.clone();
    for (n, value) in values.split(':').enumerate() {
        kept.push(':');
        kept += &value_inside(&known.actuator, n, value, limits)?;
    }
    Some(kept + ";")
}

/// The n-th value of a command, inside the limits of what it sets.
fn value_inside(actuator: &str, n: usize, value: &str, limits: &Limits) -> Option<String> {
    let Ok(number) = value.parse::<i32>() else {
        // `True` or `False`.
        return Some(value.to_owned());
    };
    if actuator == MPLY && number == -1 {
        return Some(value.to_owned());
    }
    // No position is below 0; a level below it is one in the other direction.
    let is_reversed = number < 0 && actuator != POSITION;
    let asked = if is_reversed {
        number.unsigned_abs()
    } else {
        number.max(0).unsigned_abs()
    };
    let kept = nearest(of(actuator, n, limits), asked)?;
    let sign = if is_reversed { "-" } else { "" };
    Some(format!("{sign}{kept}"))
}

/// The limits of the n-th value of a command; all that may apply if it is uncertain which output is meant.
fn of<'a>(actuator: &str, n: usize, limits: &'a Limits) -> Vec<&'a Limit> {
    let vibrates = |kind: Kind| matches!(kind, Kind::Vibrate | Kind::Oscillate);
    match actuator {
        POSITION => limits.all().filter(|limit| !limit.is_level()).collect(),
        // For a stroker: its speed, then the length of its stroke.
        MPLY if limits.all().any(|limit| !limit.is_level()) => match n {
            0 => levels(limits, |kind| kind == Kind::Oscillate),
            _ => Vec::new(),
        },
        MPLY => levels_of(limits, n, |_| true),
        "Air:Level" => levels(limits, |kind| kind == Kind::Constrict),
        "Oscillate" | "Thrusting" => levels(limits, |kind| kind == Kind::Oscillate),
        "Vibrate" => levels(limits, vibrates),
        "Rotate" => levels(limits, |kind| kind == Kind::Rotate),
        _ => {
            let number = |name: &str| actuator.strip_prefix(name)?.parse::<usize>().ok()?.checked_sub(1);
            match (number("Vibrate"), number("Rotate")) {
                (Some(number), _) => levels_of(limits, number, vibrates),
                (_, Some(number)) => levels_of(limits, number, |kind| kind == Kind::Rotate),
                (None, None) => levels(limits, |_| true),
            }
        }
    }
}

/// The limits of all levels of a kind; of all levels if there are none of this kind.
fn levels(limits: &Limits, is_kind: impl Fn(Kind) -> bool) -> Vec<&Limit> {
    let levels = || limits.all().filter(|limit| limit.is_level());
    let of_kind: Vec<&Limit> = levels().filter(|limit| is_kind(limit.kind)).collect();
    if of_kind.is_empty() {
        levels().collect()
    } else {
        of_kind
    }
}

/// The limits of the level with this number. The server inside numbers features, but a person may number actuators.
fn levels_of(limits: &Limits, number: usize, is_kind: impl Fn(Kind) -> bool) -> Vec<&Limit> {
    let all = levels(limits, is_kind);
    let by_feature = all
        .iter()
        .filter(|limit| usize::try_from(limit.feature) == Ok(number));
    let by_feature: Vec<&Limit> = by_feature.copied().collect();
    match (by_feature.is_empty(), all.get(number)) {
        (false, _) => by_feature,
        (true, Some(counted)) => vec![counted],
        (true, None) => all,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(feature: u32, kind: Kind, low: u32, high: u32, full: u32) -> Limit {
        Limit {
            feature,
            kind,
            name: None,
            low,
            high,
            full,
        }
    }

    fn check(limits: Vec<Limit>, frames: &[(&str, Option<&str>)]) {
        let limits = Limits::new("lovense", limits);
        for (sent, wanted) in frames {
            assert_eq!(frame(sent, &limits).as_deref(), *wanted, "{sent:?}");
        }
    }

    #[test]
    fn each_command_keeps_the_limit_of_its_output() {
        check(
            vec![
                limit(0, Kind::Vibrate, 0, 10, 20),
                limit(1, Kind::Vibrate, 5, 20, 20),
                limit(2, Kind::Rotate, 0, 8, 20),
                limit(3, Kind::Constrict, 0, 2, 3),
            ],
            &[
                ("Vibrate1:20;", Some("Vibrate1:10;")),
                ("Vibrate2:3;", Some("Vibrate2:5;")),
                ("Vibrate2:0;", Some("Vibrate2:0;")),
                ("Vibrate:20;", Some("Vibrate:10;")),
                ("Rotate:True:20;", Some("Rotate:True:8;")),
                ("Rotate:-20;", Some("Rotate:-8;")),
                ("Air:Level:3;", Some("Air:Level:2;")),
                ("Mply:20:-1:9:3;", Some("Mply:10:-1:8:2;")),
                ("Thrusting:20;", None),
                ("FSetSite:0;", Some("FSetSite:0;")),
                ("Battery;", Some("Battery;")),
                ("Status:1;", Some("Status:1;")),
                ("RotateChange;", Some("RotateChange;")),
                ("Vibrate1:5;", Some("Vibrate1:5;")),
                ("\nVibrate1:020;Battery;\r\n", Some("Vibrate1:10;Battery;\r\n")),
                ("Vibrate1:20", Some("Vibrate1:10;")),
                ("", Some("")),
                ("\n", Some("\n")),
                ("Vibrate1:-20;", Some("Vibrate1:-10;")),
                ("Air:In:1;", None),
                ("Preset:2;", None),
                ("Preset:0;", Some("Preset:0;")),
                ("vibrate1:20;", None),
                ("Vibrate9:20;", None),
                ("Vibrate1:99999999999;", None),
                ("Vibrate1:\u{662}0;", None),
                ("Vibrate1\0:20;", None),
                ("Play:3;", None),
            ],
        );
    }

    #[test]
    fn a_motor_is_counted_as_the_server_counts_it() {
        check(
            vec![
                limit(0, Kind::Vibrate, 0, 20, 20),
                limit(1, Kind::Oscillate, 0, 5, 20),
            ],
            &[
                ("Vibrate1:20;", Some("Vibrate1:20;")),
                ("Vibrate2:20;", Some("Vibrate2:5;")),
                ("Thrusting:20;", Some("Thrusting:5;")),
            ],
        );
        check(
            vec![
                limit(0, Kind::Position, 20, 80, 100),
                limit(0, Kind::Oscillate, 0, 10, 20),
            ],
            &[
                ("FSetSite:0;", Some("FSetSite:20;")),
                ("FSetSite:-5;", Some("FSetSite:20;")),
                ("FSetSite:100;", Some("FSetSite:80;")),
                ("Mply:20:20;", Some("Mply:10:20;")),
            ],
        );
        // The output is known, but not the name that it answers to.
        check(
            vec![limit(0, Kind::Vibrate, 0, 10, 20)],
            &[
                ("Thrusting:20;", Some("Thrusting:10;")),
                ("Mply:20;", Some("Mply:10;")),
            ],
        );
    }

    #[test]
    fn limits_that_allow_nothing_refuse_a_position_and_turn_a_level_off() {
        check(
            vec![limit(0, Kind::Position, 1, 0, 100)],
            &[("FSetSite:0;", None), ("FSetSite:50;", None)],
        );
        check(
            vec![limit(0, Kind::Vibrate, 0, 0, 20)],
            &[("Vibrate:20;", Some("Vibrate:0;"))],
        );
    }

    proptest! {
        #[test]
        fn no_vibration_leaves_its_limits(low in 0..=20_u32, extent in 0..=20_u32, value in 0..=99_u32) {
            let high = (low + extent).min(20);
            let limits = Limits::new("lovense", vec![limit(0, Kind::Vibrate, low, high, 20)]);
            let kept = frame(&format!("Vibrate:{value};"), &limits).expect("a command");
            let kept: u32 = kept["Vibrate:".len()..kept.len() - 1].parse().expect("a number");
            let is_open = low == 0 && high == 20;
            prop_assert!(is_open || kept == 0 || (low..=high).contains(&kept));
            prop_assert_eq!(kept == 0, value == 0 || high == 0);
        }

        /// A board that obeys every number behind a known name stays inside the limits, for any input.
        #[test]
        fn no_text_leaves_a_limit(text in "(Vibrate|vibrate|Mply|Air:In|x|)[1-9]?[:;]?-?[0-9]{0,12}[;\\n\u{0}]?[0-9]{0,2};?") {
            let limits = Limits::new("lovense", vec![limit(0, Kind::Vibrate, 3, 7, 20)]);
            let Some(kept) = frame(&text, &limits) else { return Ok(()) };
            prop_assert!(kept.trim_ascii().is_empty() || kept.trim_ascii_end().ends_with(';'), "{kept:?}");
            for command in kept.split(';') {
                let Some((_, value)) = command.rsplit_once(':') else {
                    prop_assert!(!command.bytes().any(|b| b.is_ascii_digit()), "{kept:?}");
                    continue;
                };
                if !value.bytes().any(|b| b.is_ascii_digit()) {
                    continue;
                }
                let value: i32 = value.parse().expect("a number");
                prop_assert!(value == -1 || value == 0 || (3..=7).contains(&value.unsigned_abs()), "{kept:?}");
            }
        }
    }
}
