//! The tables of the configuration: what is generated of them, and that it holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::path::Path;

use tempfile::TempDir;
use wsdm_gateway::config::{
    ConfigError, Layers, Loaded, Origins, Shown, UpstreamSettings, example, reference,
};

fn load(toml: &str) -> Result<Loaded, ConfigError> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    Loaded::load(Some(&file), Layers::default())
}

fn holds(toml: &str) -> Loaded {
    load(toml).unwrap_or_else(|e| panic!("{e}\n{toml}"))
}

fn problems(toml: &str) -> Vec<String> {
    let problems = load(toml).expect_err("problems").0;
    problems.iter().map(ToString::to_string).collect()
}

/// The example's sections that are there without being uncommented, and the ones that may be repeated, uncommented.
fn parts() -> (String, Vec<String>) {
    let example = example();
    let start = example.find("# A board on a serial port").expect("[[serial]]");
    let (single, repeated) = example.split_at(start);
    let mut blocks: Vec<String> = Vec::new();
    for line in repeated.lines().filter_map(|line| line.strip_prefix('#')) {
        if line.starts_with(" [[") {
            blocks.push(String::new());
        }
        if let Some(block) = blocks
            .last_mut()
            .filter(|_| line.starts_with(" [[") || line.starts_with("   "))
        {
            // What is an address elsewhere is none on macOS.
            if !(cfg!(target_vendor = "apple") && line.contains("AA:BB:CC")) {
                *block += &format!("{}\n", line.trim());
            }
        }
    }
    (single.to_owned(), blocks)
}

/// `key = value` without its comment, for a line of the example that is one.
fn key_in(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let (key, _) = line.split_once(" = ")?;
    let word = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    key.chars().all(word).then_some(line)
}

#[test]
fn what_is_committed_is_what_the_tables_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, now) in [
        ("gateway.example.toml", example()),
        ("docs/configuration-reference.md", reference()),
    ] {
        let path = root.join(name);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == now,
            "{name} is not what the tables say: look at the change that \
             UPDATE_REFERENCE=1 cargo test --test configuration makes"
        );
    }
}

#[test]
fn the_example_shows_every_default() {
    let (single, _) = parts();
    let of = |toml: &str| -> Vec<Shown> {
        let shown = holds(toml).shown.into_iter();
        shown.filter(|s| s.key != "state.path").collect()
    };
    let defaults = of("");
    assert_eq!(of(&single), defaults, "with all in comments");
    // What has no value has its default in words, and an example.
    let mut in_words = false;
    let mut section = String::new();
    let (mut bare, mut shown) = (String::new(), 0);
    for line in single.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        in_words = (in_words || line.contains("Default:")) && !line.is_empty();
        match key_in(line) {
            Some(pair) => {
                let key = format!("{section}.{}", pair.split(' ').next().unwrap());
                assert!(
                    key == "state.path" || defaults.iter().any(|s| s.key == key),
                    "{key}"
                );
                shown += 1;
                bare += if in_words { line } else { pair };
            }
            None => bare += line,
        }
        bare.push('\n');
    }
    assert_eq!(shown, defaults.len() + 1, "every key is in the example once");
    for (default, now) in defaults.iter().zip(of(&bare)) {
        assert_eq!((&default.key, &default.value), (&now.key, &now.value));
    }
    // The examples hold too.
    let whole: Vec<&str> = single.lines().map(|line| key_in(line).unwrap_or(line)).collect();
    holds(&whole.join("\n"));
}

