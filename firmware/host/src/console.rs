//! A board with a console and Improv on its port: what runs on a chip with Wi-Fi, with a list of access points in the
//! place of the radio, and a file in the place of the flash.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wsdm_device::{
    Client, Clock, Device, Dial, Identity, Loss, Lovense, LovenseSettings, Memory, Quiet, Report, Tcode,
    TcodeSettings, Timing,
};
use wsdm_device_board::ota::{Slots, Start, Trial};
use wsdm_device_board::{
    After, Console, ESP32C3, Found, Gateway, Key, Language, Limited, Network, Networks, Port, Radio,
    Settings, SharedFlash, Terminal,
};

use crate::board::{self, Pins, SinceStart};
use crate::flash::{self, Flash};
use crate::updates;

/// What the board is like.
pub const CHIP: wsdm_device_board::Chip = wsdm_device_board::Chip {
    name: "computer",
    ..ESP32C3
};
/// What a real access point takes its time for.
const JOINING: Duration = Duration::from_millis(20);
const CANNOT_SEARCH: &str = "_wsdm._tcp.local";

/// A network within reach.
#[derive(Clone, Debug)]
pub struct AccessPoint {
    ssid: String,
    password: String,
    rssi: i8,
}

impl FromStr for AccessPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is not of the form SSID:PASSWORD:DBM, such as home:secret words:-50");
        let (rest, rssi) = text.rsplit_once(':').ok_or_else(form)?;
        let (ssid, password) = rest.split_once(':').ok_or_else(form)?;
        if ssid.is_empty() || ssid.len() > 32 {
            return Err(format!("{ssid:?}: a network's name has 1 to 32 bytes"));
        }
        Ok(Self {
            ssid: ssid.to_owned(),
            password: password.to_owned(),
            rssi: rssi.parse().map_err(|_| form())?,
        })
    }
}

/// The list, and whether the board is on one of it.
struct Air<'n> {
    networks: &'n [AccessPoint],
    joined: watch::Sender<bool>,
}

impl Air<'_> {
    fn takes(&self, ssid: &str, password: &str) -> bool {
        self.networks
            .iter()
            .any(|network| network.ssid == ssid && network.password == password)
    }
}

impl Radio for Air<'_> {
    fn is_joined(&self) -> bool {
        *self.joined.borrow()
    }

    async fn scan(&mut self) -> Networks {
        tokio::time::sleep(JOINING).await;
        let mut found = Networks::new();
        for network in self.networks {
            found.add(Network {
                ssid: network.ssid.as_str().try_into().unwrap_or_default(),
                rssi: network.rssi,
                is_open: network.password.is_empty(),
            });
        }
        found
    }

    async fn join(&mut self, ssid: &str, password: &str) -> bool {
        tokio::time::sleep(JOINING).await;
        let is_taken = self.takes(ssid, password);
        if is_taken {
            self.joined.send_replace(true);
        }
        is_taken
    }
}

/// The standard output. Whoever closed it has pulled the cable, and the input ends too.
struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

impl Port for Out {
    fn write_bytes(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }
}

/// TCP, as soon as the board is on a network.
struct Dialler {
    net: board::Network,
    joined: watch::Receiver<bool>,
}

impl Dial for Dialler {
    type Stream<'s> = <board::Network as Dial>::Stream<'s>;

    async fn dial(&mut self, host: &str, port: u16) -> Result<Self::Stream<'_>, Loss<'static>> {
        let joined = self.joined.wait_for(|joined| *joined).await;
        joined.map_err(|_| Loss::Network)?;
        if host == CANNOT_SEARCH {
            println!("there is no search for gateways here: set gateway HOST:PORT, save, restart");
            return Err(Loss::NotFound);
        }
        self.net.dial(host, port).await
    }

    async fn hang_up<'s>(stream: Self::Stream<'s>)
    where
        Self: 's,
    {
        board::Network::hang_up(stream).await;
    }
}

