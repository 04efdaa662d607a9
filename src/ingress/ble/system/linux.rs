//! Linux: a connection to the message bus of our own, beside btleplug's.

mod signals;

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use btleplug::api::Peripheral as _;
use btleplug::platform::{Adapter, Manager, Peripheral};
use dbus::Path;
use dbus::channel::MatchingReceiver;
use dbus::message::MatchRule;
use dbus::nonblock::stdintf::org_freedesktop_dbus::Properties;
use dbus::nonblock::{Proxy, SyncConnection};
use dbus_tokio::connection::{self, IOResourceError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Change, Event, Unavailable};
use crate::defaults::{BLE_CONNECT_TIMEOUT, BLE_PAIR_TIMEOUT};

const BLUEZ: &str = "org.bluez";
const ADAPTER: &str = "org.bluez.Adapter1";
const DEVICE: &str = "org.bluez.Device1";
/// A peripheral that comes back is the one that it was: its handle and what follows its notifications stay good.
pub(in crate::ingress::ble) const HANDLES_LAST: bool = true;
/// Between two looks whether the services are known. Finding them takes a peripheral some hundred milliseconds.
const RESOLVED_POLL: Duration = Duration::from_millis(10);
/// The bus and bluetoothd answer at once, or hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What is watched: who has the name, which objects come and go (adapters are rare among them), and what becomes of
/// adapters.
const RULES: [&str; 4] = [
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',\
     arg0='org.bluez'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesAdded'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.ObjectManager',member='InterfacesRemoved'",
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',\
     arg0='org.bluez.Adapter1'",
];
/// And what becomes of peripherals, once somebody asks. btleplug's own events cost a call each.
const DEVICE_RULE: &str = "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',\
     member='PropertiesChanged',arg0='org.bluez.Device1'";

/// The system's Bluetooth, watched.
pub(in crate::ingress::ble) struct System {
    bus: Arc<SyncConnection>,
    lost: JoinHandle<IOResourceError>,
    changes: mpsc::UnboundedReceiver<Change>,
    follower: Arc<Mutex<Option<Follower>>>,
}

/// Who follows the peripherals of which adapter.
struct Follower {
    adapter: String,
    tell: mpsc::UnboundedSender<Event>,
}

/// What is heard of an adapter's peripherals.
pub(in crate::ingress::ble) struct Events(mpsc::UnboundedReceiver<Event>);

