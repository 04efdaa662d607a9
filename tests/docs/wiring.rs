//! A maker who follows a picture, a page or a table wires the pins that the code drives.

use wsdm_device_board::{ESP32C3, ESP32C6, Outputs};

use super::code_pins::{Code, Files, driven, each_is_noticed, labels, numbers, part_for, pin_of, row};
use super::picture::Picture;

const BOARDS: &str = "firmware/docs/boards";
const TABLE: &str = "firmware/docs/wiring.md";
const GUIDE: &str = "firmware/esp32-common/README.md";
const NODEMCU: &str = "D1 (GPIO";
/// What stands before a pin in a sketch: those of its motors, of its servos, and of its battery.
type Before = [&'static [&'static str]; 3];
/// Each sketch of the table in `wiring.md`, and its file.
#[rustfmt::skip]
const SKETCHES: &[(&str, &str, Before)] = &[
    ("WifiLovenseVibrator", "arduino/WsdmDevice/examples/", [&["WsdmPwm motor("], &[], &[]]),
    ("BleNusLovense", "arduino/WsdmDevice/examples/", [&["WsdmPwm motor("], &[], &[]]),
    ("WifiTcodeStroker", "arduino/WsdmDevice/examples/", [&["WsdmPwm motor("], &["WsdmServo servo("], &[]]),
    ("SerialLovense", "arduino/WsdmDevice/examples/",
        [&["WsdmPwm motor1(", "WsdmPwm motor2("], &[], &["wsdmMillivolts("]]),
    ("SerialTcode", "arduino/WsdmDevice/examples/", [&["WsdmPwm motor(", "digitalWrite("], &[], &[]]),
    ("SerialStepper", "arduino/WsdmDevice/examples/",
        [&["WsdmStepper stepper(", "#define DIRECTION_PIN ", "stepper.enable(", "stepper.limitSwitch("], &[], &[]]),
    ("serial-avr/lovense", "", [&["WsdmPwm motor("], &[], &[]]),
    ("serial-avr/tcode", "", [&["WsdmPwm motor("], &["WsdmServo stroke(", "WsdmServo twist("], &[]]),
];

/// The page of a board.
fn page(files: &Files, name: &str) -> String {
    files.read(&format!("{BOARDS}/{name}.md"))
}

fn sketch(files: &Files, name: &str, folder: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    files.read(&format!("firmware/{folder}{name}/{file}.ino"))
}

/// A stroker's pins for the firmware in Rust, as the page of the C3 and C6 gives them.
fn stroker(files: &Files) -> Outputs {
    let page = page(files, "esp32-c3-c6");
    let pins = page
        .split("--pins '")
        .nth(1)
        .and_then(|rest| rest.split('\'').next());
    let pins = pins.expect("a stroker's pins");
    Outputs::parse(pins, &ESP32C3).unwrap_or_else(|e| panic!("{pins}: {e}"))
}

/// Everything that is wrong.
fn faults(files: &Files) -> Vec<String> {
    let code = Code::read(files);
    let mut faults = Vec::new();
    pictures(files, &code, &mut faults);
    table(files, &code, &mut faults);
    usable(files, &code, &mut faults);
    settings(files, &code, &mut faults);
    faults
}

/// What a picture has to show: the label of the motor's pin and the servo's, and how its page calls the motor's.
struct Wanted {
    picture: &'static str,
    page: &'static str,
    motor: String,
    servo: Option<String>,
    called: String,
}

