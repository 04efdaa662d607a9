//! Boards that listen: dials them, and finds those that announce themselves by mDNS.

mod connect;
mod elsewhere;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use elsewhere::elsewhere;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;
use tracing::{debug, error, info, warn};

use crate::config::DialSettings;
use crate::defaults::{DIAL_RETRY_MAX, DIAL_RETRY_MIN, FOUND_MAX};
use crate::device::hello::BoardFacts;
use crate::device::peer::Peer;
use crate::ingress::{After, Board, Intake, Retry, TroubleLog};
use crate::net::endpoint::{Endpoint, Service};
use crate::net::mdns::{Browser, Sighting};

/// The `[[dial]]` entries at work.
pub struct DialledBoards {
    /// What was configured.
    pub entries: Vec<DialSettings>,
    /// Between two pings of a websocket.
    pub ping_interval: Duration,
    /// Where boards go once it is known who they are.
    pub intake: Arc<Intake>,
}

/// Where the boards of one service are, by their names.
#[derive(Clone, Default)]
struct Found(Arc<Mutex<HashMap<String, Endpoint>>>);

impl Found {
    fn with<T>(&self, does: impl FnOnce(&mut HashMap<String, Endpoint>) -> T) -> T {
        does(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The board that a task is for.
enum Whereabouts {
    /// Always there.
    Fixed(Endpoint),
    /// Wherever this name is announced, which may change.
    Named(Found, String),
}

impl Whereabouts {
    /// `None` if it is not announced any more.
    fn now(&self) -> Option<Endpoint> {
        match self {
            Self::Fixed(endpoint) => Some(endpoint.clone()),
            Self::Named(found, name) => found.with(|found| found.get(name).cloned()),
        }
    }

    /// What tells the board from others of its kind.
    fn own_name(&self, endpoint: &Endpoint) -> String {
        match self {
            Self::Fixed(_) => endpoint.own_name(),
            Self::Named(_, name) => name.clone(),
        }
    }
}

impl DialledBoards {
    /// Bridges boards until `stop` is cancelled, then waits for their sessions, which whoever cancelled it ends too.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let mut entries = JoinSet::new();
        for n in 0..self.entries.len() {
            entries.spawn(self.clone().entry(n, stop.clone()));
        }
        while let Some(ended) = entries.join_next().await {
            if let Err(e) = ended {
                error!("a [[dial]] entry ended in a fault inside the gateway: {e}");
            }
        }
        // The other rooms go on if a fault ended the entries.
        stop.cancelled().await;
    }

    async fn entry(self: Arc<Self>, n: usize, stop: CancellationToken) {
        match self.entries.get(n).and_then(|settings| settings.endpoint.clone()) {
            Some(Endpoint::Service(service)) => self.service(n, service, stop).await,
            Some(endpoint) => self.board(n, Whereabouts::Fixed(endpoint), stop).await,
            None => {}
        }
    }

    /// One board, for as long as it may be somewhere.
    async fn board(self: Arc<Self>, n: usize, whereabouts: Whereabouts, stop: CancellationToken) {
        let Some(settings) = self.entries.get(n) else {
            return;
        };
        let mut retry = Retry::new(DIAL_RETRY_MIN, DIAL_RETRY_MAX);
        let mut is_elsewhere = false;
        let was_looked_at = AtomicBool::new(false);
        while let Some(endpoint) = whereabouts.now()
            && !stop.is_cancelled()
        {
            let board = board(settings, &whereabouts, &endpoint, retry.log());
            let peer = board.peer.clone();
            // No app is to see a device come and go that never was one.
            let still = match is_elsewhere {
                true => elsewhere(settings, &endpoint, &stop).await,
                false => None,
            };
            let connected = match still {
                Some(trouble) => Err(trouble),
                None => {
                    self.connect(settings, &endpoint, board, &was_looked_at, &stop)
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
                () = sleep(pause) => {}
            }
        }
    }

    /// Every board that announces a service.
    async fn service(self: Arc<Self>, n: usize, service: Service, stop: CancellationToken) {
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
                        warn!("{service}: cannot look for boards: {e}; trying on");
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
                        self.spawn(&mut boards, n, &found, name, &stop);
                    }
                    sighting = next => match sighting {
                        Some(sighting) => if let Some(name) = note(&found, &service, sighting) {
                            self.spawn(&mut boards, n, &found, name, &stop);
                        },
                        None => break,
                    }
                }
            }
        }
        while boards.join_next().await.is_some() {}
    }

    fn spawn(
        self: &Arc<Self>,
        boards: &mut JoinMap<String, ()>,
        n: usize,
        found: &Found,
        name: String,
        stop: &CancellationToken,
    ) {
        let is_there = found.with(|found| found.contains_key(&name));
        if is_there && !boards.contains_key(&name) && !stop.is_cancelled() {
            let whereabouts = Whereabouts::Named(found.clone(), name.clone());
            boards.spawn(name, self.clone().board(n, whereabouts, stop.clone()));
        }
    }
}

/// Notes what changed; returns the name of a board that is there.
fn note(found: &Found, service: &Service, sighting: Sighting) -> Option<String> {
    match sighting {
        Sighting::There {
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
                    debug!("{service}: {instance:?} is left out, there are {FOUND_MAX} boards already");
                    return None;
                }
                let before = found.insert(instance.clone(), endpoint.clone());
                if before.as_ref() != Some(&endpoint) {
                    info!("{service}: {instance:?} is at {endpoint}");
                }
                Some(instance)
            })
        }
        Sighting::Gone { instance } => {
            debug!("{service}: {instance:?} is not announced any more");
            found.with(|found| found.remove(&instance));
            None
        }
    }
}

/// What the entry says of the board there.
fn board(settings: &DialSettings, whereabouts: &Whereabouts, endpoint: &Endpoint, log: TroubleLog) -> Board {
    Board {
        facts: BoardFacts {
            keepalive: settings.keepalive,
            configured: settings.identifier.clone(),
        },
        asks_axes: settings.asks_axes,
        address: settings.address.clone(),
        is_one: matches!(whereabouts, Whereabouts::Fixed(_)),
        own_name: whereabouts.own_name(endpoint),
        settle: Some(settings.settle),
        framing: settings.framing.clone(),
        coalesce: settings.coalesce,
        on_close: settings.on_close.clone(),
        log,
        ..Board::at(Peer::Dial(endpoint.to_string()))
    }
}
