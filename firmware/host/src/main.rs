//! The firmware's device core on a computer: what runs on a board, with a terminal in the place of pins.
//!
//! ```text
//! cargo run -- --url ws://127.0.0.1:54817 --device tcode
//! ```

mod board;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wsdm_device::{
    Client, Device, Gateway, Identity, Lovense, LovenseSettings, Memory, Motors, Report, Tcode,
    TcodeSettings, Timing,
};

use board::{Network, Pins, SinceStart};

/// A WSDM device that runs the firmware's code and prints what its pins would do.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The gateway.
    #[arg(long, default_value = "ws://127.0.0.1:54817")]
    url: String,
    /// The token that the gateway asks for.
    #[arg(long)]
    token: Option<String>,
    /// What the device is: a websocket name in the UDCF. [default: LVSDevice or TCodeDevice]
    #[arg(long)]
    identifier: Option<String>,
    /// Which device it is.
    #[arg(long, default_value = "8A3D9FAC2A45")]
    address: String,
    /// The language that it speaks.
    #[arg(long, value_enum, default_value_t = Kind::Lovense)]
    device: Kind,
    /// Outputs stop when nothing was heard for this long, in milliseconds.
    #[arg(long, default_value_t = Timing::DEFAULT.silence)]
    silence_ms: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Two motors and a battery.
    Lovense,
    /// Every axis that the core has.
    Tcode,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match arguments.device {
        Kind::Lovense => {
            let settings = LovenseSettings {
                motors: Motors::Two,
                address: &arguments.address,
                battery: 85,
            };
            run(&arguments, "LVSDevice", |pins| Lovense::new(&settings, pins)).await
        }
        Kind::Tcode => {
            run(&arguments, "TCodeDevice", |pins| {
                Tcode::new(&TcodeSettings::DEFAULT, pins)
            })
            .await
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wsdm-device-host: {e}");
            ExitCode::from(2)
        }
    }
}

async fn run<D: Device>(
    arguments: &Arguments,
    usual_identifier: &str,
    device: impl FnOnce(Pins) -> D,
) -> Result<(), wsdm_device::SettingsError> {
    let clock = SinceStart::now();
    let identifier = arguments.identifier.as_deref().unwrap_or(usual_identifier);
    let mut client = Client {
        gateway: Gateway::parse(&arguments.url)?.with_token(arguments.token.as_deref()),
        identity: Identity::new(identifier, &arguments.address)?,
        timing: Timing {
            silence: arguments.silence_ms,
            ..Timing::DEFAULT
        },
        dial: Network,
        clock,
        random: board::random,
        report: |now, report: &Report<'_>| println!("at {now} ms: {report}"),
    };
    let mut device = device(Pins(clock));
    let mut memory = Memory::<4096, 4096>::new();
    tokio::select! {
        _ = client.run(&mut memory, &mut device) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    device.stop(wsdm_device::Clock::now(&clock));
    Ok(())
}