fn wanted(files: &Files, code: &Code) -> Vec<Wanted> {
    let nodemcu = page(files, "esp8266");
    let nodemcu = labels(row(&nodemcu, |first| first.contains(NODEMCU))[0]);
    let label = |pin: &str| {
        let found = nodemcu.iter().find(|(_, number)| *number == pin);
        found.map_or_else(|| format!("no label for {pin}"), |(label, _)| label.clone())
    };
    let avr = |name: &str, before: &str| {
        let text = sketch(files, &format!("serial-avr/{name}"), "");
        driven(&text, before, &code.arduino["Uno"]).expect("a pin of this sketch")
    };
    let rust = |picture| {
        let motor = pin_of(&code.usual, "V0").expect("a motor");
        Wanted {
            picture,
            page: "esp32-c3-c6",
            called: format!("pin {motor}"),
            motor,
            servo: pin_of(&stroker(files), "L0"),
        }
    };
    let arduino = |picture, chip| {
        let motor = code.of(chip, "WSDM_MOTOR_PIN");
        Wanted {
            picture,
            page: "esp32",
            called: format!("pin {motor}"),
            motor,
            servo: Some(code.of(chip, "WSDM_SERVO_PIN")),
        }
    };
    let (esp32, esp8266) = (
        code.of("ESP32", "WSDM_MOTOR_PIN"),
        code.of("ESP8266", "WSDM_MOTOR_PIN"),
    );
    let uno = avr("lovense", "WsdmPwm motor(");
    vec![
        rust("esp32-c3"),
        rust("esp32-c6"),
        arduino("esp32-s2", "S2"),
        arduino("esp32-s3", "S3"),
        Wanted {
            picture: "esp32",
            page: "esp32",
            motor: format!("D{esp32}"),
            servo: Some(format!("D{}", code.of("ESP32", "WSDM_SERVO_PIN"))),
            called: format!("pin {esp32}"),
        },
        Wanted {
            picture: "esp8266",
            page: "esp8266",
            motor: label(&esp8266),
            servo: Some(label(&code.of("ESP8266", "WSDM_SERVO_PIN"))),
            called: label(&esp8266),
        },
        Wanted {
            picture: "uno-stroker",
            page: "uno",
            motor: avr("tcode", "WsdmPwm motor("),
            servo: Some(avr("tcode", "WsdmServo stroke(")),
            called: format!("pin {uno}"),
        },
        Wanted {
            picture: "uno",
            page: "uno",
            called: format!("pin {uno}"),
            motor: uno,
            servo: None,
        },
    ]
}

/// Each picture, what it says of itself, and what its page says of it.
fn pictures(files: &Files, code: &Code, faults: &mut Vec<String>) {
    for Wanted {
        picture: name,
        page: page_name,
        motor,
        servo,
        called,
    } in wanted(files, code)
    {
        let picture = Picture::parse(&files.read(&format!("{BOARDS}/{name}.svg")));
        let page = page(files, page_name);
        let servos: Vec<&str> = servo.iter().map(String::as_str).collect();
        let to_servo: Vec<_> = servos.iter().map(|servo| (*servo, None)).collect();
        for (what, is) in [
            (
                "the motor's wire",
                picture.leads("sig") == [(&*motor, Some("IN"))],
            ),
            ("the servo's wire", picture.leads("srv") == to_servo),
            ("the motor's ring", picture.marked("sig") == [&*motor]),
            ("the servo's ring", picture.marked("srv") == servos),
            (
                "its page's advice",
                page.contains(&format!("the joined grounds, {called};")),
            ),
        ] {
            if !is {
                faults.push(format!("{name}.svg: {what} is not at {motor} and {servo:?}"));
            }
        }
        // In words, for who does not see it.
        let described = picture.description.to_lowercase();
        let before = page.split(&format!("]({name}.svg)")).next().unwrap_or_default();
        let alt = before.rsplit("![").next().unwrap_or_default();
        let alt = alt.replace('\n', " ").to_lowercase();
        let place = |class| picture.place(class).unwrap_or_default();
        let mut words = vec![(&described, format!("in {motor} goes to in of"))];
        words.extend(
            servo
                .iter()
                .map(|servo| (&described, format!("in {servo} goes to a servo"))),
        );
        match (page_name, &servo) {
            ("uno", None) => words.push((&alt, format!("in {motor} in the upper row goes to in of"))),
            ("uno", Some(servo)) => {
                words.push((
                    &alt,
                    format!("in {motor} goes to in of the module, pin {servo} to a servo"),
                ));
            }
            (_, servo) => {
                let ground = picture.marked("gnd").first().copied().unwrap_or("nothing");
                let servo = servo.as_deref().unwrap_or("nothing");
                words.extend([
                    (&alt, format!(" {motor}, {}, goes to in of", place("sig"))),
                    (&alt, format!(" {ground}, {}, goes to gnd of", place("gnd"))),
                    (&alt, format!(" {servo}, {}, goes to a servo", place("srv"))),
                ]);
            }
        }
        for (text, wanted) in words {
            if !text.contains(&wanted.to_lowercase()) {
                faults.push(format!("{name}: {wanted:?} is missing in {text:?}"));
            }
        }
    }
    let esp32 = page(files, "esp32");
    let wire = esp32.split("## Pins").next().unwrap_or_default();
    for chip in ["S2", "S3", "C3", "C6"] {
        let wanted = ["WSDM_MOTOR_PIN", "WSDM_SERVO_PIN"].map(|name| code.of(chip, name));
        let cells = row(wire, |first| first.contains(&format!("ESP32-{chip}")));
        if cells[1..3] != wanted {
            faults.push(format!("esp32.md: {chip} has {cells:?}, not {wanted:?}"));
        }
    }
    let c6 = format!("on a C6 pin {};", code.of("C6", "WSDM_MOTOR_PIN"));
    if !esp32.contains(&c6) {
        faults.push(format!("esp32.md: its advice lacks {c6:?}"));
    }
}

