use proptest::prelude::*;

use super::*;
use crate::config::entries_of;

fn keys(pairs: &[(&str, Value)]) -> Keys {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn stroker() -> Keys {
    keys(&[
        ("framing.delimiter", text("\n")),
        ("baud_rate", Value::Integer(9600)),
        ("port", text("/dev/ttyUSB0")),
        (
            "on_close",
            Value::Hex {
                hex: "05 80".to_owned(),
            },
        ),
        ("dtr_on_open", Value::Boolean(false)),
    ])
}

const STROKER: &str = "[[serial]]\nport = \"/dev/ttyUSB0\"\nbaud_rate = 9600\ndtr_on_open = false\n\
                       framing.delimiter = \"\\n\"\non_close = { hex = \"05 80\" }\n";

#[test]
fn an_entry_comes_after_those_of_its_section() {
    assert_eq!(add("", "serial", &stroker()).unwrap().text, STROKER);
    let added = add(
        "# mine\n[[serial]]\nport = \"/dev/a\" # left\n[serial.framing]\nraw = true\n# note\n\n[udcf]\npath = \"a\"",
        "serial",
        &stroker(),
    )
    .unwrap();
    let wanted = format!(
        "# mine\n[[serial]]\nport = \"/dev/a\" # left\n[serial.framing]\nraw = true\n# note\n\n{STROKER}\n[udcf]\npath = \"a\""
    );
    assert_eq!(added.text, wanted);
    assert_eq!((added.line, added.toml.as_str()), (8, STROKER));
    let added = add(
        "[udcf]\r\npath = \"a\"",
        "ble",
        &keys(&[("name", text("a\"\u{7f}é"))]),
    )
    .unwrap();
    assert_eq!(
        added.text,
        "[udcf]\r\npath = \"a\"\r\n\r\n[[ble]]\r\nname = \"a\\\"\\u007Fé\"\r\n"
    );
    let listed = entries(&added.text).unwrap();
    assert_eq!((listed[0].section, listed[0].line), ("ble", 4));
    assert_eq!(listed[0].keys["name"], text("a\"\u{7f}é"));
}

#[test]
fn an_entry_reads_as_what_was_added() {
    let (serial, _) = entries_of(STROKER, std::path::Path::new("a")).unwrap();
    assert_eq!(serial[0].line.baud_rate, 9_600);
    let listed = entries(STROKER).unwrap();
    assert_eq!(listed[0].keys, stroker());
    assert_eq!((listed[0].line, listed[0].toml.as_str()), (1, STROKER));
}

#[test]
fn an_entry_goes_with_its_comments_and_tables_and_nothing_else_does() {
    let before = "# gateway\n[[serial]]\nport = \"a\"\n\n# the stroker\n# on the desk\n[[serial]]\nport = \"b\"\n# rate\n\n\
                  # kept\n\n[udcf]\npath = \"a\"\n# bridge = true\n[serial.framing]\nraw = true\n[[ble]]\nname = \"x\"\n";
    let after = "# gateway\n[[serial]]\nport = \"a\"\n\n# kept\n\n[udcf]\npath = \"a\"\n# bridge = true\n[[ble]]\nname = \"x\"\n";
    assert_eq!(remove(before, "serial", 1).unwrap(), after);
    let after = "# gateway\n\n# kept\n\n[udcf]\npath = \"a\"\n# bridge = true\n[[ble]]\nname = \"x\"\n";
    assert_eq!(
        remove(&remove(before, "serial", 1).unwrap(), "serial", 0).unwrap(),
        after
    );
    assert_eq!(remove("[[ble]]\n\n[udcf]\n", "ble", 0).unwrap(), "[udcf]\n");
    assert_eq!(
        remove("[[ble]]", "ble", 1),
        Err(EditError::NoEntry("ble".to_owned(), 1))
    );
}

#[test]
fn keys_are_set_where_they_stand() {
    let yes = Value::Boolean(true);
    for (before, value, after) in [
        ("", Some(&yes), "[udcf]\nbridge = true\n"),
        (
            "[udcf] # mine\n\n[page]\n",
            Some(&yes),
            "[udcf] # mine\nbridge = true\n\n[page]\n",
        ),
        (
            "[udcf]\npath = \"a\" # a",
            Some(&yes),
            "[udcf]\npath = \"a\" # a\nbridge = true\n",
        ),
        (
            "[udcf]\nbridge = false # no\n",
            Some(&yes),
            "[udcf]\nbridge = true # no\n",
        ),
        (
            "[udcf]\npath = \"a\"\nbridge = false # no\n# b\n",
            None,
            "[udcf]\npath = \"a\"\n# b\n",
        ),
        (
            "udcf.path = \"a\"\n[page]\n",
            Some(&yes),
            "udcf.path = \"a\"\nudcf.bridge = true\n[page]\n",
        ),
        (
            "udcf = { path = \"a\" } # b\n",
            Some(&yes),
            "udcf = { path = \"a\", bridge = true } # b\n",
        ),
        (
            "[page]\r\n",
            Some(&yes),
            "[page]\r\n\r\n[udcf]\r\nbridge = true\r\n",
        ),
        ("[page]\n", None, "[page]\n"),
    ] {
        assert_eq!(set(before, "udcf", "bridge", value).unwrap(), after, "{before:?}");
    }
    let rate = Value::Integer(9600);
    let of = |before: &str, key: &str, value| set_in_entry(before, "serial", 1, key, value).unwrap();
    let two = "[[serial]]\nport = \"a\"\n[[serial]]\nport = \"b\"\n";
    assert_eq!(
        of(two, "baud_rate", Some(&rate)),
        format!("{two}baud_rate = 9600\n")
    );
    let dotted = of(two, "framing.idle_ms", Some(&Value::Integer(20)));
    assert_eq!(dotted, format!("{two}framing.idle_ms = 20\n"));
    assert_eq!(of(&dotted, "framing.idle_ms", None), two);
    let header = format!("{two}[serial.framing]\nraw = true\n[udcf]\n");
    let other = of(&of(&header, "framing.raw", None), "framing.idle_ms", Some(&rate));
    assert_eq!(other, format!("{two}[serial.framing]\nidle_ms = 9600\n[udcf]\n"));
    let inline = format!("{two}framing = {{ raw = true }}\n");
    assert_eq!(of(&inline, "framing.raw", None), format!("{two}framing = {{}}\n"));
    assert!(set_in_entry(&header, "serial", 1, "framing", Some(&rate)).is_err());
}

#[test]
fn what_cannot_be_edited_is_explained() {
    let none = Keys::new();
    let unreadable = add("a = 1\nb = = 2\n", "serial", &none).unwrap_err();
    assert!(
        matches!(unreadable, EditError::Unreadable { line: 2, .. }),
        "{unreadable}"
    );
    let list = add("serial = [{ port = \"a\" }]\n", "serial", &none);
    assert_eq!(list, Err(EditError::Form("serial".to_owned())));
    assert_eq!(
        add("", "clients", &none),
        Err(EditError::NoSection("clients".to_owned()))
    );
    let key = keys(&[("a = 1\n[udcf]\nb", Value::Integer(1))]);
    assert!(matches!(add("", "serial", &key), Err(EditError::NoKey(_))));
}

/// Paragraphs of a file, as people write them.
fn paragraph() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "# a comment\n",
        "\n",
        "\n\n",
        "[devices]\nlisten = [\n  \"127.0.0.1:1\", # one\n]\n",
        "[udcf]\npath = 'a' # here\n# bridge = true\n",
        "[unknown]\nx = { y = 1 }\n\n# [[serial]]\n",
        "[[serial]]\nport = \"p\"\n",
        "# the stroker\n[[serial]]\nport = \"p\" # é\n[serial.framing]\nraw = true\n",
        "[[ble]]\n  name = \"\"\"a\n[[serial]]\n\"\"\"\n",
        "[[dial]]\nurl = \"tcp://a:1\"\nframing.raw = true\n# note\n",
    ])
    .prop_map(str::to_owned)
}

