//! embassy's time on the machine's timer.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::machine;

struct Timer(Mutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static TIMER: Timer = Timer(Mutex::new(RefCell::new(Queue::new()))));

impl Driver for Timer {
    fn now(&self) -> u64 {
        machine::now_us()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The loop in `main` sets the alarm, after every task has said when it wants to go on.
        critical_section::with(|cs| {
            self.0.borrow_ref_mut(cs).schedule_wake(at, waker);
        });
    }
}

/// Wakes whoever waited until now, and sets the alarm for the next.
pub fn wake_in_time() {
    let next = critical_section::with(|cs| TIMER.0.borrow_ref_mut(cs).next_expiration(machine::now_us()));
    machine::alarm_at_us(next);
}
