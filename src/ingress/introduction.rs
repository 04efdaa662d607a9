//! How it becomes known who a board on a wire or on Bluetooth is: from its entry in the configuration, from its hello
//! line, or from both.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use crate::device::handshake::{Address, Handshake, HandshakeError, Identifier};
use crate::device::hello::Known;
use crate::device::peer::Peer;
use crate::ingress::hello::{self, HelloError};

/// What there is to go by before the board has said anything.
#[derive(Debug)]
pub struct Introduction<'a> {
    /// What its entry says that it is; `None` waits for its hello line.
    pub identifier: Option<&'a Identifier>,
    /// Which one its entry says that it is; where the entry means several, what `own_address` is put behind.
    pub address: Option<&'a Address>,
    /// The entry means one board.
    pub is_one: bool,
    /// What tells it from others of its kind.
    pub own_address: String,
    /// The keepalive of its entry, which its hello line does not change.
    pub keepalive: Option<Duration>,
    /// For how long a board whose identity is configured is read from and left alone; `None` reads nothing.
    pub settle: Option<Duration>,
}

impl Introduction<'_> {
    /// Finds out who the board is. What it said besides stays in `read`. Not cancel safe.
    ///
    /// # Errors
    /// It does not say who it is, is gone, or has an address that does not fit a handshake.
    pub async fn introduce<P>(
        self,
        peer: &Peer,
        port: &mut P,
        read: &mut BytesMut,
    ) -> Result<(Handshake, Known), HelloError>
    where
        P: AsyncRead + AsyncWrite + Unpin,
    {
        let address = self.address()?;
        let mut known = Known {
            keepalive: self.keepalive,
            configured: self.identifier.cloned(),
        };
        let (said, handshake) = match self.identifier {
            Some(identifier) => {
                let said = match self.settle {
                    Some(time) => hello::settle(port, read, time).await?,
                    None => None,
                };
                (said, Handshake::new(identifier.clone(), address))
            }
            None => {
                let settle = self.settle.unwrap_or_default();
                let said = hello::wait_for_hello(port, read, settle, &address).await?;
                let mut handshake = said.handshake.clone();
                if self.address.is_some() {
                    handshake.address = address;
                }
                (Some(said), handshake)
            }
        };
        if let Some(said) = said
            && let Err(other) = known.hear(&said)
        {
            warn!("{peer}: {other}");
        }
        Ok((handshake, known))
    }

    /// The address of the entry, or what stands in where the board names none.
    fn address(&self) -> Result<Address, HandshakeError> {
        match self.address {
            Some(address) if self.is_one => Ok(address.clone()),
            Some(prefix) => Address::new(format!("{}{}", prefix.as_str(), self.own_address)),
            None => Address::new(self.own_address.clone()),
        }
    }
}
