//! One cell's worth: all boards on one link, all their outputs on, control is lost in one way; are they at rest?

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::app::{Act, App};
use super::common::DEADLINE;
use super::common::model_board::{Kind, ModelBoard, Verdict};
use super::controllers::{Monitors, Upstream};
use super::rig::Rig;
use super::ways::{Link, SLOW_BAUD, Way};

/// A board that came to rest stays so for this long.
const STAYS: Duration = Duration::from_millis(700);
/// Closes a connection in good order.
const NORMAL: u16 = 1000;
/// Says that the same handshake gets the same answer.
const REFUSED: u16 = 4003;
/// Commands that a stream has brought before control is lost.
const STREAMED: usize = 5;

/// What came of one board.
pub struct Outcome {
    pub kind: Kind,
    /// From the loss to rest, or what is wrong.
    pub rest: Result<Duration, String>,
}

/// Who drives the boards.
enum Controller {
    App(App),
    Monitors(Monitors),
    Upstream(Upstream),
    /// Somebody who has gone.
    Nobody,
}

/// Boards with all their outputs on, by somebody's command.
pub struct Driven {
    pub boards: Vec<Arc<ModelBoard>>,
    pub rig: Rig,
    controller: Controller,
    /// Beside other controllers, an app that does nothing shows that the boards are all listed.
    _idle: Option<App>,
}

/// Runs all boards through it.
pub async fn run(way: Way, link: Link, streaming: bool) -> Vec<Outcome> {
    let mut driven = Driven::start(way, link, "").await;
    if streaming {
        driven.stream().await;
    }
    let lost = driven.lose(way).await;
    let mut outcomes = driven.observe(lost, way.limit()).await;
    if link.is_fleet() && way.leaves_the_edge_alone() {
        for (outcome, board) in outcomes.iter_mut().zip(&driven.boards) {
            if let (Ok(_), Some(stop)) = (&outcome.rest, board.stopped_twice(lost)) {
                outcome.rest = Err(format!("{stop} came twice; last it got{}", last(board, lost)));
            }
        }
    }
    outcomes
}

/// The app or upstream falls silent, the boards come to rest, it goes on, and its next command counts.
pub async fn thaw(way: Way, link: Link) {
    // Nobody is disconnected meanwhile, however slow the machine is.
    let patient = "[devices]\nping_interval_ms = 10000\n[clients]\nping_interval_ms = 10000\n";
    let mut driven = Driven::start(way, link, patient).await;
    let lost = driven.lose(way).await;
    for Outcome { kind, rest } in driven.observe(lost, way.limit()).await {
        assert!(rest.is_ok(), "{}: {rest:?}", kind.name());
    }
    driven.rig.mend(way);
    driven.app().act(Act::Drive).await;
    for board in &driven.boards {
        until(&driven.rig, board, "does not run again", || {
            board.is_running_all()
        })
        .await;
    }
}

impl Driven {
    /// `more` is for the gateway.toml of each gateway.
    pub async fn start(way: Way, link: Link, more: &str) -> Self {
        let boards: Vec<Arc<ModelBoard>> = way
            .boards()
            .iter()
            .map(|kind| Arc::new(ModelBoard::new(*kind, link.baud() != Some(SLOW_BAUD))))
            .collect();
        let upstream = match way {
            Way::UpstreamCloses => Some(Upstream::start(&boards, NORMAL).await),
            Way::UpstreamRefuses => Some(Upstream::start(&boards, REFUSED).await),
            _ => None,
        };
        let url = upstream.as_ref().map(|u| u.url.as_str());
        let rig = Rig::start(way, link, more, &boards, url).await;
        let apps = &rig.hub.as_ref().unwrap_or(&rig.gateway).clients;
        let mut idle = None;
        let controller = match (way, upstream) {
            (Way::Settling, _) => Controller::Nobody,
            (_, Some(upstream)) => Controller::Upstream(upstream),
            (Way::MonitorLeaves | Way::MonitorFreezes, _) => {
                idle = Some(App::start(apps, &boards, false).await);
                Controller::Monitors(Monitors::start(&rig.gateway, &boards))
            }
            _ => Controller::App(App::start(apps, &boards, true).await),
        };
        for board in &boards {
            until(&rig, board, "does not run", || board.is_running_all()).await;
        }
        Self {
            boards,
            rig,
            controller,
            _idle: idle,
        }
    }

    /// Starts a stream of commands, and waits until it arrives.
    pub async fn stream(&mut self) {
        let before: Vec<usize> = self.boards.iter().map(|board| board.obeyed()).collect();
        match &mut self.controller {
            Controller::App(app) => drop(app.act(Act::Stream).await),
            Controller::Monitors(monitors) => monitors.stream(),
            Controller::Upstream(upstream) => upstream.stream(),
            Controller::Nobody => {}
        }
        for (board, before) in self.boards.iter().zip(before) {
            until(&self.rig, board, "gets no stream", || {
                board.obeyed() >= before + STREAMED
            })
            .await;
        }
    }