/// The table of what is on which pin.
fn table(files: &Files, code: &Code, faults: &mut Vec<String>) {
    let text = files.read(TABLE);
    let nodemcu = page(files, "esp8266");
    let nodemcu = labels(row(&nodemcu, |first| first.contains(NODEMCU))[0]);
    for (name, folder, columns) in SKETCHES {
        let sketch = sketch(files, name, folder);
        let cells = row(&text, |first| first.contains(&format!("`{name}`")));
        let (has_radio, is_for_uno) = (
            !name.starts_with("Serial") && !name.starts_with("serial"),
            name.starts_with("serial-avr") || *name == "SerialStepper",
        );
        for (chip, pins) in &code.arduino {
            if (*chip == "Uno" && has_radio) || (*chip != "Uno" && is_for_uno) {
                continue;
            }
            for (cell, before) in cells[1..].iter().zip(columns) {
                let part = part_for(cell, chip);
                let wanted: Option<Vec<_>> = before
                    .iter()
                    .map(|before| driven(&sketch, before, pins))
                    .collect();
                let mut found = Some(numbers(&part));
                if found == wanted && *chip == "ESP8266" && part.contains('(') {
                    // Its labels are in brackets.
                    let labels = part.split(['(', ')']).nth(1).unwrap_or_default();
                    found = labels
                        .split(", ")
                        .map(|label| nodemcu.get(label).cloned())
                        .collect();
                }
                if found != wanted {
                    faults.push(format!("{TABLE}: {name} on {chip} has {part:?}, not {wanted:?}"));
                }
            }
        }
    }
    let stroker = stroker(files);
    for (first, outputs) in [("ESP32-C3, ESP32-C6", &code.usual), ("--device tcode", &stroker)] {
        let cells = row(&text, |cell| cell.contains(first));
        let found = [numbers(cells[1]), numbers(cells[2])];
        let wanted = ["V0", "L0"].map(|channel| Vec::from_iter(pin_of(outputs, channel)));
        if found != wanted {
            faults.push(format!("{TABLE}: {first} has {found:?}, not {wanted:?}"));
        }
    }
}

/// What the library takes on a chip, against what its page calls free, and read by the chip when it starts.
fn taken(code: &Code, chip: &str, free: &[String], read: &[String], faults: &mut Vec<String>) {
    for (name, pin) in &code.arduino[chip] {
        let listed = if name == "WSDM_BUTTON_PIN" { read } else { free };
        if !listed.contains(pin) {
            faults.push(format!("{chip}: {name} is {pin}, and its page lists {listed:?}"));
        }
    }
}

