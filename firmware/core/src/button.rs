//! A stop button on the device itself: whoever holds the device decides, not who commands it.
//!
//! Pressed, it stops everything at once. The stop outlasts the button: an app that goes on playing must not have the
//! device back the moment a finger is lifted. It ends when the button is up and the app has stopped as well, for five
//! seconds: a slider at 0, a script that pauses. The next command counts then. It is what the knob of a machine does that
//! starts at 0 or not at all. A connection that ended does not count: an app may go on without having noticed. So time counts
//! only while a gateway has control, and begins anew with each.

use crate::device::{Device, Flow, Reply};
use crate::report::Report;

/// How often the button is looked at while a gateway is there.
const LOOK_MS: u64 = 10;
/// How long neither the button nor the app wants anything else before a stop ends. Much longer than the gaps of a script that
/// plays: between two strokes, each of which may be over at once, it commands nothing. The Arduino library has the same.
pub const CALM_MS: u64 = 5_000;

/// A device with a stop button.
#[derive(Debug)]
pub struct WithButton<D, B, F> {
    device: D,
    is_pressed: B,
    report: F,
    /// It is stopped; since when all is calm.
    held: Option<u64>,
    /// A gateway has control.
    is_controlled: bool,
}

impl<D, B, F> WithButton<D, B, F>
where
    D: Device,
    B: FnMut() -> bool,
    F: FnMut(u64, &Report<'_>),
{
    /// A device, what tells whether its button is pressed, and what is told when that stops it.
    pub const fn new(device: D, is_pressed: B, report: F) -> Self {
        Self {
            device,
            is_pressed,
            report,
            held: None,
            is_controlled: false,
        }
    }

    fn look(&mut self, now: u64) {
        let is_pressed = (self.is_pressed)();
        match &mut self.held {
            None if is_pressed => {
                self.device.hold(now);
                self.held = Some(now);
                (self.report)(now, &Report::Held);
            }
            None => {}
            Some(calm_since) if is_pressed || !self.is_controlled || self.device.is_commanded(now) => {
                *calm_since = now;
            }
            Some(calm_since) if now.saturating_sub(*calm_since) >= CALM_MS => {
                self.device.release(now);
                self.held = None;
                (self.report)(now, &Report::Released);
            }
            Some(_) => {}
        }
    }
}

impl<D, B, F> Device for WithButton<D, B, F>
where
    D: Device,
    B: FnMut() -> bool,
    F: FnMut(u64, &Report<'_>),
{
    fn frame(&mut self, now: u64, frame: &[u8], reply: &mut dyn Reply) -> Flow {
        // Before: a command must not run into a button that is down. Behind: what it asks for puts the release off.
        self.look(now);
        let flow = self.device.frame(now, frame, reply);
        self.look(now);
        flow
    }

    fn stop(&mut self, now: u64) {
        self.is_controlled = false;
        self.device.stop(now);
    }

    fn is_on(&self) -> bool {
        self.device.is_on()
    }

    fn tick(&mut self, now: u64) -> Option<u64> {
        self.look(now);
        let look = now + LOOK_MS;
        Some(self.device.tick(now).map_or(look, |tick| tick.min(look)))
    }

    fn connected(&mut self, now: u64) {
        self.is_controlled = true;
        // On a network nobody looks at the button between two connections.
        if let Some(calm_since) = &mut self.held {
            *calm_since = now;
        }
        self.device.connected(now);
    }

    fn hold(&mut self, now: u64) {
        self.device.hold(now);
        self.held = Some(now);
    }

    fn is_commanded(&self, now: u64) -> bool {
        self.device.is_commanded(now)
    }

    fn release(&mut self, now: u64) {
        self.device.release(now);
        self.held = None;
    }
}

#[cfg(test)]
#[path = "button/tests.rs"]
mod tests;