impl Events {
    /// The next event. Cancel safe.
    pub(in crate::ingress::ble) async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl System {
    /// Connects to the message bus and watches it. Must be called in a runtime; blocks for a moment.
    pub(in crate::ingress::ble) async fn open() -> Result<Self, Unavailable> {
        let unreachable = |e: dbus::Error| Unavailable {
            why: format!("the system's message bus cannot be reached: {}", text(&e)),
            hint: "a container needs /run/dbus/system_bus_socket from its host",
        };
        let (resource, bus) = connection::new_system_sync().map_err(unreachable)?;
        let lost = tokio::spawn(resource);
        let (tell, changes) = mpsc::unbounded_channel();
        let follower: Arc<Mutex<Option<Follower>>> = Arc::default();
        let followed = follower.clone();
        bus.start_receive(
            MatchRule::new().with_type(dbus::MessageType::Signal),
            Box::new(move |message, _| {
                // Nobody listens any more once this is being torn down.
                if let Some(change) = signals::change(&message) {
                    let _ = tell.send(change);
                }
                if let Some(follower) = &*followed.lock().unwrap_or_else(PoisonError::into_inner) {
                    for event in signals::events(&message, &follower.adapter) {
                        let _ = follower.tell.send(event);
                    }
                }
                true
            }),
        );
        for rule in RULES {
            bus.add_match_no_cb(rule).await.map_err(unreachable)?;
        }
        Ok(Self {
            bus,
            lost,
            changes,
            follower,
        })
    }

    /// Follows what is heard of an adapter's peripherals from now on. Once.
    pub(in crate::ingress::ble) async fn events(&self, _: &Adapter, name: &str) -> Result<Events, String> {
        let (tell, told) = mpsc::unbounded_channel();
        let follower = Follower {
            adapter: name.to_owned(),
            tell,
        };
        *self.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(follower);
        self.bus
            .add_match_no_cb(DEVICE_RULE)
            .await
            .map_err(|e| text(&e))?;
        Ok(Events(told))
    }

    /// What happens next; nothing after [`Change::Lost`]. Cancel safe.
    pub(in crate::ingress::ble) async fn changed(&mut self) -> Change {
        tokio::select! {
            biased;
            _ = &mut self.lost => Change::Lost("the system's message bus went away"),
            change = self.changes.recv() => match change {
                Some(change) => change,
                // Cannot be: the receiver stays for as long as the connection.
                None => pending().await,
            },
        }
    }

    /// Why btleplug finds no adapter.
    pub(in crate::ingress::ble) async fn why_no_adapter(&self) -> Unavailable {
        let bus = Proxy::new(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            ANSWER_TIMEOUT,
            self.bus.clone(),
        );
        let owned: Result<(bool,), _> = bus
            .method_call("org.freedesktop.DBus", "NameHasOwner", (BLUEZ,))
            .await;
        if matches!(owned, Ok((false,))) {
            Unavailable {
                why: "bluetoothd does not run".to_owned(),
                hint: "sudo systemctl enable --now bluetooth; it is in the package bluez",
            }
        } else {
            Unavailable {
                why: "there is no Bluetooth adapter".to_owned(),
                hint: "plug one in: it is found without a restart",
            }
        }
    }

    /// Why an adapter is not on.
    pub(in crate::ingress::ble) async fn why_off(&self, adapter: &str) -> Unavailable {
        let proxy = Proxy::new(
            BLUEZ,
            format!("/org/bluez/{adapter}"),
            ANSWER_TIMEOUT,
            self.bus.clone(),
        );
        // Older versions of BlueZ do not have it.
        let state: Result<String, _> = proxy.get(ADAPTER, "PowerState").await;
        if state.is_ok_and(|state| state == "off-blocked") {
            Unavailable {
                why: format!("the Bluetooth adapter {adapter} is blocked"),
                hint: "rfkill unblock bluetooth, or the switch of the machine",
            }
        } else {
            Unavailable {
                why: format!("the Bluetooth adapter {adapter} is off"),
                hint: "bluetoothctl power on; it is not switched on without being asked",
            }
        }
    }

    /// What a manager's error means to people.
    pub(in crate::ingress::ble) fn explain(error: &btleplug::Error) -> Unavailable {
        let denied = format!("{error:?}").contains("AccessDenied");
        Unavailable {
            why: format!("bluetoothd cannot be asked: {error}"),
            hint: if denied {
                "this user may not use Bluetooth: sudo usermod -aG bluetooth $USER, then log in again"
            } else {
                "is the package bluez complete, and bluetoothd running? systemctl status bluetooth"
            },
        }
    }

    /// For one peripheral after another.
    pub(in crate::ingress::ble) fn calls(&self) -> Calls {
        Calls {
            bus: self.bus.clone(),
        }
    }

    /// btleplug's own connection.
    pub(in crate::ingress::ble) async fn manager(&self) -> Result<Manager, btleplug::Error> {
        Manager::new().await
    }
}

/// What is asked of BlueZ about a peripheral without btleplug.
#[derive(Clone)]
pub(in crate::ingress::ble) struct Calls {
    bus: Arc<SyncConnection>,
}

impl Calls {
    /// Connects, and waits until the services are known. The library would follow the device's signals for that, and
    /// stop in a way that panics and leaves a match rule on the bus where a signal comes meanwhile; and it would not
    /// notice that the peripheral went. Dropped, it leaves the order to connect as it is: `disconnect` takes it back.
    ///
    /// # Errors
    /// What BlueZ said, or that the peripheral went.
    pub(in crate::ingress::ble) async fn connect(&self, peripheral: &Peripheral) -> Result<(), String> {
        let device = self.device(peripheral, BLE_CONNECT_TIMEOUT)?;
        let called = device.method_call::<(), _, _, _>(DEVICE, "Connect", ());
        match called.await {
            Err(e) if e.name() != Some("org.bluez.Error.AlreadyConnected") => return Err(text(&e)),
            _ => {}
        }
        loop {
            if property(&device, "ServicesResolved").await? {
                return Ok(());
            }
            if !property(&device, "Connected").await? {
                return Err("it disconnected while its services were looked at".to_owned());
            }
            sleep(RESOLVED_POLL).await;
        }
    }

    /// Pairs with a connected peripheral, or finds that it is paired with already.
    ///
    /// # Errors
    /// What BlueZ said.
    pub(in crate::ingress::ble) async fn pair(&self, peripheral: &Peripheral) -> Result<(), String> {
        let device = self.device(peripheral, BLE_PAIR_TIMEOUT)?;
        match device.method_call(DEVICE, "Pair", ()).await {
            Ok(()) => Ok(()),
            Err(e) if e.name() == Some("org.bluez.Error.AlreadyExists") => Ok(()),
            Err(e) => Err(text(&e)),
        }
    }

    fn device(&self, peripheral: &Peripheral, limit: Duration) -> Result<Device, String> {
        let path = Path::new(format!("/org/bluez/{}", peripheral.id()))?;
        Ok(Proxy::new(BLUEZ, path, limit, self.bus.clone()))
    }
}

type Device = Proxy<'static, Arc<SyncConnection>>;

async fn property(device: &Device, name: &str) -> Result<bool, String> {
    device.get(DEVICE, name).await.map_err(|e| text(&e))
}

/// Another operation of the same kind is under way, of another program perhaps.
pub(in crate::ingress::ble) fn is_busy(error: &btleplug::Error) -> bool {
    format!("{error:?}").contains("org.bluez.Error.InProgress")
}

fn text(error: &dbus::Error) -> String {
    let name = error.name().unwrap_or("no name");
    format!("{} ({name})", error.message().unwrap_or("no message"))
}
