//! How long an entry of the configuration is at work.

use tokio_util::sync::CancellationToken;

/// From the moment that an entry takes effect until it is removed or changed, or the gateway stops.
#[derive(Clone, Debug)]
pub struct EntryScope {
    /// Cancelled when the entry is withdrawn or the gateway stops: nothing new begins.
    pub stop: CancellationToken,
    /// Cancelled when the entry is withdrawn: its sessions end.
    pub withdrawn: CancellationToken,
}

impl EntryScope {
    /// The scope of an entry that takes effect now; `gateway` is cancelled when the gateway stops.
    pub fn new(gateway: &CancellationToken) -> Self {
        Self {
            stop: gateway.child_token(),
            withdrawn: CancellationToken::new(),
        }
    }

    /// Stops the entry's boards and ends their sessions.
    pub fn withdraw(&self) {
        // In this order: a session that sees `stop` looks at `withdrawn` next.
        self.withdrawn.cancel();
        self.stop.cancel();
    }
}
