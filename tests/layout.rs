//! The floors of `src/`, as its `lib.rs` draws them: every import is read, and one that points up fails by file and line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "layout/source.rs"]
mod source;

use source::{Import, imports, test_modules};

/// From the top. A module imports only floors below its own; modules of one floor do not import each other.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli", "cmd"],
    &["gateway"],
    &["ingress", "upstream", "clients", "web", "simulate"],
    &["session"],
    &["config", "udcf"],
    &["link"],
    &["net"],
    &["device"],
    &["advice", "backoff", "logging", "text", "thread"],
    &["defaults"],
];

/// Imports that the floors forbid, and why each is allowed. One that nobody needs any more fails.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "clients",
        "upstream::embedded",
        "the port for apps serves what the Buttplug server inside has; neither makes sense without the other",
    ),
    (
        "cli",
        "cmd",
        "one room: the command line is made of the arguments that each subcommand declares",
    ),
    (
        "cmd",
        "cli",
        "one room: executing a command line begins with which subcommand it names",
    ),
];

/// Which files may use which dependencies; a name that ends in `*` stands for all that begin like it.
const DEPENDENCIES: &[(&[&str], &[&str], &str)] = &[
    (
        &["btleplug", "bluez_*", "dbus", "dbus_tokio"],
        &["src/ingress/ble/"],
        "rule 5: Bluetooth stays in one place",
    ),
    (
        &["buttplug_*"],
        &[
            "src/upstream/embedded.rs",
            "src/upstream/embedded/",
            "src/clients.rs",
            "src/clients/",
            "src/udcf.rs",
            "src/udcf/",
        ],
        "rule 5: the Buttplug library stays in three places",
    ),
    (
        &["rumqttc"],
        &["src/net/bus.rs", "src/net/bus/"],
        "rule 5: the broker's client stays in one place",
    ),
    (
        &["espflash"],
        &["src/cmd/flash.rs", "src/cmd/flash/"],
        "chips in their boot loader stay in one place",
    ),
    (
        &["wsdm_device_board"],
        &[
            "src/cmd/flash.rs",
            "src/cmd/flash/",
            "src/cmd/images.rs",
            "src/cmd/ota.rs",
            "src/cmd/ota/",
        ],
        "what the firmware of a board takes stays with the commands that bring it there",
    ),
];

/// What does I/O, and is not for `device`.
const IO: &[&str] = &[
    "std::fs",
    "std::net::Tcp*",
    "std::net::Udp*",
    "std::os::unix::net",
    "std::process",
    "tokio::fs",
    "tokio::io",
    "tokio::net",
    "tokio::process",
];

/// An import that breaks a rule.
#[derive(Debug, PartialEq)]
struct Violation {
    file: String,
    line: usize,
    from: String,
    to: String,
    rule: &'static str,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            line,
            from,
            to,
            rule,
        } = self;
        write!(f, "{file}:{line}: {from} may not import {to} ({rule})")
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The modules that lead to a file: `src/ingress/ble.rs` is `ingress`, `ble`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    if path == "lib" {
        return Vec::new();
    }
    path.split('/').map(str::to_owned).collect()
}

/// Whether `name` is `pattern`, or begins with it where it ends in `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether an import reaches what is forbidden: names it, something inside it, or all that is around it.
fn reaches(forbidden: &str, import: &Import) -> bool {
    let forbidden: Vec<_> = forbidden.split("::").collect();
    let (path, glob) = match import.path.split_last() {
        Some((last, path)) if last == "*" => (path, true),
        _ => (&import.path[..], false),
    };
    let agree = forbidden
        .iter()
        .zip(path)
        .all(|(pattern, name)| fits(pattern, name));
    agree && (path.len() >= forbidden.len() || glob || path.len() > 1)
}

