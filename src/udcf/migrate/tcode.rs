//! TCode numbers are decimal fractions: `L0500` is half of the stroke, and so is `L050`. The server writes them with
//! three digits for positions and two for vibrations, whatever the range says, so the ranges must be 0 to 999 and 0 to
//! 99. Versions 2 and 3 had ranges of steps instead, of which the last was the full stroke.

use serde_json::{Value, json};

/// The end of the range of a TCode output; `None` if the protocol is another, or the server has no such axis.
pub(super) fn full(protocol: &str, kind: &str) -> Option<i64> {
    if !protocol.starts_with("tcode") {
        return None;
    }
    match kind {
        "position" | "hw_position_with_duration" => Some(999),
        "vibrate" => Some(99),
        _ => None,
    }
}

/// The steps that an old limit counts in if the file does not say: 0 to 100 was usual.
pub(super) fn likely_steps(high: i64) -> i64 {
    const STEPS: [i64; 6] = [100, 999, 1_000, 9_999, 10_000, 65_535];
    match high {
        99 => 99,
        high => STEPS.into_iter().find(|steps| high <= *steps).unwrap_or(high),
    }
}

/// A limit that was counted in `steps`, counted in `full`. Rounded inwards, so that it never allows more than before.
pub(super) fn scaled([low, high]: [i64; 2], steps: i64, full: i64) -> [i64; 2] {
    let (steps, wide) = (i128::from(steps.max(1)), i128::from(full));
    let down = |n: i64| i128::from(n) * wide / steps;
    let up = |n: i64| (i128::from(n) * wide + steps - 1) / steps;
    let fit = |n: i128| i64::try_from(n.clamp(0, wide)).unwrap_or(full);
    [fit(up(low.max(0))), fit(down(high.max(0)))]
}

/// A range as JSON.
pub(super) fn range([low, high]: [i64; 2]) -> Value {
    json!([low, high])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn twenty_to_eighty_of_a_hundred_is_the_same_of_999() {
        assert_eq!(scaled([20, 80], 100, 999), [200, 799]);
        assert_eq!(scaled([0, 100], 100, 999), [0, 999]);
        assert_eq!(scaled([100, 900], 999, 999), [100, 900]);
        assert_eq!(scaled([20, 80], 100, 99), [20, 79]);
    }

    proptest! {
        #[test]
        fn a_scaled_limit_stays_inside_of_what_was_meant(
            steps in 1i64..100_000, low in 0i64..100_000, high in 0i64..100_000, full in prop::sample::select(vec![99, 999])
        ) {
            let (low, high) = (low.min(steps), high.min(steps));
            let [new_low, new_high] = scaled([low, high], steps, full);
            prop_assert!(new_low * steps >= low * full && new_high * steps <= high * full);
            // And misses it by less than one step.
            prop_assert!((new_low - 1) * steps < low * full && (new_high + 1) * steps > high * full);
        }
    }
}
