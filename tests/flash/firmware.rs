//! The firmware of the C3 and C6 as far as its serial port shows it: the console, the editor and the store are the
//! firmware's own; what stands for the radio knows one network, and the device behind it is a simulated one.

use std::path::PathBuf;

use tokio::process::Child;
use wsdm_device_board::{Action, Chip, Console, Echo, Editor, Gateway, Key, Loaded, Settings, Store};

use super::memory::Memory;
use crate::common::process::command;

/// Where the usual partition table has the settings.
pub const SETTINGS: u32 = 0x9000;
/// The chip's own address.
pub const ADDRESS: &str = "a0b1c2d3e4f5";

/// What a radio would find.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub ssid: String,
    pub password: String,
    /// The gateway that mDNS finds.
    pub gateway: Option<String>,
    pub home: PathBuf,
}

/// The settings that are saved in this flash.
pub fn saved(memory: &Memory, chip: &'static Chip) -> Option<Settings> {
    match Store::open(memory.clone(), SETTINGS, chip)
        .expect("a flash that can be read")
        .1
    {
        Loaded::Saved(settings, None) => Some(settings),
        Loaded::Erased => None,
        other => panic!("{other:?}"),
    }
}

/// Firmware that runs.
pub struct Firmware {
    chip: &'static Chip,
    memory: Memory,
    network: Network,
    console: Console<'static>,
    editor: Editor,
    printed: Vec<Vec<u8>>,
    /// Ended when it is dropped.
    _device: Option<Child>,
}

impl Firmware {
    pub fn start(chip: &'static Chip, memory: Memory, network: Network) -> Self {
        let mut built_in = Settings::default();
        built_in.set(Key::Pins, "V0=4", chip).expect("a pin");
        built_in.set(Key::Button, "9", chip).expect("a pin");
        // For as long as the test runs, as in a static cell.
        let built_in: &'static Settings = Box::leak(Box::new(built_in));
        let saved = saved(&memory, chip);
        let told = if saved.is_some() {
            "as saved"
        } else {
            "as built in, none are saved"
        };
        let settings = saved.unwrap_or_else(|| built_in.clone());
        let mut firmware = Self {
            chip,
            memory,
            console: Console::new(settings.clone(), built_in, chip, ADDRESS),
            editor: Editor::new(),
            // What the boot loader prints at another speed comes first.
            printed: vec![b"\xff\xfe\x80ESP-ROM\r\n".to_vec()],
            _device: None,
            network,
        };
        firmware.print(&format!(
            "\nwsdm-device 0.1.0 on {}\nsettings: {told}\n",
            chip.name
        ));
        firmware._device = firmware.connect(&settings);
        firmware
    }

    /// What it has printed since it was asked last.
    pub fn printed(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.printed)
    }

    fn print(&mut self, text: &str) {
        self.printed.push(text.into());
    }

    fn connect(&mut self, settings: &Settings) -> Option<Child> {
        if settings.ssid().is_empty() {
            self.print("no network is set: set ssid NAME, save, restart\n");
            return None;
        }
        if (settings.ssid(), settings.password())
            != (self.network.ssid.as_str(), self.network.password.as_str())
        {
            self.print("Wi-Fi: no connection: Disconnected(HandshakeTimeout)\n");
            return None;
        }
        self.print(&format!(
            "Wi-Fi: connected to {}\nat 700 ms: network: 10.0.0.31/24\n",
            settings.ssid()
        ));
        let url = match settings.gateway() {
            Gateway::At(gateway) => format!("ws://{}:{}", gateway.host(), gateway.port()),
            Gateway::LookedUp => self.network.gateway.clone()?,
        };
        self.print("at 712 ms: connecting to the gateway\n");
        if url.ends_with(":1") {
            self.print("at 713 ms: lost: nobody answers\nat 713 ms: trying again in 250 ms\n");
            return None;
        }
        if url.ends_with(":2") {
            self.print("at 713 ms: connected\n");
            return None;
        }
        let mut device = command(
            &self.network.home,
            &[
                "simulate",
                "lovense",
                "--plain",
                "--url",
                &url,
                "--address",
                ADDRESS,
            ],
        );
        device.args(["--identifier", settings.identifier()]);
        if let Some(token) = settings.token() {
            device.env("WSDM_GATEWAY_DEVICE_TOKEN", token);
        }
        Some(device.spawn().expect("the program"))
    }

    /// Takes a byte from its port. Whether that restarted it.
    pub fn take(&mut self, byte: u8) -> bool {
        match self.editor.push(byte) {
            Echo::Nothing => {}
            Echo::Byte(byte) => self.printed.push(vec![byte]),
            Echo::Star => self.print("*"),
            Echo::Rubout => self.print("\u{8} \u{8}"),
            Echo::Cancelled => self.print("^C\n"),
            Echo::End => {
                self.print("\n");
                let line = self.editor.line().map(str::to_owned);
                return self.obey(&line.unwrap_or_default());
            }
        }
        false
    }

    fn obey(&mut self, line: &str) -> bool {
        let mut answer = String::new();
        let action = self
            .console
            .line(line, &mut answer)
            .expect("a string takes everything");
        self.print(&answer);
        match action {
            Action::Nothing => {}
            Action::Save => {
                let (mut store, _) = Store::open(self.memory.clone(), SETTINGS, self.chip).expect("a flash");
                store.save(self.console.settings()).expect("a flash");
                self.console.saved();
                self.print("saved; restart uses it\n");
            }
            Action::Restart => {
                let printed = self.printed();
                *self = Self::start(self.chip, self.memory.clone(), self.network.clone());
                self.printed.splice(..0, printed);
            }
        }
        action == Action::Restart
    }
}
