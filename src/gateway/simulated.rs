//! Simulated devices that the gateway runs for its page. They connect to the gateway's own port, as any device does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::advice::Advice;
use crate::config::Secret;
use crate::device::handshake::Address;
use crate::net::target::Target;
use crate::net::tls::{Fingerprint, Tls};
use crate::session::registry::Registry;
use crate::simulate::{DeviceOptions, Kind, address, models, run};
use crate::web::api::Problem;
use crate::web::view::{SimulatedDevice, Simulator};

/// At most so many run at once.
const SIMULATED_MAX: usize = 100;

/// The simulated devices of one gateway.
pub(super) struct SimulatedDevices {
    target: Target,
    tls: Tls,
    registry: Arc<Registry>,
    runtime: Handle,
    stop: CancellationToken,
    running: Arc<Mutex<Running>>,
}

type Running = BTreeMap<String, (SimulatedDevice, CancellationToken)>;

impl SimulatedDevices {
    /// `port` is where devices connect, and `fingerprint` that of its certificate if they have to use TLS. All devices end when `stop` is cancelled. Must be called on a runtime.
    pub(super) fn new(
        port: SocketAddr,
        fingerprint: Option<Fingerprint>,
        token: Option<&Secret>,
        registry: Arc<Registry>,
        stop: CancellationToken,
    ) -> Self {
        let ip = match port.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let port = SocketAddr::new(ip, port.port());
        let (target, tls) = match fingerprint {
            Some(fingerprint) => (Target::secure(port), Tls::pinned(fingerprint)),
            None => (Target::from(port), Tls::system()),
        };
        let target = match token {
            Some(Secret(token)) => target.with_token(token),
            None => target,
        };
        Self {
            target,
            tls,
            registry,
            runtime: Handle::current(),
            stop,
            running: Arc::default(),
        }
    }

    /// No code here panics while it holds the lock.
    fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
        running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulator for SimulatedDevices {
    fn list(&self) -> Vec<SimulatedDevice> {
        let running = Self::lock(&self.running);
        running.values().map(|(device, _)| device.clone()).collect()
    }

    fn models(&self) -> Vec<String> {
        models::MODELS.iter().map(|model| model.name.to_owned()).collect()
    }

    fn start(&self, protocol: &str, model: Option<&str>) -> Result<SimulatedDevice, Problem> {
        let problem = |error: String, hint: &str| Problem {
            error,
            hint: Some(hint.to_owned()),
        };
        let kind = match (protocol, model) {
            ("lovense", None) => Kind::hush(),
            ("lovense", Some(model)) => {
                let model = models::find(model).map_err(|e| Problem {
                    error: e.to_string(),
                    hint: e.hint().map(|hint| hint.into_owned()),
                })?;
                Kind::Lovense { model }
            }
            ("tcode", None) => Kind::Tcode,
            ("tcode", Some(_)) => {
                return Err(problem("tcode has no models".to_owned(), "leave the model out"));
            }
            (other, _) => {
                let error = format!("{other:?} cannot be simulated");
                return Err(problem(error, "lovense and tcode can"));
            }
        };
        let mut running = Self::lock(&self.running);
        if running.len() >= SIMULATED_MAX {
            let error = format!("{SIMULATED_MAX} simulated devices run already");
            return Err(problem(error, "stop one of them first"));
        }
        let base = address::default_for(kind, &address::machine_identity());
        let is_free = |address: &Address| {
            !running.contains_key(address.as_str()) && self.registry.find(address).is_none()
        };
        let free = (0..=running.len() + SIMULATED_MAX)
            .filter_map(|n| address::numbered(&base, n).ok())
            .find(is_free);
        let Some(address) = free else {
            return Err(problem(
                "no address is free for another one".to_owned(),
                "stop one of them first",
            ));
        };
        let device = SimulatedDevice {
            address: address.as_str().to_owned(),
            protocol: protocol.to_owned(),
            model: match kind {
                Kind::Lovense { model } => Some(model.name.to_owned()),
                Kind::Tcode => None,
            },
        };
        let stop = self.stop.child_token();
        running.insert(device.address.clone(), (device.clone(), stop.clone()));
        let options = DeviceOptions {
            target: self.target.clone(),
            tls: self.tls.clone(),
            ..DeviceOptions::new(kind, address)
        };
        let (others, key) = (self.running.clone(), device.address.clone());
        self.runtime.spawn(async move {
            let (events, mut ignored) = mpsc::channel(1);
            let ignore = async { while ignored.recv().await.is_some() {} };
            tokio::join!(run(options, events, stop), ignore);
            Self::lock(&others).remove(&key);
        });
        Ok(device)
    }

    fn stop(&self, address: &str) -> bool {
        match Self::lock(&self.running).get(address) {
            Some((_, stop)) => {
                stop.cancel();
                true
            }
            None => false,
        }
    }
}
