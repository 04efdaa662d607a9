//! The tables of the configuration: what is generated of them, and that it holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use wsdm_gateway::config::{
    ConfigError, EdgeSettings, Given, HubSettings, Layers, Loaded, Origins, Shown, Source, UpstreamSettings,
    example, reference,
};
use wsdm_gateway::device::fleet::names::Name;
use wsdm_gateway::net::tls::Tls;

fn load(toml: &str) -> Result<Loaded, ConfigError> {
    load_in(&TempDir::new().unwrap(), toml, Layers::default())
}

/// `layers` stand above the text, which is the `gateway.toml` of this folder.
fn load_in(folder: &TempDir, toml: &str, layers: Layers) -> Result<Loaded, ConfigError> {
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    Loaded::load(Some(&file), layers)
}

/// A folder with the certificates that the example names.
fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    for (name, pem) in [
        ("ca.pem", made.cert.pem()),
        ("gateway.pem", made.cert.pem()),
        ("gateway.key", made.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), pem).unwrap();
    }
    folder
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
    // The examples hold too; a gateway relays its devices or publishes them.
    let folder = certificates();
    for without in ["relay = ", "mqtt = "] {
        let whole = single.lines().map(|line| key_in(line).unwrap_or(line));
        let whole: Vec<&str> = whole.filter(|line| !line.starts_with(without)).collect();
        load_in(&folder, &whole.join("\n"), Layers::default()).unwrap_or_else(|e| panic!("{e}"));
    }
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

fn edge(toml: &str) -> EdgeSettings {
    match holds(toml).settings.upstream {
        Some(UpstreamSettings::Mqtt(edge)) => edge,
        other => panic!("{other:?}"),
    }
}

fn hub(toml: &str) -> HubSettings {
    holds(toml).settings.mqtt.expect("a hub")
}

/// The values that `check` shows of a section, but not where they are from.
fn shown(loaded: &Loaded, key: &str) -> (String, String) {
    let shown = loaded.shown.iter().find(|shown| shown.key == key).unwrap();
    (shown.value.clone(), shown.source.clone())
}

#[test]
fn an_edge_and_a_hub_need_nothing_but_a_broker() {
    let host = Name::from_host(&gethostname::gethostname().to_string_lossy());
    let edge = edge("[upstream]\nmqtt = \"mqtt://localhost\"\n");
    assert_eq!((&edge.edge, &edge.hubs[..]), (&host, &[][..]));
    assert_eq!(edge.grace, Duration::from_secs(30));
    let loaded = holds("[mqtt]\nbroker = \"mqtt://localhost\"\n");
    assert_eq!(
        shown(&loaded, "mqtt.hub"),
        (host.to_string(), "the host's name".to_owned())
    );
    let hub = loaded.settings.mqtt.unwrap();
    assert_eq!((&hub.hub, hub.connections), (&host, 4));
    assert!(hub.home_assistant.is_none());
    for broker in [&edge.broker, &hub.broker] {
        assert_eq!(broker.broker.to_string(), "mqtt://localhost:1883");
        assert_eq!((&broker.user, &broker.password), (&None, &None));
        assert_eq!(broker.topics.as_str(), "wsdm/1");
    }
    assert!(holds("").settings.mqtt.is_none());
}

