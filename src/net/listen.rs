//! Listens on one or several addresses as if on one.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::{fmt, iter};

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

/// How many connections the system queues until they are accepted.
const BACKLOG: i32 = 1024;
/// How often another port is tried if the system's choice for one loopback address is taken on the other.
const SAME_PORT_TRIES: usize = 16;

/// The system's error for a family of addresses that it does not have.
#[cfg(unix)]
const NO_SUCH_FAMILY: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
#[cfg(windows)]
const NO_SUCH_FAMILY: i32 = 10_047;

/// One place to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This address.
    Address(SocketAddr),
    /// This port on both loopback addresses: some programs resolve `localhost` to one, some to the other. A host may
    /// lack one of them. With port 0, a port that is free on both.
    Localhost(u16),
}

impl Place {
    /// Its addresses; at least one.
    pub fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        let (first, second) = match self {
            Self::Address(address) => (address, None),
            Self::Localhost(port) => {
                let (v4, v6) = loopback(port);
                (v4, Some(v6))
            }
        };
        iter::once(first).chain(second)
    }
}

fn loopback(port: u16) -> (SocketAddr, SocketAddr) {
    let on = |ip: IpAddr| SocketAddr::new(ip, port);
    (on(Ipv4Addr::LOCALHOST.into()), on(Ipv6Addr::LOCALHOST.into()))
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// Where to listen: at least one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<Place>);

impl Listen {
    /// `None` if `places` is empty.
    pub fn new(places: Vec<Place>) -> Option<Self> {
        (!places.is_empty()).then_some(Self(places))
    }

    /// The places, at least one.
    pub fn places(&self) -> &[Place] {
        &self.0
    }

    /// Every address, at least one. A host may lack one of the loopback addresses.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().flat_map(|place| place.addresses())
    }

    /// An address and port that both would listen on. Port 0 is never shared: the system chooses another one each time.
    pub fn shared_with(&self, other: &Self) -> Option<SocketAddr> {
        let other: Vec<_> = other.addresses().collect();
        self.addresses()
            .find(|address| address.port() != 0 && other.contains(address))
    }

    /// Whether this is the unspecified IPv6 address and must not take IPv4 too, since another address of the list does.
    fn splits_families(&self, address: SocketAddr) -> bool {
        let is_v4_of_port = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
        address.is_ipv6() && address.ip().is_unspecified() && self.addresses().any(is_v4_of_port)
    }
}

impl<P: Into<Place>> From<P> for Listen {
    fn from(place: P) -> Self {
        Self(vec![place.into()])
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, address) in self.addresses().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

/// The gateway cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[error("{addr}: {source}")]
pub struct BindError {
    /// The address as configured.
    pub addr: SocketAddr,
    /// The system's error.
    pub source: io::Error,
}

/// Open ports, at least one.
#[derive(Debug)]
pub struct Listeners {
    ports: Vec<TcpListener>,
    /// The port that is polled first; it rotates, so that a busy port does not starve the others.
    first: AtomicUsize,
}

/// Open ports that belong to no runtime, at least one.
#[derive(Debug)]
pub struct StdListeners(Vec<std::net::TcpListener>);

impl Listeners {
    /// Opens every place. Returns the ports and their addresses in the order of the places, at least one; a port that
    /// was 0 is the one that the system chose. Must be called on a runtime.
    ///
    /// # Errors
    /// The first address that the gateway cannot listen on. A loopback address that this host lacks is skipped if the
    /// host has the other one.
    pub fn bind(listen: &Listen) -> Result<(Self, Vec<SocketAddr>), BindError> {
        Self::bind_with(listen, |address| open(address, listen.splits_families(address)))
    }

    fn bind_with(
        listen: &Listen,
        bind: impl Fn(SocketAddr) -> io::Result<TcpListener>,
    ) -> Result<(Self, Vec<SocketAddr>), BindError> {
        let bind = |addr| {
            let open = bind(addr).and_then(|port| Ok((port.local_addr()?, port)));
            let (bound, port) = open.map_err(|source| BindError { addr, source })?;
            Ok((port, bound))
        };
        let mut ports = Vec::new();
        for place in listen.places() {
            match place {
                Place::Address(address) => ports.push(bind(*address)?),
                Place::Localhost(port) => ports.extend(bind_localhost(*port, bind)?),
            }
        }
        let (ports, addresses) = ports.into_iter().unzip();
        let first = AtomicUsize::new(0);
        Ok((Self { ports, first }, addresses))
    }

