//! The command line and the configuration: help, precedence, every problem at once, exit codes.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Cli {
    home: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Cli {
    fn new() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            env: Vec::new(),
        }
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.env.iter().cloned());
        command.current_dir(self.home.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What `check` says of one key: its value and its source.
    fn check(&self, args: &[&str], key: &str) -> (String, String) {
        let output = self.run(&[&["check", "--json"], args].concat());
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        assert_eq!(report["ok"], true, "{report}");
        let settings = report["settings"].as_array().unwrap();
        let shown = settings.iter().find(|s| s["key"] == key).unwrap();
        (
            shown["value"].as_str().unwrap().to_owned(),
            shown["source"].as_str().unwrap().to_owned(),
        )
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_command_has_help_that_ends_with_an_example() {
    let cli = Cli::new();
    for args in [
        &[][..],
        &["run"],
        &["check"],
        &["init"],
        &["udcf"],
        &["udcf", "check"],
        &["udcf", "migrate"],
        &["udcf", "add"],
        &["udcf", "protocols"],
        &["simulate"],
        &["monitor"],
        &["scan"],
        &["fleet"],
        &["fleet", "list"],
        &["fleet", "stop"],
        &["fleet", "forget"],
        &["flash"],
        &["ota"],
        &["completions"],
    ] {
        let output = cli.run(&[args, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let help = text(&output.stdout);
        let example = help.find("Example").unwrap_or_else(|| panic!("{args:?}: {help}"));
        assert!(help[example..].contains("wsdm-gateway"), "{args:?}: {help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 120),
            "{args:?}: {help}"
        );
    }
}

#[test]
fn help_is_as_it_was_last_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let cli = Cli::new();
    for (name, args) in [
        ("help", &["--help"][..]),
        ("run", &["run", "--help"]),
        ("simulate", &["simulate", "--help"]),
        ("monitor", &["monitor", "--help"]),
        ("ports", &["ports", "--help"]),
        ("scan", &["scan", "--help"]),
        ("fleet", &["fleet", "--help"]),
        ("fleet-list", &["fleet", "list", "--help"]),
        ("fleet-stop", &["fleet", "stop", "--help"]),
        ("flash", &["flash", "--help"]),
        ("ota", &["ota", "--help"]),
        ("udcf", &["udcf", "--help"]),
        ("udcf-add", &["udcf", "add", "--help"]),
    ] {
        let path = folder.join(format!("{name}.txt"));
        let now = text(&cli.run(args).stdout);
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            now, before,
            "look at the change, then UPDATE_SNAPSHOTS=1 cargo test --test cli"
        );
    }
}

#[test]
fn without_a_command_it_explains_itself() {
    let output = Cli::new().run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Usage: wsdm-gateway"));
}

#[test]
fn command_line_beats_environment_beats_file_beats_default() {
    let key = "clients.server_name";
    let cli = Cli::new();
    assert_eq!(
        cli.check(&[], key),
        ("\"wsdm-gateway\"".to_owned(), "default".to_owned())
    );
    let file = cli.home.path().join("g.toml");
    std::fs::write(&file, "[clients]\nserver_name = \"of the file\"\n").unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let (value, source) = cli.check(&config, key);
    assert_eq!(value, "\"of the file\"");
    assert!(source.ends_with("g.toml:2:15"), "{source}");
    let cli = cli.env("WSDM_GATEWAY_SERVER_NAME", "of the environment");
    let of_environment = (
        "\"of the environment\"".to_owned(),
        "WSDM_GATEWAY_SERVER_NAME".to_owned(),
    );
    assert_eq!(cli.check(&config, key), of_environment);
    for flag in [
        &["--server-name", "of the line"][..],
        &["--server-name=of the line"],
    ] {
        let of_line = ("\"of the line\"".to_owned(), "--server-name".to_owned());
        assert_eq!(cli.check(&[&config, flag].concat(), key), of_line);
    }
    // An empty variable is as none.
    let cli = Cli::new()
        .env("WSDM_GATEWAY_SERVER_NAME", "")
        .env("WSDM_GATEWAY_CONFIG", "");
    assert_eq!(cli.check(&[], key).1, "default");
}

#[test]
fn unless_told_otherwise_both_ports_are_for_this_machine_only() {
    let cli = Cli::new();
    assert_eq!(cli.check(&[], "devices.listen").0, "127.0.0.1:54817, [::1]:54817");
    assert_eq!(cli.check(&[], "clients.listen").0, "127.0.0.1:12345, [::1]:12345");
}

#[test]
fn several_addresses_are_taken_from_flags_the_environment_and_the_file() {
    let several = "127.0.0.1:1, 192.168.1.5:2".to_owned();
    let cli = Cli::new();
    for args in [
        &[
            "--client-listen",
            "127.0.0.1:1",
            "--client-listen",
            "192.168.1.5:2",
        ][..],
        &["--client-listen", "127.0.0.1:1,192.168.1.5:2"],
    ] {
        let flag = "--client-listen".to_owned();
        assert_eq!(cli.check(args, "clients.listen"), (several.clone(), flag));
    }
    std::fs::write(
        cli.home.path().join("g.toml"),
        "[clients]\nlisten = [\"127.0.0.1:1\", \"192.168.1.5:2\"]\n",
    )
    .unwrap();
    assert_eq!(cli.check(&["--config", "g.toml"], "clients.listen").0, several);
    let cli = Cli::new().env("WSDM_GATEWAY_CLIENT_LISTEN", "127.0.0.1:1, 192.168.1.5:2");
    assert_eq!(cli.check(&[], "clients.listen").0, several);
    for (given, wanted) in [
        ("0.0.0.0:1,127.0.0.1:1", "127.0.0.1:1 is within 0.0.0.0:1"),
        ("127.0.0.1:1,", "\"\" is not an address and a port"),
    ] {
        let output = cli.run(&["check", "--client-listen", given]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(wanted), "{}", text(&output.stderr));
    }
}

#[test]
fn a_file_in_the_users_configuration_directory_is_read_unasked() {
    let cli = Cli::new();
    let folder = cli.home.path().join(".config/wsdm-gateway");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("gateway.toml"),
        "[clients]\nserver_name = \"mine\"\n[udcf]\npath = \"u.json\"\n",
    )
    .unwrap();
    std::fs::write(folder.join("u.json"), r#"{"version": {"major": 5, "minor": 0}}"#).unwrap();
    if !cfg!(target_os = "linux") {
        return;
    }
    assert_eq!(cli.check(&[], "clients.server_name").0, "\"mine\"");
    // A path in a file is relative to the file.
    assert_eq!(
        cli.check(&[], "udcf.path").0,
        folder.join("u.json").to_str().unwrap()
    );
}

#[test]
fn flags_of_intiface_engine_are_taken_or_refused_in_words() {
    let cli = Cli::new().env("WSDM_GATEWAY_CLIENT_LISTEN", "127.0.0.1:7");
    let flag = "--websocket-port".to_owned();
    for args in [&["--websocket-port", "23456"][..], &["--websocketport", "23456"]] {
        assert_eq!(
            cli.check(args, "clients.listen"),
            ("127.0.0.1:23456, [::1]:23456".to_owned(), flag.clone())
        );
    }
    let everywhere = ["--websocket-port", "23456", "--websocket-use-all-interfaces"];
    assert_eq!(cli.check(&everywhere, "clients.listen").0, "0.0.0.0:23456");
    assert_eq!(
        cli.check(&["--device-websocket-server-port", "1"], "devices.listen")
            .0,
        "127.0.0.1:1, [::1]:1"
    );
    assert_eq!(
        cli.check(&["--broadcast-server-mdns"], "clients.announce"),
        ("true".to_owned(), "--broadcast-server-mdns".to_owned())
    );
    assert_eq!(
        cli.check(
            &["--use-device-websocket-server", "--max-ping-time", "500"],
            "clients.max_ping_time_ms"
        )
        .0,
        "500 ms"
    );

    for args in [
        ["--websocket-port", "1", "--client-listen", ":2"],
        ["--udcf", "a.json", "--user-device-config-file", "b.json"],
    ] {
        let twice = cli.run(&[&["check"], &args[..]].concat());
        assert_eq!(twice.status.code(), Some(2));
        assert!(
            text(&twice.stderr).contains("say the same thing twice"),
            "{}",
            text(&twice.stderr)
        );
    }
    // One line lists what the gateway runs without, with each reason once.
    let without = [
        "--use-bluetooth-le",
        "--use-hid",
        "--use-lovense-dongle-hid",
        "--use-lovense-dongle-serial",
        "--log",
        "debug",
        "--device-config-file",
        "devices.json",
    ];
    let output = cli.run(&[&["check"], &without[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let shown = text(&output.stdout);
    let lines: Vec<_> = shown.lines().filter(|line| line.contains("--use-")).collect();
    assert_eq!(lines.len(), 1, "{shown}");
    for part in [
        "--use-bluetooth-le: boards on Bluetooth LE",
        "--use-lovense-dongle-serial, --use-lovense-dongle-hid: ",
        "--device-config-file: ",
    ] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
    assert!(!lines[0].contains("--log"), "{lines:?}");

    // What it cannot do is refused, all of it at once.
    let refused = [
        "--repeater",
        "--use-serial",
        "--frontend-websocket-port=1",
        "--rest-api-port",
        "2",
        "--websocket-client-address",
        "ws://127.0.0.1:1",
    ];
    for command in [&[][..], &["run"], &["check"]] {
        let output = cli.run(&[command, &refused].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("flags of intiface-engine") && said.contains("hint: "),
            "{said}"
        );
        for flag in [
            "--repeater: ",
            "--frontend-websocket-port: ",
            "--rest-api-port: ",
            "--websocket-client-address: ",
        ] {
            assert!(said.contains(flag), "{flag} in {said}");
        }
        assert!(!said.contains("--use-serial"), "that one is fine: {said}");
    }
    let level = cli.run(&["--log", "loud"]);
    assert_eq!(level.status.code(), Some(2));
}

/// Every way to write the flags of all commands, in front of a command and of a line that has none.
const GLOBAL_FLAGS: &[&[&str]] = &[
    &["--log-format=json"],
    &["--log-format", "json"],
    &["--verbose"],
    &["--quiet"],
    &["-v"],
    &["-q"],
    &["-vv"],
    &["-vqq"],
    &["-v", "--log-format=text", "--quiet"],
];

#[test]
fn flags_of_all_commands_stand_in_front_of_each_command() {
    let cli = Cli::new();
    for flags in GLOBAL_FLAGS {
        for command in [&["check"][..], &["udcf", "protocols"]] {
            let output = cli.run(&[flags, command].concat());
            assert!(output.status.success(), "{flags:?} {command:?}: {output:?}");
        }
    }
    for unknown in ["--log-format=yaml", "--verbose=1"] {
        let output = cli.run(&[unknown, "check"]);
        assert_eq!(output.status.code(), Some(2), "{unknown}");
        let flag = unknown.split('=').next().unwrap();
        assert!(text(&output.stderr).contains(flag), "{unknown}: {output:?}");
    }
}

#[test]
fn a_line_of_flags_alone_means_run_whatever_flags_of_all_commands_it_begins_with() {
    let cli = Cli::new();
    let refused = ["--device-listen", "nowhere"];
    let named = text(&cli.run(&[&["run"], &refused[..]].concat()).stderr);
    assert!(named.contains("nowhere"), "{named}");
    for flags in [&[&[][..]], GLOBAL_FLAGS].concat() {
        let output = cli.run(&[flags, &refused].concat());
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(2), named.clone()),
            "{flags:?}"
        );
    }
    let refused = cli.run(&["-v", "--repeater"]);
    assert!(
        text(&refused.stderr).contains("flags of intiface-engine"),
        "{refused:?}"
    );
    for flags in [&["--help"][..], &["-h"], &["-v", "--help"]] {
        let output = cli.run(flags);
        assert!(output.status.success(), "{flags:?}");
        assert!(
            text(&output.stdout).contains("Usage: wsdm-gateway [OPTIONS] <COMMAND>"),
            "{flags:?}: {output:?}"
        );
    }
    assert!(text(&cli.run(&["--version"]).stdout).starts_with("wsdm-gateway "));
}

#[test]
fn init_prints_the_example() {
    assert_eq!(
        text(&Cli::new().run(&["init"]).stdout),
        wsdm_gateway::config::example()
    );
}

#[test]
fn check_shows_the_bytes_that_are_sent_and_warns_of_former_names() {
    let cli = Cli::new();
    let file = cli.home.path().join("g.toml");
    std::fs::write(
        &file,
        "[devices]\non_close = '\\x05\\x80\\x80'\n[upstream]\nupstream_grace_s = 7\n",
    )
    .unwrap();
    let output = cli.run(&["check", "--config", "g.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        r#"devices.on_close "\x05\x80\x80" (05 80 80) g.toml:2:12"#,
        "upstream.grace_s 7 s g.toml:4:20",
        "g.toml:4:1: upstream.upstream_grace_s: is now called grace_s",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn valid_files_hold() {
    let cli = Cli::new();
    for path in fixtures("valid") {
        // The UDCF that one of them names need not be there for this. Its boards are known.
        let udcf = cli.home.path().join("u.json");
        let name = |name| serde_json::json!({ "communication": [{ "websocket": { "name": name } }] });
        let known = serde_json::json!({
            "version": { "major": 5, "minor": 0 },
            "user_configs": { "protocols": { "tcode-v03": name("TCodeDevice"), "lovense": name("LVSDevice") } },
        });
        std::fs::write(&udcf, known.to_string()).unwrap();
        let args = [
            "check",
            "--config",
            path.to_str().unwrap(),
            "--udcf",
            udcf.to_str().unwrap(),
        ];
        let output = cli.run(&args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            path.display(),
            text(&output.stderr)
        );
        assert!(!text(&output.stdout).contains("abcdefgh"), "a token masks itself");
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let cli = Cli::new();
    for path in fixtures("invalid") {
        let output = cli.run(&["check", "--config", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        let said = text(&output.stderr);
        let wanted =
            std::fs::read_to_string(path.with_extension("txt")).expect("an expectation beside each file");
        for line in wanted.lines() {
            assert!(said.contains(line), "{}: {line:?} in\n{said}", path.display());
        }
        let json = cli.run(&["check", "--json", "--config", path.to_str().unwrap()]);
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert!(report["problems"].as_array().unwrap().len() >= wanted.lines().count());
    }
}

/// They are dialled besides the entries of the file.
#[test]
fn boards_to_dial_may_be_given_on_the_command_line() {
    let cli = Cli::new();
    let file = cli.home.path().join("dial.toml");
    std::fs::write(&file, "[[dial]]\nurl = \"tcp://board:1\"\n").unwrap();
    let args = [
        "--config",
        file.to_str().unwrap(),
        "--dial",
        "udp://board:2",
        "--dial",
        "mdns:_tcode._udp",
    ];
    for (key, value) in [
        ("dial.1.url", "udp://board:2"),
        ("dial.2.url", "mdns:_tcode._udp"),
    ] {
        assert_eq!(cli.check(&args, key), (value.to_owned(), "--dial".to_owned()));
    }
    let (first, source) = cli.check(&args, "dial.0.url");
    assert_eq!(first, "tcp://board:1");
    assert!(source.contains("dial.toml:2:7"), "{source}");
    let output = cli.run(&["check", "--dial", "board"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("--dial: dial.0.url: \"board\" is not the address"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_what_to_do() {
    let cli = Cli::new();
    std::fs::write(cli.home.path().join("bin.toml"), [0xff, 0xfe]).unwrap();
    for (file, wanted) in [
        ("none.toml", "init > gateway.toml"),
        (".", "is a directory"),
        ("bin.toml", "not UTF-8"),
    ] {
        let output = cli.run(&["run", "--config", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(
            text(&output.stderr).contains(wanted),
            "{file}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = Cli::new().run(&["completions", shell]);
        assert!(
            output.status.success() && text(&output.stdout).contains("wsdm-gateway"),
            "{shell}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let cli = Cli::new();
    let mut command = cli.command(&["udcf", "protocols"]);
    let output = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}
