//! `simulate`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::print;
use crate::cmd::error::Error;
use crate::defaults::DEVICE_LISTEN;
use crate::device::handshake::{Address, HandshakeError, Identifier};
use crate::net::target::Target;
use crate::net::tls::{Fingerprint, Tls};
use crate::simulate::live::Live;
use crate::simulate::{DeviceOptions, Event, Kind, address, models, run, show};

/// Events that may wait for the terminal.
const EVENT_QUEUE: usize = 4_096;
/// More devices than this in one process are hardly meant.
const MAX_COUNT: u32 = 10_000;

/// What can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// A lovense toy.
    Lovense,
    /// A TCode v0.3 device.
    Tcode,
}

/// What `simulate` takes.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Protocol to speak: lovense or tcode
    #[arg(value_enum, hide_possible_values = true)]
    pub protocol: Protocol,
    /// Connect to this Websocket Device Manager server, ws:// or wss://.
    #[arg(long, default_value_t = format!("ws://{DEVICE_LISTEN}"), env = "WSDM_GATEWAY_SIMULATE_URL")]
    pub url: String,
    /// Trust the CAs of this PEM file, and no others, for wss:// [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust the server whose certificate has this fingerprint, as the gateway's log has it, for
    /// wss://
    #[arg(long, value_name = "HEX", conflicts_with = "ca")]
    pub fingerprint: Option<Fingerprint>,
    /// Websocket name in the server's UDCF [default: LVSDevice or TCodeDevice]
    #[arg(long, value_name = "NAME")]
    pub identifier: Option<String>,
    /// Address of the device [default: the same each time on this machine]
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Lovense model, by name or letter, such as hush, edge, nora, max [default: hush]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Simulate this many devices, with addresses that count up.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_COUNT)))]
    pub count: u32,
    /// Battery level to report, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub battery: u8,
    /// Token that the server asks for.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WSDM_GATEWAY_DEVICE_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Print one JSON object for each event.
    #[arg(long)]
    pub json: bool,
    /// Print lines instead of bars.
    #[arg(long)]
    pub plain: bool,
}

/// Runs the devices until Ctrl-C, or until none of them may connect again.
pub(super) async fn simulate(args: SimulateArgs) -> Result<(), Error> {
    let epoch = Instant::now();
    let devices = devices(&args, epoch)?;
    let cancel = CancellationToken::new();
    let (events, mut happened) = mpsc::channel(EVENT_QUEUE);
    let mut running = JoinSet::new();
    for options in devices.clone() {
        running.spawn(run(options, events.clone(), cancel.clone()));
    }
    drop(events);
    let mut screen = if args.json || args.plain || !std::io::stdout().is_terminal() {
        Screen::Lines { json: args.json }
    } else {
        Screen::Live(Box::new(Live::new(&devices, epoch)))
    };
    let mut refresh = tokio::time::interval(Live::period());
    let mut end = std::pin::pin!(tokio::signal::ctrl_c());
    let mut ending = false;
    loop {
        tokio::select! {
            event = happened.recv() => match event {
                Some(event) => screen.event(&devices, &event)?,
                // Every device is over.
                None => break,
            },
            _ = refresh.tick(), if screen.moves() => screen.refresh(),
            // Where Ctrl-C cannot be listened for, the process is ended by it.
            Ok(()) = &mut end, if !ending => {
                ending = true;
                cancel.cancel();
            }
        }
    }
    let mut failed = None;
    while let Some(ended) = running.join_next().await {
        if let Ok(ended) = ended
            && !ended.is_success()
        {
            failed.get_or_insert(ended);
        }
    }
    failed.map_or(Ok(()), |ended| Err(ended.into()))
}

enum Screen {
    Lines { json: bool },
    Live(Box<Live>),
}

impl Screen {
    fn event(&mut self, devices: &[DeviceOptions], event: &Event) -> Result<(), Error> {
        match self {
            Self::Live(live) => live.event(event),
            Self::Lines { json: true } => print(&(show::json_line(&devices[event.device], event) + "\n"))?,
            Self::Lines { json: false } => {
                if let Some(line) = show::line(&devices[event.device], event) {
                    print(&(line + "\n"))?;
                }
            }
        }
        Ok(())
    }

    fn moves(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    fn refresh(&self) {
        if let Self::Live(live) = self {
            live.refresh();
        }
    }
}

/// Whom to trust, where TLS is spoken; what is missing for it is said before anything is dialled.
fn tls(target: &Target, ca: Option<&Path>, fingerprint: Option<Fingerprint>) -> Result<Tls, Error> {
    let flag = match (ca, fingerprint) {
        (Some(_), _) => Some("--ca"),
        (None, Some(_)) => Some("--fingerprint"),
        (None, None) => None,
    };
    if let (Some(flag), false) = (flag, target.is_tls()) {
        return Err(Error::usage(
            format!("{flag} is for wss:// only, and {target} is not encrypted"),
            format!("write wss:// in --url, or leave {flag} out"),
        ));
    }
    if let Some(fingerprint) = fingerprint {
        return Ok(Tls::pinned(fingerprint));
    }
    match ca {
        Some(ca) => Tls::with_ca(ca).map_err(|e| Error::flag("--ca", &e)),
        None => {
            let tls = Tls::system();
            if target.is_tls() {
                tls.connector().map_err(|e| Error::flag("--url", &e))?;
            }
            Ok(tls)
        }
    }
}

/// What the arguments come to, one entry for each device.
fn devices(args: &SimulateArgs, epoch: Instant) -> Result<Vec<DeviceOptions>, Error> {
    let mut target = Target::parse(&args.url).map_err(|e| Error::flag("--url", &e))?;
    if let Some(token) = &args.token {
        target = target.with_token(token);
    }
    let tls = tls(&target, args.ca.as_deref(), args.fingerprint)?;
    let kind = match (args.protocol, &args.model) {
        (Protocol::Lovense, None) => Kind::hush(),
        (Protocol::Lovense, Some(model)) => {
            let model = models::find(model).map_err(|e| Error::flag("--model", &e))?;
            Kind::Lovense { model }
        }
        (Protocol::Tcode, None) => Kind::Tcode,
        (Protocol::Tcode, Some(_)) => {
            return Err(Error::usage("--model is for lovense only", "leave it out"));
        }
    };
    let bad = |flag: &str, e: HandshakeError| Error::usage(format!("{flag}: {e}"), "give it 1 to 256 bytes");
    let identifier = match &args.identifier {
        Some(name) => Identifier::new(name).map_err(|e| bad("--identifier", e))?,
        None => kind.identifier(),
    };
    let base = match &args.address {
        Some(text) => Address::new(text).map_err(|e| bad("--address", e))?,
        None => address::default_for(kind, &address::machine_identity()),
    };
    (0..args.count as usize)
        .map(|index| {
            Ok(DeviceOptions {
                index,
                target: target.clone(),
                tls: tls.clone(),
                identifier: identifier.clone(),
                battery: args.battery,
                epoch,
                ..DeviceOptions::new(
                    kind,
                    address::numbered(&base, index).map_err(|e| bad("--address", e))?,
                )
            })
        })
        .collect()
}
