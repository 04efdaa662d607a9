//! `run`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tracing::{info, warn};

use super::print;
use crate::cli::RunArgs;
use crate::cli::intiface::IntifaceArgs;
use crate::cmd::error::Error;
use crate::config::ControlAt;
use crate::config::{Given, Layers, Loaded, Source};
use crate::defaults::CLIENT_LISTEN;
use crate::gateway::{self, Bound};

/// Runs the gateway until it is told to stop.
pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
    let (json, open) = (args.json, args.open);
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
        log_who_can_reach(bound, token);
        let devices = format!("ws://{}", bound.devices);
        let page = bound.page_addresses.first().map(|page| format!("http://{page}/"));
        let (name, other) = match (bound.clients, &upstream) {
            (Some(clients), _) => ("clients", format!("ws://{clients}")),
            (None, upstream) => ("upstream", upstream.clone().unwrap_or_default()),
        };
        let line = if json {
            let all = |addresses: &[SocketAddr]| -> Vec<String> {
                addresses
                    .iter()
                    .map(|address| format!("ws://{address}"))
                    .collect()
            };
            serde_json::json!({
                "event": "ready", "devices": devices, name: other,
                "device_addresses": all(&bound.device_addresses),
                "client_addresses": all(&bound.client_addresses),
                "page": page,
            })
            .to_string()
        } else {
            let page = page
                .as_ref()
                .map(|page| format!(" page={page}"))
                .unwrap_or_default();
            format!("ready devices={devices} {name}={other}{page}")
        };
        // Whoever started this may not listen; the gateway serves all the same.
        if let Err(e) = print(&(line + "\n")) {
            warn!("{e}");
        }
        if open {
            open_page(page.as_deref());
        }
    })
    .await?;
    Ok(())
}

/// Opens the page in the browser that the user prefers. The gateway runs in any case.
fn open_page(page: Option<&str>) {
    let Some(page) = page else {
        return warn!("--open: there is no page to open");
    };
    if let Err(e) = open::that_detached(page) {
        warn!("--open: no browser was started: {e}; open {page} yourself");
    }
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

/// Logs who can reach each port: one line, or two if the network reaches only some of its addresses.
fn log_who_can_reach(bound: &Bound, token: bool) {
    for (what, addresses, guarded) in [
        ("devices", &bound.device_addresses, token),
        ("Buttplug clients", &bound.client_addresses, false),
        ("the page", &bound.page_addresses, false),
    ] {
        let (local, network): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.ip().is_loopback());
        let join = |addresses: &[&SocketAddr]| {
            let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            words.join(" and ")
        };
        if !local.is_empty() {
            info!("{what}: {}, reachable from this machine only", join(&local));
        }
        let condition = if guarded { " who knows the token" } else { "" };
        if !network.is_empty() {
            let network = join(&network);
            warn!("{what}: {network}, reachable by everybody on the network{condition}");
        }
    }
}

/// The command line over the environment over the file.
fn load(args: RunArgs) -> Result<Loaded, Error> {
    let without = args.intiface.without();
    let (file, layers) = layers(args)?;
    let mut loaded = Loaded::load(file.as_deref(), layers)?;
    loaded.warnings.extend(without);
    Ok(loaded)
}

/// The file that is named, and what stands over it.
pub(super) fn layers(args: RunArgs) -> Result<(Option<PathBuf>, Layers), Error> {
    let refused = args.intiface.refused();
    if !refused.is_empty() {
        return Err(Error::usage(
            format!(
                "flags of intiface-engine for features that this program does not have:\n  {}",
                refused.join("\n  ")
            ),
            "leave them out",
        ));
    }
    let mut layers = Layers::default();
    // The flags of intiface-engine come first: they can only stand on the command line.
    for (key, theirs, value) in intiface_flags(&args.intiface) {
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

/// The flags of intiface-engine that correspond to a key: the key, the flag, and the value.
fn intiface_flags(args: &IntifaceArgs) -> [(&'static str, &'static str, Option<String>); 4] {
    let everywhere = args.value("websocket-use-all-interfaces").is_some();
    let port = args.value("websocket-port");
    let clients = match (everywhere, port) {
        (true, port) => {
            let port = port.map_or(CLIENT_LISTEN.port().to_string(), str::to_owned);
            Some(format!("{}:{port}", Ipv4Addr::UNSPECIFIED))
        }
        (false, port) => port.map(|port| format!("localhost:{port}")),
    };
    let devices = args.value("device-websocket-server-port");
    [
        (
            "clients.listen",
            if port.is_some() {
                "--websocket-port"
            } else {
                "--websocket-use-all-interfaces"
            },
            clients,
        ),
        (
            "devices.listen",
            "--device-websocket-server-port",
            devices.map(|port| format!("localhost:{port}")),
        ),
        (
            "udcf.path",
            "--user-device-config-file",
            args.value("user-device-config-file").map(str::to_owned),
        ),
        (
            "clients.announce",
            "--broadcast-server-mdns",
            args.value("broadcast-server-mdns").map(|_| true.to_string()),
        ),
    ]
}