fn file() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(paragraph(), 0..8),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(mut paragraphs, crlf, cut, bom)| {
            // A section that is there once.
            let mut seen = std::collections::HashSet::new();
            paragraphs.retain(|p| {
                let once = ["[devices]", "[udcf]", "[unknown]"]
                    .iter()
                    .find(|name| p.starts_with(**name));
                once.is_none_or(|name| seen.insert(*name))
            });
            let mut text = paragraphs.concat();
            if crlf {
                text = text.replace('\n', "\r\n");
            }
            if cut {
                text.truncate(text.trim_end().len());
            }
            if bom {
                text.insert(0, '\u{feff}');
            }
            text
        })
}

/// The lines, without blank ones.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().is_empty()).collect()
}

fn is_part(part: &str, whole: &str) -> bool {
    let mut whole = lines(whole).into_iter();
    lines(part).iter().all(|line| whole.any(|other| other == *line))
}

fn blank(text: &str) -> usize {
    text.lines().filter(|line| line.trim().is_empty()).count()
}

proptest! {
    #[test]
    fn what_was_added_and_removed_leaves_the_rest(
        before in file(),
        section in prop::sample::select(vec!["serial", "ble", "dial"]),
        word in "[ -~é\t\n\u{7f}]{1,12}",
        rate in 0_i64..1_000_000,
    ) {
        let new = keys(&[("port", text(&word)), ("baud_rate", Value::Integer(rate))]);
        let count = |text: &str| entries(text).unwrap().iter().filter(|e| e.section == section).count();
        let added = add(&before, section, &new).unwrap();
        prop_assert!(is_part(&before, &added.text));
        prop_assert_eq!(count(&added.text), count(&before) + 1);
        let listed = entries(&added.text).unwrap();
        let last = listed.iter().rfind(|entry| entry.section == section).unwrap();
        prop_assert_eq!(&last.keys, &new);
        prop_assert_eq!((&last.toml, last.line), (&added.toml, added.line));
        if before.contains('\r') {
            prop_assert!(!added.text.replace("\r\n", "").contains('\n'));
        }
        let after = remove(&added.text, section, last.n).unwrap();
        prop_assert_eq!(lines(&after), lines(&before));
        prop_assert!(blank(&after).abs_diff(blank(&before)) <= 1);
        prop_assert_eq!(entries(&after).unwrap().len(), entries(&before).unwrap().len());
    }

    #[test]
    fn an_entry_that_is_removed_takes_nothing_else(before in file(), pick in any::<prop::sample::Index>()) {
        let listed = entries(&before).unwrap();
        prop_assume!(!listed.is_empty());
        let gone = pick.get(&listed);
        let after = remove(&before, gone.section, gone.n).unwrap();
        prop_assert!(is_part(&after, &before));
        let what = |entry: &Entry| (entry.section, entry.keys.clone());
        let left: Vec<_> = listed.iter().filter(|entry| *entry != gone).map(what).collect();
        let now: Vec<_> = entries(&after).unwrap().iter().map(what).collect();
        prop_assert_eq!(now, left);
    }

    #[test]
    fn a_key_that_was_set_and_removed_leaves_the_rest(before in file()) {
        let set_it = set(&before, "udcf", "bridge", Some(&Value::Boolean(true))).unwrap();
        prop_assert!(is_part(&before, &set_it));
        prop_assert!(set_it.contains("bridge = true"));
        let after = set(&set_it, "udcf", "bridge", None).unwrap();
        prop_assert!(is_part(&after, &set_it) && is_part(&before, &after));
    }
}
