use proptest::prelude::*;

use super::*;

fn asked() -> Answers {
    let mut answers = Answers::default();
    for question in Question::ALL {
        answers.ask(question);
    }
    answers
}

fn recognised(lines: &[&str]) -> Option<Recognised> {
    let mut answers = asked();
    for line in lines {
        answers.read_line(line.as_bytes());
    }
    answers.recognised(None)
}

#[test]
fn a_board_is_recognised_by_what_it_answers() {
    let sr6 = recognised(&[
        "D0\r\n",
        "SR6_Release3.ino\r\n",
        "> D1\r\n",
        "TCode v0.3\r\n",
        "D2\r\n",
        "L0 0 9999 Up\r\n",
        "R0\t1000 9000\tTwist left right\r\n",
        "v0 0 9999\r\n",
        "L0 0 9999 Up\r\n",
    ])
    .unwrap();
    assert_eq!(sr6.protocol, TCODE);
    assert_eq!(sr6.identifier().unwrap().as_str(), "tcode");
    assert!(sr6.language().is_some());
    assert_eq!(sr6.name.as_deref(), Some("SR6_Release3.ino"));
    assert_eq!(sr6.version.as_deref(), Some("TCode v0.3"));
    let axes: Vec<String> = sr6.axes.iter().map(ToString::to_string).collect();
    assert_eq!(axes, ["L0 \"Up\"", "R0 \"Twist left right\" 1000 to 9000", "V0"]);
    let hush = recognised(&["ERR;ready Z:11:AABBCCDDEEFF;"]).unwrap();
    assert_eq!(hush.to_string(), "Lovense, model Z, firmware 11");
    assert_eq!(hush.identifier().unwrap().as_str(), "lovense");
}

#[test]
fn an_older_board_lists_no_axes_and_says_so() {
    let mut answers = asked();
    for line in ["OSR2 v2.1", "TCode v0.2", "unknown command: D2"] {
        answers.read_line(line.as_bytes());
    }
    assert!(answers.lists_no_axes());
    let board = answers.recognised(None).unwrap();
    assert_eq!(board.name.as_deref(), Some("OSR2 v2.1"));
    assert!(board.axes.is_empty());
    assert!(board.to_string().contains("L0 with its whole stroke is assumed"));
}

#[test]
fn a_name_that_holds_the_version_is_the_name() {
    for lines in [
        ["OSR2 TCode v0.3", "TCode v0.3"],
        ["TCode v0.3", "OSR2 TCode v0.3"],
    ] {
        let board = recognised(&lines).unwrap();
        assert_eq!(board.name.as_deref(), Some("OSR2 TCode v0.3"));
        assert_eq!(board.version.as_deref(), Some("TCode v0.3"));
    }
}

#[test]
fn nothing_else_is_recognised() {
    for line in [
        "D0",
        "DeviceType;",
        "TCodeESP32 v1.38",
        "ets Jun  8 2016 00:22:57",
        "L0 0 99999 Up",
        "L0 9999",
        "X0 0 9999 Up",
        "LL0 0 9999 Up",
        "OK;",
        "Z:11:;",
        "12:30:15;",
        "a:1:AABBCCDDEEFF;",
        "Z:11:AABBCCDDEEFF:3;",
        "Z:11:AABBCCDDEEF\u{e9};",
    ] {
        assert_eq!(recognised(&[line]), None, "{line}");
    }
    let mut early = Answers::default();
    early.read_line(b"TCode v0.3");
    early.read_line(b"L0 0 9999 Up");
    early.read_line(b"Z:11:AABBCCDDEEFF;");
    assert!(!early.is_known(), "what nobody asked for answers nothing");
}

proptest! {
    #[test]
    fn whatever_a_board_says_is_read_without_a_fault(lines in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let mut answers = asked();
        for line in &lines {
            answers.read_line(line);
            answers.read_unended(line);
        }
        if let Some(board) = answers.recognised(None) {
            prop_assert!(!board.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn every_axis_is_read_as_it_was_listed(
        kind in "[LRVA]", channel in 0..10u8, low in 0..=4_999u16, high in 5_000..=9_999u16, name in "([A-Za-z]{1,8}( [A-Za-z]{1,8}){0,2})?",
    ) {
        let channel = format!("{kind}{channel}");
        let wanted = Axis { channel: channel.clone(), name: name.clone(), range: low..=high };
        prop_assert_eq!(axis(format!("{channel} {low} {high} {name}").trim()), Some(wanted));
    }
}
