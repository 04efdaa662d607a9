//! `run`

use std::net::{IpAddr, Ipv4Addr};

use tracing::{info, warn};

use super::print;
use crate::cli::RunArgs;
use crate::config::{Given, Layers, Loaded, Source};
use crate::defaults;
use crate::error::Error;
use crate::gateway::{self, Bound};

/// Runs the gateway until it is told to stop.
pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
    let json = args.json;
    let loaded = load(args)?;
    if let Some(file) = &loaded.file {
        info!("read {}", file.display());
    }
    let settings = loaded.settings;
    let token = settings.devices.token.is_some();
    gateway::run(settings, |bound| {
        say_who_can_reach(bound, token);
        let (devices, clients) = (
            format!("ws://{}", bound.devices),
            format!("ws://{}", bound.clients),
        );
        let line = if json {
            serde_json::json!({ "event": "ready", "devices": devices, "clients": clients }).to_string()
        } else {
            format!("ready devices={devices} clients={clients}")
        };
        // Whoever started this may not listen; the gateway serves all the same.
        if let Err(e) = print(&(line + "\n")) {
            warn!("{e}");
        }
    })
    .await?;
    Ok(())
}

fn say_who_can_reach(bound: &Bound, token: bool) {
    for (what, addr, guarded) in [
        ("devices", bound.devices, token),
        ("Buttplug clients", bound.clients, false),
    ] {
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
pub(super) fn load(args: RunArgs) -> Result<Loaded, Error> {
    let mut layers = Layers::default();
    let mut flags: Vec<(&str, &str, Option<String>)> = vec![
        ("devices.listen", "device-listen", args.device_listen),
        ("clients.listen", "client-listen", args.client_listen),
        ("udcf.path", "udcf", args.udcf),
        ("devices.token", "device-token", args.device_token),
        ("clients.server_name", "server-name", args.server_name),
        ("clients.max_ping_time_ms", "max-ping-time", args.max_ping_time),
        ("state.path", "state", args.state),
    ];
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let client_host = if args.websocket_use_all_interfaces {
        everywhere
    } else {
        defaults::CLIENT_LISTEN.ip()
    };
    if args.websocket_port.is_some() || args.websocket_use_all_interfaces {
        let port = args.websocket_port.unwrap_or(defaults::CLIENT_LISTEN.port());
        flags.push((
            "clients.listen",
            "websocket-port",
            Some(format!("{client_host}:{port}")),
        ));
    }
    if let Some(port) = args.device_websocket_server_port {
        let host = defaults::DEVICE_LISTEN.ip();
        flags.push((
            "devices.listen",
            "device-websocket-server-port",
            Some(format!("{host}:{port}")),
        ));
    }
    // A flag that was given on the command line goes first; clap has filled in the environment for the others.
    let given_as_flag = |name: &str| {
        std::env::args().any(|a| a == format!("--{name}") || a.starts_with(&format!("--{name}=")))
    };
    for from_flags in [true, false] {
        for (key, flag, value) in &flags {
            let is_flag = given_as_flag(flag)
                || INTIFACE_SPELLINGS
                    .iter()
                    .any(|(f, alias)| f == flag && given_as_flag(alias));
            if is_flag != from_flags {
                continue;
            }
            let source = if is_flag {
                Source::Flag(format!("--{flag}"))
            } else {
                Source::Environment(format!("WSDM_GATEWAY_{}", flag.to_uppercase().replace('-', "_")))
            };
            if let Some(value) = value {
                layers.give(key, Given::Text(value.clone()), source);
            }
        }
    }
    let file = args.config.filter(|path| !path.as_os_str().is_empty());
    Ok(Loaded::load(file.as_deref(), layers)?)
}

/// Other spellings of our flags.
const INTIFACE_SPELLINGS: &[(&str, &str)] = &[
    ("udcf", "user-device-config-file"),
    ("websocket-port", "websocketport"),
    ("websocket-port", "websocket-use-all-interfaces"),
];
