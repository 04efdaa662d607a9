//! The gateway as its views see it: the Buttplug server inside behind the trait of the web room, and the page's port.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::either::Either;
use tracing::warn;

use super::GatewayError;
use crate::advice::Advice;
use crate::clients::origins::{self, SaveError, Verdict};
use crate::clients::{BlockError, Clients};
use crate::config::PageSettings;
use crate::device::peer::ConnectionId;
use crate::net::listen::Listeners;
use crate::udcf::edit::device::Subject;
use crate::upstream::embedded::Engine;
use crate::web::view::origins::{Answer, Origin, OriginError, Question, Standing};
use crate::web::view::{App, Listed, Server, seconds};

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

    fn stop_all(&self) -> BoxFuture<'static, ()> {
        let engine = self.engine.clone();
        async move { engine.stop_all().await }.boxed()
    }

    fn stop(&self, index: u32) -> BoxFuture<'static, ()> {
        let engine = self.engine.clone();
        async move { engine.stop_listed(index).await }.boxed()
    }

    fn serve_page(&self, connection: Upgraded, peer: SocketAddr, local: SocketAddr, origin: String) {
        let clients = self.clients.clone();
        self.engine.runtime().spawn(async move {
            let stream = Either::Right(Box::new(TokioIo::new(connection)) as _);
            let config = Clients::websocket_config();
            let ws = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            clients.serve_page(ws, peer, local, origin);
        });
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

/// Opens the page's port. Without one, the gateway runs all the same, unless its address was configured.
pub(super) fn listen(page: &PageSettings) -> Result<Option<(Listeners, Vec<SocketAddr>)>, GatewayError> {
    match super::listen("the page", &page.listen) {
        Ok(open) => Ok(Some(open)),
        Err(e) if page.is_required => Err(e),
        Err(e) => {
            warn!("no page: {}", e.with_hint());
            Ok(None)
        }
    }
}