/// What the pages call free, and read by the chip when it starts.
fn usable(files: &Files, code: &Code, faults: &mut Vec<String>) {
    let behind = |text: String| text.split("## Pins").nth(1).map(str::to_owned).expect("its pins");
    let esp32 = behind(page(files, "esp32"));
    for (chip, name) in [("ESP32", "ESP32"), ("S2", "ESP32-S2"), ("S3", "ESP32-S3")] {
        let cells = row(&esp32, |first| first == name);
        taken(code, chip, &numbers(cells[1]), &numbers(cells[2]), faults);
    }
    let esp8266 = behind(page(files, "esp8266"));
    let cells = row(&esp8266, |first| first.contains(NODEMCU));
    let free: Vec<_> = labels(cells[0]).into_values().chain(numbers(cells[0])).collect();
    let read = Vec::from_iter(labels(cells[1]).into_values());
    taken(code, "ESP8266", &free, &read, faults);
    let uno = behind(page(files, "uno"));
    let rows = uno
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.split('|').next());
    let free: Vec<_> = rows.flat_map(numbers).collect();
    taken(code, "Uno", &free, &free, faults);

    let (own, guide) = (behind(page(files, "esp32-c3-c6")), behind(files.read(GUIDE)));
    for (short, chip) in [("C3", &ESP32C3), ("C6", &ESP32C6)] {
        let (cells, guide) = (
            row(&own, |first| first == chip.name),
            row(&guide, |first| first == chip.name),
        );
        let (free, read) = (numbers(cells[1]), numbers(cells[2]));
        taken(code, short, &free, &read, faults);
        let pins: Vec<_> = chip.pins.iter().map(u8::to_string).collect();
        let is_listed = |pin| free.contains(pin) != read.contains(pin);
        if !pins.iter().all(is_listed) || pins.len() != free.len() + read.len() {
            faults.push(format!(
                "{}: its page lists {free:?} and {read:?}, not {pins:?}",
                chip.name
            ));
        }
        if numbers(guide[1]) != pins || numbers(guide[2]) != read {
            faults.push(format!(
                "{GUIDE}: {} has {guide:?}, not {pins:?} and {read:?}",
                chip.name
            ));
        }
        if !read.contains(&code.button) {
            faults.push(format!(
                "{}: the button is on {}, not on {read:?}",
                chip.name, code.button
            ));
        }
    }
}

