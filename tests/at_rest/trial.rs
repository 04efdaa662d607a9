//! One cell's worth: all boards on one link, all their outputs on, control is lost in one way; are they at rest?

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[cfg(target_os = "linux")]
use super::common::bluez::{Bluez, Peripheral};
use super::common::model_board::{Kind, ModelBoard};
use super::common::pty;
use super::common::{DEADLINE, wait_until};

use super::app::{Act, App};
use super::gateway::Gateway;
use super::hand::{Monitors, Upstream};
use super::websocket::{self, Fault};

/// A slow line: a command takes a tenth of a second.
const SLOW_BAUD: u32 = 1_200;
const FAST_BAUD: u32 = 115_200;
/// What a request over Bluetooth takes, at a usual connection interval.
#[cfg(target_os = "linux")]
const BLE_WRITE: Duration = Duration::from_millis(8);
/// A board that came to rest stays so for this long.
const STAYS: Duration = Duration::from_millis(700);
/// Closes a connection in good order.
const NORMAL: u16 = 1000;
/// Says that the same handshake gets the same answer.
const REFUSED: u16 = 4003;
/// Commands that a stream has brought before control is lost.
const STREAMED: usize = 5;

/// How boards are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    Websocket,
    SerialFast,
    SerialSlow,
    Ble,
    /// On a websocket, by way of a gateway that relays to another.
    Relay,
    /// On a slow line, by way of a gateway that relays to another.
    RelaySlow,
}

impl Link {
    pub const ALL: [Self; 6] = [
        Self::Websocket,
        Self::SerialFast,
        Self::SerialSlow,
        Self::Ble,
        Self::Relay,
        Self::RelaySlow,
    ];

    fn is_relay(self) -> bool {
        matches!(self, Self::Relay | Self::RelaySlow)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::Websocket | Self::Relay)
    }

    fn baud(self) -> Option<u32> {
        match self {
            Self::SerialFast => Some(FAST_BAUD),
            Self::SerialSlow | Self::RelaySlow => Some(SLOW_BAUD),
            _ => None,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Websocket => "websocket",
            Self::SerialFast => "serial 115200",
            Self::SerialSlow => "serial 1200",
            Self::Ble => "BLE",
            Self::Relay => "relay, websocket",
            Self::RelaySlow => "relay, serial 1200",
        })
    }
}

/// How control is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    StopCmd,
    AppCloses,
    AppDies,
    AppFreezes,
    Sigterm,
    Sigint,
    Sighup,
    MonitorLeaves,
    UpstreamCloses,
    UpstreamRefuses,
    UpstreamSigterm,
    UpstreamSigkill,
    UpstreamFreezes,
    BadFrame,
    BadText,
    LargeMessage,
    NoPong,
    Replaced,
    Settling,
}

impl Way {
    pub const ALL: [Self; 19] = [
        Self::StopCmd,
        Self::AppCloses,
        Self::AppDies,
        Self::AppFreezes,
        Self::Sigterm,
        Self::Sigint,
        Self::Sighup,
        Self::MonitorLeaves,
        Self::UpstreamCloses,
        Self::UpstreamRefuses,
        Self::UpstreamSigterm,
        Self::UpstreamSigkill,
        Self::UpstreamFreezes,
        Self::BadFrame,
        Self::BadText,
        Self::LargeMessage,
        Self::NoPong,
        Self::Replaced,
        Self::Settling,
    ];

