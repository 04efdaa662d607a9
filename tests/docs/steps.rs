//! A board takes as many steps as the table of boards promises, and few of them.

use std::fs;

use super::code_pins::{Files, each_is_noticed};
use super::root;

const INDEX: &str = "firmware/README.md";
const BOARDS: &str = "firmware/docs/boards";
/// The most steps to a moving motor, if a command flashes the board.
const MOST: usize = 5;
/// The most, if the Arduino IDE does: it needs the board's files and the library first.
const MOST_WITH_IDE: usize = 8;
const WORDS: [&str; 9] = [
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight",
];
/// Where other pages give the number of a board's steps.
const MENTIONS: [(&str, &str); 2] = [
    ("firmware/esp32-common/README.md", "esp32-c3-c6"),
    ("firmware/serial-avr/README.md", "uno"),
];

/// A part of a page, from its heading to the next. The heading is as it is given, or ends like this.
fn section<'a>(page: &'a str, heading: &str) -> Option<(&'a str, &'a str)> {
    let sections = page.split("\n## ").skip(1);
    let mut sections = sections.filter_map(|section| section.split_once('\n'));
    sections.find(|(title, _)| *title == heading || title.ends_with(&format!(" {heading}")))
}

/// The numbers of a numbered list, as it has them.
fn numbered(text: &str) -> Vec<usize> {
    let numbers = text.lines().filter_map(|line| line.split_once(". "));
    numbers.filter_map(|(number, _)| number.parse().ok()).collect()
}

/// Each board of the table: its page, and the number of steps.
fn promised(index: &str) -> Vec<(String, usize)> {
    let (_, buy) = section(index, "Buy").expect("a table of boards");
    let rows = buy.lines().filter(|line| line.starts_with("| ["));
    rows.map(|row| {
        let page = row
            .split("](docs/boards/")
            .nth(1)
            .and_then(|rest| rest.split(".md)").next());
        let steps = row.trim_end_matches([' ', '|']).rsplit("| ").next();
        let steps = steps.and_then(|steps| steps.parse().ok());
        (page.expect("a board's page").to_owned(), steps.expect("a number"))
    })
    .collect()
}

/// Everything that is wrong.
fn faults(files: &Files) -> Vec<String> {
    let index = files.read(INDEX);
    let boards = promised(&index);
    let mut faults = Vec::new();
    for (name, promised) in &boards {
        let page = files.read(&format!("{BOARDS}/{name}.md"));
        let Some((title, text)) = section(&page, "steps") else {
            faults.push(format!("{name}: no section of steps"));
            continue;
        };
        let steps = numbered(text);
        if steps != Vec::from_iter(1..=*promised) {
            faults.push(format!("{name}: {steps:?}, and {INDEX} promises {promised}"));
        }
        if WORDS.get(steps.len()).map(|word| format!("{word} steps")) != Some(title.to_lowercase()) {
            faults.push(format!("{name}: {title:?} are {}", steps.len()));
        }
        let most = if text.contains("Arduino IDE") {
            MOST_WITH_IDE
        } else {
            MOST
        };
        if steps.len() > most {
            faults.push(format!("{name}: {} steps, more than {most}", steps.len()));
        }
        // What is no step is said before the first.
        let before = text.split("\n1. ").next().unwrap_or_default();
        if !(before.contains("**Before:**") && before.contains("README.md#two-commands")) {
            faults.push(format!("{name}: it does not say what is needed before step 1"));
        }
        for (path, _) in MENTIONS.iter().filter(|(_, board)| board == name) {
            let wanted = format!("in {} steps", WORDS.get(*promised).unwrap_or(&"too many"));
            if !files.read(path).contains(&wanted) {
                faults.push(format!("{path}: {wanted:?} is missing"));
            }
        }
    }
    let (_, overview) = section(&index, "Wire, flash, done").expect("the steps of all boards");
    if numbered(overview) != Vec::from_iter(1..=MOST) {
        faults.push(format!("{INDEX}: its own steps are not {MOST}"));
    }
    for file in fs::read_dir(root().join(BOARDS)).unwrap() {
        let file = file.unwrap().path();
        let is_page = file.extension().is_some_and(|e| e == "md");
        let stem = file.file_stem().unwrap_or_default();
        let is_listed = || boards.iter().any(|(name, _)| stem == name.as_str());
        if is_page && !is_listed() {
            faults.push(format!("{INDEX} does not list {}", file.display()));
        }
    }
    faults
}

#[test]
fn each_board_takes_the_steps_that_are_promised() {
    let faults = faults(&Files(None));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Files, and a place in each that becomes another.
const CHANGES: [(&str, &str, &str); 9] = [
    (INDEX, "| Wi-Fi | 5 |", "| Wi-Fi | 4 |"),
    (INDEX, "5. **Move", "6. **Move"),
    (INDEX, "docs/boards/esp8266.md", "docs/boards/esp32.md"),
    (
        "firmware/docs/boards/esp32-c3-c6.md",
        "4. **Flash**",
        "4. **Plug**\n\n5. **Flash**",
    ),
    ("firmware/docs/boards/esp32.md", "7. **Move", "8. **Move"),
    (
        "firmware/docs/boards/esp8266.md",
        "## Seven steps",
        "## Six steps",
    ),
    ("firmware/docs/boards/esp8266.md", "**Before:**", "On"),
    ("firmware/docs/boards/uno.md", "5. **Bridge", "**Bridge"),
    ("firmware/serial-avr/README.md", "in six steps", "in five steps"),
];

#[test]
fn a_step_that_was_not_promised_is_found() {
    each_is_noticed(&CHANGES, faults);
}

/// A page and a table that agree on too many steps are no better.
#[test]
fn more_steps_than_a_maker_takes_are_found() {
    let mut page = Files(None).read("firmware/docs/boards/esp32-c3-c6.md");
    for (from, to) in [
        ("## Five steps", "## Six steps"),
        ("5. **Move", "5. **Look**\n\n6. **Move"),
    ] {
        assert!(page.contains(from), "{from:?}");
        page = page.replacen(from, to, 1);
    }
    let changed = Files(Some(("firmware/docs/boards/esp32-c3-c6.md", page)));
    let faults = faults(&changed);
    assert!(
        faults.iter().any(|fault| fault.ends_with("6 steps, more than 5")),
        "{faults:#?}"
    );
}
