//! `run`

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tracing::{info, warn};

use super::print;
use crate::cli::RunArgs;
use crate::cli::intiface::IntifaceArgs;
use crate::cmd::error::Error;
use crate::config::{ControlAt, Given, Layers, Loaded, PageSettings, Source};
use crate::defaults::CLIENT_LISTEN;
use crate::gateway::{self, Bound};
use crate::link::serial::ports::Ports;
use crate::web::port::access::Access;

/// Runs the gateway until it is told to stop.
pub(super) async fn run(args: RunArgs) -> Result<(), Error> {
    let (json, open) = (args.json, args.open);
    let ports_root = args.ports_root.clone();
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
    if let Some(root) = ports_root {
        settings.ports = Ports::under(root);
    }
    let devices_by = settings.devices.token.as_ref().map(|_| "the token");
    let page_by = settings.page.as_ref().and_then(PageSettings::condition);
    let upstream = settings.upstream.as_ref().map(ToString::to_string);
    raise_file_limit();
    gateway::run(settings, |gateway| {
        let bound = gateway.bound();
        log_who_can_reach(&bound, devices_by, page_by);
        if let Some(fingerprint) = bound.fingerprint {
            let with = if bound.only_tls {
                "only with"
            } else {
                "with or without"
            };
            info!("devices connect {with} TLS; the fingerprint for boards is {fingerprint}");
        }
        let devices = bound.device_url(bound.devices);
        let page = bound.page_url();
        let (name, other) = match (bound.clients, &upstream) {
            (Some(clients), _) => ("clients", format!("ws://{clients}")),
            (None, upstream) => ("upstream", upstream.clone().unwrap_or_default()),
        };
        let line = if json {
            let all = |addresses: &[SocketAddr], url: &dyn Fn(SocketAddr) -> String| -> Vec<String> {
                addresses.iter().copied().map(url).collect()
            };
            let fingerprint = bound.fingerprint.map(|fingerprint| fingerprint.to_string());
            serde_json::json!({
                "event": "ready", "devices": devices, name: other,
                "device_addresses": all(&bound.device_addresses, &|address| bound.device_url(address)),
                "client_addresses": all(&bound.client_addresses, &|address| format!("ws://{address}")),
                "page": page, "fingerprint": fingerprint,
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
            open_page(page.as_deref(), gateway.page_access());
        }
    })
    .await?;
    Ok(())
}

/// Opens the page in the browser that the user prefers, logged in. The gateway runs in any case.
fn open_page(page: Option<&str>, access: Option<&Access>) {
    let (Some(page), Some(access)) = (page, access) else {
        return warn!("--open: there is no page to open");
    };
    let code = access.hand_over().unwrap_or_else(|e| {
        warn!("--open: you have to log in yourself: {e}");
        None
    });
    // A browser keeps a fragment to itself, and the page removes it.
    let fragment = code.map(|code| format!("#code={code}")).unwrap_or_default();
    if let Err(e) = open::that_detached(format!("{page}{fragment}")) {
        // The error may name the URL.
        let error = match fragment.as_str() {
            "" => e.to_string(),
            fragment => e.to_string().replace(fragment, ""),
        };
        warn!("--open: no browser was started: {error}; open {page} yourself");
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

/// Logs who can reach each port, and what one has to know for devices and for the page: one line, or two if the network
/// reaches only some of its addresses.
fn log_who_can_reach(bound: &Bound, devices_by: Option<&str>, page_by: Option<&str>) {
    for (what, addresses, by) in [
        ("devices", &bound.device_addresses, devices_by),
        ("Buttplug clients", &bound.client_addresses, None),
        ("the page", &bound.page_addresses, page_by),
    ] {
        let (local, network): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.ip().is_loopback());
        let join = |addresses: &[&SocketAddr]| {
            let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            words.join(" and ")
        };
        let condition = by.map(|by| format!(" who knows {by}")).unwrap_or_default();
        if !local.is_empty() {
            let local = join(&local);
            match condition.as_str() {
                "" => info!("{what}: {local}, reachable from this machine only"),
                _ => info!("{what}: {local}, reachable from this machine only, by everybody{condition}"),
            }
        }
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
