//! A computer with a board on USB, and runs of `flash` there.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::chip::{Fault, Kind, Scripted};
use super::firmware::Network;
use super::images;
use super::memory::Memory;
use crate::common::ended::{Ended, rest};
use crate::common::log::Log;
use crate::common::process::command;
use crate::common::system::System;

/// The USB of an ESP32-C3 or C6.
pub const NATIVE: &[(&str, &str)] = &[
    ("idVendor", "303a"),
    ("idProduct", "1001"),
    ("product", "USB JTAG/serial debug unit"),
];
pub const SSID: &str = "My network ";
pub const PASSWORD: &str = "correct horse";

/// A computer with a board.
pub struct Bench {
    pub system: System,
    pub home: PathBuf,
    pub images: PathBuf,
    pub network: Network,
}

impl Bench {
    pub fn new() -> Self {
        let system = System::new();
        let home = system.path("home");
        fs::create_dir(&home).unwrap();
        fs::write(system.path("wifi.txt"), format!("{PASSWORD}\r\n")).unwrap();
        Self {
            images: images::usual(system.root.path()),
            network: Network {
                ssid: SSID.to_owned(),
                password: PASSWORD.to_owned(),
                gateway: None,
                home: home.clone(),
            },
            home,
            system,
        }
    }

    /// Plugs a chip into a port of this kind.
    pub fn plug(&self, usb: &[(&str, &str)], kind: Kind, memory: &Memory, fault: Fault) -> Scripted {
        if !self.system.path("sys/class/tty/ttyACM0").exists() {
            self.system.usb("1-4", "ttyACM0", usb);
        }
        let node = self.system.path("dev/ttyACM0");
        Scripted::plug(&node, kind, memory.clone(), fault, self.network.clone())
    }

    /// `flash`, with a button instead of reset lines, and without anybody to ask.
    pub fn flash(&self, args: &[&str]) -> Command {
        let mut command = self.bare(&["--manual-reset"]);
        command.args(args);
        command
    }

    pub fn bare(&self, args: &[&str]) -> Command {
        let mut flash = command(&self.home, &["flash", "--images", self.images.to_str().unwrap()]);
        flash
            .args(args)
            .env("WSDM_GATEWAY_PORTS_ROOT", self.system.root.path());
        flash.stdin(Stdio::null());
        flash
    }

    pub fn wifi(&self) -> Vec<String> {
        let file = self.system.path("wifi.txt").to_str().unwrap().to_owned();
        ["--ssid", SSID, "--password-file", &file]
            .map(str::to_owned)
            .to_vec()
    }
}

/// Presses the button when the run asks for it, and waits for its end.
pub async fn end_with_button(command: &mut Command, chip: &Scripted) -> Ended {
    let mut child = command.spawn().unwrap();
    let mut log = Log::of(&mut child);
    log.expect(&["press the RESET button"]).await;
    chip.press_reset();
    rest(child, log).await
}