/// Every import of a file that breaks a rule, the exceptions among them.
fn violations(file: &str, text: &str) -> Vec<Violation> {
    let module = module(file);
    let Some(from) = module.first() else {
        // The root has no floor; it declares the modules and imports none.
        return Vec::new();
    };
    let mut found = Vec::new();
    for import in imports(text) {
        let mut broken = |to: &str, rule| {
            found.push(Violation {
                file: file.to_owned(),
                line: import.line,
                from: from.clone(),
                to: to.to_owned(),
                rule,
            });
        };
        if let Some(inside) = import.inside(&module) {
            let to = inside.first().map_or("", String::as_str);
            if let Some(rule) = floor_rule(from, to) {
                broken(&inside.join("::"), rule);
            }
            continue;
        }
        for (names, places, rule) in DEPENDENCIES {
            if import
                .outside()
                .is_some_and(|name| names.iter().any(|n| fits(n, name)))
                && !places.iter().any(|place| file.starts_with(place))
            {
                broken(&import.path.join("::"), rule);
            }
        }
        if from == "device" && IO.iter().any(|io| reaches(io, &import)) {
            broken(&import.path.join("::"), "rule 1: device does no I/O");
        }
    }
    found
}

/// The rule that an import of `to` by `from` breaks.
fn floor_rule(from: &str, to: &str) -> Option<&'static str> {
    if from == to {
        return None;
    }
    let Some(below) = floor(to) else {
        return Some("rule 6: what the root has beside its modules is for other crates");
    };
    // A module without a floor has a test of its own.
    let above = floor(from)?;
    if above < below {
        return None;
    }
    Some(match from {
        _ if above == below => "rule 3: modules of one floor do not import each other",
        "device" | "link" => "rule 1: device and link import no floor above them",
        "session" => "rule 2: session has the traits, the floors above implement them",
        "config" => "rule 4: config holds types and reads text",
        _ if to == "cmd" => "rule 4: only main imports cmd",
        _ => "a module imports only floors below its own",
    })
}

/// Whether `name` is the module `path`, or inside it.
fn within(path: &str, name: &str) -> bool {
    name.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file of the program, by its path from the repository's root.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![(root(), "src".to_owned())];
    while let Some((folder, name)) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("a type").is_dir() {
                folders.push((entry.path(), name));
            } else if name.ends_with(".rs") {
                files.push((name, fs::read_to_string(entry.path()).expect("text")));
            }
        }
    }
    files.sort();
    let tests: Vec<Vec<String>> = files
        .iter()
        .flat_map(|(file, text)| {
            let parent = module(file);
            test_modules(text)
                .into_iter()
                .map(move |name| [parent.clone(), vec![name]].concat())
        })
        .collect();
    files.retain(|(file, _)| !tests.iter().any(|test| module(file).starts_with(test)));
    files
}

