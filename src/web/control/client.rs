//! The client side of the control socket.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::advice::Advice;
use crate::defaults::{CONTROL_TIMEOUT, STOP_FLUSH_TIMEOUT};
use crate::text::printable;
use crate::web::api::frames::{SessionInfo, Unknown};
use crate::web::api::{Devices, Problem};
use crate::web::view::Stopped;
use crate::web::view::configuration::Changed;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens on the socket, or it does not answer.
    #[error("{0}")]
    Connect(#[source] io::Error),
    /// The connection was lost, or the peer does not speak HTTP.
    #[error("{0}")]
    Lost(#[from] hyper::Error),
    /// No device has this address. Lists the connected devices.
    #[error("no device with this address is connected")]
    Unknown(Vec<SessionInfo>),
    /// The gateway refused the request with this text.
    #[error("{}", printable(.0.as_bytes()))]
    Refused(String),
    /// The answer cannot be parsed, as from a gateway of another version.
    #[error("an answer that cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Advice for ClientError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Connect(e) => match e.kind() {
                io::ErrorKind::PermissionDenied => {
                    "the socket belongs to another user: run this as the user that the gateway runs as"
                }
                io::ErrorKind::TimedOut => {
                    "the gateway is suspended or hangs: resume it, or end it and start it again"
                }
                _ => "is wsdm-gateway run running, on this machine and as this user?",
            },
            Self::Lost(_) => "the gateway has stopped, or what listens there is none",
            Self::Unreadable(_) => "update wsdm-gateway, and start it again: both must be of one version",
            Self::Unknown(_) | Self::Refused(_) => return None,
        };
        Some(hint.into())
    }
}

/// A connection to a gateway. When it is dropped, the gateway stops the devices that were commanded through it.
#[derive(Debug)]
pub struct Client {
    requests: SendRequest<Full<Bytes>>,
    _connection: AbortOnDropHandle<()>,
}

impl Client {
    /// Connects to a gateway's socket.
    ///
    /// # Errors
    /// [`ClientError::Connect`]
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = timeout(CONTROL_TIMEOUT, UnixStream::connect(socket)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (requests, connection) = handshake(TokioIo::new(stream.map_err(ClientError::Connect)?)).await?;
        // The request in progress reports how the connection ended.
        let connection = tokio::spawn(async move { connection.await.unwrap_or_default() });
        Ok(Self {
            requests,
            _connection: AbortOnDropHandle::new(connection),
        })
    }

    /// Lists the sessions, sorted by address.
    ///
    /// # Errors
    /// The gateway does not answer, or its answer cannot be parsed.
    pub async fn sessions(&mut self) -> Result<Vec<SessionInfo>, ClientError> {
        let request = async { json(self.request(Method::GET, "/api/sessions", Bytes::new()).await?).await };
        in_time(CONTROL_TIMEOUT, request).await
    }

    /// Lists the devices: connected, gone and refused.
    ///
    /// # Errors
    /// The gateway does not answer, or its answer cannot be parsed.
    pub async fn devices(&mut self) -> Result<Devices, ClientError> {
        let request = async { json(self.request(Method::GET, "/api/devices", Bytes::new()).await?).await };
        in_time(CONTROL_TIMEOUT, request).await
    }

    /// Stops every device, or the one of this address; completes when they have taken their stops.
    ///
    /// # Errors
    /// [`ClientError::Unknown`], or the gateway does not answer.
    pub async fn stop(&mut self, address: Option<&str>) -> Result<Stopped, ClientError> {
        let path = match address {
            Some(address) => format!("{}/stop", device_path(address)),
            None => "/api/stop".to_owned(),
        };
        let request = async { json(self.request(Method::POST, &path, Bytes::new()).await?).await };
        in_time(CONTROL_TIMEOUT + STOP_FLUSH_TIMEOUT, request).await
    }

    /// Makes the gateway read its configuration files again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if it cannot use them, or the gateway does not answer.
    pub async fn reload(&mut self) -> Result<Changed, ClientError> {
        let request = async { json(self.request(Method::POST, "/api/reload", Bytes::new()).await?).await };
        in_time(CONTROL_TIMEOUT, request).await
    }

