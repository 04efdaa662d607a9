//! A port that nobody else gets.

use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpSocket;

/// A port of this machine, kept from others until this is dropped. Nothing listens there, so connections are refused; a
/// program that is given the port may listen there, again and again.
pub struct Reserved(TcpSocket);

impl Default for Reserved {
    fn default() -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into())
    }
}

impl Reserved {
    pub fn at(host: IpAddr) -> Self {
        let socket = match host {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.expect("a socket");
        // The program that listens there sets this too.
        socket.set_reuseaddr(true).expect("a socket");
        socket.bind((host, 0).into()).expect("a free port");
        Self(socket)
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("bound").port()
    }
}
