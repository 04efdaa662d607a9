//! `flash`: the firmware of this project onto a board on USB, its settings, and the wait until a gateway has it.

mod arrival;
mod ask;
mod chip;
mod console;
mod error;
mod port;
mod settings;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::sync::watch;
use wsdm_device_board::Key;

use super::images::Images;
use super::print;
use super::scan::duration;
use super::staged::{self, Failure};
use super::terminal;
use crate::cmd::error::Error;
use arrival::Arrival;
use console::BoardConsole;
use error::{Failed, FlashError, Stage};
use port::BoardPort;
use settings::{Given, SettingsArgs};

/// How long a board may take from its reset to its console.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// The same if a person has to press its button first.
const BUTTON_TIMEOUT: Duration = Duration::from_secs(120);

/// What `flash` takes.
#[derive(Clone, Debug, Args)]
pub struct FlashArgs {
    /// Serial port of the board [default: the only one that looks like a board]
    #[arg(value_name = "PORT")]
    pub port: Option<PathBuf>,
    /// Folder of the images, as firmware/build all makes it [default: images next to the program, or
    /// target/firmware/images]
    #[arg(long, value_name = "DIR", env = "WSDM_GATEWAY_IMAGES")]
    pub images: Option<OsString>,
    /// Keep every setting that no flag gives, instead of asking
    #[arg(long)]
    pub no_input: bool,
    /// The port cannot reset the board: hold its BOOT button, press RESET, then start this; press
    /// RESET again when told to
    #[arg(long)]
    pub manual_reset: bool,
    /// Speed of the transfer; the chip's own USB has its own
    #[arg(long, value_name = "BAUD", default_value_t = 460_800, value_parser = clap::value_parser!(u32).range(9_600..=2_000_000))]
    pub baud_rate: u32,
    /// Wait this long for the board to appear at its gateway
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// End when the settings are saved, without waiting for the board to appear
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Control socket of the gateway to wait at [default: those of all that run]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL")]
    pub control: Option<OsString>,
    /// Tests only: where the system's files lie.
    #[arg(long, hide = true, default_value = "/", env = "WSDM_GATEWAY_PORTS_ROOT")]
    pub root: PathBuf,
    /// The settings of the board: the last, since what follows would stand under their heading.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Flashes a board. Ctrl-C ends it at any time, and the error names the state that the board is left in.
pub(super) async fn flash(args: FlashArgs) -> Result<(), Error> {
    let stage = watch::Sender::new(Stage::Untouched);
    let failed = |error| {
        let stage = *stage.borrow();
        Failed { error, stage }.into()
    };
    staged::run(steps(&args, &stage), FlashError::Interrupted, failed).await
}

async fn steps(args: &FlashArgs, stage: &watch::Sender<Stage>) -> Result<(), Failure<FlashError>> {
    let can_ask = !args.no_input && terminal::can_ask();
    // Everything that can be wrong without a board is reported before one is touched.
    let given = Given::read(&args.settings)?;
    // An empty variable counts as unset.
    let folder = args.images.as_deref().filter(|folder| !folder.is_empty());
    let images = Images::find(folder.map(Path::new)).map_err(FlashError::from)?;
    let port = BoardPort::choose(args, can_ask).await?;

    eprintln!("port: {port}; keep the motors' supply switched off until the board is listed");
    let chip = {
        let (port, given, stage) = (port.clone(), given.clone(), stage.clone());
        let job = tokio::task::spawn_blocking(move || chip::write(&port, &images, &given, &stage));
        // A library that panics on an answer of the board: the text is on stderr already.
        job.await.unwrap_or(Err(FlashError::Nonsense))?
    };

    let start_timeout = match port.manual_reset {
        true => {
            eprintln!("press the RESET button of the board now");
            BUTTON_TIMEOUT
        }
        false => START_TIMEOUT,
    };
    let (mut console, shown) = BoardConsole::open(&port, chip, start_timeout).await?;
    let mut wanted = given;
    if can_ask {
        ask::missing(&mut wanted, &shown, chip).await?;
    }
    wanted.check_beside(&shown, chip)?;
    if wanted
        .get(Key::Ssid)
        .unwrap_or_else(|| shown.value(Key::Ssid))
        .is_empty()
    {
        return Err(FlashError::NoSsid.into());
    }
    let mut arrival = Arrival::new(&shown.address, args.control.as_ref());
    if wanted.is_empty() {
        stage.send_replace(Stage::Saved);
    } else {
        for (key, value) in wanted.steps() {
            console.set(key, value, chip).await?;
        }
        console.save().await?;
        stage.send_replace(Stage::Saved);
        eprintln!("settings: {}, saved on the board", wanted.names());
        // Connections made until now use the old settings.
        arrival.forget_what_is_there().await;
        console.restart().await?;
    }

    let arrived = match args.no_wait {
        true => None,
        false => Some(arrival.wait(console, &port, args.wait).await?),
    };
    let text = if args.json {
        let mut line = json!({ "port": port.path, "chip": chip.name, "address": shown.address });
        if let Some(arrived) = &arrived {
            line["arrived"] = json!(arrived);
        }
        format!("{line}\n")
    } else {
        match &arrived {
            Some(arrived) => format!("the board is there: {arrived}\n"),
            None => format!("the board is flashed: {}, address {}\n", chip.name, shown.address),
        }
    };
    Ok(print(&text)?)
}