    /// Streams the frames of a device from now on, across all its sessions.
    ///
    /// # Errors
    /// [`ClientError::Unknown`], or the gateway does not answer.
    pub async fn follow(&mut self, address: &str) -> Result<Lines, ClientError> {
        let path = format!("{}?follow", frames_path(address));
        let answer = self.request(Method::GET, &path, Bytes::new()).await?;
        Ok(Lines {
            body: answer.into_body(),
            read: BytesMut::new(),
        })
    }

    /// Sends a frame to a device; completes when the link has taken it. Dropping the future may lose the connection.
    ///
    /// # Errors
    /// [`ClientError::Unknown`], or [`ClientError::Refused`] with the reason.
    pub async fn send(&mut self, address: &str, frame: Bytes) -> Result<(), ClientError> {
        let answer = self.request(Method::POST, &frames_path(address), frame).await?;
        // Read to the end, so that the connection can be reused.
        answer.collect().await?;
        Ok(())
    }

    /// Shows a sign of life, so that devices which were sent frames on this connection go on. Dropping the future may lose
    /// the connection.
    ///
    /// # Errors
    /// The connection was lost, or the gateway is too old to ask for signs of life.
    pub async fn alive(&mut self) -> Result<(), ClientError> {
        let answer = self.request(Method::POST, "/api/alive", Bytes::new()).await?;
        answer.collect().await?;
        Ok(())
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        let request = request.body(Full::new(body)).expect("a path of plain ASCII");
        self.requests.ready().await?;
        let answer = self.requests.send_request(request).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => Err(ClientError::Unknown(json::<Unknown>(answer).await?.sessions)),
            status => {
                let body = answer.collect().await?.to_bytes();
                let problem = serde_json::from_slice::<Problem>(&body);
                Err(ClientError::Refused(match problem {
                    Ok(Problem { error, hint: None }) => error,
                    Ok(Problem {
                        error,
                        hint: Some(hint),
                    }) => format!("{error}; {hint}"),
                    Err(_) => status.to_string(),
                }))
            }
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let answer = timeout(limit, request).await;
    answer.unwrap_or_else(|_| Err(ClientError::Connect(io::ErrorKind::TimedOut.into())))
}

async fn json<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, ClientError> {
    Ok(serde_json::from_slice(&answer.collect().await?.to_bytes())?)
}

/// Encodes every byte, since an address may contain anything, even `/` and `..`.
fn device_path(address: &str) -> String {
    let encoded: String = address.bytes().map(|b| format!("%{b:02X}")).collect();
    format!("/api/devices/{encoded}")
}

fn frames_path(address: &str) -> String {
    format!("{}/frames", device_path(address))
}

/// The lines of a frame stream.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    read: BytesMut,
}

impl Lines {
    /// Returns the next line without its newline; `None` when the gateway has ended the stream. Cancel safe.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.read.iter().position(|b| *b == b'\n') {
                let line = self.read.split_to(end);
                self.read.advance(1);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_way_to_get_no_answer_has_its_own_hint() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Client::connect(&folder.path().join("none.sock")).await;
        let hint = |error: &ClientError| error.hint().unwrap_or_default().into_owned();
        assert!(hint(&nothing.unwrap_err()).contains("is wsdm-gateway run running"));
        for (kind, part) in [
            (io::ErrorKind::ConnectionRefused, "is wsdm-gateway run running"),
            (io::ErrorKind::PermissionDenied, "another user"),
            (io::ErrorKind::TimedOut, "suspended"),
        ] {
            let hint = hint(&ClientError::Connect(kind.into()));
            assert!(hint.contains(part), "{kind}: {hint}");
        }
    }

    #[tokio::test]
    async fn what_is_no_gateway_is_named_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.sock");
        let other = tokio::net::UnixListener::bind(&path).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = other.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 ready\r\n").await
        });
        let asked = async { Client::connect(&path).await?.sessions().await };
        let error = asked.await.unwrap_err();
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("what listens there is none"))
        );
        served.await.unwrap().unwrap();
    }
}