    /// The next connection on any port. Cancel safe.
    ///
    /// # Errors
    /// As [`TcpListener::accept`]; the next call may succeed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        poll_fn(|cx| {
            for n in 0..self.ports.len() {
                let port = &self.ports[first.wrapping_add(n) % self.ports.len()];
                if let Poll::Ready(accepted) = port.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Detaches the ports from this runtime, for [`StdListeners::register`] on another.
    ///
    /// # Errors
    /// The system refuses.
    pub fn into_std(self) -> io::Result<StdListeners> {
        let ports = self.ports.into_iter().map(TcpListener::into_std);
        Ok(StdListeners(ports.collect::<io::Result<_>>()?))
    }
}

impl StdListeners {
    /// Registers the ports with the runtime that this is called on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn register(self) -> io::Result<Listeners> {
        let ports = self.0.into_iter().map(TcpListener::from_std);
        Ok(Listeners {
            ports: ports.collect::<io::Result<_>>()?,
            first: AtomicUsize::new(0),
        })
    }
}

impl From<TcpListener> for Listeners {
    fn from(port: TcpListener) -> Self {
        Self {
            ports: vec![port],
            first: AtomicUsize::new(0),
        }
    }
}

/// Opens a port as tokio does. Sets `IPV6_V6ONLY` only if `only_v6` is set: the default differs between systems.
fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows this would let two programs share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Opens a port on both loopback addresses, or on the only one that the host has.
fn bind_localhost(
    port: u16,
    bind: impl Fn(SocketAddr) -> Result<(TcpListener, SocketAddr), BindError>,
) -> Result<Vec<(TcpListener, SocketAddr)>, BindError> {
    let (v4, v6) = loopback(port);
    let mut tries = 1..=SAME_PORT_TRIES;
    loop {
        tries.next();
        let first = match bind(v4) {
            Ok(first) => first,
            Err(e) if e.is_absent() => {
                debug!("this host has no {}: {}", v4.ip(), e.source);
                // If the host has neither, report the IPv4 address.
                return bind(v6).map(|second| vec![second]).map_err(|_| e);
            }
            Err(e) => return Err(e),
        };
        match bind(SocketAddr::new(v6.ip(), first.1.port())) {
            Ok(second) => return Ok(vec![first, second]),
            Err(e) if e.is_absent() => {
                debug!("this host has no {}: {}", v6.ip(), e.source);
                return Ok(vec![first]);
            }
            // Another program has this port on the second address; the system will choose another one.
            Err(e) if port == 0 && e.source.kind() == io::ErrorKind::AddrInUse && !tries.is_empty() => {}
            Err(e) => return Err(e),
        }
    }
}

impl BindError {
    /// Whether the host lacks the address or its whole family; otherwise the port is taken or forbidden, or the system is
    /// short of something.
    fn is_absent(&self) -> bool {
        let is_known = matches!(
            self.source.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
        );
        is_known || self.source.raw_os_error() == Some(NO_SUCH_FAMILY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: io::ErrorKind) -> io::Error {
        io::Error::from(kind)
    }

    /// Binds for real, unless the host that is played lacks the address.
    fn without(absent: Option<IpAddr>) -> impl Fn(SocketAddr) -> io::Result<TcpListener> {
        move |address| {
            if absent == Some(address.ip()) {
                return Err(refused(io::ErrorKind::AddrNotAvailable));
            }
            open(address, false)
        }
    }

    fn has_v6() -> bool {
        open(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0), false).is_ok()
    }

