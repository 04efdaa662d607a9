//! Connections over embassy-net, for every board that runs it.

use core::net::IpAddr;

use embassy_net::dns::DnsQueryType;
use embassy_net::tcp::TcpSocket;
use embassy_net::{IpAddress, Stack};

use crate::client::Dial;
use crate::report::Loss;

/// TCP over a network stack, with room for what is on its way.
pub struct NetDial<'d, const ROOM: usize = 2048> {
    stack: Stack<'d>,
    rx: [u8; ROOM],
    tx: [u8; ROOM],
}

impl<'d, const ROOM: usize> NetDial<'d, ROOM> {
    /// Connections over this stack.
    pub const fn new(stack: Stack<'d>) -> Self {
        Self {
            stack,
            rx: [0; ROOM],
            tx: [0; ROOM],
        }
    }
}

impl<const ROOM: usize> Dial for NetDial<'_, ROOM> {
    type Stream<'s>
        = TcpSocket<'s>
    where
        Self: 's;

    async fn dial(&mut self, host: &str, port: u16) -> Result<TcpSocket<'_>, Loss<'static>> {
        self.stack.wait_config_up().await;
        let address: IpAddress = match host.parse() {
            Ok(IpAddr::V4(address)) => address.into(),
            Ok(IpAddr::V6(_)) => return Err(Loss::Unreachable),
            Err(_) => {
                let found = self.stack.dns_query(host, DnsQueryType::A).await;
                let found = found.map_err(|_| Loss::Unreachable)?;
                *found.first().ok_or(Loss::Unreachable)?
            }
        };
        let mut socket = TcpSocket::new(self.stack, &mut self.rx, &mut self.tx);
        // An answer must not wait for the acknowledgement of the one before.
        socket.set_nagle_enabled(false);
        let connected = socket.connect((address, port)).await;
        connected.map_err(|_| Loss::Unreachable)?;
        Ok(socket)
    }

    async fn hang_up<'s>(mut socket: TcpSocket<'s>)
    where
        Self: 's,
    {
        // A socket that is merely dropped tells the gateway nothing.
        socket.close();
        let _ = socket.flush().await;
    }
}
