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
fn a_line_that_names_a_channel_is_an_axis_whatever_its_range() {
    for (line, shown) in [
        ("L0 0.1 0.9 Up", "L0 \"Up\""),
        ("R0 00000 99999 Twist", "R0 \"Twist\""),
        ("L0 0 99999999999999999999", "L0"),
        ("V0 -5 9999", "V0"),
        ("V0 0 1", "V0"),
        ("A3 5 5 Fan", "A3 \"Fan\""),
        ("L1 9999", "L1"),
    ] {
        let board = recognised(&["TCode v0.3", line, line]).unwrap();
        assert_eq!(
            board.axes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [shown],
            "{line}"
        );
        assert_eq!(board.faults.len(), 1, "{line}: {:?}", board.faults);
        assert!(
            board.faults[0].contains(line) && board.faults[0].contains("whole travel"),
            "{:?}",
            board.faults
        );
    }
    let mini = recognised(&["A1 mini", "TCode v0.3", "L0 0 9999 Up"]).unwrap();
    assert_eq!((mini.name.as_deref(), mini.axes.len()), (Some("A1 mini"), 1));
}

#[test]
fn of_several_lines_for_one_channel_the_narrower_limits_hold() {
    for (lines, wanted) in [
        (["L0 2000 8000 Up", "L0 0 9999 Up"], 2_000..=8_000),
        (["L0 0 9999 Up", "L0 2000 8000 Up"], 2_000..=8_000),
        (["L0 2000 9999", "L0 0 8000"], 2_000..=8_000),
        (["L0 0 1000", "L0 5000 9999"], 0..=1_000),
        (["L0 2000 8000", "L0 0 1"], 2_000..=8_000),
    ] {
        let board = recognised(&["TCode v0.3", lines[0], lines[1], lines[0], lines[1]]).unwrap();
        assert_eq!(board.axes.len(), 1, "{lines:?}");
        assert_eq!(board.axes[0].range, wanted, "{lines:?}");
        assert_eq!(board.faults.len(), 1, "{:?}", board.faults);
        let used = format!("using {} to {}", wanted.start(), wanted.end());
        assert!(board.faults[0].contains(&used), "{:?}", board.faults);
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
        kind in "[LRVA]", channel in 0..10u8, low in 0..=4_899u16, high in 5_000..=9_999u16, name in "([A-Za-z]{1,8}( [A-Za-z]{1,8}){0,2})?",
    ) {
        let channel = format!("{kind}{channel}");
        let wanted = Axis { channel: channel.clone(), name: name.clone(), range: low..=high };
        let listed = ListedAxis::parse(format!("{channel} {low} {high} {name}").trim());
        prop_assert_eq!(listed.as_ref().and_then(ListedAxis::fault), None);
        prop_assert_eq!(listed.map(ListedAxis::into_axis), Some(wanted));
    }
}

#[test]
fn answers_in_the_json_of_a_websocket_are_read_and_the_log_in_it_is_not() {
    let mut answers = Answers::default();
    for (question, said) in [
        (
            Question::Device,
            r#"{"command":"debug","message":"ws[/ws][1] connect"}"#,
        ),
        (
            Question::Device,
            r#"{"command":"tcode","message":"ESP32 \"DevKit\""}"#,
        ),
        (
            Question::Version,
            r#"{"command":"tcode","message":"TCode v0.3\n"}"#,
        ),
        (
            Question::Version,
            r#"{"command":"batteryVoltage","message":{"voltage":3.7}}"#,
        ),
        (
            Question::Axes,
            r#"{"command":"tcode","message":"L0 0 9999 Up\nR1 2000 8000 Roll\nV0 0 9999 Vibe0\n"}"#,
        ),
    ] {
        answers.ask(question);
        answers.read_line(format!("{said}\n").as_bytes());
    }
    let board = answers.recognised(None).unwrap();
    assert_eq!(
        board.to_string(),
        "TCode v0.3, \"ESP32 \\\"DevKit\\\"\", axes L0 \"Up\", R1 \"Roll\" 2000 to 8000, V0 \"Vibe0\""
    );
}

/// A board in another language, or one that looks at less than all of a word, must not move by a stop.
#[test]
fn a_stop_for_a_board_of_unknown_language_sets_nothing_in_another_one() {
    let languages = Answers::default().languages();
    assert_eq!(languages.len(), 2);
    for stops in &languages {
        let text = stops.stop_perhaps().concat();
        let text = String::from_utf8(text).unwrap();
        for reads in &languages {
            let frames: Vec<String> = match reads.delimiter() {
                b";" => text.split_inclusive(';').map(str::to_owned).collect(),
                _ => text.lines().map(|line| format!("{line}\n")).collect(),
            };
            let is_own = stops.name() == reads.name();
            for frame in frames {
                match reads.read(&frame) {
                    crate::device::language::Command::StopAll | crate::device::language::Command::Other => {}
                    crate::device::language::Command::Set(settings) if is_own => {
                        assert!(settings.iter().all(|setting| setting.is_nothing), "{frame:?}");
                    }
                    other => panic!("{frame:?} is {other:?} in {reads:?}"),
                }
            }
        }
        // The places of axes are L and R; `a` of a word is no channel.
        for word in text.split_whitespace() {
            let first = word.as_bytes()[0].to_ascii_uppercase();
            assert!(!b"LRA".contains(&first), "{word:?}");
        }
    }
}

#[test]
fn an_echo_of_a_stop_is_no_name() {
    let mut answers = Answers::default();
    answers.ask(Question::Device);
    for language in answers.languages() {
        for frame in language.stop_perhaps() {
            answers.read_line(frame);
            answers.read_line(&[b"> ", *frame].concat());
        }
    }
    assert!(!answers.has(Question::Device), "{answers:?}");
}
