//! `run`

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use tracing::{info, warn};

use super::print;
use crate::cli::RunArgs;
use crate::cmd::error::Error;
use crate::config::ControlAt;
use crate::config::{Given, Layers, Loaded, Source};
use crate::defaults;
use crate::gateway::{self, Bound};

/// Runs the gateway until it is told to stop.
pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
    let json = args.json;
    let control = args.control.clone().filter(|path| !path.is_empty());
    let loaded = load(args)?;
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
fn load(args: RunArgs) -> Result<Loaded, Error> {
    let (file, layers) = layers(args)?;
    Ok(Loaded::load(file.as_deref(), layers)?)
}

/// The file that is named, and what stands over it.
pub(super) fn layers(args: RunArgs) -> Result<(Option<PathBuf>, Layers), Error> {
    let mut layers = Layers::default();
    // The flags of intiface-engine come first: they can only stand on the command line.
    for (key, theirs, value) in intiface_flags(&args) {
        let Some(value) = value else {
            continue;
        };
        let mut ours = args
            .keys
            .iter()
            .filter(|arg| arg.key == key)
            .map(|arg| &arg.source);
        if let Some(Source::Flag(ours)) = ours.next() {
            return Err(Error::usage(
                format!("{ours} and {theirs} say the same thing twice"),
                format!("leave {theirs} out"),
            ));
        }
        layers.give(key, Given::Text(value), Source::Flag(theirs.to_owned()));
    }
    for arg in args.keys.iter() {
        layers.give(&arg.key, Given::Text(arg.value.clone()), arg.source.clone());
    }
    for url in args.dial {
        layers.give_entry("dial", "url", Given::Text(url), Source::Flag("--dial".to_owned()));
    }
    let file = args.config.filter(|path| !path.is_empty());
    Ok((file.map(PathBuf::from), layers))
}

/// What those flags of intiface-engine come to that mean the same as a key.
fn intiface_flags(args: &RunArgs) -> [(&'static str, &'static str, Option<String>); 3] {
    let client_host = if args.websocket_use_all_interfaces {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        defaults::CLIENT_LISTEN.ip()
    };
    let client_port = args.websocket_port.or_else(|| {
        args.websocket_use_all_interfaces
            .then_some(defaults::CLIENT_LISTEN.port())
    });
    let device_host = defaults::DEVICE_LISTEN.ip();
    let device_port = args.device_websocket_server_port;
    [
        (
            "clients.listen",
            "--websocket-port",
            client_port.map(|port| format!("{client_host}:{port}")),
        ),
        (
            "devices.listen",
            "--device-websocket-server-port",
            device_port.map(|port| format!("{device_host}:{port}")),
        ),
        (
            "udcf.path",
            "--user-device-config-file",
            args.user_device_config_file.clone(),
        ),
    ]
}
