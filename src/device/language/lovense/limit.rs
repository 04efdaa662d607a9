//! Which limit a Lovense command has to keep.

use super::{MPLY, POSITION, setting, step};
use crate::device::language::limits::{Kind, Limit, Limits};

/// A position of `FSetSite` is of this many.
const POSITIONS: u64 = 100;

/// A command inside the limits; `None` if it cannot be written so: a step goes on from a level that is not known, and
/// a pattern plays what it likes.
pub(super) fn command(command: &str, limits: &Limits) -> Option<String> {
    let text = command.trim();
    let unchanged = || Some(command.to_owned());
    if step(text).is_some() {
        return limits.of(Kind::Constrict).all(Limit::is_open).then(unchanged)?;
    }
    let Some(known) = setting(text) else {
        // A command with a value in a form that is not known: firmware may read it more generously.
        let is_open = !text.contains(':') || limits.all().all(Limit::is_open);
        return is_open.then(unchanged)?;
    };
    if known.actuator == "Preset" && !known.is_nothing {
        return limits.all().all(Limit::is_open).then(unchanged)?;
    }
    let body = text.strip_suffix(';')?;
    let mut kept = known.actuator.clone();
    for (n, value) in body[known.actuator.len() + 1..].split(':').enumerate() {
        let number = value.parse::<u64>().ok();
        kept.push(':');
        // `True`, `False`, and the -1 that leaves an actuator as it is.
        let Some(number) = number else {
            kept += value;
            continue;
        };
        let mut number = number;
        for limit in of(&known.actuator, n, limits) {
            let full = if limit.kind == Kind::Position {
                POSITIONS
            } else {
                limit.full.into()
            };
            number = limit.clamp(number, full)?;
        }
        kept += &number.to_string();
    }
    Some(kept + ";")
}

/// The limits of the n-th value of a command. Where it is not certain which output is meant, all that may be.
fn of<'a>(actuator: &str, n: usize, limits: &'a Limits) -> Vec<&'a Limit> {
    let numbered = |name: &str, kind: Kind| {
        let all: Vec<&Limit> = limits.of(kind).collect();
        let number = actuator[name.len()..].parse::<usize>().ok();
        match number.and_then(|number| all.get(number.checked_sub(1)?).copied()) {
            Some(one) => vec![one],
            None => all,
        }
    };
    match actuator {
        MPLY => limits
            .all()
            .filter(|limit| limit.kind != Kind::Position)
            .nth(n)
            .into_iter()
            .collect(),
        POSITION => limits.of(Kind::Position).collect(),
        "Air:Level" => limits.of(Kind::Constrict).collect(),
        _ if actuator.starts_with("Vibrate") => numbered("Vibrate", Kind::Vibrate),
        _ if actuator.starts_with("Rotate") => numbered("Rotate", Kind::Rotate),
        _ => limits.of(Kind::Other).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(kind: Kind, low: u32, high: u32, full: u32) -> Limit {
        Limit {
            kind,
            name: None,
            low,
            high,
            full,
        }
    }

    #[test]
    fn each_command_keeps_the_limit_of_its_output() {
        let limits = Limits::new(
            None,
            vec![
                limit(Kind::Vibrate, 0, 10, 20),
                limit(Kind::Vibrate, 5, 20, 20),
                limit(Kind::Rotate, 0, 8, 20),
                limit(Kind::Constrict, 0, 2, 3),
                limit(Kind::Position, 20, 80, 100),
            ],
        );
        for (sent, wanted) in [
            ("Vibrate1:20;", Some("Vibrate1:10;")),
            ("Vibrate2:3;", Some("Vibrate2:5;")),
            ("Vibrate2:0;", Some("Vibrate2:0;")),
            ("Vibrate:20;", Some("Vibrate:10;")),
            ("Rotate:True:20;", Some("Rotate:True:8;")),
            ("Air:Level:3;", Some("Air:Level:2;")),
            ("Mply:20:-1:9:3;", Some("Mply:10:-1:8:2;")),
            ("FSetSite:0;", Some("FSetSite:20;")),
            ("Battery;", Some("Battery;")),
            ("Vibrate1:5;", Some("Vibrate1:5;")),
            ("Air:In:1;", None),
            ("Vibrate: 20;", None),
            ("vibrate:20;", None),
            ("Vibrate:99999999999;", None),
            ("Preset:2;", None),
            ("Preset:0;", Some("Preset:0;")),
        ] {
            assert_eq!(command(sent, &limits).as_deref(), wanted, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn no_vibration_leaves_its_limits(low in 0..=20_u32, extent in 0..=20_u32, value in 0..=99_u32) {
            let high = (low + extent).min(20);
            let limits = Limits::new(None, vec![limit(Kind::Vibrate, low, high, 20)]);
            let kept = command(&format!("Vibrate:{value};"), &limits).expect("a command");
            let kept: u32 = kept["Vibrate:".len()..kept.len() - 1].parse().expect("a number");
            let is_open = low == 0 && high == 20;
            prop_assert!(is_open || kept == 0 || (low..=high).contains(&kept));
            prop_assert_eq!(kept == 0, value == 0 || high == 0);
        }
    }
}
