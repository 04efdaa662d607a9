//! Keeps TCode commands inside limits.

use std::cmp::Ordering;

use super::{axis, fraction};
use crate::device::language::limits::{Limit, Limits};

/// The frame inside the limits, and with its end; `None` if that is not certain.
pub(super) fn frame(frame: &str, limits: &Limits) -> Option<String> {
    let mut kept = String::with_capacity(frame.len());
    for part in frame.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let text = part.trim_ascii_end();
        kept += &command(text, limits)?;
        kept += &part[text.len()..];
    }
    // The next frame would continue a line without an end.
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    Some(kept)
}

/// The command inside the limits of its axis.
fn command(command: &str, limits: &Limits) -> Option<String> {
    let unchanged = || Some(command.to_owned());
    let Some(setting) = axis(command) else {
        // Some boards find a value in text that others do not understand.
        let upper = command.to_ascii_uppercase();
        let limited = limits.all().filter(|limit| !limit.is_open());
        let mut names = limited.filter_map(|limit| limit.name.as_deref());
        let is_harmless =
            command.bytes().all(|b| b.is_ascii_graphic()) && !names.any(|name| upper.contains(name));
        return is_harmless.then(unchanged)?;
    };
    let is_own = |limit: &&Limit| limit.name.as_ref() == Some(&setting.actuator) && !limit.is_open();
    let own: Vec<&Limit> = limits.all().filter(is_own).collect();
    let (name, rest) = command.split_at(2);
    let (digits, modifier) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let is_off = digits.bytes().all(|b| b == b'0') && own.iter().any(|limit| limit.is_level());
    if own.is_empty() || is_off {
        return unchanged();
    }
    let kept = nearest(&own, digits)?;
    Some(format!("{name}{kept}{modifier}"))
}

/// The digits nearest to `digits` that all these limits allow; `None` if there are none. Limits are written like an app's
/// values, so that both mean the same position.
fn nearest(limits: &[&Limit], digits: &str) -> Option<String> {
    let (mut low, mut high) = ("0".to_owned(), None::<String>);
    for limit in limits {
        if limit.low > limit.high {
            return None;
        }
        let lowest = fraction(limit.low, limit.full);
        if order(&lowest, &low) == Ordering::Greater {
            low = lowest;
        }
        if limit.high < limit.full {
            let highest = fraction(limit.high, limit.full);
            if high
                .as_ref()
                .is_none_or(|high| order(&highest, high) == Ordering::Less)
            {
                high = Some(highest);
            }
        }
    }
    match &high {
        Some(high) if order(&low, high) == Ordering::Greater => None,
        Some(high) if order(digits, high) == Ordering::Greater => Some(high.clone()),
        _ if order(digits, &low) == Ordering::Less => Some(low),
        _ => Some(digits.to_owned()),
    }
}

/// Compares digits after a decimal point.
fn order(a: &str, b: &str) -> Ordering {
    let length = a.len().max(b.len());
    let padded = |digits: &str| format!("{digits:0<length$}");
    padded(a).cmp(&padded(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::language::limits::Kind;

    fn limit(name: &str, kind: Kind, low: u32, high: u32, full: u32) -> Limit {
        Limit {
            feature: 0,
            kind,
            name: Some(name.to_owned()),
            low,
            high,
            full,
        }
    }

    fn check(limits: Vec<Limit>, frames: &[(&str, Option<&str>)]) {
        let limits = Limits::new("tcode-v03", limits);
        for (sent, wanted) in frames {
            assert_eq!(frame(sent, &limits).as_deref(), *wanted, "{sent:?}");
        }
    }

    #[test]
    fn a_frame_keeps_the_limits_of_its_axes() {
        check(
            vec![
                limit("L0", Kind::Position, 200, 800, 999),
                limit("L1", Kind::Position, 0, 999, 999),
                limit("V0", Kind::Vibrate, 30, 50, 99),
            ],
            &[
                ("L0000\n", Some("L0200\n")),
                ("L0999I500\n", Some("L0800I500\n")),
                ("l09999 R0999\r\n", Some("l0800 R0999\r\n")),
                ("L0500 V099\n", Some("L0500 V050\n")),
                ("V000\n", Some("V000\n")),
                ("V001", Some("V030\n")),
                ("L09\n", Some("L0800\n")),
                ("L02\n", Some("L02\n")),
                ("L08001\n", Some("L0800\n")),
                ("L0999999999999999999999\n", Some("L0800\n")),
                ("DSTOP\n", Some("DSTOP\n")),
                ("D1", Some("D1\n")),
                ("", Some("")),
                ("\n", Some("\n")),
                ("D1 L0999\n", Some("D1 L0800\n")),
                ("L1999X\n", Some("L1999X\n")),
                ("L0999X\n", None),
                ("L0999I\n", None),
                ("L0\n", None),
                ("D1L0999\n", None),
                ("\u{b}D1\n", None),
                ("é\n", None),
            ],
        );
    }

    #[test]
    fn all_limits_of_an_axis_hold() {
        check(
            vec![
                limit("L0", Kind::Position, 200, 999, 999),
                limit("L0", Kind::Position, 0, 8_000, 9_999),
            ],
            &[("L0000\n", Some("L0200\n")), ("L0999\n", Some("L08000\n"))],
        );
        check(
            vec![
                limit("L0", Kind::Position, 200, 300, 999),
                limit("L0", Kind::Position, 400, 500, 999),
            ],
            &[("L0250\n", None), ("L0450\n", None)],
        );
        check(
            vec![limit("V0", Kind::Vibrate, 0, 0, 99)],
            &[("V099\n", Some("V000\n")), ("V000\n", Some("V000\n"))],
        );
    }

    /// How far a board goes for a magnitude, from 0 to 1.
    fn travel(magnitude: &str) -> f64 {
        format!("0.{magnitude}").parse().expect("digits")
    }

    proptest! {
        #[test]
        fn no_frame_leaves_a_limit(
            full in 1..=20_000_u32, a in 0.0..=1.0_f64, b in 0.0..=1.0_f64, digits in "[0-9]{1,7}",
            modifier in "(|I[0-9]{1,4}|S[0-9]{1,3})",
        ) {
            let value = |at: f64| (at * f64::from(full)) as u32;
            let (low, high) = (value(a).min(value(b)), value(a).max(value(b)));
            let limits = Limits::new("tcode-v03", vec![limit("L0", Kind::Position, low, high, full)]);
            let kept = frame(&format!("L0{digits}{modifier}\n"), &limits).expect("a frame");
            let kept = kept.trim_end().strip_suffix(&modifier).expect("the same modifier");
            let at = travel(&kept[2..]);
            // An app reaches exactly these.
            let (lowest, highest) = (travel(&fraction(low, full)), travel(&fraction(high, full)));
            prop_assert!(at >= lowest, "{kept}: {at} is below {lowest}");
            prop_assert!(high == full || at <= highest, "{kept}: {at} is above {highest}");
        }

        #[test]
        fn what_an_app_may_send_passes_unchanged(full in 1..=20_000_u32, a in 0.0..=1.0_f64, b in 0.0..=1.0_f64, at in 0.0..=1.0_f64) {
            let value = |at: f64| (at * f64::from(full)) as u32;
            let (low, high) = (value(a).min(value(b)), value(a).max(value(b)));
            let limits = Limits::new("tcode-v03", vec![limit("L0", Kind::Position, low, high, full)]);
            let value = low + ((f64::from(high - low) * at) as u32);
            let sent = format!("L0{}\n", fraction(value, full));
            prop_assert_eq!(frame(&sent, &limits), Some(sent.clone()));
        }
    }
}