/// The values of `pins` that pages give: a chip takes them, and a stroker's are those of the pictures.
fn settings(files: &Files, code: &Code, faults: &mut Vec<String>) {
    let stroker = stroker(files);
    let mut checked = 0;
    for path in [
        "firmware/docs/boards/esp32-c3-c6.md",
        "firmware/docs/wiring.md",
        "firmware/docs/trouble.md",
        "firmware/README.md",
        GUIDE,
        "docs/command-line.md",
        "README.md",
    ] {
        let text = files.read(path);
        let given = ["--pins ", "set pins "]
            .into_iter()
            .flat_map(|before| text.split(before).skip(1));
        for rest in given.filter(|rest| !rest.starts_with("PINS")) {
            let pins = match rest.strip_prefix('\'') {
                Some(quoted) => quoted.split('\'').next(),
                None => rest.split(['`', ' ', '\n']).next(),
            };
            let pins = pins.unwrap_or_default();
            checked += 1;
            match Outputs::parse(pins, &ESP32C3).or_else(|_| Outputs::parse(pins, &ESP32C6)) {
                Err(e) => faults.push(format!("{path}: pins {pins:?}: {e}")),
                Ok(outputs) if pin_of(&outputs, "L0").is_some() && outputs != stroker => {
                    faults.push(format!(
                        "{path}: pins {pins:?}, where the pictures have {stroker}"
                    ));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(checked >= 3, "only {checked} values of pins were found");
    let default = files.read(GUIDE);
    let default = row(&default, |first| first == "`pins`")[3];
    if default != format!("`{}`", code.usual) {
        faults.push(format!("{GUIDE}: pins are {default}, not {}", code.usual));
    }
}

#[test]
fn pictures_pages_and_tables_have_the_pins_of_the_code() {
    let faults = faults(&Files(None));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Files, and a pin in each that becomes another.
#[rustfmt::skip]
const CHANGES: &[(&str, &str, &str)] = &[
    ("firmware/docs/boards/esp32-c3.svg", "sig\" d=\"M294 328H420", "sig\" d=\"M294 372H420"),
    ("firmware/docs/boards/esp32-c3.svg", ">4</text>", ">3</text>"),
    ("firmware/docs/boards/esp32-c6.svg", "pin 6 goes", "pin 7 goes"),
    ("firmware/docs/boards/esp32.svg", "x=\"314\" y=\"490\" class=\"sig\"", "x=\"314\" y=\"528\" class=\"sig\""),
    ("firmware/docs/boards/esp32-s2.svg", "sig\" d=\"M134 288V267", "sig\" d=\"M66 288V267"),
    ("firmware/docs/boards/esp32-s2.svg", "x=\"374\" y=\"372\" class=\"srv\"", "x=\"306\" y=\"372\" class=\"srv\""),
    ("firmware/docs/boards/esp32-s3.svg", "sig\" d=\"M314 584H430", "sig\" d=\"M314 558H430"),
    ("firmware/docs/boards/esp32-s3.svg", "pin 18 goes", "pin 17 goes"),
    ("firmware/docs/boards/esp8266.svg", "Pin D1", "Pin D2"),
    ("firmware/docs/boards/uno.svg", "M308 285V155H576\"/><path class=\"w sig\" d=\"M308", "M308 285V155H576\"/><path class=\"w sig\" d=\"M409"),
    ("firmware/docs/boards/uno-stroker.svg", "Pin 9 goes to a servo", "Pin 10 goes to a servo"),
    ("firmware/docs/boards/esp32-c3-c6.md", "Pin 4, fourth on the right", "Pin 4, fifth on the right"),
    ("firmware/docs/boards/esp32-c3-c6.md", "V0=4 L0=6", "V0=4 L0=7"),
    ("firmware/docs/boards/esp32-c3-c6.md", "11, 14, 18 to 23", "11, 14, 18 to 22"),
    ("firmware/docs/boards/esp32.md", "D18, seventh", "D19, seventh"),
    ("firmware/docs/boards/esp32.md", "left in the inner row", "left in the outer row"),
    ("firmware/docs/boards/esp32.md", "Pin 4, nineteenth", "Pin 4, eighteenth"),
    ("firmware/docs/boards/esp32.md", "| ESP32-S2, ESP32-S3 | 4 | 18 |", "| ESP32-S2, ESP32-S3 | 4 | 17 |"),
    ("firmware/docs/boards/esp32.md", "| ESP32-C6 | 18 |", "| ESP32-C6 | 4 |"),
    ("firmware/docs/boards/esp32.md", "on a C6 pin 18;", "on a C6 pin 4;"),
    ("firmware/docs/boards/esp32.md", "| 4, 13, 16 to 19", "| 13, 16 to 19"),
    ("firmware/docs/boards/esp8266.md", "D1 (GPIO 5)", "D1 (GPIO 4)"),
    ("firmware/docs/boards/uno.md", "pin 9; [more]", "pin 3; [more]"),
    ("firmware/docs/wiring.md", "ESP32: 4 and 25", "ESP32: 4 and 26"),
    ("firmware/docs/wiring.md", "on 7; ESP32", "on 8; ESP32"),
    ("firmware/docs/wiring.md", "12 (D6)", "12 (D5)"),
    ("firmware/docs/wiring.md", "limit switch 9", "limit switch 10"),
    ("firmware/docs/wiring.md", "`L0` on 9, `R0` on 10", "`L0` on 9, `R0` on 11"),
    ("firmware/docs/wiring.md", "S2, S3: 1; C3: 3", "S2, S3: 1; C3: 2"),
    ("firmware/esp32-common/README.md", "0 to 11, 14, 15, 18 to 23", "0 to 11, 14, 15, 18 to 24"),
    ("firmware/esp32-common/README.md", "| 4, 5, 8, 9, 15 |", "| 4, 5, 8, 15 |"),
    ("firmware/esp32-common/src/built_in.rs", "(Key::Pins, \"V0=4\")", "(Key::Pins, \"V0=5\")"),
    ("firmware/esp32-common/src/built_in.rs", "BUTTON: &str = \"9\"", "BUTTON: &str = \"7\""),
    ("firmware/serial-avr/tcode/tcode.ino", "WsdmServo twist(10)", "WsdmServo twist(11)"),
    ("firmware/serial-avr/tcode/tcode.ino", "WsdmPwm motor(3)", "WsdmPwm motor(5)"),
    ("firmware/arduino/WsdmDevice/src/WsdmPins.h", "WSDM_MOTOR_PIN 18", "WSDM_MOTOR_PIN 15"),
    ("firmware/arduino/WsdmDevice/src/WsdmPins.h", "WSDM_SERVO_PIN 12", "WSDM_SERVO_PIN 14"),
    ("firmware/arduino/WsdmDevice/src/WsdmPins.h", "WSDM_BATTERY_PIN 34", "WSDM_BATTERY_PIN 35"),
    ("firmware/arduino/WsdmDevice/src/WsdmPins.h", "WSDM_BUTTON_PIN 9", "WSDM_BUTTON_PIN 7"),
    ("firmware/arduino/WsdmDevice/examples/WifiTcodeStroker/WifiTcodeStroker.ino", "SERVO_PIN WSDM_SERVO_PIN", "SERVO_PIN WSDM_VALVE_PIN"),
];

#[test]
fn a_pin_that_is_changed_in_one_place_is_found() {
    assert_eq!(faults(&Files(None)), Vec::<String>::new());
    each_is_noticed(CHANGES, faults);
}
