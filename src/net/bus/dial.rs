//! Dials a broker, until it has accepted the connection.

use std::io;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use rumqttc::mqttbytes::Error;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, LastWill, Login, Packet};
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use super::connection::Connection;
use super::error::{BusError, Refusal};
use super::packets::{Incoming, PacketCodec};
use super::{BusSettings, Message};
use crate::defaults::{BUS_CONNECT_TIMEOUT, BUS_SEND_BUFFER_BYTES};
use crate::net::broker::BrokerUrl;
use crate::net::stream::Stream;

/// Connects, and waits for the broker to accept. Takes at most [`BUS_CONNECT_TIMEOUT`]. Not cancel safe: a dropped
/// future drops the connection.
///
/// # Errors
/// [`BusError`].
pub(super) async fn dial(settings: Arc<BusSettings>, will: Option<Message>) -> Result<Connection, BusError> {
    let dialed = timeout(BUS_CONNECT_TIMEOUT, dial_without_limit(&settings, will)).await;
    dialed.unwrap_or_else(|_| Err(BusError::TimedOut(settings.broker.clone())))
}

async fn dial_without_limit(settings: &BusSettings, will: Option<Message>) -> Result<Connection, BusError> {
    let broker = settings.broker.clone();
    let no_tcp = |source| BusError::Tcp {
        broker: broker.clone(),
        source,
    };
    let tcp = TcpStream::connect(broker.host_and_port()).await.map_err(no_tcp)?;
    // Needed under TLS too: each message is a command and must not wait for the next.
    tcp.set_nodelay(true).map_err(no_tcp)?;
    // What the system holds back is out of reach, and too old when the broker takes it.
    let small = SockRef::from(&tcp).set_send_buffer_size(BUS_SEND_BUFFER_BYTES);
    small.map_err(no_tcp)?;
    let stream = if broker.is_tls() {
        encrypt(settings, tcp).await?
    } else {
        Stream::Plain(tcp)
    };
    let mut framed = Framed::new(stream, PacketCodec::default());
    let sent = framed.send(Packet::Connect(connect(settings, will))).await;
    sent.map_err(|e| unanswered(&broker, e))?;
    match framed.next().await {
        None => return Err(BusError::HungUp(broker)),
        Some(Err(e)) => return Err(unanswered(&broker, e)),
        Some(Ok(Incoming::Packet(Packet::ConnAck(ConnAck { code, .. })))) => {
            if let Some(why) = refusal(code) {
                return Err(BusError::Refused { broker, why });
            }
        }
        Some(Ok(_)) => {
            let why = "its first packet is not the answer to CONNECT".to_owned();
            return Err(BusError::NotMqtt { broker, why });
        }
    }
    Ok(Connection::new(broker, settings.keepalive, framed))
}

/// What went wrong before the broker answered.
fn unanswered(broker: &BrokerUrl, error: Error) -> BusError {
    let broker = broker.clone();
    match error {
        // A refused client certificate is told after the handshake.
        Error::Io(source) if matches!(source.get_ref(), Some(e) if e.is::<rustls::Error>()) => {
            BusError::Tls { broker, source }
        }
        Error::Io(source) if is_hang_up(&source) => BusError::HungUp(broker),
        Error::Io(source) => BusError::Broke { broker, source },
        other => BusError::NotMqtt {
            broker,
            why: other.to_string(),
        },
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn refusal(code: ConnectReturnCode) -> Option<Refusal> {
    Some(match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::RefusedProtocolVersion => Refusal::Version,
        ConnectReturnCode::BadClientId => Refusal::ClientId,
        ConnectReturnCode::ServiceUnavailable => Refusal::Unavailable,
        ConnectReturnCode::BadUserNamePassword => Refusal::Credentials,
        ConnectReturnCode::NotAuthorized => Refusal::NotAuthorized,
    })
}

fn connect(settings: &BusSettings, will: Option<Message>) -> Connect {
    let mut connect = Connect::new(&settings.client_id);
    // A whole number of seconds, and 0 would switch it off.
    connect.keep_alive = u16::try_from(settings.keepalive.as_secs().max(1)).unwrap_or(u16::MAX);
    connect.last_will = will.map(|will| LastWill {
        topic: will.topic,
        message: will.payload,
        qos: will.qos.into(),
        retain: will.retain,
    });
    let (user, password) = (settings.user.as_deref(), settings.password.as_deref());
    if user.is_some() || password.is_some() {
        connect.login = Some(Login::new(user.unwrap_or_default(), password.unwrap_or_default()));
    }
    connect
}

async fn encrypt(settings: &BusSettings, tcp: TcpStream) -> Result<Stream, BusError> {
    let broker = || settings.broker.clone();
    let connector = settings.tls.loaded().await.map_err(|source| BusError::NoRoots {
        broker: broker(),
        source,
    })?;
    let no_tls = |source| BusError::Tls {
        broker: broker(),
        source,
    };
    let name = ServerName::try_from(settings.broker.host_and_port().0.to_owned())
        .map_err(|e| no_tls(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    let tls = connector.connect(name, tcp).await.map_err(no_tls)?;
    Ok(Stream::Tls(Box::new(tls.into())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use std::time::Duration;

    use super::*;
    use crate::net::stream::Socket;
    use crate::net::tls::Tls;

    #[tokio::test]
    async fn no_message_waits_in_the_system_for_the_next() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap());
        let settings = Arc::new(BusSettings {
            broker: BrokerUrl::parse(&url).unwrap(),
            tls: Tls::system(),
            user: None,
            password: None,
            client_id: "one".to_owned(),
            keepalive: Duration::from_secs(5),
        });
        let broker = async {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_u8().await.unwrap();
            client.write_all(&[0x20, 2, 0, 0]).await.unwrap();
            client
        };
        let (connection, _client) = tokio::join!(dial(settings, None), broker);
        assert!(connection.unwrap().stream().tcp().nodelay().unwrap());
    }
}
