//! The system's serial ports, in a tree of files such as the kernel makes.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::process::{is_root, program_for_everybody};
use common::system::{ARDUINO, CH340, System};
use common::within;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use wsdm_gateway::link::serial::ports::{Access, PortInfo, PortMatch};

fn names(ports: &[PortInfo]) -> Vec<&str> {
    ports.iter().map(|p| p.path.to_str().unwrap()).collect()
}

#[test]
fn ports_are_listed_with_what_they_say_of_themselves() {
    let system = System::new();
    system.usb("1-10", "ttyUSB10", CH340);
    system.usb("1-2", "ttyUSB2", CH340);
    system.usb("1-3", "ttyACM0", ARDUINO);
    system.tty("devices/platform/soc/fe201000.serial", "ttyAMA0", "uart-pl011");
    // One that goes while the list is made.
    symlink("/nowhere", system.path("sys/class/tty/ttyUSB7")).unwrap();
    let ports = system.ports().list().unwrap();
    assert_eq!(
        names(&ports),
        ["/dev/ttyACM0", "/dev/ttyAMA0", "/dev/ttyUSB2", "/dev/ttyUSB10"]
    );
    let uno = &ports[0];
    assert_eq!(
        uno.by_id.as_deref(),
        Some(Path::new("/dev/serial/by-id/usb-ttyACM0-if00"))
    );
    let usb = uno.usb.as_ref().unwrap();
    assert_eq!((usb.vid, usb.pid), (0x2341, 0x0043));
    assert_eq!(usb.serial_number.as_deref(), Some("75834353030351F0E1B1"));
    assert_eq!(ports[1].usb, None);
    assert_eq!(ports[2].usb.as_ref().unwrap().serial_number, None);
}

#[test]
fn all_that_is_given_must_match() {
    let system = System::new();
    system.usb("1-2", "ttyUSB0", CH340);
    system.usb("1-3", "ttyACM0", ARDUINO);
    system.tty("devices/platform/soc/fe201000.serial", "ttyAMA0", "uart-pl011");
    let ports = system.ports().list().unwrap();
    let matching = |wanted: PortMatch| {
        let found: Vec<_> = ports
            .iter()
            .filter(|port| wanted.matches(port))
            .cloned()
            .collect();
        names(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let vid = |vid| PortMatch {
        vid: Some(vid),
        ..PortMatch::default()
    };
    assert_eq!(matching(vid(0x1a86)), ["/dev/ttyUSB0"]);
    assert_eq!(
        matching(PortMatch::default()).len(),
        2,
        "never one that is not on USB"
    );
    let serial_number = Some("75834353030351F0E1B1".to_owned());
    assert!(
        matching(PortMatch {
            serial_number,
            ..vid(0x1a86)
        })
        .is_empty()
    );
    let product = Some("Uno".to_owned());
    assert_eq!(
        matching(PortMatch {
            product,
            ..vid(0x2341)
        }),
        ["/dev/ttyACM0"]
    );
}

#[test]
fn who_has_a_port_and_who_may_is_told_without_opening_it() {
    let system = System::new();
    system.usb("1-2", "ttyUSB0", CH340);
    let node = system.path("dev/ttyUSB0");
    let access = || system.ports().access(Path::new("/dev/ttyUSB0"));
    assert_eq!(access(), Access::Free);
    fs::create_dir_all(system.path("proc/812/fd")).unwrap();
    fs::write(system.path("proc/812/comm"), "screen\n").unwrap();
    symlink(&node, system.path("proc/812/fd/5")).unwrap();
    let held = access();
    assert_eq!(held.to_string(), "held by screen (pid 812)");
    assert!(held.hint().unwrap().contains("screen (pid 812) has it open"));
    fs::remove_file(&node).unwrap();
    assert_eq!(access(), Access::Gone);
    for (group, wanted) in [("dialout", "sudo usermod -aG dialout $USER"), ("root", "udev")] {
        let group = Some(group.to_owned());
        assert!(Access::Forbidden { group }.hint().unwrap().contains(wanted));
    }
}

/// The program, as somebody who is not root where that is possible: root may open everything.
fn program(system: &System, args: &[&str]) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program_for_everybody(system.root.path()));
    command
        .arg("ports")
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("WSDM_GATEWAY_PORTS_ROOT", system.root.path())
        .stdin(Stdio::null());
    if is_root() {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn the_table_says_which_entry_takes_a_port_and_what_keeps_it_from_being_opened() {
    let system = System::new();
    system.usb("1-2", "ttyUSB0", CH340);
    let uno: Vec<_> = ARDUINO
        .iter()
        .map(|(key, value)| (*key, if *key == "product" { "U\x1b[2Jno" } else { *value }))
        .collect();
    system.usb("1-3", "ttyACM0", &uno);
    fs::set_permissions(system.path("dev/ttyUSB0"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(system.path("dev/ttyACM0"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(system.path("etc/group"), "root:x:0:\ndialout:x:20:\n").unwrap();
    let config = system.path("gateway.toml");
    fs::write(&config, "[[serial]]\nmatch = { vid = \"2341\" }\n").unwrap();
    let config = config.to_str().unwrap();

    let output = program(&system, &["--config", config]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |name: &str| table.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    assert!(line("/dev/ttyUSB0").contains("no permission"), "{table}");
    assert!(
        line("/dev/ttyACM0").ends_with("free  serial.0") || line("/dev/ttyACM0").contains("serial.0"),
        "{table}"
    );
    assert!(!table.contains('\x1b'), "a product's name moves no cursor");
    let hint = String::from_utf8(output.stderr).unwrap();
    assert!(hint.contains("/dev/ttyUSB0: "), "{hint}");

    let output = program(&system, &["--json", "--config", config])
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["path"], "/dev/ttyACM0");
    assert_eq!(rows[0]["usb"]["vid"], "2341");
    assert_eq!(rows[0]["entry"], "serial.0");
    assert_eq!(rows[1]["access"]["state"], "forbidden");
}

#[test]
fn no_port_at_all_is_said_with_what_to_try() {
    let system = System::new();
    let output = program(&system, &[]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("is the cable a data cable?")
    );
    let output = program(&system, &["--json"]).output().unwrap();
    assert_eq!(output.stdout, b"[]\n");
}

#[tokio::test]
async fn a_watcher_sees_ports_come_and_go() {
    let system = System::new();
    system.usb("1-2", "ttyUSB0", CH340);
    let mut command = tokio::process::Command::from(program(&system, &["--watch", "--json"]));
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> (String, String) {
        let line = within("a line", lines.next_line()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["event"]), text(&event["port"]["path"]))
    };
    let said = |what: &str, port: &str| (what.to_owned(), port.to_owned());
    assert_eq!(next().await, said("there", "/dev/ttyUSB0"));
    system.usb("1-3", "ttyACM0", ARDUINO);
    loop {
        // The files appear one after the other, as in the kernel: it may be seen before it is whole.
        let event = next().await;
        assert_eq!(event.1, "/dev/ttyACM0");
        let whole = system.ports().list().unwrap().len() == 2;
        if event.0 == "come" && whole {
            break;
        }
    }
    system.unplug("ttyUSB0");
    loop {
        let event = next().await;
        if event == said("gone", "/dev/ttyUSB0") {
            break;
        }
        assert_eq!(event.1, "/dev/ttyACM0");
    }
}
