//! Tells the network where devices and apps connect, by mDNS (RFC 6762 and 6763), so that they need not be told.

use std::net::{IpAddr, SocketAddr};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::defaults::WITHDRAW_TIMEOUT;

/// Of the machine's name; a label of a name in DNS has 63 bytes, and ours stands before it.
const HOST_MAX_BYTES: usize = 40;

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Where devices connect, for which the firmware asks.
    Devices,
    /// Where Buttplug apps connect: the name that Intiface has, for which apps ask.
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

    /// Who asks for it.
    fn who(self) -> &'static str {
        match self {
            Self::Devices => "boards",
            Self::Clients => "apps",
        }
    }

    /// What an answer says besides address and port. Apps expect Intiface's path of the websocket.
    fn text(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Devices => &[],
            Self::Clients => &[("path", "/")],
        }
    }
}

/// The announcement, which a thread of its own repeats and answers with until it is withdrawn.
pub struct Announcement {
    daemon: ServiceDaemon,
    fullname: String,
}

impl Announcement {
    /// Announces a port of ours by those of its addresses that the network can reach. `None` if there are none, or if
    /// it cannot be announced, which is logged.
    pub fn start(service: Service, addresses: &[SocketAddr]) -> Option<Self> {
        // One announcement has one port.
        let first = addresses.iter().find(|address| !address.ip().is_loopback())?;
        let reachable = addresses
            .iter()
            .filter(|address| !address.ip().is_loopback() && address.port() == first.port());
        let reachable: Vec<IpAddr> = reachable.map(SocketAddr::ip).collect();
        let who = service.who();
        match announce(service, &reachable, first.port()) {
            Ok(announced) => {
                info!("{who} on the network find this gateway as {}", announced.fullname);
                Some(announced)
            }
            Err(e) => {
                warn!("{who} on the network cannot find this gateway, give them its address: {e}");
                None
            }
        }
    }

    /// Tells the network that the gateway goes, in [`WITHDRAW_TIMEOUT`] at most.
    pub async fn withdraw(self) {
        if let Ok(done) = self.daemon.unregister(&self.fullname) {
            // Who did not get this dials, and finds nobody.
            let _ = timeout(WITHDRAW_TIMEOUT, done.recv_async()).await;
        }
        // It is told to end, and nothing waits for that.
        let _ = self.daemon.shutdown();
    }
}

fn announce(service: Service, reachable: &[IpAddr], port: u16) -> Result<Announcement, mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    let host: String = gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(HOST_MAX_BYTES)
        .collect();
    // A name of its own: the machine's is announced by others, with other addresses.
    let name = format!("wsdm-gateway-{host}");
    let host = format!("{name}.local.");
    let every = reachable.iter().any(IpAddr::is_unspecified);
    let addresses: Vec<IpAddr> = if every { Vec::new() } else { reachable.to_vec() };
    let info = ServiceInfo::new(service.name(), &name, &host, &addresses[..], port, service.text())?;
    let info = if every { info.enable_addr_auto() } else { info };
    if every && reachable.iter().all(IpAddr::is_ipv4) {
        daemon.disable_interface(IfKind::IPv6)?;
    }
    let fullname = info.get_fullname().to_owned();
    daemon.register(info)?;
    Ok(Announcement { daemon, fullname })
}
