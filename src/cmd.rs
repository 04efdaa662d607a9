//! The subcommands, one file each, and what all of them share.

pub mod check;
pub mod error;
pub mod flash;
pub mod fleet;
mod identify;
mod images;
mod line;
pub mod monitor;
pub mod ota;
pub mod ports;
mod progress;
#[cfg(unix)]
pub mod reload;
pub mod run;
#[cfg(unix)]
pub mod running;
pub mod scan;
mod secret;
pub mod simulate;
mod staged;
mod table;
mod terminal;
pub mod udcf;

use std::io::Write;
use std::thread::available_parallelism;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::cmd::error::Error;
use crate::config;
use crate::thread;

/// Carries out a command line.
///
/// # Errors
/// What the command failed with.
pub fn execute(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Run(args) => block_on(run::run(args))?,
        Command::Check(args) => check::check(args),
        Command::Init => print(&config::example()),
        Command::Udcf(command) => udcf::udcf(command),
        Command::Simulate(args) => block_on(simulate::simulate(args))?,
        Command::Monitor(args) => block_on(monitor::monitor(args))?,
        #[cfg(unix)]
        Command::Stop(args) => block_on(running::stop(args))?,
        #[cfg(unix)]
        Command::Devices(args) => block_on(running::devices(args))?,
        #[cfg(unix)]
        Command::Reload(args) => block_on(reload::reload(args))?,
        Command::Fleet(command) => block_on(fleet::fleet(command))?,
        Command::Flash(args) => block_on(flash::flash(*args))?,
        Command::Ota(args) => block_on(ota::ota(args))?,
        Command::Ports(args) => block_on(ports::ports(args))?,
        Command::Scan(args) => block_on_one_thread(scan::scan(args))?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "wsdm-gateway", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    thread::available(available_parallelism().map_or(1, usize::from)).map_err(Error::runtime)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::runtime)?;
    let result = runtime.block_on(future);
    // What still runs has nobody left to serve, and may hang in a system call.
    runtime.shutdown_background();
    Ok(result)
}

/// For what uses the Bluetooth library itself: see [`crate::ingress::ble`].
fn block_on_one_thread<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::runtime)?;
    Ok(runtime.block_on(future))
}

/// Prints a result to stdout. A reader that went away, as `head` does, is no error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::output(e)),
        _ => Ok(()),
    }
}
