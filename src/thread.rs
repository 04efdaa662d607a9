//! Threads that run their own tokio runtime.

use std::sync::{Arc, Mutex, mpsc};
use std::{io, thread};

use tokio::runtime::{Builder, Handle};

/// Checks that the system can spawn this many more threads, since a multi-threaded runtime panics if it cannot.
///
/// # Errors
/// The system cannot spawn that many threads.
pub fn available(count: usize) -> io::Result<()> {
    let (over, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let started: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let wait = wait.clone();
            // Each thread waits until the last one has started, so that all exist at once.
            thread::Builder::new().spawn(move || drop(wait.lock().map(|wait| wait.recv())))
        })
        .collect();
    drop(over);
    for thread in started? {
        // The threads cannot panic.
        let _ = thread.join();
    }
    Ok(())
}

/// Starts a thread with a current-thread runtime, which runs until `run` completes and then drops its other tasks.
///
/// The thread builds the runtime itself. If the caller built it and the system then refused the thread, the caller
/// would have to drop the runtime, which panics in async code.
///
/// # Errors
/// The system has no more threads or file descriptors.
pub fn start<F>(name: String, run: impl FnOnce() -> F + Send + 'static) -> io::Result<Handle>
where
    F: Future<Output = ()>,
{
    let (built, outcome) = mpsc::sync_channel(1);
    thread::Builder::new().name(name).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            // The caller is waiting for the result.
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
