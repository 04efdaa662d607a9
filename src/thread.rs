//! Threads with a runtime of their own.

use std::sync::{Arc, Mutex, mpsc};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};

/// Checks that the system has room for this many more threads. A runtime of several threads panics if it does not get
/// all of them.
///
/// # Errors
/// The system has no threads left.
pub fn available(count: usize) -> io::Result<()> {
    let (over, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let started: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let wait = wait.clone();
            // All of them are there at once: each waits for the end of the last one's start.
            thread::Builder::new().spawn(move || drop(wait.lock().map(|wait| wait.recv())))
        })
        .collect();
    drop(over);
    for thread in started? {
        // Nothing in it panics.
        let _ = thread.join();
    }
    Ok(())
}

/// Starts a thread with a current-thread runtime that lasts until `run` is done; what is still spawned there then is
/// dropped.
///
/// The runtime is built and dropped on its own thread: a thread that runs async code must not drop one, as it would if
/// the system refused the thread for a runtime that was there already.
///
/// # Errors
/// The system has no threads or no file descriptors left.
pub fn start<F>(name: String, run: impl FnOnce() -> F + Send + 'static) -> io::Result<Handle>
where
    F: Future<Output = ()>,
{
    let (built, outcome) = mpsc::sync_channel(1);
    thread::Builder::new().name(name).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            // The other end waits for it.
            Err(e) => return drop(built.send(Err(e))),
        };
        if built.send(Ok(runtime.handle().clone())).is_ok() {
            runtime.block_on(run());
        }
        runtime.shutdown_background();
    })?;
    outcome
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))
}