    /// Why there is no such cell.
    pub fn missing(self, link: Link, streaming: bool) -> Option<&'static str> {
        match self {
            Self::UpstreamCloses
            | Self::UpstreamRefuses
            | Self::UpstreamSigterm
            | Self::UpstreamSigkill
            | Self::UpstreamFreezes
                if !link.is_relay() =>
            {
                Some("there is no upstream")
            }
            Self::BadFrame | Self::BadText | Self::LargeMessage | Self::NoPong if !link.is_websocket() => {
                Some("the link has no websocket messages and no pings")
            }
            Self::Replaced if !link.is_websocket() => Some("a port has one board at a time"),
            Self::Settling if link.baud().is_none() => Some("only a board on a wire is given time to start"),
            Self::Settling if streaming => Some("nobody can command a board that is not yet connected"),
            _ => None,
        }
    }

    /// The boards that it concerns.
    fn boards(self) -> &'static [Kind] {
        match self {
            // A gateway that has seen nothing of a board stops what its language stops in one word, and no more.
            Self::Settling => &[Kind::Hush, Kind::Edge, Kind::Nora, Kind::Stroker],
            _ => &Kind::ALL,
        }
    }

    /// When a board that is not at rest has failed. Generous: machines are slow. The figures are what counts.
    fn limit(self) -> Duration {
        match self {
            Self::AppFreezes | Self::UpstreamFreezes => Duration::from_millis(3_000),
            _ => Duration::from_millis(2_500),
        }
    }

    fn fault(self) -> Option<Fault> {
        match self {
            Self::BadFrame => Some(Fault::Protocol),
            Self::BadText => Some(Fault::NotUtf8),
            Self::LargeMessage => Some(Fault::TooLarge),
            Self::NoPong => Some(Fault::Mute),
            _ => None,
        }
    }

    fn signal(self) -> Option<Signal> {
        match self {
            Self::Sigterm | Self::Settling | Self::UpstreamSigterm => Some(Signal::TERM),
            Self::Sigint => Some(Signal::INT),
            Self::Sighup => Some(Signal::HUP),
            Self::UpstreamSigkill => Some(Signal::KILL),
            Self::UpstreamFreezes => Some(Signal::STOP),
            _ => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StopCmd => "`StopCmd`",
            Self::AppCloses => "app closes",
            Self::AppDies => "app dies",
            Self::AppFreezes => "app freezes",
            Self::Sigterm => "SIGTERM",
            Self::Sigint => "SIGINT",
            Self::Sighup => "SIGHUP",
            Self::MonitorLeaves => "`monitor` leaves",
            Self::UpstreamCloses => "upstream closes",
            Self::UpstreamRefuses => "upstream refuses the device (4007)",
            Self::UpstreamSigterm => "upstream gets SIGTERM",
            Self::UpstreamSigkill => "upstream is killed",
            Self::UpstreamFreezes => "upstream freezes",
            Self::BadFrame => "device breaks the websocket protocol (1002)",
            Self::BadText => "device sends text that is not UTF-8 (1007)",
            Self::LargeMessage => "device sends over 64 KiB (1009)",
            Self::NoPong => "device answers no ping (4003)",
            Self::Replaced => "device is replaced (4004)",
            Self::Settling => "SIGTERM during `settle_ms`",
        })
    }
}

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

/// Everything that is needed until the boards were watched. Dropping it ends it.
struct Rig {
    gateway: Gateway,
    hub: Option<Gateway>,
    faults: watch::Sender<Option<Fault>>,
    /// Whose connections are over, for links of which a test knows that.
    ended: Vec<Option<Arc<AtomicBool>>>,
    tasks: JoinSet<()>,
    #[cfg(target_os = "linux")]
    _bluez: Option<Bluez>,
    _ports: Option<TempDir>,
}

