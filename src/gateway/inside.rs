//! The Buttplug server inside, with the port of its apps.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{GatewayError, listen};
use crate::clients::Clients;
use crate::clients::origins::Origins;
use crate::config::ClientSettings;
use crate::net::listen::StdListeners;
use crate::net::visitor::Signpost;
use crate::udcf::store::IndexStore;
use crate::upstream::embedded::{Engine, EngineError};

/// The Buttplug server inside, and the port of its clients. Absent if devices are relayed.
pub(super) struct Inside {
    pub(super) engine: Arc<Engine>,
    client_port: Option<StdListeners>,
    pub(super) announce: bool,
    pub(super) clients: Clients,
    pub(super) no_commands: CancellationToken,
    pub(super) no_clients: CancellationToken,
    pub(super) store: Arc<IndexStore>,
}

impl Inside {
    /// Opens the port of apps and starts the server, by `start`. Returns the addresses of the port too.
    ///
    /// # Errors
    /// The port is taken, or the server does not start.
    pub(super) async fn bind(
        settings: ClientSettings,
        state_file: Option<&Path>,
        page: Option<SocketAddr>,
        signpost: Signpost,
        start: impl FnOnce(Arc<IndexStore>) -> Result<Arc<Engine>, EngineError>,
    ) -> Result<(Self, Vec<SocketAddr>), GatewayError> {
        let (store, warnings) = IndexStore::open(state_file);
        for warning in warnings {
            warn!("{warning}");
        }
        let store = Arc::new(store);

        let (client_port, bound) = listen("clients", &settings.listen)?;
        let client_port = client_port.into_std().map_err(|source| GatewayError::Bind {
            what: "clients",
            addr: bound[0],
            source,
        })?;
        let announce = settings.announce;
        let origins = Origins::open(
            settings.origins.clone(),
            settings.question_timeout,
            page,
            state_file,
        );
        info!("{}", origins.in_words());
        let engine = start(store.clone())?;
        let (no_commands, no_clients) = (CancellationToken::new(), CancellationToken::new());
        let clients = Clients::new(
            engine.clone(),
            settings,
            origins,
            signpost,
            no_commands.clone(),
            no_clients.clone(),
        );
        Ok((
            Self {
                engine,
                client_port: Some(client_port),
                announce,
                clients,
                no_commands,
                no_clients,
                store,
            },
            bound,
        ))
    }

    /// Takes the future that serves clients, and the engine's runtime, on which it must run.
    pub(super) fn clients(&mut self) -> Option<(impl Future<Output = ()> + Send + 'static, Handle)> {
        let (port, clients) = (self.client_port.take()?, self.clients.clone());
        let serve = async move {
            // Registers the port with the engine's runtime, so that clients wake the engine's own thread.
            match port.register() {
                Ok(port) => clients.serve(port).await,
                Err(e) => warn!("cannot serve clients: {e}"),
            }
        };
        Some((serve, self.engine.runtime().clone()))
    }
}
