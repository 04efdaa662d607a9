//! The gateways of a trial, and what its boards are connected by.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(target_os = "linux")]
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

#[cfg(target_os = "linux")]
use super::common::bluez::{Bluez, Peripheral};
use super::common::listener::{Listener, Over};
use super::common::model_board::ModelBoard;
use super::common::{pty, wait_until};
use super::fleet::Fleet;
use super::gateway::Gateway;
use super::ways::{Link, Way};
use super::websocket::{self, Fault};

/// What a request over Bluetooth takes, at a usual connection interval.
#[cfg(target_os = "linux")]
const BLE_WRITE: Duration = Duration::from_millis(8);

/// Everything that is needed until the boards were watched. Dropping it ends it.
pub struct Rig {
    pub gateway: Gateway,
    pub hub: Option<Gateway>,
    pub fleet: Option<Fleet>,
    pub faults: watch::Sender<Option<Fault>>,
    /// Whose connections are over, for links of which a test knows that.
    pub ended: Vec<Option<Arc<AtomicBool>>>,
    tasks: JoinSet<()>,
    #[cfg(target_os = "linux")]
    _bluez: Option<Bluez>,
    _ports: Option<TempDir>,
}

impl Rig {
    pub async fn start(
        way: Way,
        link: Link,
        more: &str,
        boards: &[Arc<ModelBoard>],
        upstream: Option<&str>,
    ) -> Self {
        let fleet = match link.is_fleet() {
            true => Some(Fleet::start().await),
            false => None,
        };
        let hub = match (&fleet, upstream) {
            (Some(fleet), _) => Some(Gateway::start(&format!("{more}{}", fleet.hub()), None, &[]).await),
            (None, None) if link.is_relay() => Some(Gateway::start(more, None, &[]).await),
            _ => None,
        };
        let relay = hub.as_ref().filter(|_| link.is_relay());
        let upstream = upstream.or(relay.map(|hub| hub.devices.as_str()));
        let mut toml = more.to_owned();
        if let Some(fleet) = &fleet {
            toml += &fleet.edge();
        }
        let mut devices = String::new();
        if way == Way::NoPong {
            devices += "ping_interval_ms = 200\n";
        }
        if link == Link::Tls {
            devices += "tls = \"only\"\n";
        }
        if !devices.is_empty() {
            let _ = write!(toml, "[devices]\n{devices}");
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
                tasks.spawn(wire(port, board.clone(), faults.subscribe()));
            }
            return Self {
                gateway,
                hub,
                fleet,
                faults,
                ended: boards.iter().map(|_| None).collect(),
                tasks,
                #[cfg(target_os = "linux")]
                _bluez: None,
                _ports: Some(ports),
            };
        }
        if let Some(over) = link.dialled() {
            for board in boards {
                let listener = Listener::start(over, board.clone()).await;
                let _ = write!(
                    toml,
                    "[[dial]]\nurl = {:?}\nidentifier = {:?}\naddress = {:?}\n",
                    listener.url,
                    board.kind.identifier(),
                    board.kind.name()
                );
                tasks.spawn(listens(over, listener, board.clone(), faults.subscribe()));
            }
            return Self {
                gateway: Gateway::start(&toml, upstream, &[]).await,
                hub,
                fleet,
                faults,
                ended: boards.iter().map(|_| None).collect(),
                tasks,
                #[cfg(target_os = "linux")]
                _bluez: None,
                _ports: None,
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
                let mut faults = faults.subscribe();
                tasks.spawn(async move {
                    while faults.changed().await.is_ok() {
                        if *faults.borrow_and_update() == Some(Fault::Vanish) {
                            peripheral.drop_link();
                        }
                    }
                });
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
                fleet,
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
            fleet,
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

    /// Ends what a way has done, if it can be undone.
    pub fn mend(&mut self, way: Way) {
        if let (Some(hub), Way::UpstreamFreezes) = (&self.hub, way) {
            hub.signal(Signal::CONT);
        }
        if let Some(fleet) = &mut self.fleet {
            fleet.mend(way);
        }
    }

    /// What the gateways logged last.
    pub fn logs(&self) -> String {
        let mut logs = self.gateway.log();
        if let Some(hub) = &self.hub {
            let _ = write!(logs, "\nthe upstream's: {}", hub.log());
        }
        logs
    }

    /// Connects a board on a websocket. The flag is set when the connection is over.
    pub fn plug(&mut self, board: Arc<ModelBoard>) -> Arc<AtomicBool> {
        let ended = Arc::new(AtomicBool::new(false));
        let (url, fingerprint, faults, over) = (
            self.gateway.devices.clone(),
            self.gateway.fingerprint,
            self.faults.subscribe(),
            ended.clone(),
        );
        self.tasks
            .spawn(async move { websocket::plug(&url, fingerprint, board, faults, over).await });
        ended
    }
}

/// A board that listens, which is switched off and on again when it vanishes, and goes on as before.
async fn listens(
    over: Over,
    mut listener: Listener,
    board: Arc<ModelBoard>,
    mut faults: watch::Receiver<Option<Fault>>,
) {
    while faults.changed().await.is_ok() {
        if *faults.borrow_and_update() == Some(Fault::Vanish) {
            let at = listener.off().await;
            listener = Listener::start_at(over, board.clone(), at, Arc::default()).await;
        }
    }
}

/// A board at its end of a wire, which is pulled out and plugged in again when it vanishes.
async fn wire(mut port: pty::Board, board: Arc<ModelBoard>, mut faults: watch::Receiver<Option<Fault>>) {
    loop {
        tokio::select! {
            bytes = port.read() => for answer in board.receive(&bytes) {
                port.say(answer).await;
            },
            Ok(()) = faults.changed() => if *faults.borrow_and_update() == Some(Fault::Vanish) {
                let path = port.port.clone();
                drop(port);
                port = pty::Board::plug(&path);
            },
        }
    }
}
