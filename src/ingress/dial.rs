//! Dials boards that listen, and finds those that announce themselves by mDNS.

mod connect;
mod elsewhere;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use elsewhere::elsewhere;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, error, info, warn};

use crate::config::DialSettings;
use crate::defaults::{DIAL_RETRY_MAX, DIAL_RETRY_MIN, FOUND_MAX};
use crate::device::hello::BoardFacts;
use crate::device::peer::Peer;
use crate::ingress::scope::EntryScope;
use crate::ingress::{After, Board, Intake, Retry, TroubleLog};
use crate::net::endpoint::{Endpoint, Service};
use crate::net::mdns::{Browser, ServiceChange};

/// The `[[dial]]` entries at work.
pub struct DialledBoards {
    /// The time between two pings on a websocket.
    pub ping_interval: Duration,
    /// Admits boards and runs their sessions.
    pub intake: Arc<Intake>,
}

/// The endpoints of the boards that announce a service, by their names.
#[derive(Clone, Default)]
struct Found(Arc<Mutex<HashMap<String, Endpoint>>>);

impl Found {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<String, Endpoint>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the board of a task is.
enum Location {
    /// At the configured endpoint.
    Fixed(Endpoint),
    /// Where mDNS announces this name, which may change.
    Announced(Found, String),
}

impl Location {
    /// The current endpoint; `None` if the board is no longer announced.
    fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Self::Fixed(endpoint) => Some(endpoint.clone()),
            Self::Announced(found, name) => found.with(|found| found.get(name).cloned()),
        }
    }

    /// What distinguishes the board from others of its kind.
    fn own_name(&self, endpoint: &Endpoint) -> String {
        match self {
            Self::Fixed(_) => endpoint.own_name(),
            Self::Announced(_, name) => name.clone(),
        }
    }
}

impl DialledBoards {
    /// Bridges the boards of `entries`, which may change, until `stop` is cancelled; then waits for their sessions, which
    /// the caller ends as well.
    pub async fn serve(
        self: Arc<Self>,
        mut entries: watch::Receiver<Vec<Arc<DialSettings>>>,
        stop: CancellationToken,
    ) {
        let mut running: Vec<(Arc<DialSettings>, EntryScope)> = Vec::new();
        let mut tasks = JoinSet::new();
        loop {
            let wanted = entries.borrow_and_update().clone();
            running.retain(|(settings, scope)| {
                let stays = wanted.contains(settings);
                if !stays {
                    scope.withdraw();
                }
                stays
            });
            for settings in wanted {
                if !running.iter().any(|(known, _)| *known == settings) {
                    let scope = EntryScope::new(&stop);
                    running.push((settings.clone(), scope.clone()));
                    tasks.spawn(self.clone().entry(settings, scope));
                }
            }
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {
                        while tasks.join_next().await.is_some() {}
                        return;
                    }
                    // Without a sender nothing changes any more.
                    Ok(()) = entries.changed() => break,
                    Some(ended) = tasks.join_next() => {
                        // If a fault ended an entry, the rest of the gateway continues.
                        if let Err(e) = ended {
                            error!("a [[dial]] entry ended in a fault inside the gateway: {e}");
                        }
                    }
                    else => stop.cancelled().await,
                }
            }
        }
    }

    async fn entry(self: Arc<Self>, settings: Arc<DialSettings>, scope: EntryScope) {
        match settings.endpoint.clone() {
            Some(Endpoint::Service(service)) => self.service(settings, service, scope).await,
            Some(endpoint) => self.board(settings, Location::Fixed(endpoint), scope).await,
            None => {}
        }
    }

    /// Bridges one board, again and again, for as long as it has an endpoint.
    async fn board(self: Arc<Self>, settings: Arc<DialSettings>, location: Location, scope: EntryScope) {
        let (settings, stop) = (settings.as_ref(), &scope.stop);
        let mut retry = Retry::new(DIAL_RETRY_MIN, DIAL_RETRY_MAX);
        let mut is_elsewhere = false;
        let was_looked_at = AtomicBool::new(false);
        while let Some(endpoint) = location.endpoint()
            && !stop.is_cancelled()
        {
            let mut board = board(settings, &location, &endpoint, retry.log());
            board.withdrawn = scope.withdrawn.clone();
            let peer = board.peer.clone();
            // No app is to see a device come and go that never was one.
            let still = match is_elsewhere {
                true => elsewhere(settings, &endpoint, stop).await,
                false => None,
            };
            let connected = match still {
                Some(trouble) => Err(trouble),
                None => {
                    self.connect(settings, &endpoint, board, &was_looked_at, stop)
                        .await
                }
            };
            is_elsewhere = connected.is_err();
            let after = connected.unwrap_or_else(After::Refused);
            if matches!(after, After::Session(_)) {
                was_looked_at.store(false, Ordering::Relaxed);
            }
            let Some(pause) = retry.pause(&peer, &after) else {
                return;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // Who is refused may have changed.
                () = self.intake.admission.changed(), if matches!(after, After::Refused(_)) => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Bridges every board that announces a service.
    async fn service(self: Arc<Self>, settings: Arc<DialSettings>, service: Service, scope: EntryScope) {
        let stop = &scope.stop;
        let found = Found::default();
        let mut boards: JoinMap<String, ()> = JoinMap::new();
        let mut is_reported = false;
        'search: while !stop.is_cancelled() {
            let mut browser = match Browser::start(&service.domain()) {
                Ok(browser) => {
                    is_reported = false;
                    Some(browser)
                }
                Err(e) => {
                    if !std::mem::replace(&mut is_reported, true) {
                        warn!("{service}: cannot search for boards: {e}; retrying");
                    }
                    None
                }
            };
            loop {
                let next = async {
                    match &mut browser {
                        Some(browser) => browser.next().await,
                        None => {
                            sleep(DIAL_RETRY_MAX).await;
                            None
                        }
                    }
                };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break 'search,
                    Some((name, ended)) = boards.join_next() => {
                        if let Err(e) = ended {
                            error!("{service}: the bridge to {name:?} ended in a fault inside the gateway: {e}");
                        }
                        // It may have been announced again while its last task ended.
                        self.spawn(&mut boards, &settings, &found, name, &scope);
                    }
                    change = next => match change {
                        Some(change) => if let Some(name) = apply(&found, &service, change) {
                            self.spawn(&mut boards, &settings, &found, name, &scope);
                        },
                        None => {
                            // The search ended by itself; begin again, but not at once.
                            tokio::select! {
                                () = stop.cancelled() => break 'search,
                                () = tokio::time::sleep(DIAL_RETRY_MAX) => break,
                            }
                        }
                    }
                }
            }
        }
        while boards.join_next().await.is_some() {}
    }

    fn spawn(
        self: &Arc<Self>,
        boards: &mut JoinMap<String, ()>,
        settings: &Arc<DialSettings>,
        found: &Found,
        name: String,
        scope: &EntryScope,
    ) {
        let is_announced = found.with(|found| found.contains_key(&name));
        if is_announced && !boards.contains_key(&name) && !scope.stop.is_cancelled() {
            let location = Location::Announced(found.clone(), name.clone());
            boards.spawn(
                name,
                self.clone().board(settings.clone(), location, scope.clone()),
            );
        }
    }
}

