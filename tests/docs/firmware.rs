//! Both firmwares and their pages say the same: the numbers that a maker meets, and the words of a console.

use wsdm_device::{CALM_MS, Timing};
use wsdm_device_board::{ESP32C3, Key, Settings, Trouble};

use super::code_pins::Files;

const LIBRARY: &str = "firmware/arduino/WsdmDevice";
const GUIDE: &str = "firmware/esp32-common/README.md";
const LIBRARYS_GUIDE: &str = "firmware/arduino/WsdmDevice/README.md";
const BEHAVIOUR: &str = "firmware/docs/behaviour.md";

/// A small number of seconds, as a text has it.
fn in_words(ms: u64) -> String {
    let words = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    match words.get(usize::try_from(ms / 1_000).unwrap_or(usize::MAX)) {
        Some(word) if ms.is_multiple_of(1_000) => (*word).to_owned(),
        _ => format!("{} s", ms as f64 / 1_000.0),
    }
}

/// A text on one line, of a page or of a comment.
fn flat(files: &Files, path: &str) -> String {
    let text = files.read(path);
    let lines = text.lines().map(|line| line.trim_start_matches("//").trim());
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_pages_have_the_numbers_of_the_firmware() {
    let files = Files(None);
    let timing = Timing::DEFAULT;
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    let takes = |ms: &str| Settings::default().set(Key::SilenceMs, ms, &ESP32C3).is_ok();
    assert!(takes("500") && takes("10000") && !takes("499") && !takes("10001"));
    let calm = format!("for {} seconds", in_words(CALM_MS));
    let silence = format!("500 to 10000 | {} |", timing.silence);
    for (path, wanted) in [
        (GUIDE, calm.clone()),
        (LIBRARYS_GUIDE, calm.clone()),
        (BEHAVIOUR, calm.clone()),
        ("firmware/arduino/WsdmDevice/src/WsdmButton.h", calm),
        (
            GUIDE,
            format!("`WSDM_SILENCE_MS` | the watchdog's patience, {silence}"),
        ),
        (LIBRARYS_GUIDE, format!("the watchdog's patience, {silence}")),
        (
            BEHAVIOUR,
            format!("nothing at all was received for {} s", seconds(timing.silence)),
        ),
        (BEHAVIOUR, format!("pings the gateway every {} ms", timing.ping)),
        (
            LIBRARYS_GUIDE,
            format!("it pings the gateway every {} ms", timing.ping),
        ),
        (
            BEHAVIOUR,
            format!("The next try is at least {} s away", seconds(timing.refused)).to_lowercase(),
        ),
        (
            BEHAVIOUR,
            format!(
                "{} s apart at first, and {} s at most",
                seconds(timing.retry),
                seconds(timing.retry_cap)
            ),
        ),
        (
            LIBRARYS_GUIDE,
            format!(
                "from a quarter of a second to {} seconds",
                in_words(timing.retry_cap)
            ),
        ),
        (
            LIBRARYS_GUIDE,
            format!(
                "After a refusal they are {} seconds at least",
                seconds(timing.refused)
            ),
        ),
    ] {
        let text = flat(&files, path);
        let text = if path == BEHAVIOUR {
            text.replace("The next", "the next")
        } else {
            text
        };
        assert!(text.contains(&wanted), "{path} does not say {wanted:?}");
    }
}

/// The texts of the library's `F("...")`.
fn texts(source: &str) -> Vec<String> {
    let quoted = source.split("F(\"").skip(1);
    quoted
        .filter_map(|rest| Some(rest.split_once("\")")?.0.to_owned()))
        .collect()
}

#[test]
fn the_library_has_the_words_of_the_firmware_in_rust() {
    let files = Files(None);
    let trouble = texts(&files.read(&format!("{LIBRARY}/src/WsdmTrouble.cpp")));
    for said in [Trouble::Password, Trouble::NotFound, Trouble::Refused] {
        let said = said.to_string();
        assert!(trouble.contains(&said), "{said:?} is not among {trouble:#?}");
    }
    let rust = files.read("firmware/esp32-common/src/chip.rs");
    let reset = texts(&files.read(&format!("{LIBRARY}/src/WsdmReset.cpp")));
    assert!(reset.len() >= 8, "{reset:#?}");
    // To a C3 or C6 its reset pin is power.
    for said in reset.iter().filter(|said| *said != "its reset pin") {
        assert!(
            rust.contains(&format!("\"{said}\"")),
            "{said:?} is no reason that the chip gives"
        );
    }
    let wifi = files.read(&format!("{LIBRARY}/src/WsdmWifi.cpp"));
    for (path, said) in [
        ("firmware/board/src/terminal.rs", "saved; restart uses it"),
        ("firmware/board/src/found.rs", "as built in, none are saved"),
        (
            "firmware/esp32-common/src/wifi.rs",
            "no network is set: set ssid NAME, set password WORDS, save, restart; or use Improv",
        ),
        ("firmware/esp32-common/src/lib.rs", "started by "),
        (
            "firmware/core/src/report.rs",
            "stopped by the button, until the app has stopped too",
        ),
        ("firmware/core/src/report.rs", "the button's stop is over"),
    ] {
        assert!(wifi.contains(said), "WsdmWifi.cpp does not say {said:?}");
        assert!(files.read(path).contains(said), "{path} does not say {said:?}");
    }
}
