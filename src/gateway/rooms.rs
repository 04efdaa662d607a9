//! The tasks of the gateway's parts.

use std::collections::HashMap;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::error;

use super::GatewayError;

/// The parts of the gateway, which run until they are cancelled.
#[derive(Default)]
pub(super) struct Rooms {
    tasks: JoinSet<()>,
    names: HashMap<tokio::task::Id, &'static str>,
}

impl Rooms {
    pub(super) fn spawn(&mut self, name: &'static str, room: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(room).id();
        self.names.insert(id, name);
    }

    pub(super) fn spawn_on(
        &mut self,
        name: &'static str,
        room: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
    ) {
        let id = self.tasks.spawn_on(room, runtime).id();
        self.names.insert(id, name);
    }

    /// Waits for the first part that ends by itself, which none should. Cancel safe.
    pub(super) async fn first_end(&mut self) -> GatewayError {
        let (id, why) = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, "it came to its end".to_owned()),
            Some(Err(e)) => (e.id(), format!("a fault inside the gateway: {e}")),
            // The device port is always there.
            None => std::future::pending().await,
        };
        let part = self.names.remove(&id).unwrap_or("a part");
        error!("{part} ended by itself ({why}): stopping");
        GatewayError::Ended { part, why }
    }

    /// Waits until all parts have ended. Cancel safe.
    pub(super) async fn drain(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            let id = ended.map_or_else(|e| e.id(), |(id, ())| id);
            self.names.remove(&id);
        }
    }

    /// The parts that have not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = &'static str> {
        self.names.values().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_that_ends_by_itself_or_panics_is_an_error_that_names_it() {
        for panics in [false, true] {
            let mut rooms = Rooms::default();
            rooms.spawn("the device port", std::future::pending());
            rooms.spawn("serial ports", async move { assert!(!panics, "oh") });
            let ended = rooms.first_end().await.to_string();
            assert!(ended.starts_with("serial ports ended by itself"), "{ended}");
            assert_eq!(rooms.open().collect::<Vec<_>>(), ["the device port"]);
        }
    }
}