/// Updates `found` with a change. Returns the board's name if it is announced.
fn apply(found: &Found, service: &Service, change: ServiceChange) -> Option<String> {
    match change {
        ServiceChange::Announced {
            instance,
            addresses,
            port,
            path,
        } => {
            let is_wanted =
                (service.instance.as_ref()).is_none_or(|wanted| wanted.eq_ignore_ascii_case(&instance));
            let address = addresses.first().map(IpAddr::to_string)?;
            if !is_wanted || port == 0 {
                return None;
            }
            let path = path.unwrap_or_else(|| "/".to_owned());
            let endpoint = Endpoint::found(service.transport, address, port, &path);
            found.with(|found| {
                if found.len() >= FOUND_MAX && !found.contains_key(&instance) {
                    debug!("{service}: {instance:?} is ignored: {FOUND_MAX} boards are known already");
                    return None;
                }
                let before = found.insert(instance.clone(), endpoint.clone());
                if before.as_ref() != Some(&endpoint) {
                    info!("{service}: {instance:?} is at {endpoint}");
                }
                Some(instance)
            })
        }
        ServiceChange::Withdrawn { instance } => {
            debug!("{service}: {instance:?} is no longer announced");
            found.with(|found| found.remove(&instance));
            None
        }
    }
}

/// The board at this endpoint, as its entry describes it.
fn board(settings: &DialSettings, location: &Location, endpoint: &Endpoint, log: TroubleLog) -> Board {
    Board {
        facts: BoardFacts {
            keepalive: settings.keepalive,
            configured: settings.identifier.clone(),
            ..BoardFacts::default()
        },
        asks_axes: settings.asks_axes,
        address: settings.address.clone(),
        is_one: matches!(location, Location::Fixed(_)),
        own_name: location.own_name(endpoint),
        settle: Some(settings.settle),
        framing: settings.framing.clone(),
        coalesce: settings.coalesce,
        on_close: settings.on_close.clone(),
        log,
        ..Board::at(Peer::Dial(endpoint.to_string()))
    }
}
