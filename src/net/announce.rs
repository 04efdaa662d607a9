//! Announces the gateway's ports by mDNS (RFC 6762 and 6763), so that devices and apps find it without an address.

use std::net::{IpAddr, SocketAddr};

use mdns_sd::{IfKind, ServiceInfo};
use tokio::time::timeout;
use tracing::{info, warn};

use super::mdns::Daemon;
use crate::defaults::WITHDRAW_TIMEOUT;

/// How much of the machine's name is used: a DNS label holds 63 bytes, and our prefix takes some of them.
const HOST_MAX_BYTES: usize = 40;

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The port for devices, under the name that the firmware looks up.
    Devices,
    /// The port for Buttplug apps, under Intiface's name, which apps look up.
    Clients,
}

impl Service {
    /// The service's name in DNS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Devices => "_wsdm._tcp.local.",
            Self::Clients => "_intiface_engine._tcp.local.",
        }
    }

    /// Who looks it up.
    fn users(self) -> &'static str {
        match self {
            Self::Devices => "boards",
            Self::Clients => "apps",
        }
    }

    /// The properties of its TXT record. Apps expect the websocket path, as Intiface announces it.
    fn properties(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Devices => &[],
            Self::Clients => &[("path", "/")],
        }
    }
}

/// An announcement. Its own thread repeats it and answers queries until it is withdrawn.
pub struct Announcement {
    daemon: Daemon,
    fullname: String,
}

impl Announcement {
    /// Announces a port of the gateway under those of its addresses that the network can reach. `None` if the network
    /// can reach none of them, or if announcing fails, which is logged.
    pub fn start(service: Service, addresses: &[SocketAddr]) -> Option<Self> {
        // An announcement has a single port.
        let first = addresses.iter().find(|address| !address.ip().is_loopback())?;
        let reachable = addresses
            .iter()
            .filter(|address| !address.ip().is_loopback() && address.port() == first.port());
        let reachable: Vec<IpAddr> = reachable.map(SocketAddr::ip).collect();
        let users = service.users();
        match announce(service, &reachable, first.port()) {
            Ok(announced) => {
                info!(
                    "{users} on the network find this gateway as {}",
                    announced.fullname
                );
                Some(announced)
            }
            Err(e) => {
                warn!("{users} on the network cannot find this gateway: {e}; give them its address");
                None
            }
        }
    }

    /// Withdraws the announcement. Takes at most [`WITHDRAW_TIMEOUT`].
    pub async fn withdraw(self) {
        if let Ok(done) = self.daemon.0.unregister(&self.fullname) {
            // A peer that misses the goodbye only fails to connect.
            let _ = timeout(WITHDRAW_TIMEOUT, done.recv_async()).await;
        }
    }
}

fn announce(service: Service, reachable: &[IpAddr], port: u16) -> Result<Announcement, mdns_sd::Error> {
    let daemon = Daemon::new()?;
    let host: String = gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(HOST_MAX_BYTES)
        .collect();
    // Not the machine's own name: the system announces that, perhaps with other addresses.
    let name = format!("wsdm-gateway-{host}");
    let host = format!("{name}.local.");
    let is_any = reachable.iter().any(IpAddr::is_unspecified);
    let addresses: Vec<IpAddr> = if is_any { Vec::new() } else { reachable.to_vec() };
    let info = ServiceInfo::new(
        service.name(),
        &name,
        &host,
        &addresses[..],
        port,
        service.properties(),
    )?;
    let info = if is_any { info.enable_addr_auto() } else { info };
    if is_any && reachable.iter().all(IpAddr::is_ipv4) {
        daemon.0.disable_interface(IfKind::IPv6)?;
    }
    let fullname = info.get_fullname().to_owned();
    daemon.0.register(info)?;
    Ok(Announcement { daemon, fullname })
}