    #[tokio::test]
    async fn localhost_is_one_port_of_both_addresses_or_of_the_one_that_there_is() {
        let listen = Listen::from(Place::Localhost(0));
        for (absent, wanted) in [
            (None, 2),
            (Some(IpAddr::from(Ipv6Addr::LOCALHOST)), 1),
            (Some(IpAddr::from(Ipv4Addr::LOCALHOST)), 1),
        ] {
            let (_, addresses) = Listeners::bind_with(&listen, without(absent)).expect("an address is left");
            if has_v6() {
                assert_eq!(addresses.len(), wanted, "{addresses:?} without {absent:?}");
            }
            assert!(
                addresses
                    .iter()
                    .all(|a| a.port() == addresses[0].port() && a.port() != 0)
            );
        }
        let none = |_| Err(refused(io::ErrorKind::Unsupported));
        let error = Listeners::bind_with(&listen, none).expect_err("no address");
        assert_eq!(error.addr.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[tokio::test]
    async fn an_address_that_was_asked_for_must_be_there_and_a_taken_port_is_an_error() {
        let v6 = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
        let lacking = without(Some(v6.ip()));
        let error = Listeners::bind_with(&Listen::from(v6), lacking).expect_err("no such address");
        assert_eq!(error.addr, v6);
        let taken = open(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), false).expect("a port");
        let port = taken.local_addr().expect("open").port();
        let error = Listeners::bind(&Place::Localhost(port).into()).expect_err("taken");
        assert_eq!(
            (error.addr.port(), error.source.kind()),
            (port, io::ErrorKind::AddrInUse)
        );
    }

    #[tokio::test]
    async fn another_port_is_tried_if_the_chosen_one_is_taken_on_the_other_address() {
        let refusals = AtomicUsize::new(3);
        let bind = |address: SocketAddr| {
            let refuse = address.is_ipv6()
                && refusals
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok();
            if refuse {
                return Err(refused(io::ErrorKind::AddrInUse));
            }
            without(None)(address)
        };
        Listeners::bind_with(&Place::Localhost(0).into(), bind).expect("the fourth try");
        assert_eq!(refusals.load(Ordering::Relaxed), 0);
        let never = |address: SocketAddr| match address.is_ipv6() {
            true => Err(refused(io::ErrorKind::AddrInUse)),
            false => without(None)(address),
        };
        let error = Listeners::bind_with(&Place::Localhost(0).into(), never).expect_err("always taken");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn every_port_is_accepted_from() {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let listen = Listen::new(vec![any.into(), any.into(), any.into()]).expect("places");
        let (open, addresses) = Listeners::bind(&listen).expect("free ports");
        for address in addresses.iter().chain(&addresses) {
            let (dialled, accepted) = tokio::join!(TcpStream::connect(address), open.accept());
            let (dialled, (_, from)) = (dialled.expect("connected"), accepted.expect("accepted"));
            assert_eq!(dialled.local_addr().expect("open"), from);
        }
    }

    #[tokio::test]
    async fn everything_of_both_families_may_share_a_port() {
        if !has_v6() {
            return println!("not run: this host has no IPv6");
        }
        let free = open(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0), false).expect("a port");
        let port = free.local_addr().expect("open").port();
        drop(free);
        let all = |ip: IpAddr| Place::Address(SocketAddr::new(ip, port));
        let listen = Listen::new(vec![
            all(Ipv4Addr::UNSPECIFIED.into()),
            all(Ipv6Addr::UNSPECIFIED.into()),
        ]);
        let (_, addresses) = Listeners::bind(&listen.expect("places")).expect("both");
        assert_eq!(addresses.len(), 2);
    }

    #[test]
    fn what_two_ports_would_share_is_found() {
        let listen = |text: &str| {
            let places = text
                .split(' ')
                .map(|a| Place::Address(a.parse().expect("an address")));
            Listen::new(places.collect()).expect("a place")
        };
        let local = Listen::from(Place::Localhost(5));
        assert_eq!(local.to_string(), "127.0.0.1:5, [::1]:5");
        assert_eq!(
            local.shared_with(&listen("10.0.0.1:5 [::1]:5")),
            "[::1]:5".parse().ok()
        );
        assert_eq!(local.shared_with(&listen("127.0.0.1:6")), None);
        let any = Listen::from(Place::Localhost(0));
        assert_eq!(any.shared_with(&any), None);
    }
}
