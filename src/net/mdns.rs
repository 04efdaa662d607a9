//! Finds boards by their names on the local network: `.local` hosts and announced services (mDNS, RFC 6762 and 6763).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, Receiver, ResolvedService, ServiceDaemon, ServiceEvent};
use tokio::net::lookup_host;

use super::endpoint::HostPort;

/// How long an answer to a query is awaited. Boards answer in a fraction of a second, unless they sleep.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolves a host to its socket addresses, IPv4 first: boards seldom speak IPv6. Queries mDNS for a name under `.local`
/// that the system does not resolve. The caller sets the timeout.
///
/// # Errors
/// The host is unknown.
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
    let found = query(&format!("{name}.")).await?;
    Ok(sorted(
        found.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect(),
    ))
}

fn sorted(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    found.sort_by_key(SocketAddr::is_ipv6);
    found
}

async fn query(name: &str) -> io::Result<Vec<IpAddr>> {
    let daemon = Daemon::new().map_err(io::Error::other)?;
    let answers = daemon
        .0
        .resolve_hostname(name, Some(QUERY_TIMEOUT.as_millis() as u64))
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

/// The mDNS service on its own thread, which ends when this is dropped.
pub(super) struct Daemon(pub(super) ServiceDaemon);

impl Daemon {
    pub(super) fn new() -> Result<Self, mdns_sd::Error> {
        ServiceDaemon::new().map(Self)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The thread ends by itself after this; nothing depends on when.
        let _ = self.0.shutdown();
    }
}

/// A search for boards that announce a service.
pub struct Browser {
    events: Receiver<ServiceEvent>,
    _daemon: Daemon,
}

/// A change among the boards that announce a service.
#[derive(Debug)]
pub enum ServiceChange {
    /// A board announced itself, or something about it changed.
    Announced {
        /// Its name, which is unique on this network.
        instance: String,
        /// Its addresses, IPv4 first.
        addresses: Vec<IpAddr>,
        /// Its port.
        port: u16,
        /// The path of its websocket, if it announces one.
        path: Option<String>,
    },
    /// A board said goodbye, or did not renew its announcement.
    Withdrawn {
        /// Its name.
        instance: String,
    },
}

impl Browser {
    /// Starts to search for boards that announce this service, such as `_tcode._udp.local.`.
    ///
    /// # Errors
    /// There is no network, or the system does not support multicast.
    pub fn start(domain: &str) -> io::Result<Self> {
        let daemon = Daemon::new().map_err(io::Error::other)?;
        let events = daemon.0.browse(domain).map_err(io::Error::other)?;
        Ok(Self {
            events,
            _daemon: daemon,
        })
    }

    /// The next change; `None` if the search ended. Cancel safe.
    pub async fn next(&mut self) -> Option<ServiceChange> {
        while let Ok(event) = self.events.recv_async().await {
            match event {
                ServiceEvent::ServiceResolved(found) => return Some(announced(&found)),
                ServiceEvent::ServiceRemoved(domain, fullname) => {
                    return Some(ServiceChange::Withdrawn {
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

fn announced(found: &ResolvedService) -> ServiceChange {
    let mut addresses: Vec<IpAddr> = found
        .addresses
        .iter()
        .map(mdns_sd::ScopedIp::to_ip_addr)
        .collect();
    // Without its scope, a link-local IPv6 address leads nowhere.
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses.sort();
    ServiceChange::Announced {
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
