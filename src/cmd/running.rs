//! `stop` and `devices`: orders to the gateways that run on this machine, and what they have.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futures::future::join_all;
use serde::Serialize;

use super::monitor::MonitorError;
use super::{print, table};
use crate::advice::Advice;
use crate::cmd::error::Error;
use crate::text::printable;
use crate::web::api::Problem;
use crate::web::api::frames::SessionInfo;
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

/// The devices of the gateways that are meant, each with the socket of its gateway. Of all that run, one that does not
/// answer has none: it may be starting.
///
/// # Errors
/// [`MonitorError::NoAnswer`]: the one that was named does not answer.
pub(super) async fn listed(named: Option<&OsString>) -> Result<Vec<(PathBuf, Device)>, MonitorError> {
    let devices = async |socket: &Path| Ok(Client::connect(socket).await?.devices().await?.devices);
    let each = |socket: PathBuf, devices: Vec<Device>| {
        devices.into_iter().map(move |device| (socket.clone(), device))
    };
    if let Some(path) = named.filter(|path| !path.is_empty()) {
        let socket = PathBuf::from(path);
        let listed = devices(&socket).await.map_err(|e| no_answer(&socket, &e))?;
        return Ok(each(socket, listed).collect());
    }
    let lists = socket::running().await.into_iter().map(async |socket| {
        let listed = devices(&socket).await.unwrap_or_default();
        each(socket, listed)
    });
    Ok(join_all(lists).await.into_iter().flatten().collect())
}

/// A gateway failed to answer on this socket.
pub(super) fn no_answer(socket: &Path, error: &ClientError) -> MonitorError {
    MonitorError::NoAnswer {
        path: socket.to_owned(),
        reason: error.to_string(),
        hint: error.hint().map(Cow::into_owned),
    }
}

/// What a script reads of a stop.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    stopped: &'a Stopped,
    /// Left out if every gateway answered, and one had the device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
}

/// Stops devices of every gateway that runs here. A gateway that does not answer does not keep the others waiting, and is
/// reported after they have stopped.
pub(super) async fn stop(args: StopArgs) -> Result<(), Error> {
    let (stopped, mut errors) = match sockets(args.which.control.as_ref()).await {
        Ok(chosen) => stop_on(&chosen, args.address).await,
        Err(e) => (Stopped::default(), vec![e]),
    };
    if args.json {
        let outcome = Outcome {
            stopped: &stopped,
            errors: errors.iter().map(Problem::of).collect(),
        };
        print(&format!("{}\n", serde_json::json!(outcome)))?;
    } else if stopped != Stopped::default() || errors.is_empty() {
        print(&match stopped.stopped {
            0 if stopped.failed.is_empty() => "no device is connected\n".to_owned(),
            1 => "1 device stopped\n".to_owned(),
            n => format!("{n} devices stopped\n"),
        })?;
    }
    if !stopped.failed.is_empty() {
        let failed = stopped.failed.iter().map(|a| printable(a.as_bytes()));
        errors.push(MonitorError::NotStopped(failed.collect()));
    }
    report(errors)
}

/// Stops every device of these gateways, or the one of this address. Returns what they did, and what failed.
async fn stop_on(sockets: &[PathBuf], address: Option<String>) -> (Stopped, Vec<MonitorError>) {
    let stops = sockets.iter().map(|socket| stop_one(socket, address.as_deref()));
    let (mut all, mut errors) = (Stopped::default(), Vec::new());
    let (mut is_found, mut without, mut elsewhere) = (false, false, Vec::new());
    for stopped in join_all(stops).await {
        match stopped {
            Ok(Ok(stopped)) => {
                is_found = true;
                all.stopped += stopped.stopped;
                all.failed.extend(stopped.failed);
            }
            Ok(Err(there)) => {
                without = true;
                elsewhere.extend(there);
            }
            Err(e) => errors.push(e),
        }
    }
    if let Some(address) = address
        && without
        && !is_found
    {
        errors.insert(
            0,
            MonitorError::no_device(address, elsewhere, "wsdm-gateway stop"),
        );
    }
    (all, errors)
}

/// Stops devices of one gateway. If it has no device of this address, returns those that it has.
async fn stop_one(
    socket: &Path,
    address: Option<&str>,
) -> Result<Result<Stopped, Vec<SessionInfo>>, MonitorError> {
    let stopped = async {
        let mut client = Client::connect(socket).await?;
        match client.stop(address).await {
            Err(ClientError::Unknown(_)) => Ok(Err(client.sessions().await?)),
            stopped => stopped.map(Ok),
        }
    };
    stopped.await.map_err(|e| no_answer(socket, &e))
}

/// Lists the devices of every gateway that runs here. A gateway that does not answer is reported after those of the others.
pub(super) async fn devices(args: DevicesArgs) -> Result<(), Error> {
    let (mut devices, mut errors) = (Vec::new(), Vec::new());
    match sockets(args.which.control.as_ref()).await {
        Ok(chosen) => {
            let lists = chosen.iter().map(|socket| async move {
                let listed = async { Client::connect(socket).await?.devices().await };
                listed.await.map_err(|e| no_answer(socket, &e))
            });
            for listed in join_all(lists).await {
                match listed {
                    Ok(listed) => devices.extend(listed.devices),
                    Err(e) => errors.push(e),
                }
            }
        }
        Err(e) => errors.push(e),
    }
    if args.json {
        print(&format!("{:#}\n", serde_json::json!(devices)))?;
    } else if !devices.is_empty() {
        print(&table(&devices))?;
    } else if errors.is_empty() {
        print("no device has connected yet\n")?;
    }
    report(errors)
}

/// Reports all of these errors but the last, which ends the program.
fn report(mut errors: Vec<MonitorError>) -> Result<(), Error> {
    let Some(last) = errors.pop() else {
        return Ok(());
    };
    for error in errors {
        eprintln!("error: {error}");
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
    }
    Err(last.into())
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
