//! Tells the network where devices connect, so that a board need not be told: the service `_wsdm._tcp` of mDNS
//! (RFC 6762 and 6763), for which the firmware asks.

use std::net::{IpAddr, SocketAddr};

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::defaults::WITHDRAW_TIMEOUT;

/// What boards ask for.
pub const SERVICE: &str = "_wsdm._tcp.local.";

/// Of the machine's name; a label of a name in DNS has 63 bytes, and ours stands before it.
const HOST_MAX_BYTES: usize = 40;

/// The announcement, which a thread of its own repeats and answers with until it is withdrawn.
pub struct Announcement {
    daemon: ServiceDaemon,
    fullname: String,
}

impl Announcement {
    /// Announces the port where devices connect. `None` where nobody on the network can reach it, or where it cannot
    /// be announced, which the log says.
    pub fn start(devices: SocketAddr) -> Option<Self> {
        if devices.ip().is_loopback() {
            return None;
        }
        match announce(devices) {
            Ok(announced) => {
                info!(
                    "boards on the network find this gateway as {}",
                    announced.fullname
                );
                Some(announced)
            }
            Err(e) => {
                warn!("boards on the network cannot find this gateway, tell them its address: {e}");
                None
            }
        }
    }

    /// Tells the network that the gateway goes, in [`WITHDRAW_TIMEOUT`] at most.
    pub async fn withdraw(self) {
        if let Ok(done) = self.daemon.unregister(&self.fullname) {
            // A board that did not hear it dials, and finds nobody.
            let _ = timeout(WITHDRAW_TIMEOUT, done.recv_async()).await;
        }
        // It is told to end, and nothing waits for that.
        let _ = self.daemon.shutdown();
    }
}

fn announce(devices: SocketAddr) -> Result<Announcement, mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    let host: String = gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(HOST_MAX_BYTES)
        .collect();
    // A name of its own: the machine's is announced by others, with other addresses.
    let name = format!("wsdm-gateway-{host}");
    let addresses = match devices.ip() {
        ip if ip.is_unspecified() => String::new(),
        ip => ip.to_string(),
    };
    let service = ServiceInfo::new(
        SERVICE,
        &name,
        &format!("{name}.local."),
        addresses,
        devices.port(),
        None,
    )?;
    let service = match devices.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            daemon.disable_interface(IfKind::IPv6)?;
            service.enable_addr_auto()
        }
        ip if ip.is_unspecified() => service.enable_addr_auto(),
        _ => service,
    };
    let fullname = service.get_fullname().to_owned();
    daemon.register(service)?;
    Ok(Announcement { daemon, fullname })
}
