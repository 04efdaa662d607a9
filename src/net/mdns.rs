//! Boards by their names on the local network: `.local` hosts and announced services (mDNS, RFC 6762 and 6763).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use tokio::net::lookup_host;

use super::endpoint::HostPort;

/// How long the network is asked for a name. Boards answer in a fraction of a second, unless they sleep.
const ASK_TIMEOUT: Duration = Duration::from_millis(3_000);

/// The socket addresses of a host, IPv4 first: boards seldom speak IPv6. A name under `.local` that the system does not
/// resolve is asked for by mDNS. The caller sets the timeout.
///
/// # Errors
/// There is no such host.
pub async fn resolve(at: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let HostPort { host, port } = at;
    let failed = match lookup_host((host.as_str(), *port)).await {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if !found.is_empty() {
                return Ok(sorted(found));
            }
            io::Error::new(io::ErrorKind::NotFound, "the name has no address")
        }
        Err(e) => e,
    };
    let name = host.trim_end_matches('.');
    let is_local = name.len() > 6
        && name
            .get(name.len() - 6..)
            .is_some_and(|end| end.eq_ignore_ascii_case(".local"));
    if !is_local {
        return Err(failed);
    }
    let found = ask(&format!("{name}.")).await?;
    Ok(sorted(
        found.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect(),
    ))
}

fn sorted(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    found.sort_by_key(SocketAddr::is_ipv6);
    found
}

async fn ask(name: &str) -> io::Result<Vec<IpAddr>> {
    let asking = Daemon::new()?;
    let answers = asking
        .0
        .resolve_hostname(name, Some(ASK_TIMEOUT.as_millis() as u64))
        .map_err(io::Error::other)?;
    while let Ok(event) = answers.recv_async().await {
        match event {
            HostnameResolutionEvent::AddressesFound(_, found) if !found.is_empty() => {
                return Ok(found.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect());
            }
            HostnameResolutionEvent::SearchTimeout(_) | HostnameResolutionEvent::SearchStopped(_) => break,
            _ => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("nobody on the network answers to {name}"),
    ))
}

/// What asks and listens, on a thread of its own, until it is dropped.
struct Daemon(ServiceDaemon);

impl Daemon {
    fn new() -> io::Result<Self> {
        ServiceDaemon::new().map(Self).map_err(io::Error::other)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It is told to end, and nothing waits for that.
        let _ = self.0.shutdown();
    }
}

/// Boards that announce a service.
pub struct Browser {
    events: Receiver<ServiceEvent>,
    _daemon: Daemon,
}

/// What changed among the boards that announce a service.
#[derive(Debug)]
pub enum Sighting {
    /// A board announced itself, or something about it changed.
    There {
        /// Its name, which it has to itself on this network.
        instance: String,
        /// Where it is, IPv4 first.
        addresses: Vec<IpAddr>,
        /// Its port.
        port: u16,
        /// The path of its websocket, if it announces one.
        path: Option<String>,
    },
    /// A board said goodbye, or did not renew its announcement.
    Gone {
        /// Its name.
        instance: String,
    },
}

impl Browser {
    /// Begins to look for boards that announce this service, such as `_tcode._udp.local.`.
    ///
    /// # Errors
    /// There is no network, or the system has no multicast.
    pub fn start(domain: &str) -> io::Result<Self> {
        let daemon = Daemon::new()?;
        let events = daemon.0.browse(domain).map_err(io::Error::other)?;
        Ok(Self {
            events,
            _daemon: daemon,
        })
    }

    /// The next change; `None` if the search ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Sighting> {
        while let Ok(event) = self.events.recv_async().await {
            match event {
                ServiceEvent::ServiceResolved(found) => return Some(there(&found)),
                ServiceEvent::ServiceRemoved(domain, fullname) => {
                    return Some(Sighting::Gone {
                        instance: instance(&fullname, &domain),
                    });
                }
                ServiceEvent::SearchStopped(_) => return None,
                _ => {}
            }
        }
        None
    }
}

fn there(found: &ResolvedService) -> Sighting {
    let mut addresses: Vec<IpAddr> = found
        .addresses
        .iter()
        .map(mdns_sd::ScopedIp::to_ip_addr)
        .collect();
    // Without its scope an IPv6 address of the link leads nowhere.
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses.sort();
    Sighting::There {
        instance: instance(&found.fullname, &found.ty_domain),
        addresses,
        port: found.port,
        path: found.get_property_val_str("path").map(str::to_owned),
    }
}

/// `my board` of `my board._tcode._udp.local.`
fn instance(fullname: &str, domain: &str) -> String {
    let name = fullname.strip_suffix(domain).unwrap_or(fullname);
    name.trim_end_matches('.').replace("\\.", ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hosts_have_addresses_and_the_first_is_ipv4() {
        let at = |host: &str| HostPort {
            host: host.to_owned(),
            port: 7,
        };
        assert_eq!(
            resolve(&at("127.0.0.1")).await.unwrap(),
            ["127.0.0.1:7".parse().unwrap()]
        );
        assert_eq!(resolve(&at("::1")).await.unwrap(), ["[::1]:7".parse().unwrap()]);
        let local = resolve(&at("localhost")).await.unwrap();
        assert!(
            local[0].is_ipv4() || local.iter().all(SocketAddr::is_ipv6),
            "{local:?}"
        );
    }

    #[test]
    fn a_board_is_known_by_its_own_name() {
        assert_eq!(
            instance("my board._ws._tcp.local.", "_ws._tcp.local."),
            "my board"
        );
        assert_eq!(instance("v1\\.2._ws._tcp.local.", "_ws._tcp.local."), "v1.2");
    }
}