#[test]
fn what_the_example_shows_of_boards_holds() {
    let (_, blocks) = parts();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let section = block.lines().next().unwrap().trim_matches(['[', ']']);
        let given: Vec<&str> = block
            .lines()
            .filter(|line| !line.starts_with(['#', '[']))
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        let shown = holds(&block).shown;
        for key in &given {
            let shown = shown.iter().find(|s| s.key == format!("{section}.0.{key}"));
            assert!(
                shown.is_some_and(|s| s.source.contains("gateway.toml")),
                "{key}: {shown:?}"
            );
        }
        // The alternatives are known, and of the right kind.
        let all: Vec<&str> = block.lines().map(|line| key_in(line).unwrap_or(line)).collect();
        assert!(all.iter().filter(|line| line.contains(" = ")).count() > given.len());
        // A key that may be a word or a table cannot be both in one file.
        let is_word = |line: &&str| {
            let table = line.split(' ').next().unwrap().to_owned() + ".";
            line.contains(" = ") && all.iter().any(|other| other.starts_with(&table))
        };
        let words: Vec<&str> = all.iter().copied().filter(is_word).collect();
        let tables: Vec<&str> = all.iter().copied().filter(|line| !is_word(line)).collect();
        for word in words {
            holds(&format!("[[{section}]]\n{word}\n"));
        }
        for problem in problems(&tables.join("\n")) {
            assert!(problem.contains("stands beside"), "{problem}");
        }
    }
}

#[test]
fn the_reference_has_every_key_once() {
    let (single, blocks) = parts();
    let reference = reference();
    let lines = single
        .lines()
        .chain(blocks.iter().flat_map(|block| block.lines()));
    let lines =
        lines.filter_map(|line| key_in(line).or(line.starts_with(char::is_alphabetic).then_some(line)));
    let mut keys: Vec<&str> = lines.map(|line| line.split(' ').next().unwrap()).collect();
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut rows: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    assert!(rows.len() > 50, "{rows:?}");
    keys.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, keys);
}

#[test]
fn a_page_that_the_network_would_reach_is_refused_with_a_tunnel_that_works() {
    for (listen, tunnel) in [
        ("0.0.0.0:8080", "ssh -L 8080:127.0.0.1:8080"),
        ("0.0.0.0:0", "ssh -L PORT:127.0.0.1:PORT"),
    ] {
        let problems = problems(&format!("[page]\nlisten = \"{listen}\"\n"));
        assert!(problems[0].contains(tunnel), "{problems:?}");
    }
}

/// A key that is in a table and that nobody reads would be ignored in silence.
#[test]
fn every_key_is_read() {
    let reference = reference();
    let mut section = "";
    let mut keys = 0;
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("## `") {
            section = heading.trim_end_matches('`');
        }
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let key = row.split('`').next().unwrap();
        let with = match key {
            "framing.length_order" => "framing.length_prefix = 2\n",
            _ => "",
        };
        // A list suits no key but addresses, origins and hosts, and this is none of them.
        let toml = format!("{section}\n{with}{key} = [\"x y\"]\n");
        let place = format!(".{key}: ");
        let problems = problems(&toml);
        assert!(
            problems.iter().any(|p| p.contains(&place)),
            "{toml}: {problems:?}"
        );
        keys += 1;
    }
    assert!(keys > 50, "{keys}");
}

#[test]
fn a_former_name_is_read_with_a_warning() {
    let loaded = holds("[upstream]\nrelay = \"ws://127.0.0.1:1\"\nupstream_grace_s = 7\n");
    let Some(UpstreamSettings::Relay(relay)) = loaded.settings.upstream else {
        panic!("it relays");
    };
    assert_eq!(relay.grace.as_secs(), 7);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    let warning = &loaded.warnings[0];
    assert!(
        warning.ends_with("gateway.toml:3:1: upstream.upstream_grace_s: is now called grace_s"),
        "{warning}"
    );
    let shown = loaded.shown.iter().find(|s| s.key == "upstream.grace_s").unwrap();
    assert_eq!(shown.value, "7 s");
    for twice in [
        "upstream_grace_s = 7\ngrace_s = 8",
        "grace_s = 8\nupstream_grace_s = 7",
    ] {
        let problems = problems(&format!("[upstream]\n{twice}\n"));
        assert!(
            problems
                .iter()
                .any(|p| p.contains("upstream.grace_s: is there twice")),
            "{problems:?}"
        );
    }
    // It is not offered to a typing error.
    let problems = problems("[upstream]\nupstream_grace = 7\n");
    assert!(!problems[0].contains("upstream_grace_s"), "{problems:?}");
}

