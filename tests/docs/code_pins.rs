//! The pins that the code drives: those of the library by chip, of each sketch, and of the firmware in Rust.

use std::collections::BTreeMap;
use std::fs;

use wsdm_device_board::{ESP32C3, Outputs};

use super::root;

/// The chips of `WsdmPins.h`, as it names them and as the tables do.
pub const CHIPS: [(&str, &str); 7] = [
    ("!defined(ARDUINO_ARCH_ESP32)", "Uno"),
    (" defined(CONFIG_IDF_TARGET_ESP32)", "ESP32"),
    (" defined(CONFIG_IDF_TARGET_ESP32S2)", "S2"),
    (" defined(CONFIG_IDF_TARGET_ESP32S3)", "S3"),
    (" defined(CONFIG_IDF_TARGET_ESP32C3)", "C3"),
    (" defined(CONFIG_IDF_TARGET_ESP32C6)", "C6"),
    (" defined(ARDUINO_ARCH_ESP8266)", "ESP8266"),
];

/// The pins of a chip, by their names in `WsdmPins.h`.
pub type Pins = BTreeMap<String, String>;

/// The files of the repository, one of them changed perhaps.
pub struct Files(pub Option<(&'static str, String)>);

impl Files {
    pub fn read(&self, path: &str) -> String {
        match &self.0 {
            Some((changed, text)) if *changed == path => text.clone(),
            _ => fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}")),
        }
    }
}

/// Makes each change, one text of a file replaced by another, and expects a fault: a rule that nothing can break tests
/// nothing.
pub fn each_is_noticed(changes: &[(&'static str, &str, &str)], faults: impl Fn(&Files) -> Vec<String>) {
    for (path, from, to) in changes {
        let text = Files(None).read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        let changed = Files(Some((path, text.replacen(from, to, 1))));
        assert!(
            !faults(&changed).is_empty(),
            "{path}: {from:?} became {to:?}, and nobody noticed"
        );
    }
}

/// What the code drives.
pub struct Code {
    /// `WsdmPins.h`.
    pub arduino: BTreeMap<&'static str, Pins>,
    /// The firmware in Rust, unless it is told otherwise.
    pub usual: Outputs,
    /// The pin of its button.
    pub button: String,
}

impl Code {
    pub fn read(files: &Files) -> Self {
        let built_in = files.read("firmware/esp32-common/src/built_in.rs");
        let quoted = |before: &str| {
            let (_, rest) = built_in.split_once(before).expect("a built-in setting");
            rest.split('"').next().unwrap_or_default()
        };
        let usual = quoted("(Key::Pins, \"");
        Self {
            arduino: arduino(&files.read("firmware/arduino/WsdmDevice/src/WsdmPins.h")),
            usual: Outputs::parse(usual, &ESP32C3).unwrap_or_else(|e| panic!("{usual}: {e}")),
            button: quoted("const BUTTON: &str = \"").to_owned(),
        }
    }

    /// A pin of the library on this chip, such as `WSDM_MOTOR_PIN`.
    pub fn of(&self, chip: &str, name: &str) -> String {
        self.arduino[chip][name].clone()
    }
}

fn arduino(header: &str) -> BTreeMap<&'static str, Pins> {
    let mut found: BTreeMap<_, Pins> = BTreeMap::new();
    let mut chips = Vec::new();
    for line in header.lines() {
        if line.starts_with("#if ") || line.starts_with("#elif ") {
            let named = CHIPS.into_iter().filter(|(name, _)| line.contains(name));
            chips = named.map(|(_, chip)| chip).collect();
        }
        let definition = line.strip_prefix("#define ");
        if let Some((name, pin)) = definition.and_then(|line| line.split_once(' ')) {
            for chip in &chips {
                let pins = found.entry(*chip).or_default();
                pins.insert(name.to_owned(), pin.to_owned());
            }
        }
    }
    assert_eq!(found.len(), CHIPS.len(), "every chip has pins");
    found
}

/// The pin that stands behind this in a sketch, on a chip with these pins: `None` if there is none.
pub fn driven(sketch: &str, before: &str, chip: &Pins) -> Option<String> {
    let (_, rest) = sketch.split_once(before)?;
    let mut pin = rest.split([',', ')', '\n']).next()?.trim().to_owned();
    // A name stands for another, in the sketch or in the library, and in the end for a number.
    while pin.contains('_') {
        let defined = [format!("#define {pin} "), format!("{pin} = ")]
            .iter()
            .find_map(|before| sketch.split_once(before.as_str()))
            .and_then(|(_, rest)| rest.split([';', '\n', ' ']).next());
        pin = defined.or_else(|| chip.get(&pin).map(String::as_str))?.to_owned();
    }
    Some(pin)
}

/// The pin of a channel of the firmware in Rust.
pub fn pin_of(outputs: &Outputs, channel: &str) -> Option<String> {
    let mut outputs = outputs.iter();
    let found = outputs.find(|output| output.channel.to_string() == channel);
    found.map(|output| output.pin.to_string())
}

/// The numbers of a text such as `13, 16 to 18; A0 measures`, without what is in brackets or is code.
pub fn numbers(text: &str) -> Vec<String> {
    let mut plain = String::new();
    let (mut depth, mut is_code) = (0, false);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '`' => is_code = !is_code,
            c if depth == 0 && !is_code => plain.push(c),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let mut first = None;
    for word in plain.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        let pin = word.parse::<u8>().ok();
        match (pin, first.take()) {
            (Some(last), Some(first)) => found.extend((first + 1..=last).map(|pin: u8| pin.to_string())),
            (Some(pin), None) => found.push(pin.to_string()),
            (None, _) if word == "to" => first = found.last().and_then(|pin| pin.parse::<u8>().ok()),
            (None, _)
                if word
                    .strip_prefix('A')
                    .is_some_and(|pin| pin.parse::<u8>().is_ok()) =>
            {
                found.push(word.to_owned());
            }
            (None, _) => {}
        }
    }
    found
}

/// The labels of a NodeMCU in this text, such as `D1 (GPIO 5), D2 (4)`, and their numbers.
pub fn labels(text: &str) -> BTreeMap<String, String> {
    let parts = text.split([',', ';']);
    parts
        .filter_map(|part| {
            let (label, number) = part.trim().split_once(" (")?;
            let number = number.split(')').next()?.trim_start_matches("GPIO ");
            Some((label.to_owned(), number.to_owned()))
        })
        .collect()
}

/// The cells of the first row whose first cell is like this.
pub fn row(page: &str, is_it: impl Fn(&str) -> bool) -> Vec<&str> {
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let mut rows = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    rows.find(|row| row.first().is_some_and(|first| is_it(first)))
        .expect("a row of that table")
}

/// The part of a cell such as `4; C6: 18; S2, S3: 5 (D1)` that is for this chip.
pub fn part_for(cell: &str, chip: &str) -> String {
    let is_chip = |name: &&str| CHIPS.iter().any(|(_, chip)| chip == name);
    let (mut usual, mut own) = (Vec::new(), None);
    for part in cell.split(';') {
        let (names, rest) = part.split_once(':').unwrap_or(("", part));
        let names: Vec<_> = names.split(',').map(str::trim).collect();
        if !names.iter().all(is_chip) {
            usual.push(part);
        } else if names.contains(&chip) {
            own = Some(rest);
        }
    }
    own.map_or_else(|| usual.join(";"), str::to_owned)
}

#[test]
fn cells_and_sketches_are_read() {
    assert_eq!(
        numbers("D1, 13, 16 to 18; A0 is `A1` (4, 5), 7 up to 3.3 V"),
        ["13", "16", "17", "18", "A0", "7"]
    );
    assert_eq!(labels("D1 (GPIO 5), D2 (4); A0 measures")["D2"], "4");
    assert_eq!(
        part_for("`V0` on 9; a valve: 7; ESP32: 4 and 26; S2, C3: 5 (D1)", "C3"),
        " 5 (D1)"
    );
    assert_eq!(
        part_for("`V0` on 9; a valve on 7; ESP32: 4", "Uno"),
        "`V0` on 9; a valve on 7"
    );
    let chip = Pins::from([("WSDM_MOTOR_PIN".to_owned(), "4".to_owned())]);
    let sketch = "#define MOTOR_PIN WSDM_MOTOR_PIN\nconst int OTHER_PIN = 7;\nWsdmPwm one(MOTOR_PIN, 60), two(OTHER_PIN);";
    assert_eq!(driven(sketch, "one(", &chip).as_deref(), Some("4"));
    assert_eq!(driven(sketch, "two(", &chip).as_deref(), Some("7"));
    assert_eq!(driven(sketch, "three(", &chip), None);
}
