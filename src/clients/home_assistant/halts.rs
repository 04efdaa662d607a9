//! The stop buttons, for the boards of this gateway itself: their edges obey those of all others.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::clients::Clients;
use crate::defaults::STOP_FLUSH_TIMEOUT;
use crate::device::fleet::names::DeviceId;
use crate::device::peer::Peer;
use crate::session::registry::{Registry, SessionHandle};

/// Stops the boards of this gateway: all of them, also those that are not identified yet, or one.
pub(super) fn halt(clients: &Clients, registry: &Registry, one: Option<&DeviceId>, stops: &mut JoinSet<()>) {
    let is_meant = |session: &Arc<SessionHandle>| {
        !matches!(session.peer, Peer::Broker(_))
            && one.is_none_or(|device| DeviceId::of(&session.handshake) == *device)
    };
    if one.is_none() {
        for board in registry.unidentified() {
            stops.spawn(async move {
                let _ = timeout(STOP_FLUSH_TIMEOUT, board.stop()).await;
            });
        }
    }
    let engine = &clients.shared.engine;
    let table = engine.devices().borrow().clone();
    for session in registry.sessions().into_iter().filter(is_meant) {
        warn!(address = %session.handshake.address, "halted through the broker");
        let listed = table
            .values()
            .find(|device| device.connection == session.connection);
        // The call gives the order.
        let by_server = listed.map(|device| engine.stop_listed(device.index));
        stops.spawn(async move {
            let by_server = async {
                match by_server {
                    Some(stopped) => stopped.await,
                    None => true,
                }
            };
            let both = async { tokio::join!(by_server, session.stop_outputs()) };
            if !matches!(timeout(STOP_FLUSH_TIMEOUT, both).await, Ok((true, ()))) {
                warn!(address = %session.handshake.address, "the device has not taken its stop yet");
            }
        });
    }
}
