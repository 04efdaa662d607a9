//! Outputs off while the board needs its flash or its radio for something else.
//!
//! Nothing else runs while flash is erased, neither the watchdog nor a stop button; and a radio that looks for networks
//! or joins one takes the gateway away. So the console and an update ask for quiet first, and go on when outputs are off;
//! a link has its device commanded inside [`Quiet::obey`] only.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};

use embassy_futures::select::{Either3, select3};

use crate::clock::Clock;
use crate::device::Device;
use crate::report::{Loss, Report};

/// As many as wait at a time without waking each other in vain: a link, a console, an update.
const WAITING: usize = 4;

/// Between one link and all that ask for quiet, on one executor.
#[derive(Debug, Default)]
pub struct Quiet {
    /// How many pauses there are.
    pauses: Cell<usize>,
    /// Somebody may command the device.
    is_commanded: Cell<bool>,
    waiting: RefCell<heapless::Vec<Waker, WAITING>>,
}

impl Quiet {
    /// Nobody asks for quiet.
    pub const fn new() -> Self {
        Self {
            pauses: Cell::new(0),
            is_commanded: Cell::new(false),
            waiting: RefCell::new(heapless::Vec::new()),
        }
    }

    /// Waits until outputs are off. Nobody commands the device until what this returns is dropped; if several asked, until
    /// the last of these is.
    pub async fn begin(&self) -> Pause<'_> {
        // Made first, so that it also ends if nobody waits for it any more.
        let pause = Pause(self);
        self.pauses.update(|pauses| pauses + 1);
        self.wake();
        self.wait(|| !self.is_commanded.get()).await;
        pause
    }

    /// Lets `control` command the device until it ends, until the network is gone, or until there has to be quiet, which
    /// it waits for if there has to be now. Outputs are off afterwards, and also when this is dropped. `None`: begin
    /// anew.
    pub async fn obey<D: Device, C: Clock, T>(
        &self,
        clock: &C,
        device: &mut D,
        mut report: impl FnMut(u64, &Report<'_>),
        network_gone: impl Future<Output = ()>,
        control: impl AsyncFnOnce(&mut D) -> T,
    ) -> Option<T> {
        self.wait(|| self.pauses.get() == 0).await;
        self.is_commanded.set(true);
        let commanded = Commanded {
            quiet: self,
            clock,
            device,
        };
        let wanted = self.wait(|| self.pauses.get() > 0);
        // What ends control is looked at before what control does.
        let (ended, why) = match select3(wanted, network_gone, pin!(control(commanded.device))).await {
            Either3::First(()) => (None, Some(Report::Interrupted)),
            Either3::Second(()) => (None, Some(Report::Lost(Loss::Network))),
            Either3::Third(ended) => (Some(ended), None),
        };
        drop(commanded);
        if let Some(why) = why {
            report(clock.now(), &why);
        }
        ended
    }

    async fn wait(&self, is_so: impl Fn() -> bool) {
        poll_fn(|context| {
            if is_so() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker()))
                && let Err(waker) = waiting.push(context.waker().clone())
            {
                // One more than there is room for: another looks again, and comes back.
                if let Some(other) = waiting.pop() {
                    other.wake();
                }
                let _ = waiting.push(waker);
            }
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        // Whoever is woken may wait again at once.
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Outputs are off, and nobody commands them.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Pause<'q>(&'q Quiet);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.pauses.update(|pauses| pauses - 1);
        self.0.wake();
    }
}

/// Stops the device before anybody learns that it is not commanded any more.
struct Commanded<'a, D: Device, C: Clock> {
    quiet: &'a Quiet,
    clock: &'a C,
    device: &'a mut D,
}

impl<D: Device, C: Clock> Drop for Commanded<'_, D, C> {
    fn drop(&mut self) {
        self.device.stop(self.clock.now());
        self.quiet.is_commanded.set(false);
        self.quiet.wake();
    }
}

#[cfg(test)]
#[path = "quiet/tests.rs"]
mod tests;
