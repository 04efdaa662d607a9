//! Outputs off while the board needs its flash or its radio for something else.
//!
//! Nothing else runs while flash is erased, neither the watchdog nor a stop button; and a radio that looks for networks
//! or joins one takes the gateway away. So the console asks for quiet first, and goes on when outputs are off; a link
//! has its device commanded inside [`Quiet::obey`] only.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};

use embassy_futures::select::{Either3, select3};

use crate::clock::Clock;
use crate::device::Device;
use crate::report::{Loss, Report};

/// Between one link and one console, both on one executor.
#[derive(Debug, Default)]
pub struct Quiet {
    /// The console has asked for quiet.
    is_wanted: Cell<bool>,
    /// Somebody may command the device.
    is_commanded: Cell<bool>,
    link: RefCell<Option<Waker>>,
    console: RefCell<Option<Waker>>,
}

impl Quiet {
    /// Nobody asks for quiet.
    pub const fn new() -> Self {
        Self {
            is_wanted: Cell::new(false),
            is_commanded: Cell::new(false),
            link: RefCell::new(None),
            console: RefCell::new(None),
        }
    }

    /// Waits until outputs are off. Nobody commands the device until what this returns is dropped. One asks at a time.
    pub async fn begin(&self) -> Pause<'_> {
        // Made first, so that it also ends if nobody waits for it any more.
        let pause = Pause(self);
        self.is_wanted.set(true);
        wake(&self.link);
        wait(&self.console, || !self.is_commanded.get()).await;
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
        wait(&self.link, || !self.is_wanted.get()).await;
        self.is_commanded.set(true);
        let commanded = Commanded {
            quiet: self,
            clock,
            device,
        };
        let wanted = wait(&self.link, || self.is_wanted.get());
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
}

/// Outputs are off, and nobody commands them.
#[derive(Debug)]
#[must_use = "it ends when this is dropped"]
pub struct Pause<'q>(&'q Quiet);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.is_wanted.set(false);
        wake(&self.0.link);
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
        wake(&self.quiet.console);
    }
}

async fn wait(waker: &RefCell<Option<Waker>>, is_so: impl Fn() -> bool) {
    poll_fn(|context| {
        if is_so() {
            return Poll::Ready(());
        }
        waker.replace(Some(context.waker().clone()));
        Poll::Pending
    })
    .await;
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
#[path = "quiet/tests.rs"]
mod tests;