#[test]
fn each_way_to_write_bytes_comes_to_the_same() {
    for written in [
        r"'\x05\x80\x80'",
        r#""\\x05\\x80\\x80""#,
        r#"{ hex = "05 80 80" }"#,
        r#"{ hex = "058080" }"#,
    ] {
        let toml = format!(
            "[devices]\non_close = {written}\n\
             [[serial]]\nport = \"a\"\non_close = {written}\nframing = {{ delimiter = {written} }}\n\
             [[ble]]\nname = \"a\"\nprofile = \"nus\"\non_close = {written}\nframing.delimiter = {written}\n"
        );
        let loaded = holds(&toml);
        let wanted: &[u8] = &[0x05, 0x80, 0x80];
        let (serial, ble) = (&loaded.settings.serial[0], &loaded.settings.ble[0]);
        for on_close in [&loaded.settings.devices.on_close, &serial.on_close, &ble.on_close] {
            assert_eq!(on_close.as_deref(), Some(wanted), "{written}");
        }
        for framing in [&serial.framing, &ble.framing] {
            let delimiter = wsdm_gateway::link::framing::Framing::Delimiter(wanted.to_vec().into());
            assert_eq!(framing.as_ref(), Some(&delimiter), "{written}");
        }
        let shown: Vec<_> = loaded
            .shown
            .iter()
            .filter(|s| s.key.ends_with("on_close") || s.key.ends_with("delimiter"))
            .collect();
        assert_eq!(shown.len(), 5);
        for shown in shown {
            assert_eq!(shown.value, r#""\x05\x80\x80" (05 80 80)"#, "{}", shown.key);
        }
    }
}

#[test]
fn text_that_looks_like_hexadecimal_digits_is_warned_of() {
    let loaded = holds("[devices]\non_close = \"05 80 80\"\n");
    assert_eq!(loaded.settings.devices.on_close.unwrap()[..], *b"05 80 80");
    assert!(
        loaded.warnings[0].contains("for the bytes write { hex = \"05 80 80\" }"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn true_and_false_are_read_in_one_way() {
    let entry = "[[serial]]\nport = \"a\"\n";
    for (toml, key) in [
        ("[devices]\nannounce = \"yes\"\n".to_owned(), "devices.announce"),
        (format!("{entry}dtr_on_open = 1\n"), "serial.0.dtr_on_open"),
        (format!("{entry}framing.raw = \"on\"\n"), "serial.0.framing.raw"),
    ] {
        let problems = problems(&toml);
        assert!(
            problems[0].ends_with(&format!("{key}: is neither true nor false")),
            "{problems:?}"
        );
    }
    assert!(
        !holds("[devices]\nannounce = \"false\"\n")
            .settings
            .devices
            .announce
    );
}

#[test]
fn which_web_pages_may_be_apps_is_a_word_or_a_list() {
    let origins = |toml: &str| {
        holds(&format!("[clients]\norigins = {toml}\n"))
            .settings
            .clients
            .origins
    };
    assert_eq!(holds("").settings.clients.origins, Origins::Any);
    assert_eq!(origins("\"any\""), Origins::Any);
    assert_eq!(origins("\"ask\""), Origins::Ask);
    assert_eq!(origins("[]"), Origins::Listed(Vec::new()));
    let listed = [
        "https://xtoys.app",
        "http://localhost:8080",
        "null",
        "file://",
        "chrome-extension://abc",
    ];
    assert_eq!(
        origins(&format!("{listed:?}")),
        Origins::Listed(listed.map(str::to_owned).to_vec())
    );
    for wrong in [
        "\"https://xtoys.app\"",
        "\"all\"",
        "true",
        "[\"any\"]",
        "[\"https://xtoys.app/\"]",
        "[\"xtoys.app\"]",
        "[\"https://\"]",
        "[\"https://a b\"]",
    ] {
        let problems = problems(&format!("[clients]\norigins = {wrong}\n"));
        assert!(problems[0].contains("https://xtoys.app"), "{wrong}: {problems:?}");
    }
}