    /// The app that drives the boards.
    pub fn app(&self) -> &App {
        match &self.controller {
            Controller::App(app) => app,
            _ => unreachable!("no app drives them in this way"),
        }
    }

    /// Takes control away, and returns when.
    pub async fn lose(&mut self, way: Way) -> Instant {
        let act = match way {
            Way::StopCmd => Some(Act::Stop),
            Way::AppCloses => Some(Act::Close),
            Way::AppDies => Some(Act::Die),
            Way::AppFreezes => Some(Act::Freeze),
            _ => None,
        };
        match (&mut self.controller, act) {
            (Controller::App(app), Some(act)) => return app.act(act).await,
            (Controller::Monitors(monitors), _) if way == Way::MonitorFreezes => return monitors.freeze(),
            (Controller::Monitors(monitors), _) => return monitors.leave(),
            (Controller::Upstream(upstream), _) => return upstream.close(),
            _ => {}
        }
        let lost = Instant::now();
        if way == Way::Replaced {
            for board in &self.boards {
                self.rig.plug(Arc::new(ModelBoard::new(board.kind, true)));
            }
        }
        if let Some(fleet) = &mut self.rig.fleet {
            if let (Controller::App(app), true) = (&self.controller, way.is_halt()) {
                // What it sends afterwards counts as soon as the hub has the device again.
                app.act(Act::Rest).await;
            }
            fleet.lose(way, self.boards.iter().map(AsRef::as_ref)).await;
        }
        if let Some(fault) = way.fault() {
            self.rig.faults.send_replace(Some(fault));
        }
        if let Some(signal) = way.signal() {
            let of_upstream = matches!(
                way,
                Way::UpstreamSigterm | Way::UpstreamSigkill | Way::UpstreamFreezes
            );
            let upstream = self.rig.hub.as_ref().filter(|_| of_upstream);
            upstream.unwrap_or(&self.rig.gateway).signal(signal);
        }
        lost
    }

    pub async fn observe(&self, lost: Instant, limit: Duration) -> Vec<Outcome> {
        let watched = self.boards.iter().zip(&self.rig.ended);
        join_all(watched.map(|(board, ended)| observe(board, ended.as_deref(), lost, limit))).await
    }
}

/// Waits for what comes before the loss of control.
async fn until(rig: &Rig, board: &ModelBoard, trouble: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < DEADLINE,
            "{} {trouble}; it got{}; the gateway's log: {}",
            board.kind.name(),
            last(board, start),
            rig.logs()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Watches a board until it was at rest for long enough, or its connection is over, or it is too late.
async fn observe(board: &ModelBoard, ended: Option<&AtomicBool>, lost: Instant, limit: Duration) -> Outcome {
    let mut changes = board.changes();
    let rest = loop {
        changes.mark_unchanged();
        // In this order: what a connection brought is obeyed before it is over.
        let over = ended.is_some_and(|ended| ended.load(Ordering::Acquire));
        let late = lost.elapsed() >= limit;
        match board.rest_since() {
            Some(since) if over || since.max(lost).elapsed() >= STAYS => {
                break Ok(since.saturating_duration_since(lost));
            }
            None if over => break Err("its connection is over, and it runs on"),
            None if late => break Err("it runs on"),
            Some(since) if late && since > lost + limit => break Err("it was started again and again"),
            _ => {}
        }
        // Time passes too.
        let _ = tokio::time::timeout(Duration::from_millis(10), changes.changed()).await;
    };
    let unknown = board.unknown();
    let rest = match rest {
        Ok(_) if !unknown.is_empty() => Err(format!("commands were damaged: {unknown:?}")),
        Ok(took) => Ok(took),
        Err(why) => Err(format!(
            "{why}: {}; last it got{}",
            board.running(),
            last(board, lost)
        )),
    };
    Outcome {
        kind: board.kind,
        rest,
    }
}

/// The last ten commands, each with its milliseconds from the loss on.
pub fn last(board: &ModelBoard, lost: Instant) -> String {
    let commands = board.commands();
    let mut text = String::new();
    for command in &commands[commands.len().saturating_sub(10)..] {
        let (sign, ms) = match command.at.checked_duration_since(lost) {
            Some(after) => ('+', after.as_millis()),
            None => ('-', lost.duration_since(command.at).as_millis()),
        };
        let _ = write!(text, " {sign}{ms}:{}", command.text);
        if command.verdict != Verdict::Obeyed {
            let _ = write!(text, "({:?})", command.verdict);
        }
    }
    text
}
