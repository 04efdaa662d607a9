//! The threads on which websocket devices are served: one a core, each with a runtime of its own.
//!
//! A session mostly waits for its own two sockets, and gains nothing from moving between threads: on a runtime that
//! shares its tasks among threads, `cargo bench --bench bridge` carries about a tenth fewer frames with 50 devices.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::session::spin::spin;
use crate::thread;

/// Threads that take sessions in turn. Dropping this ends them, and what still runs there.
pub struct Workers {
    handles: Vec<Handle>,
    taken: AtomicUsize,
    _running: DropGuard,
}

impl Workers {
    /// Starts one thread a core.
    ///
    /// # Errors
    /// The system has no threads or no file descriptors left.
    pub fn start() -> io::Result<Self> {
        let over = CancellationToken::new();
        let running = over.clone().drop_guard();
        let cores = available_parallelism().map_or(1, usize::from);
        let handles = (0..cores)
            .map(|n| {
                let over = over.clone();
                let run = async move || {
                    over.run_until_cancelled(spin()).await;
                };
                thread::start(format!("devices-{n}"), run)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            handles,
            taken: AtomicUsize::new(0),
            _running: running,
        })
    }

    /// Whose turn it is.
    pub fn next(&self) -> Handle {
        let turn = self.taken.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        self.handles[turn].clone()
    }
}
