//! `stop` and `devices`: orders to the gateways that run on this machine, and what they have.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::monitor::MonitorError;
use super::{print, table};
use crate::cmd::error::Error;
use crate::text::printable;
use crate::web::control::client::{Client, ClientError};
use crate::web::control::socket;
use crate::web::view::{Device, State, Stopped};

/// Which gateways are meant.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Control socket of the gateway [default: those of all that run]
    #[arg(long, value_name = "PATH", env = "WSDM_GATEWAY_CONTROL")]
    pub control: Option<OsString>,
}

/// What `stop` takes.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    /// Stop only the device with this address
    #[arg(value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    pub address: Option<String>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Which gateways.
    #[command(flatten)]
    pub which: Which,
}

/// What `devices` takes.
#[derive(Clone, Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Which gateways.
    #[command(flatten)]
    pub which: Which,
}

/// The control sockets of the gateways that are meant: the one that was named, else those of all that run. At least one.
///
/// # Errors
/// [`MonitorError::NoGateway`]
pub(super) async fn sockets(named: Option<&OsString>) -> Result<Vec<PathBuf>, MonitorError> {
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        return Ok(vec![path.into()]);
    }
    let running = socket::running().await;
    if running.is_empty() {
        return Err(MonitorError::NoGateway(socket::directories()));
    }
    Ok(running)
}

/// A gateway failed to answer on this socket.
pub(super) fn no_answer(socket: &Path, error: &ClientError) -> MonitorError {
    MonitorError::NoAnswer {
        path: socket.to_owned(),
        reason: error.to_string(),
    }
}

/// Stops devices of every gateway that runs here. A gateway that does not answer does not keep the others waiting, and is
/// reported after they have stopped.
pub(super) async fn stop(args: StopArgs) -> Result<(), Error> {
    let chosen = sockets(args.which.control.as_ref()).await?;
    let address = args.address.as_deref();
    let stops = chosen.iter().map(|socket| async move {
        let stopped = async { Client::connect(socket).await?.stop(address).await };
        (socket, stopped.await)
    });
    let (mut all, mut missing, mut failed) = (Stopped::default(), 0, None);
    for (socket, stopped) in futures::future::join_all(stops).await {
        match stopped {
            Ok(stopped) => {
                all.stopped += stopped.stopped;
                all.failed.extend(stopped.failed);
            }
            Err(ClientError::Unknown(_)) => missing += 1,
            Err(e) => failed = Some(no_answer(socket, &e)),
        }
    }
    if let Some(failed) = failed {
        return Err(failed.into());
    }
    if let Some(address) = args.address
        && missing == chosen.len()
    {
        return Err(MonitorError::NoDevice {
            address,
            there: Vec::new(),
        }
        .into());
    }
    let text = if args.json {
        format!("{}\n", serde_json::json!(all))
    } else {
        match all.stopped {
            0 if all.failed.is_empty() => "no device is connected\n".to_owned(),
            1 => "1 device stopped\n".to_owned(),
            n => format!("{n} devices stopped\n"),
        }
    };
    print(&text)?;
    if all.failed.is_empty() {
        return Ok(());
    }
    let failed: Vec<_> = all.failed.iter().map(|a| printable(a.as_bytes())).collect();
    Err(MonitorError::NotStopped(failed).into())
}

/// Lists the devices of every gateway that runs here.
pub(super) async fn devices(args: DevicesArgs) -> Result<(), Error> {
    let mut devices = Vec::new();
    for socket in sockets(args.which.control.as_ref()).await? {
        let listed = async { Client::connect(&socket).await?.devices().await };
        devices.extend(listed.await.map_err(|e| no_answer(&socket, &e))?.devices);
    }
    if args.json {
        return print(&format!("{:#}\n", serde_json::json!(devices)));
    }
    if devices.is_empty() {
        return print("no device has connected yet\n");
    }
    print(&table(&devices))
}

fn table(devices: &[Device]) -> String {
    const HEAD: [&str; 6] = ["ADDRESS", "NAME", "STATE", "FROM", "TO DEVICE", "FROM DEVICE"];
    let rows = devices.iter().map(|device| {
        let details = [&device.reason, &device.hint].into_iter().flatten();
        let details = details.map(|line| printable(line.as_bytes())).collect();
        (columns(device), details)
    });
    table::lines(HEAD, rows.collect())
}

fn columns(device: &Device) -> [String; 6] {
    let name = device.name.as_ref().unwrap_or(&device.identifier);
    let state = match (device.state, device.outputs_on) {
        (State::Identifying, _) => "identifying",
        (State::Connecting, _) => "connecting",
        (State::Ready | State::Relayed, true) => "on",
        (State::Ready, false) => "ready",
        (State::Relayed, false) => "relayed",
        (State::Gone, _) => "gone",
        (State::Refused, _) => "refused",
    };
    [
        printable(device.address.as_bytes()),
        printable(name.as_bytes()),
        state.to_owned(),
        printable(device.peer.as_bytes()),
        device.to_device.to_string(),
        device.from_device.to_string(),
    ]
}
