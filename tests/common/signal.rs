//! Signals to processes.

#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

#[cfg(target_os = "linux")]
use super::DEADLINE;

/// Sends a signal to a child that nobody has waited for yet; after `STOP`, waits until it has stopped.
pub fn send(child: u32, signal: Signal) {
    let pid = Pid::from_raw(child.cast_signed()).expect("no child is 0");
    kill_process(pid, signal).expect("our own child");
    if signal == Signal::STOP {
        wait_stopped(child);
    }
}

/// Waits until all threads of a process have stopped. They go on until the first one has taken the signal, which takes
/// time on a busy machine.
#[cfg(target_os = "linux")]
fn wait_stopped(pid: u32) {
    let start = Instant::now();
    while !is_stopped(pid) {
        assert!(start.elapsed() < DEADLINE, "the process {pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Nothing here tells whether it has.
#[cfg(not(target_os = "linux"))]
fn wait_stopped(_pid: u32) {}

#[cfg(target_os = "linux")]
fn is_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    threads.flatten().all(|thread| {
        // A thread may end meanwhile. The state follows the name, which is in parentheses and may have some itself.
        std::fs::read_to_string(thread.path().join("stat"))
            .ok()
            .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T')))
            .unwrap_or(true)
    })
}
