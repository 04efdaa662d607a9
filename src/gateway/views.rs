//! The gateway as its views see it: the Buttplug server inside behind the trait of the web room, and the page's port.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::GatewayError;
use crate::advice::Advice;
use crate::clients::origins::{self, SaveError, Verdict};
use crate::clients::{BlockError, Clients};
use crate::config::PageSettings;
use crate::device::peer::ConnectionId;
use crate::net::listen::Listeners;
use crate::session::life::Life;
use crate::udcf::edit::device::Subject;
use crate::upstream::embedded::Engine;
use crate::web::port::PagePort;
use crate::web::port::access::Access;
use crate::web::port::guard::Guard;
use crate::web::view::origins::{Answer, Origin, OriginError, Question, Standing};
use crate::web::view::{App, Listed, Server, View, seconds};

/// The Buttplug server inside, with the port of its apps.
pub(super) struct ServerInside {
    pub(super) engine: Arc<Engine>,
    pub(super) clients: Clients,
}

impl Server for ServerInside {
    fn listed(&self) -> HashMap<ConnectionId, Listed> {
        let table = self.engine.devices().borrow().clone();
        let listed = table.values().map(|device| {
            let listed = Listed {
                name: (device.info.device_display_name().clone())
                    .unwrap_or_else(|| device.info.device_name().clone()),
                index: device.index,
                driver: self.clients.driver(device.index, device.connection),
            };
            (device.connection, listed)
        });
        listed.collect()
    }

    fn subject(&self, connection: ConnectionId) -> Option<Subject> {
        let table = self.engine.devices().borrow().clone();
        let device = table.values().find(|device| device.connection == connection)?;
        Some(
            device.subject(
                table
                    .keys()
                    .copied()
                    .filter(|index| *index != device.index)
                    .collect(),
            ),
        )
    }

    fn apps(&self) -> Vec<App> {
        let apps = self.clients.apps().into_iter().map(|app| App {
            id: app.id,
            name: app.name,
            peer: app.peer.to_string(),
            origin: app.origin,
            since: seconds(app.since),
            message_version: app.message_version,
            drives: Vec::new(),
            is_page: app.is_page,
        });
        apps.collect()
    }

    fn disconnect(&self, app: u64) -> bool {
        self.clients.disconnect(app)
    }

    fn block(&self, app: u64) -> Result<(), OriginError> {
        self.clients.block(app).map_err(|e| match e {
            BlockError::NoApp => OriginError::Absent,
            BlockError::NoOrigin(why) => OriginError::NoOrigin(why),
            BlockError::NotSaved(e) => OriginError::NotSaved(e.to_string()),
        })
    }

    fn questions(&self) -> Vec<Question> {
        let questions = self
            .clients
            .origins()
            .questions()
            .into_iter()
            .map(|question| Question {
                id: question.id,
                origin: question.origin,
                peer: question.peer.to_string(),
                since: seconds(question.since),
            });
        questions.collect()
    }

    fn answer(&self, question: u64, answer: Answer) -> Result<(), OriginError> {
        let answer = match answer {
            Answer::Once => origins::Answer::Once,
            Answer::Always => origins::Answer::From(Verdict::Always),
            Answer::Never => origins::Answer::From(Verdict::Never),
        };
        found(self.clients.answer(question, answer))
    }

    fn origins(&self) -> Vec<Origin> {
        let remembered = self.clients.origins().remembered().into_iter();
        let remembered = remembered.map(|(origin, verdict)| Origin {
            origin,
            answer: match verdict {
                Verdict::Always => Standing::Always,
                Verdict::Never => Standing::Never,
            },
        });
        remembered.collect()
    }

    fn forget_origin(&self, origin: &str) -> Result<(), OriginError> {
        found(self.clients.forget_origin(origin))
    }

    fn stop(&self, index: u32) -> BoxFuture<'static, bool> {
        self.engine.stop_listed(index).boxed()
    }

    fn serve_page(
        &self,
        connection: Upgraded,
        peer: SocketAddr,
        local: SocketAddr,
        origin: Option<String>,
        life: Option<Arc<Life>>,
        ended: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        let clients = self.clients.clone();
        let served = self.engine.runtime().spawn(async move {
            let stream = Either::Right(Box::new(TokioIo::new(connection)) as _);
            let config = Clients::websocket_config();
            let ws = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            // If it panicked, it has left too.
            let _ = clients.serve_page(ws, peer, local, origin, life, ended).await;
        });
        served.map(drop).boxed()
    }
}

/// Whether an order found what it is about, and was saved.
fn found(outcome: Result<bool, SaveError>) -> Result<(), OriginError> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err(OriginError::Absent),
        Err(e) => Err(OriginError::NotSaved(e.to_string())),
    }
}

/// The open port of the page, and who may use it.
pub(super) struct Page {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) access: Access,
    listeners: Listeners,
    guard: Guard,
}

impl Page {
    /// Opens the page's port. Without one, the gateway runs all the same, unless its address was configured.
    pub(super) fn open(settings: &PageSettings) -> Result<Option<Self>, GatewayError> {
        let (listeners, addresses) = match super::listen("the page", &settings.listen) {
            Ok(open) => open,
            Err(e) if settings.is_required => return Err(e),
            Err(e) => {
                warn!("no page: {}", e.with_hint());
                return Ok(None);
            }
        };
        Ok(Some(Self {
            access: Access::new(
                settings.password.as_ref(),
                settings.token.as_ref(),
                addresses[0].port(),
            ),
            guard: Guard::new(&addresses, &settings.hosts),
            addresses,
            listeners,
        }))
    }

    /// Serves until the view's `stop` is cancelled; completes when every connection is closed, or after a second.
    pub(super) async fn serve(self, view: View) {
        PagePort::new(self.listeners, self.guard, self.access, view)
            .serve()
            .await;
    }
}

/// An address that a browser on this machine can open, for one that may stand for every address.
pub(super) fn on_this_machine(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
