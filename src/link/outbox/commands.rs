//! Which actuator a command is for, in the protocols that tell.

use bytes::Bytes;

use super::Coalesce;
use crate::device::frame::Frame;

/// Lovense commands that set an actuator to a value, after which the older value means nothing. Others are queries
/// (`Battery;`), toggles (`RotateChange;`) or steps (`Air:In:1;`), of which none may be lost.
const LOVENSE_ABSOLUTE: &[&str] = &[
    "Vibrate",
    "Vibrate1",
    "Vibrate2",
    "Vibrate3",
    "Rotate",
    "Rotate1",
    "Rotate2",
    "Air:Level",
    "Thrusting",
    "Fingering",
    "Suction",
    "Depth",
    "Oscillate",
    "Pump",
    "Mply",
    "FSetSite",
];

/// One actuator's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The command's name or the axis: a newer command with the same one supersedes this.
    pub(super) actuator: String,
    /// The command as it came, in TCode without what separates it from the next.
    pub(super) text: String,
    /// Sets the actuator to nothing.
    pub(super) stops: bool,
}

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Sets actuators.
    Motion(Vec<Part>),
    /// Stops all of them.
    Stop,
    /// Anything else.
    Other,
}

impl Command {
    /// Reads a frame. One that holds anything but motion is `Other` as a whole.
    pub(super) fn read(by: Coalesce, frame: &Frame) -> Self {
        let Ok(text) = std::str::from_utf8(&frame.0) else {
            return Self::Other;
        };
        match by {
            Coalesce::None => Self::Other,
            Coalesce::Lovense => Self::motion(text.split_inclusive(';').map(lovense)),
            Coalesce::Tcode if text.trim().eq_ignore_ascii_case("DSTOP") => Self::Stop,
            Coalesce::Tcode => Self::motion(text.split_ascii_whitespace().map(tcode)),
        }
    }

    fn motion(parts: impl Iterator<Item = Option<Part>>) -> Self {
        match parts.collect::<Option<Vec<_>>>() {
            Some(parts) if !parts.is_empty() => Self::Motion(parts),
            _ => Self::Other,
        }
    }
}

/// One frame again.
pub(super) fn join(by: Coalesce, parts: &[Part]) -> Frame {
    let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    Frame(Bytes::from(match by {
        Coalesce::Tcode => texts.join(" ") + "\n",
        Coalesce::Lovense | Coalesce::None => texts.concat(),
    }))
}

/// `Vibrate:5;`, `Rotate:True:5;`, `Air:Level:2;`
fn lovense(command: &str) -> Option<Part> {
    let body = command.strip_suffix(';')?;
    let name = LOVENSE_ABSOLUTE.iter().find(|name| {
        body.strip_prefix(**name)
            .is_some_and(|values| values.starts_with(':'))
    })?;
    let values = body[name.len() + 1..].split(':');
    let mut stops = true;
    for value in values {
        match value {
            "True" | "False" => {}
            number => stops &= number.parse::<i32>().ok()? == 0,
        }
    }
    // A stroker's zero is a place, not a stop.
    let stops = stops && *name != "FSetSite";
    Some(Part {
        actuator: (*name).to_owned(),
        text: command.to_owned(),
        stops,
    })
}

/// `L0500`, `R2750I200`, `V099S5`
fn tcode(command: &str) -> Option<Part> {
    let axis = command.get(..2)?;
    let kind = axis.chars().next()?.to_ascii_uppercase();
    if !"LRVA".contains(kind) || !axis.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = &command[2..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (value, modifier) = rest.split_at(end);
    let modifier_holds = match modifier.chars().next() {
        None => true,
        Some('I' | 'i' | 'S' | 's') => {
            modifier.len() > 1 && modifier[1..].bytes().all(|b| b.is_ascii_digit())
        }
        Some(_) => false,
    };
    if value.is_empty() || !modifier_holds {
        return None;
    }
    Some(Part {
        actuator: axis.to_ascii_uppercase(),
        text: command.to_owned(),
        stops: kind == 'V' && value.bytes().all(|b| b == b'0'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(by: Coalesce, text: &str) -> Command {
        Command::read(by, &Frame::from(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn actuators(command: &Command) -> Vec<(&str, bool)> {
        match command {
            Command::Motion(parts) => parts.iter().map(|p| (p.actuator.as_str(), p.stops)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lovense_commands_that_set_an_actuator_are_told_from_others() {
        for (text, wanted) in [
            ("Vibrate:5;", vec![("Vibrate", false)]),
            ("Vibrate1:0;", vec![("Vibrate1", true)]),
            ("Rotate:True:7;", vec![("Rotate", false)]),
            ("Rotate:False:0;", vec![("Rotate", true)]),
            ("Air:Level:0;", vec![("Air:Level", true)]),
            ("Mply:3:-1;", vec![("Mply", false)]),
            ("FSetSite:0;", vec![("FSetSite", false)]),
            ("Vibrate:1;Rotate:2;", vec![("Vibrate", false), ("Rotate", false)]),
        ] {
            assert_eq!(actuators(&read(Coalesce::Lovense, text)), wanted, "{text}");
        }
        for text in [
            "Battery;",
            "DeviceType;",
            "RotateChange;",
            "Air:In:1;",
            "Vibrate:;",
            "Vibrate:x;",
            "Vibrate:5",
            "Vibrate;",
            "Vibrate:1;Battery;",
            "",
            ";",
        ] {
            assert_eq!(read(Coalesce::Lovense, text), Command::Other, "{text}");
        }
    }

    #[test]
    fn tcode_axes_are_told_from_device_commands() {
        for (text, wanted) in [
            ("L0500\n", vec![("L0", false)]),
            ("l0500i100 R1200S30\n", vec![("L0", false), ("R1", false)]),
            ("L0500\nR0500\n", vec![("L0", false), ("R0", false)]),
            ("V000\n", vec![("V0", true)]),
            ("V01\n", vec![("V0", false)]),
        ] {
            assert_eq!(actuators(&read(Coalesce::Tcode, text)), wanted, "{text}");
        }
        for text in [
            "D0\n",
            "D2\n",
            "L0\n",
            "L0500X3\n",
            "L0500I\n",
            "X0500\n",
            "\n",
            "$TV-0-1\n",
            "é0500\n",
        ] {
            assert_eq!(read(Coalesce::Tcode, text), Command::Other, "{text}");
        }
        assert_eq!(read(Coalesce::Tcode, "DSTOP\n"), Command::Stop);
    }

    #[test]
    fn nothing_is_known_of_an_unknown_protocol() {
        assert_eq!(read(Coalesce::None, "Vibrate:5;"), Command::Other);
        let bytes = Frame::from(&[0xff_u8, 0xfe][..]);
        assert_eq!(Command::read(Coalesce::Lovense, &bytes), Command::Other);
    }
}
