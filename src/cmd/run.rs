//! `run`

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tracing::{info, warn};

use super::print;
use crate::cli::{OnCommandLine, RunArgs};
use crate::cmd::error::Error;
use crate::config::ControlAt;
use crate::config::{Given, Layers, Loaded, Source};
use crate::defaults;
use crate::gateway::{self, Bound};

/// Runs the gateway until it is told to stop.
pub(super) async fn run(args: RunArgs, on_command_line: &OnCommandLine) -> Result<(), Error> {
    let json = args.json;
    let control = args.control.clone().filter(|path| !path.is_empty());
    let loaded = load(args, on_command_line)?;
    if let Some(file) = &loaded.file {
        info!("read {}", file.display());
    }
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let mut settings = loaded.settings;
    settings.control = Some(control.map_or(ControlAt::RuntimeDirectory, |path| ControlAt::Path(path.into())));
    let token = settings.devices.token.is_some();
    let upstream = settings
        .upstream
        .as_ref()
        .map(|upstream| upstream.relay.to_string());
    raise_file_limit();
    gateway::run(settings, |bound| {
        say_who_can_reach(bound, token);
        let devices = format!("ws://{}", bound.devices);
        let (name, other) = match (bound.clients, &upstream) {
            (Some(clients), _) => ("clients", format!("ws://{clients}")),
            (None, upstream) => ("upstream", upstream.clone().unwrap_or_default()),
        };
        let line = if json {
            serde_json::json!({ "event": "ready", "devices": devices, name: other }).to_string()
        } else {
            format!("ready devices={devices} {name}={other}")
        };
        // Whoever started this may not listen; the gateway serves all the same.
        if let Err(e) = print(&(line + "\n")) {
            warn!("{e}");
        }
    })
    .await?;
    Ok(())
}

/// A connection is a file, a relayed device is two, and many systems start programs with room for 1,024 unless they
/// ask for what they may have.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            limit.current = limit.maximum;
            if let Err(e) = setrlimit(Resource::Nofile, limit) {
                tracing::debug!("the limit of open files stays as it is: {e}");
            }
        }
    }
}

fn say_who_can_reach(bound: &Bound, token: bool) {
    let clients = bound.clients.map(|addr| ("Buttplug clients", addr, false));
    for (what, addr, guarded) in [("devices", bound.devices, token)].into_iter().chain(clients) {
        if addr.ip().is_loopback() {
            info!("{what}: {addr}, reachable from this machine only");
        } else if guarded {
            warn!("{what}: {addr}, reachable by everybody on the network who knows the token");
        } else {
            warn!("{what}: {addr}, reachable by everybody on the network");
        }
    }
}

/// The command line over the environment over the file.
pub(super) fn load(args: RunArgs, on_command_line: &OnCommandLine) -> Result<Loaded, Error> {
    let client_port = args.websocket_port.is_some() || args.websocket_use_all_interfaces;
    for (ours, theirs, both) in [
        ("client_listen", "--websocket-port", client_port),
        (
            "device_listen",
            "--device-websocket-server-port",
            args.device_websocket_server_port.is_some(),
        ),
    ] {
        if both && on_command_line.has(ours) {
            let ours = ours.replace('_', "-");
            return Err(Error::Usage {
                message: format!("--{ours} and {theirs} say the same thing twice"),
                hint: format!("leave {theirs} out"),
            });
        }
    }
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let client_host = if args.websocket_use_all_interfaces {
        everywhere
    } else {
        defaults::CLIENT_LISTEN.ip()
    };
    let client_listen = client_port.then(|| {
        format!(
            "{client_host}:{}",
            args.websocket_port.unwrap_or(defaults::CLIENT_LISTEN.port())
        )
    });
    let device_host = defaults::DEVICE_LISTEN.ip();
    let device_listen = args
        .device_websocket_server_port
        .map(|port| format!("{device_host}:{port}"));

    let mut layers = Layers::default();
    // What intiface-engine's flags say comes first: it can only stand on the command line.
    for (key, flag, value) in [
        ("clients.listen", "--websocket-port", client_listen),
        ("devices.listen", "--device-websocket-server-port", device_listen),
    ] {
        if let Some(value) = value {
            layers.give(key, Given::Text(value), Source::Flag(flag.to_owned()));
        }
    }
    for (key, argument, value) in [
        ("devices.listen", "device_listen", args.device_listen),
        ("clients.listen", "client_listen", args.client_listen),
        ("upstream.relay", "upstream", args.upstream),
        ("upstream.ca", "upstream_ca", args.upstream_ca),
        ("udcf.path", "udcf", args.udcf),
        ("devices.token", "device_token", args.device_token),
        ("clients.server_name", "server_name", args.server_name),
        ("clients.max_ping_time_ms", "max_ping_time", args.max_ping_time),
        ("state.path", "state", args.state),
    ] {
        let source = if on_command_line.has(argument) {
            Source::Flag(format!("--{}", argument.replace('_', "-")))
        } else {
            Source::Environment(format!("WSDM_GATEWAY_{}", argument.to_uppercase()))
        };
        if let Some(value) = value {
            layers.give(key, Given::Text(value), source);
        }
    }
    let file = args.config.filter(|path| !path.is_empty());
    Ok(Loaded::load(file.as_deref().map(Path::new), layers)?)
}