#[test]
fn imports_point_down() {
    let files = files();
    let all: Vec<_> = files
        .iter()
        .flat_map(|(file, text)| violations(file, text))
        .collect();
    let allowed = |violation: &Violation, (from, to, _): &(&str, &str, &str)| {
        violation.from == *from && within(to, &violation.to)
    };
    let mut problems: Vec<_> = all
        .iter()
        .filter(|violation| !EXCEPTIONS.iter().any(|exception| allowed(violation, exception)))
        .map(ToString::to_string)
        .collect();
    for exception in EXCEPTIONS {
        if !all.iter().any(|violation| allowed(violation, exception)) {
            let (from, to, _) = exception;
            problems.push(format!("the exception {from} -> {to} is not needed any more"));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn every_module_has_one_floor() {
    let modules: BTreeSet<_> = files()
        .iter()
        .filter_map(|(file, _)| module(file).into_iter().next())
        .collect();
    let placed: Vec<_> = FLOORS.iter().copied().flatten().map(|&m| m.to_owned()).collect();
    let set: BTreeSet<_> = placed.iter().cloned().collect();
    assert_eq!(modules, set, "the modules of src/ (left) and those with a floor");
    assert_eq!(placed.len(), set.len(), "a module has one floor");
}

#[test]
fn exceptions_have_a_reason() {
    for (from, to, reason) in EXCEPTIONS {
        assert!(reason.split(' ').count() > 5, "{from} -> {to}: {reason}");
    }
}

/// What [`violations`] finds, as `line: what`.
fn planted(file: &str, text: &str) -> Vec<String> {
    violations(file, text)
        .iter()
        .map(|v| format!("{}: {}", v.line, v.to))
        .collect()
}

#[test]
fn planted_imports_are_found() {
    let text = r##"
        //! [`crate::gateway`] is words.
        use crate::ingress::serial::SerialPorts;
        use crate::{
            device::frame::Frame,
            upstream::{embedded::{Engine, DeviceTable}, relay},
            web,
        };
        /// See [`crate::cmd`].
        fn f() -> super::clients::Clients { // crate::cmd
            let _ = ("crate::cmd", r#" " crate::cmd "#, '"', b'\'', /* /* crate::cmd */ crate::cmd */ 'a');
            crate::gateway::run::<crate::link::Frame>(config::Settings);
            let outlives: &'static str = $crate::simulate::run();
        }
        #[cfg(all(test, unix))]
        mod tests { use crate::cmd; fn g() { crate::cmd::execute() } }
        #[cfg(test)]
        use crate::cmd::{self, error};
        fn after() { crate::cli::parse() }
    "##;
    assert_eq!(
        planted("src/session.rs", text),
        [
            "3: ingress::serial::SerialPorts",
            "6: upstream::embedded::Engine",
            "6: upstream::embedded::DeviceTable",
            "6: upstream::relay",
            "7: web",
            "10: clients::Clients",
            "12: gateway::run",
            "13: simulate::run",
            "19: cli::parse",
        ]
    );
    // The same file may have most of it on the floor above, and one floor has no neighbours.
    let from_web = planted(
        "src/web/page.rs",
        "use crate::{session, config, web::api, ingress};",
    );
    assert_eq!(from_web, ["1: ingress"]);
    let deep = "use super::super::super::ingress; use super::ingress; use super::super::ingress;";
    assert_eq!(planted("src/link/outbox/queue.rs", deep), ["1: ingress"]);
    assert_eq!(
        planted("src/link.rs", "const N: usize = crate::ALLOCATOR;"),
        ["1: ALLOCATOR"]
    );
}

#[test]
fn planted_dependencies_are_found() {
    let text =
        "use btleplug::api::Central;\nuse {buttplug_core::x, ::dbus_tokio as d};\nfn f(_: rumqttc::Event) {}";
    let all = [
        "1: btleplug::api::Central",
        "2: buttplug_core::x",
        "2: dbus_tokio",
        "3: rumqttc::Event",
    ];
    let but = |n: &[usize]| -> Vec<&str> {
        (0..all.len())
            .filter(|i| !n.contains(i))
            .map(|i| all[i])
            .collect()
    };
    assert_eq!(planted("src/cmd/scan.rs", text), all);
    assert_eq!(planted("src/ingress/ble/radio.rs", text), but(&[0, 2]));
    assert_eq!(planted("src/upstream/embedded/hardware.rs", text), but(&[1]));
    assert_eq!(planted("src/upstream/relay.rs", text), all);
    assert_eq!(planted("src/net/bus.rs", text), but(&[3]));
}

#[test]
fn planted_io_is_found() {
    let text = "
        use std::{fs, io::Write, net::{IpAddr, TcpStream}};
        use tokio::{time, net::{self, UdpSocket}};
        use std::net::*;
        use std::net;
        fn f() { std::net::UdpSocket::bind(std::net::Ipv4Addr::LOCALHOST); std::mem::take(tokio::fs::read) }
    ";
    let found = planted("src/device/probe.rs", text);
    assert_eq!(
        found,
        [
            "2: std::fs",
            "2: std::net::TcpStream",
            "3: tokio::net",
            "3: tokio::net::UdpSocket",
            "4: std::net::*",
            "5: std::net",
            "6: std::net::UdpSocket::bind",
            "6: tokio::fs::read",
        ]
    );
    assert_eq!(planted("src/net/probe.rs", text), [""; 0]);
}