/// Runs all boards through it.
pub async fn run(way: Way, link: Link, streaming: bool) -> Vec<Outcome> {
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
    let mut rig = Rig::start(way, link, &boards, upstream.as_ref().map(|u| u.url.as_str())).await;
    let apps = &rig.hub.as_ref().unwrap_or(&rig.gateway).clients;
    // Beside other controllers, an app that does nothing shows that the boards are all listed.
    let mut idle = None;
    let mut controller = match (way, upstream) {
        (Way::Settling, _) => Controller::Nobody,
        (_, Some(upstream)) => Controller::Upstream(upstream),
        (Way::MonitorLeaves, _) => {
            idle = Some(App::start(apps, &boards, false).await);
            Controller::Monitors(Monitors::start(&rig.gateway, &boards))
        }
        _ => Controller::App(App::start(apps, &boards, true).await),
    };
    for board in &boards {
        until(&rig, board, "does not run", || board.is_running_all()).await;
    }
    if streaming {
        let before: Vec<usize> = boards.iter().map(|board| board.obeyed()).collect();
        match &mut controller {
            Controller::App(app) => drop(app.act(Act::Stream).await),
            Controller::Monitors(monitors) => monitors.stream(),
            Controller::Upstream(upstream) => upstream.stream(),
            Controller::Nobody => {}
        }
        for (board, before) in boards.iter().zip(before) {
            until(&rig, board, "gets no stream", || {
                board.obeyed() >= before + STREAMED
            })
            .await;
        }
    }
    let lost = lose(way, &mut rig, &boards, &mut controller).await;
    let watched = boards.iter().zip(&rig.ended);
    let outcomes =
        join_all(watched.map(|(board, ended)| observe(board, ended.as_deref(), lost, way.limit()))).await;
    drop(idle);
    outcomes
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
            rig.gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Takes control away, and returns when.
async fn lose(way: Way, rig: &mut Rig, boards: &[Arc<ModelBoard>], controller: &mut Controller) -> Instant {
    let act = match way {
        Way::StopCmd => Some(Act::Stop),
        Way::AppCloses => Some(Act::Close),
        Way::AppDies => Some(Act::Die),
        Way::AppFreezes => Some(Act::Freeze),
        _ => None,
    };
    match controller {
        Controller::App(app) if let Some(act) = act => return app.act(act).await,
        Controller::Monitors(monitors) => return monitors.leave(),
        Controller::Upstream(upstream) => return upstream.close(),
        _ => {}
    }
    let lost = Instant::now();
    if way == Way::Replaced {
        for board in boards {
            rig.plug(Arc::new(ModelBoard::new(board.kind, true)));
        }
    }
    if let Some(fault) = way.fault() {
        rig.faults.send_replace(Some(fault));
    }
    if let Some(signal) = way.signal() {
        let of_upstream = matches!(
            way,
            Way::UpstreamSigterm | Way::UpstreamSigkill | Way::UpstreamFreezes
        );
        let whose = rig.hub.as_ref().filter(|_| of_upstream);
        whose.unwrap_or(&rig.gateway).signal(signal);
    }
    lost
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
fn last(board: &ModelBoard, lost: Instant) -> String {
    let commands = board.commands();
    let mut text = String::new();
    for command in &commands[commands.len().saturating_sub(10)..] {
        let (sign, ms) = match command.at.checked_duration_since(lost) {
            Some(after) => ('+', after.as_millis()),
            None => ('-', lost.duration_since(command.at).as_millis()),
        };
        let _ = write!(text, " {sign}{ms}:{}", command.text);
        if command.verdict != super::common::model_board::Verdict::Obeyed {
            let _ = write!(text, "({:?})", command.verdict);
        }
    }
    text
}

impl Rig {
    async fn start(way: Way, link: Link, boards: &[Arc<ModelBoard>], upstream: Option<&str>) -> Self {
        let hub = match upstream {
            None if link.is_relay() => Some(Gateway::start("", None, &[]).await),
            _ => None,
        };
        let upstream = upstream.or(hub.as_ref().map(|hub| hub.devices.as_str()));
        let mut toml = String::new();
        if way == Way::NoPong {
            toml += "[devices]\nping_interval_ms = 200\n";
        }
        let mut tasks = JoinSet::new();
        let (faults, _) = watch::channel(None);
        if way == Way::Settling {
            boards.iter().for_each(|board| board.leave_running());
        }
        if let Some(baud) = link.baud() {
            let ports = TempDir::new().expect("a folder to write in");
            let settle = if way == Way::Settling { 10_000 } else { 0 };
            let mut plugged = Vec::new();
            for board in boards {
                let port = ports.path().join(board.kind.name());
                plugged.push(pty::Board::plug(&port));
                let _ = write!(
                    toml,
                    "[[serial]]\nport = {port:?}\nbaud_rate = {baud}\nsettle_ms = {settle}\n\
                     identifier = {:?}\naddress = {:?}\n",
                    board.kind.identifier(),
                    board.kind.name()
                );
            }
            let gateway = Gateway::start(&toml, upstream, &[]).await;
            if way == Way::Settling {
                for port in &plugged {
                    wait_until("the port is open", || port.attributes().output_speed() == baud).await;
                }
            }
            for (board, port) in boards.iter().zip(plugged) {
                tasks.spawn(wire(port, board.clone()));
            }
            return Self {
                gateway,
                hub,
                faults,
                ended: boards.iter().map(|_| None).collect(),
                tasks,
                #[cfg(target_os = "linux")]
                _bluez: None,
                _ports: Some(ports),
            };
        }
        #[cfg(target_os = "linux")]
        if link == Link::Ble {
            let bluez = Bluez::start();
            for (n, board) in boards.iter().enumerate() {
                let name = format!("DIY-{}", board.kind.name());
                let peripheral = bluez.plug(Peripheral::nus(&format!("C0:FF:EE:00:00:{n:02X}"), &name));
                peripheral.write_delay(BLE_WRITE);
                let model = board.clone();
                peripheral.on_write(move |bytes| model.receive(bytes));
                peripheral.advertise();
                let _ = write!(
                    toml,
                    "[[ble]]\nname = {name:?}\nprofile = \"nus\"\nidentifier = {:?}\ndevice_address = {:?}\n",
                    board.kind.identifier(),
                    board.kind.name()
                );
            }
            let bus = ("DBUS_SYSTEM_BUS_ADDRESS", bluez.bus_address());
            return Self {
                gateway: Gateway::start(&toml, upstream, &[bus]).await,
                hub,
                faults,
                ended: boards.iter().map(|_| None).collect(),
                tasks,
                _bluez: Some(bluez),
                _ports: None,
            };
        }
        let mut rig = Self {
            gateway: Gateway::start(&toml, upstream, &[]).await,
            hub,
            faults,
            ended: Vec::new(),
            tasks,
            #[cfg(target_os = "linux")]
            _bluez: None,
            _ports: None,
        };
        for board in boards {
            let ended = rig.plug(board.clone());
            rig.ended.push(Some(ended));
        }
        rig
    }

    /// Connects a board on a websocket. The flag is set when the connection is over.
    fn plug(&mut self, board: Arc<ModelBoard>) -> Arc<AtomicBool> {
        let ended = Arc::new(AtomicBool::new(false));
        let (url, faults, over) = (
            self.gateway.devices.clone(),
            self.faults.subscribe(),
            ended.clone(),
        );
        self.tasks
            .spawn(async move { websocket::plug(&url, board, faults, over).await });
        ended
    }
}

/// A board at its end of a wire.
async fn wire(mut port: pty::Board, board: Arc<ModelBoard>) {
    loop {
        let bytes = port.read().await;
        for answer in board.receive(&bytes) {
            port.say(answer).await;
        }
    }
}
