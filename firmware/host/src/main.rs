//! The firmware's device core on a computer: what runs on a board, with a terminal in the place of pins.
//!
//! ```text
//! cargo run -- --url ws://127.0.0.1:54817 --device tcode
//! cargo run -- --serial /tmp/board --device tcode
//! cargo run -- --console --flash /tmp/flash --network 'home:long enough:-50'
//! ```

mod board;
mod console;
mod flash;
mod updates;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use wsdm_device::{
    Client, Clock, Device, Fingerprint, Gateway, Identity, Lovense, LovenseSettings, Memory, Motors, Report,
    Tcode, TcodeSettings, Timing,
};

use board::{Network, Pins, SinceStart};

/// A WSDM device that runs the firmware's code and prints what its pins would do.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The gateway.
    #[arg(long, default_value = "ws://127.0.0.1:54817")]
    url: String,
    /// Instead of dialling it is a board on a virtual serial port, which appears under this path.
    #[cfg(unix)]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "token", "fingerprint"])]
    serial: Option<std::path::PathBuf>,
    /// Instead of taking its settings from here it is a board just flashed: its console, and Improv beside it, are on the
    /// standard input and output.
    #[arg(long, conflicts_with_all = ["url", "token", "fingerprint", "identifier", "device", "silence_ms"])]
    #[cfg_attr(unix, arg(conflicts_with = "serial"))]
    console: bool,
    /// The file that is the board's flash. Without one, its settings are forgotten when it ends.
    #[arg(long, value_name = "FILE", requires = "console")]
    flash: Option<std::path::PathBuf>,
    /// Where it takes updates on the loopback address, once `ota_password` is set: 0 for any port.
    #[arg(long, value_name = "PORT", default_value_t = 0, requires = "console")]
    ota_port: u16,
    /// A Wi-Fi network in the board's reach. An empty password makes it an open one.
    #[arg(long, value_name = "SSID:PASSWORD:DBM", requires = "console")]
    network: Vec<console::AccessPoint>,
    /// The token that the gateway asks for.
    #[arg(long)]
    token: Option<String>,
    /// The fingerprint of the gateway's certificate, in 64 digits: TLS is spoken with it, and nothing else.
    #[arg(long, value_name = "HEX", value_parser = fingerprint)]
    fingerprint: Option<Fingerprint>,
    /// What the device is: a websocket name in the UDCF. [default: LVSDevice or TCodeDevice]
    #[arg(long)]
    identifier: Option<String>,
    /// Which device it is.
    #[arg(long, default_value = "8A3D9FAC2A45")]
    address: String,
    /// The language that it speaks.
    #[arg(long, value_enum, default_value_t = Kind::Lovense)]
    device: Kind,
    /// Why it started anew, as it tells the gateway.
    #[arg(long, value_name = "REASON")]
    reset: Option<String>,
    /// Outputs stop when nothing was heard for this long, in milliseconds. On a serial port a quarter of it is the
    /// keepalive that the board asks for.
    #[arg(long, default_value_t = Timing::DEFAULT.silence)]
    silence_ms: u64,
}

fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    Fingerprint::parse(text).ok_or("a fingerprint has 64 hexadecimal digits")
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
    let ended = if arguments.console {
        tokio::select! {
            ended = console::run(&arguments.address, arguments.flash.clone(), &arguments.network, arguments.ota_port) => ended,
            () = told_to_end() => Ok(()),
        }
    } else {
        as_told(arguments).await
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wsdm-device-host: {e}");
            ExitCode::from(2)
        }
    }
}

/// A board whose settings are on the command line.
async fn as_told(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    match arguments.device {
        Kind::Lovense => {
            let settings = LovenseSettings {
                motors: Motors::Two,
                address: &arguments.address,
                battery: 85,
            };
            run(&arguments, "LVSDevice", b';', |pins| {
                Lovense::new(&settings, pins)
            })
            .await
        }
        Kind::Tcode => {
            run(&arguments, "TCodeDevice", b'\n', |pins| {
                Tcode::new(&TcodeSettings::DEFAULT, pins)
            })
            .await
        }
    }
}

/// Runs a device until it turns itself off or the program is interrupted.
async fn run<D: Device>(
    arguments: &Arguments,
    usual_identifier: &str,
    delimiter: u8,
    device: impl FnOnce(Pins) -> D,
) -> Result<(), Box<dyn Error>> {
    let clock = SinceStart::now();
    let identifier = arguments.identifier.as_deref().unwrap_or(usual_identifier);
    let mut device = device(Pins(clock));
    let ended = tokio::select! {
        ended = obey(arguments, identifier, delimiter, clock, &mut device) => ended,
        () = told_to_end() => Ok(()),
    };
    device.stop(clock.now());
    ended
}

/// Ctrl-C, or a polite kill.
async fn told_to_end() {
    #[cfg(unix)]
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        return;
    }
    // Where the system gives no signals, nothing ends it in order.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

async fn obey<D: Device>(
    arguments: &Arguments,
    identifier: &str,
    #[cfg_attr(not(unix), expect(unused_variables, reason = "no virtual serial ports"))] delimiter: u8,
    clock: SinceStart,
    device: &mut D,
) -> Result<(), Box<dyn Error>> {
    let report = |now, report: &Report<'_>| println!("at {now} ms: {report}");
    let mut memory = Memory::<4096, 4096>::new();
    #[cfg(unix)]
    if let Some(path) = &arguments.serial {
        use wsdm_device::wsdm_protocol::KEEPALIVES_UNTIL_STOP;
        use wsdm_device::{Wire, WireSettings};

        let mut port = board::VirtualPort::at(path.clone())
            .map_err(|e| format!("no virtual serial port at {}: {e}", path.display()))?;
        println!("at {} ms: a board on {}", clock.now(), path.display());
        let keepalive_ms = arguments.silence_ms / KEEPALIVES_UNTIL_STOP;
        let mut wire = Wire {
            settings: WireSettings::new(identifier, Some(&arguments.address), keepalive_ms, delimiter)?
                .with_reset(arguments.reset.as_deref()),
            clock,
            report,
        };
        let ended = wire.run(&mut port.wire, &mut memory, device).await;
        return ended
            .map(|_| ())
            .map_err(|e| format!("the port broke: {e:?}").into());
    }
    let mut client = Client {
        gateway: Gateway::parse(&arguments.url)?.with_token(arguments.token.as_deref()),
        identity: Identity::new(identifier, &arguments.address)?.with_reset(arguments.reset.as_deref()),
        timing: Timing {
            silence: arguments.silence_ms,
            ..Timing::DEFAULT
        },
        dial: board::secured(Network, arguments.fingerprint),
        clock,
        random: board::random,
        report,
    };
    client.run(&mut memory, device).await;
    Ok(())
}
