//! The devices that a connection sends frames to.
//!
//! Outputs never outlive control: when a connection ends, or shows no sign of life, these devices are stopped.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::defaults::{STOP_AFTER, attentive_pings};
use crate::device::frame::Frame;
use crate::device::handshake::Address;
use crate::session::life::Life;
use crate::session::ownership::Controller;
use crate::session::registry::{InjectError, SessionHandle};

/// The devices that one connection sent frames to. Dropping it stops those that no other controller has commanded
/// since, because their outputs may still be on.
#[derive(Debug)]
pub struct Injector {
    controller: Controller,
    life: Arc<Life>,
    devices: Mutex<HashMap<Address, Weak<SessionHandle>>>,
    sent: Notify,
}

impl Injector {
    /// For a connection that shows its signs of life here.
    pub(crate) fn new(life: Arc<Life>) -> Self {
        Self {
            controller: Controller::new(),
            life,
            devices: Mutex::default(),
            sent: Notify::new(),
        }
    }

    /// Stops what the connection drives whenever it shows no sign of life for [`STOP_AFTER`], and asks for one often enough.
    /// The connection stays, and its next frame counts. Never completes.
    pub(crate) async fn watch(&self) -> Infallible {
        self.sent.notified().await;
        let pause = attentive_pings(STOP_AFTER);
        let mut checks = interval(pause);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            checks.tick().await;
            let driven = self.driven();
            if driven.is_empty() {
                continue;
            }
            self.life.ask();
            // A quarter of a pause early rather than three late.
            if self.life.silence() + pause / 4 < STOP_AFTER {
                continue;
            }
            for session in driven {
                warn!(
                    "{}: no sign of life for {} ms from the page or monitor that drives it: it is stopped",
                    session.handshake.address,
                    STOP_AFTER.as_millis()
                );
                session.release(self.controller);
            }
        }
    }

    /// The devices that the connection commanded last, and that may be on.
    fn driven(&self) -> Vec<Arc<SessionHandle>> {
        let devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = devices.values().filter_map(Weak::upgrade);
        sessions
            .filter(|session| session.is_driven_by(self.controller))
            .collect()
    }

    /// Sends a frame to a device; completes when its link has taken it.
    ///
    /// # Errors
    /// As [`SessionHandle::inject`].
    pub(crate) async fn send(&self, session: &Arc<SessionHandle>, frame: Frame) -> Result<(), InjectError> {
        {
            let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
            devices.insert(session.handshake.address.clone(), Arc::downgrade(session));
        }
        self.sent.notify_one();
        session.inject(frame, self.controller).await
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let devices = self.devices.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Sessions that have ended have written their stop bytes.
        devices
            .values()
            .filter_map(Weak::upgrade)
            .for_each(|session| session.release(self.controller));
    }
}