/// Is such a board, until its input ends. Updates are taken at this port of the loopback address, 0 for any.
pub async fn run(
    address: &str,
    file: Option<PathBuf>,
    networks: &[AccessPoint],
    ota_port: u16,
) -> Result<(), Box<dyn Error>> {
    let (shared, ota_port) = (RefCell::new(Flash::open(file)?), Cell::new(ota_port));
    let flash = SharedFlash::new(&shared);
    let mut typed = typed();
    let mut built_in = Settings::default();
    built_in
        .set(Key::Pins, "V0=4", &CHIP)
        .map_err(|e| e.to_string())?;
    loop {
        let clock = SinceStart::now();
        let Found {
            settings,
            store,
            origin,
        } = Found::open(flash, Some(flash::SETTINGS), &built_in, &CHIP);
        println!("settings: {origin}");
        let obeys = origin.may_obey(true);
        let layout = shared.borrow().layout();
        let (slots, start) = Slots::open(flash, layout).map_err(|e| e.to_string())?;
        println!("image: {start:?}, in slot {}", layout.running);
        if start == Start::GoBack {
            continue;
        }
        let (joined, is_joined) = watch::channel(false);
        let air = Air { networks, joined };
        air.joined
            .send_replace(air.takes(settings.ssid(), settings.password()));
        if settings.ssid().is_empty() {
            println!("no network is set: set ssid NAME, set password WORDS, save, restart; or use Improv");
        }
        let mut console = Console::new(settings.clone(), &built_in, &CHIP, address);
        if !obeys {
            console = console.obeying_nobody();
        }
        let version = env!("CARGO_PKG_VERSION");
        let (quiet, trial) = (Quiet::new(), Trial::new());
        let mut terminal = Terminal::new(console, store, obeys.then_some(air), &quiet, "wsdm-host", version);
        let board = Board {
            settings: &settings,
            address,
            clock,
            quiet: &quiet,
            trial: &trial,
            is_saved: origin.is_saved(),
        };
        tokio::select! {
            // A board that was told to turn itself off still has a console.
            done = async {
                if obeys {
                    board.obey(is_joined.clone()).await?;
                }
                std::future::pending().await
            } => return done,
            done = async {
                if obeys {
                    updates::serve(board, slots, &ota_port, is_joined.clone()).await
                } else {
                    std::future::pending().await
                }
            } => done?,
            after = async {
                while let Some(byte) = typed.recv().await {
                    let after = terminal.byte(clock.now(), byte, &mut Out).await;
                    if after == Ok(After::Restart) {
                        return After::Restart;
                    }
                }
                After::Stay
            } => match after {
                After::Restart => {}
                After::Stay => return Ok(()),
            },
        }
    }
}

/// What is typed. A thread of its own: a read from the standard input cannot be given up.
fn typed() -> mpsc::UnboundedReceiver<u8> {
    let (sender, typed) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            if byte.is_err() || byte.is_ok_and(|byte| sender.send(byte).is_err()) {
                return;
            }
        }
    });
    typed
}

/// What the board is until its next start.
#[derive(Clone, Copy)]
pub struct Board<'b> {
    pub settings: &'b Settings,
    pub address: &'b str,
    pub clock: SinceStart,
    pub quiet: &'b Quiet,
    pub trial: &'b Trial,
    pub is_saved: bool,
}

impl Board<'_> {
    async fn obey(self, joined: watch::Receiver<bool>) -> Result<(), Box<dyn Error>> {
        for idle in self.settings.idle_limits() {
            println!("{idle}");
        }
        let outputs = Limited::new(Pins(self.clock), self.settings.limits().clone());
        match self.settings.language() {
            Language::Lovense => {
                let lovense = LovenseSettings {
                    motors: self.settings.outputs().motors(),
                    address: self.address,
                    battery: 85,
                };
                self.serve(joined, Lovense::new(&lovense, outputs)).await
            }
            Language::Tcode => {
                let axes = self.settings.outputs().axes();
                let tcode = TcodeSettings {
                    axes: &axes,
                    ..TcodeSettings::DEFAULT
                };
                self.serve(joined, Tcode::new(&tcode, outputs)).await
            }
        }
    }

    async fn serve<D: Device>(
        self,
        joined: watch::Receiver<bool>,
        mut device: D,
    ) -> Result<(), Box<dyn Error>> {
        let Self { settings, clock, .. } = self;
        let gateway = match settings.gateway() {
            Gateway::At(gateway) => gateway,
            Gateway::LookedUp => wsdm_device::Gateway::new(CANNOT_SEARCH, wsdm_device::wsdm_protocol::PORT)?,
        };
        let mut on_network = joined.clone();
        // Nobody dials before; the sender lives as long as the console.
        on_network.wait_for(|joined| *joined).await?;
        println!("at {} ms: network: joined", clock.now());
        let report = |now, report: &Report<'_>| {
            self.trial.report(now, report);
            println!("at {now} ms: {report}");
        };
        let mut client = Client {
            gateway,
            identity: Identity::new(settings.identifier(), self.address)?,
            timing: Timing {
                silence: settings.silence_ms(),
                ..Timing::DEFAULT
            },
            dial: board::secured(
                Dialler {
                    net: board::Network,
                    joined,
                },
                settings.fingerprint(),
            ),
            clock,
            random: board::random,
            report,
        };
        let mut memory = Memory::<4096, 4096>::new();
        loop {
            let gone = async {
                // Without a sender there is no board.
                let _ = on_network.wait_for(|joined| !joined).await;
            };
            let control = async |device: &mut D| client.run(&mut memory, device).await;
            let ended = self.quiet.obey(&clock, &mut device, report, gone, control).await;
            if ended.is_some() {
                return Ok(());
            }
        }
    }
}
