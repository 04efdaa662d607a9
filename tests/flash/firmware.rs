//! The firmware of the C3 and C6 as far as its serial port shows it: the console, the editor and the store are the
//! firmware's own, and so are the words of its reports; what stands for the radio knows one network, and the device behind it
//! is a simulated one.

use std::path::PathBuf;

use tokio::process::Child;
use wsdm_device::{Loss, Report, wsdm_protocol};
use wsdm_device_board::{
    Action, Chip, Console, Echo, Editor, Gateway, Key, Loaded, Settings, Store, Trouble,
};

use super::memory::Memory;
use crate::common::process::command;

/// Where the usual partition table has the settings.
pub const SETTINGS: u32 = 0x9000;
/// The chip's own address.
pub const ADDRESS: &str = "a0b1c2d3e4f5";

/// What the firmware prints of its network, as its sources have it.
const NO_NETWORK: &str = "no network is set: set ssid NAME, set password WORDS, save, restart; or use Improv";
const TROUBLE: &str = "Wi-Fi: {trouble}; the board goes on trying";
const JOINED: &str = "Wi-Fi: connected to {}";
const NETWORK: &str = "network: {}";
const FOUND: &str = "found a gateway at {address}:{port}";
const REPORT: &str = "at {now} ms: {report}";
/// What stands for the host of a gateway that is searched for.
const LOOKED_UP: &str = "_wsdm._tcp.local";

/// A gateway with this port does not answer,
pub const CLOSED: u16 = 1;
/// is not one of this machine,
pub const ELSEWHERE: u16 = 2;
/// is behind a firewall that drops what comes.
pub const DROPPED: u16 = 3;

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
        for idle in settings.idle_limits() {
            firmware.print(&format!("{idle}\n"));
        }
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

    fn report(&mut self, now: u64, report: &impl ToString) {
        let line = REPORT.replace("{now}", &now.to_string());
        self.print(&format!("{}\n", line.replace("{report}", &report.to_string())));
    }

    fn found(&mut self, now: u64, url: &str) {
        let port = port_of(url).to_string();
        let found = FOUND.replace("{address}", "10.0.0.9");
        self.report(now, &found.replace("{port}", &port));
    }

    fn connect(&mut self, settings: &Settings) -> Option<Child> {
        if settings.ssid().is_empty() {
            self.print(&format!("{NO_NETWORK}\n"));
            return None;
        }
        let trouble = if settings.ssid() != self.network.ssid {
            Some(Trouble::NotFound)
        } else if settings.password() != self.network.password {
            Some(Trouble::Password)
        } else {
            None
        };
        if let Some(trouble) = trouble {
            let line = TROUBLE.replace("{trouble}", &trouble.to_string());
            self.print(&format!("{line}\n"));
            return None;
        }
        self.print(&format!("{}\n", JOINED.replace("{}", settings.ssid())));
        self.report(700, &NETWORK.replace("{}", "10.0.0.31/24"));
        let (host, port, found) = match settings.gateway() {
            Gateway::At(gateway) => (gateway.host(), gateway.port(), None),
            Gateway::LookedUp => (LOOKED_UP, wsdm_protocol::PORT, self.network.gateway.clone()),
        };
        let connecting = Report::Connecting { host, port };
        self.report(712, &connecting);
        let url = match (settings.gateway(), found) {
            (Gateway::At(_), _) => format!("ws://{host}:{port}"),
            (Gateway::LookedUp, Some(url)) => {
                self.found(713, &url);
                url
            }
            (Gateway::LookedUp, None) => {
                self.report(3_712, &Report::Lost(Loss::NotFound));
                self.report(3_712, &Report::Waiting { ms: 250 });
                return None;
            }
        };
        match port_of(&url) {
            CLOSED => {
                self.report(713, &Report::Lost(Loss::Unreachable));
                self.report(713, &Report::Waiting { ms: 250 });
                return None;
            }
            ELSEWHERE => {
                self.report(713, &Report::Connected);
                return None;
            }
            DROPPED => {
                self.report(5_712, &Report::Lost(Loss::Slow));
                self.report(5_712, &Report::Waiting { ms: 250 });
                self.report(5_962, &connecting);
                if settings.gateway() == Gateway::LookedUp {
                    self.found(5_963, &url);
                }
                return None;
            }
            _ => {}
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

fn port_of(url: &str) -> u16 {
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.expect("a URL with a port")
}

#[test]
fn the_lines_are_those_that_a_board_prints() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/firmware/esp32-common/src");
    let files = std::fs::read_dir(folder).expect("the firmware");
    let sources: String = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a source"))
        .collect();
    for line in [NO_NETWORK, TROUBLE, JOINED, NETWORK, FOUND, REPORT, LOOKED_UP] {
        assert!(sources.contains(&format!("{line}\"")), "{line:?}");
    }
}