#[test]
fn both_sections_read_the_keys_of_a_broker_alike() {
    let folder = certificates();
    let keys = "user = \"me\"\npassword = \"x\"\nca = \"ca.pem\"\nclient_cert = \"gateway.pem\"\n\
                client_key = \"gateway.key\"\ntopic = \"a/b\"\n";
    let toml = format!(
        "[upstream]\nmqtt = \"mqtts://broker\"\nedge = \"e\"\nhub = \"h\"\n{keys}\
         [mqtt]\nbroker = \"mqtts://broker:8884\"\nhub = \"i\"\n{keys}"
    );
    let loaded = load_in(&folder, &toml, Layers::default()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let Some(UpstreamSettings::Mqtt(edge)) = &loaded.settings.upstream else {
        panic!("an edge");
    };
    let hub = loaded.settings.mqtt.as_ref().unwrap();
    assert_eq!((edge.edge.as_str(), hub.hub.as_str()), ("e", "i"));
    assert_eq!(edge.hubs, [Name::new("h").unwrap()]);
    assert_eq!(
        loaded.settings.upstream.as_ref().unwrap().to_string(),
        "mqtts://broker:8883"
    );
    for broker in [&edge.broker, &hub.broker] {
        assert_eq!(broker.user.as_deref(), Some("me"));
        assert_eq!(
            broker.password.as_ref().map(|password| &password.0[..]),
            Some("x")
        );
        assert_eq!(broker.topics.as_str(), "a/b");
        assert!(
            broker.tls != Tls::system() && broker.tls != Tls::with_ca(&folder.path().join("ca.pem")).unwrap()
        );
    }
    // A file that is no certificate.
    for name in ["ca.pem", "gateway.pem", "gateway.key"] {
        let folder = certificates();
        std::fs::write(folder.path().join(name), "x").unwrap();
        let problems = load_in(&folder, &toml, Layers::default())
            .expect_err("problems")
            .0;
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        let key = if name == "ca.pem" { "ca" } else { "client_cert" };
        assert_eq!(
            keys,
            [format!("upstream.{key}"), format!("mqtt.{key}")],
            "{problems:?}"
        );
        assert!(
            problems.iter().all(|problem| problem.problem.contains(name)),
            "{problems:?}"
        );
    }
}

#[test]
fn hubs_are_a_name_or_a_list_of_names() {
    let hubs = |hub: &str| {
        let edge = edge(&format!("[upstream]\nmqtt = \"mqtt://localhost\"\nhub = {hub}\n"));
        edge.hubs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hubs("\"b\""), ["b"]);
    assert_eq!(hubs("[\"b\", \"a\"]"), ["b", "a"]);
    assert_eq!(hubs("\"b, a\""), ["b", "a"]);
    for wrong in ["[]", "[1]", "\"A\"", "\"a,\""] {
        let problems = problems(&format!(
            "[upstream]\nmqtt = \"mqtt://localhost\"\nhub = {wrong}\n"
        ));
        assert!(problems[0].contains("upstream.hub: "), "{wrong}: {problems:?}");
    }
}

#[test]
fn what_home_assistant_gets_is_configured() {
    let hub = hub(
        "[mqtt]\nbroker = \"mqtt://localhost\"\nhome_assistant = true\noutputs = true\nhold_s = 5\nmove_ms = 300\n",
    );
    let home_assistant = hub.home_assistant.unwrap();
    assert_eq!(home_assistant.discovery.as_str(), "homeassistant");
    assert!(home_assistant.outputs);
    assert_eq!(home_assistant.hold, Duration::from_secs(5));
    assert_eq!(home_assistant.move_time, Duration::from_millis(300));
}

/// What holds, but has no effect or gives something away.
#[test]
fn keys_of_a_broker_that_do_not_do_what_is_meant_are_warned_of() {
    for (toml, wanted) in [
        (
            "[upstream]\nmqtt = \"mqtt://broker\"\nuser = \"me\"\npassword = \"secret\"\n",
            &[
                "4:12: upstream.password: can be read by everybody on the way to mqtt://broker:1883; if that broker has \
               TLS, write mqtts://",
            ][..],
        ),
        (
            "[upstream]\nmqtt = \"mqtt://[::1]:1883\"\nuser = \"me\"\npassword = \"secret\"\n",
            &[],
        ),
        (
            "[upstream]\nmqtt = \"mqtt://localhost\"\nca = \"ca.pem\"\nstop_after_ms = 500\n",
            &[
                "4:17: upstream.stop_after_ms: has no effect with mqtt: a hub's lease ends sooner than that",
                "3:6: upstream.ca: is not used, for mqtt://localhost:1883 is not encrypted; if it should be, write mqtts://",
            ],
        ),
        (
            "[upstream]\nrelay = \"ws://127.0.0.1:1\"\nedge = \"e\"\nuser = \"me\"\npassword = \"secret\"\n",
            &[
                "3:8: upstream.edge: has no effect without mqtt",
                "4:8: upstream.user: has no effect without mqtt",
                "5:12: upstream.password: has no effect without mqtt",
            ],
        ),
        (
            "[mqtt]\nhub = \"h\"\nconnections = 2\nmove_ms = 500\n",
            &[
                "2:7: mqtt.hub: has no effect without broker",
                "3:15: mqtt.connections: has no effect without broker",
                "4:11: mqtt.move_ms: has no effect without broker",
            ],
        ),
        (
            "[mqtt]\nbroker = \"mqtt://localhost\"\noutputs = true\n",
            &["3:11: mqtt.outputs: has no effect without home_assistant = true"],
        ),
        (
            "[mqtt]\nbroker = \"mqtt://localhost\"\nhome_assistant = true\nhold_s = 1\n",
            &["4:10: mqtt.hold_s: has no effect without outputs = true"],
        ),
    ] {
        let warnings = holds(toml).warnings;
        let after_file = |warning: &String| warning.split_once("gateway.toml:").unwrap().1.to_owned();
        let warnings: Vec<String> = warnings.iter().map(after_file).collect();
        assert_eq!(warnings, wanted, "{toml}");
    }
}

#[test]
fn no_password_and_no_token_is_ever_shown() {
    let mut layers = Layers::default();
    let secrets = ["secret-1", "secret-2", "secret-3", "secret-4", "secret-5"];
    for (key, secret) in ["upstream.password", "devices.token"].iter().zip(secrets) {
        layers.give(
            key,
            Given::Text(secret.to_owned()),
            Source::Flag("--flag".to_owned()),
        );
    }
    let toml = format!(
        "[page]\npassword = \"{}\"\ntoken = \"{}\"\n[upstream]\nmqtt = \"mqtt://broker\"\nuser = \"me\"\n\
         [mqtt]\nbroker = \"mqtt://hub\"\nuser = \"me\"\npassword = \"{}\"\n",
        secrets[2], secrets[3], secrets[4]
    );
    let folder = TempDir::new().unwrap();
    let loaded = load_in(&folder, &toml, layers.clone()).unwrap();
    let edge = match &loaded.settings.upstream {
        Some(UpstreamSettings::Mqtt(edge)) => edge.broker.password.clone(),
        _ => None,
    };
    assert_eq!(edge.unwrap().0, secrets[0]);
    for key in ["upstream.password", "mqtt.password"] {
        assert_eq!(shown(&loaded, key).0, "***");
    }
    let mut everything = format!("{loaded:?}\n{layers:?}\n");
    everything += &serde_json::to_string(&loaded.shown).unwrap();
    // One that is wrong is not shown either.
    let wrong = toml.replace("secret-5", "secret-5\\u0007");
    everything += &load_in(&folder, &wrong, layers).unwrap_err().to_string();
    for secret in secrets {
        assert!(!everything.contains(secret), "{secret} in {everything}");
    }
}
