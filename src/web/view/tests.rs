use std::future::ready;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use super::boards::{Boards, Entries, Peripheral, SerialPort};
use super::configuration::{Changed, Edit, FileText};
use super::*;
use crate::device::handshake::{Address, Handshake, Identifier};
use crate::device::peer::Peer;
use crate::link::serial::Port;
use crate::session::registry::{Entry, Order};

/// A server that stops the first device, fails to stop the second, and hangs while it stops any other.
struct HalfStuck(Vec<ConnectionId>);

impl Server for HalfStuck {
    fn listed(&self) -> HashMap<ConnectionId, Listed> {
        let listed = self.0.iter().zip(0..).map(|(connection, index)| {
            let listed = Listed {
                name: String::new(),
                index,
                driver: None,
            };
            (*connection, listed)
        });
        listed.collect()
    }

    fn subject(&self, _: ConnectionId) -> Option<Subject> {
        None
    }

    fn apps(&self) -> Vec<App> {
        Vec::new()
    }

    fn disconnect(&self, _: u64) -> bool {
        false
    }

    fn block(&self, _: u64) -> Result<(), OriginError> {
        Err(OriginError::Absent)
    }

    fn questions(&self) -> Vec<Question> {
        Vec::new()
    }

    fn answer(&self, _: u64, _: Answer) -> Result<(), OriginError> {
        Err(OriginError::Absent)
    }

    fn origins(&self) -> Vec<Origin> {
        Vec::new()
    }

    fn forget_origin(&self, _: &str) -> Result<(), OriginError> {
        Err(OriginError::Absent)
    }

    fn stop(&self, index: u32) -> BoxFuture<'static, bool> {
        match index {
            0 => ready(true).boxed(),
            1 => ready(false).boxed(),
            _ => std::future::pending().boxed(),
        }
    }

    fn serve_page(
        &self,
        _: Upgraded,
        _: SocketAddr,
        _: SocketAddr,
        _: Option<String>,
        _: Option<Arc<Life>>,
        _: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// Nothing is simulated here.
struct Nothing;

impl Simulator for Nothing {
    fn list(&self) -> Vec<SimulatedDevice> {
        Vec::new()
    }

    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    fn start(&self, _: &str, _: Option<&str>) -> Result<SimulatedDevice, Problem> {
        Err(nothing())
    }

    fn stop(&self, _: &str) -> bool {
        false
    }
}

fn nothing() -> Problem {
    Problem {
        error: "nothing is here".to_owned(),
        hint: None,
    }
}

impl Configuration for Nothing {
    fn udcf(&self) -> BoxFuture<'static, Result<FileText, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn gateway_toml(&self) -> BoxFuture<'static, Result<FileText, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn change_udcf(&self, _: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn change_gateway_toml(&self, _: Edit) -> BoxFuture<'static, Result<Changed, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn reload(&self) -> BoxFuture<'static, Result<Changed, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn problem(&self) -> Option<Problem> {
        None
    }
}

impl Boards for Nothing {
    fn ports(&self) -> BoxFuture<'static, Result<Vec<SerialPort>, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn open(&self, _: &str, _: u32) -> BoxFuture<'static, Result<Port, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn scan(&self, _: Duration) -> BoxFuture<'static, Result<Vec<Peripheral>, Problem>> {
        ready(Err(nothing())).boxed()
    }

    fn entries(&self) -> BoxFuture<'static, Result<Entries, Problem>> {
        ready(Err(nothing())).boxed()
    }
}

/// A view of a gateway that simulates nothing and has no files.
pub(in crate::web) fn view(registry: Arc<Registry>, server: Option<Arc<dyn Server>>) -> View {
    View {
        registry,
        server,
        simulator: Arc::new(Nothing),
        configuration: Arc::new(Nothing),
        boards: Arc::new(Nothing),
        fleet: None,
        about: Arc::new(About {
            version: String::new(),
            devices: Vec::new(),
            clients: Vec::new(),
            upstream: None,
            fleet: false,
            announces: false,
            needs_token: false,
            fingerprint: None,
        }),
        stop: CancellationToken::new(),
    }
}

/// A session whose link takes every stop at once.
async fn session(registry: &Arc<Registry>, address: &str) -> (ConnectionId, AbortOnDropHandle<()>) {
    let handshake = Handshake::new(
        Identifier::new("LVSDevice").unwrap(),
        Address::new(address).unwrap(),
    );
    let peer = Peer::Websocket("127.0.0.1:1".parse().unwrap());
    let entry: Entry = registry.admit(handshake, peer).await.unwrap();
    let connection = entry.handle().connection;
    let task = tokio::spawn(async move {
        loop {
            if let Order::Stop { receipt, .. } = entry.handle().next_order().await {
                let _ = receipt.send(());
            }
        }
    });
    (connection, AbortOnDropHandle::new(task))
}

/// The link took the gateway's own stop, but moves that the server still holds may follow it.
#[tokio::test(start_paused = true)]
async fn a_device_that_the_server_did_not_stop_in_time_is_not_stopped() {
    let registry = Arc::new(Registry::default());
    let mut sessions = Vec::new();
    for address in ["good", "broken", "stuck", "unlisted"] {
        sessions.push(session(&registry, address).await);
    }
    let listed = sessions.iter().take(3).map(|(connection, _)| *connection);
    let view = view(registry, Some(Arc::new(HalfStuck(listed.collect()))));
    let of = |stopped: usize, failed: &[&str]| Stopped {
        stopped,
        failed: failed.iter().map(|&address| address.to_owned()).collect(),
    };
    assert_eq!(view.stop_everything().await, of(2, &["broken", "stuck"]));
    assert_eq!(view.stop_device("good").await, Some(of(1, &[])));
    assert_eq!(view.stop_device("broken").await, Some(of(0, &["broken"])));
    assert_eq!(view.stop_device("stuck").await, Some(of(0, &["stuck"])));
    assert_eq!(view.stop_device("unlisted").await, Some(of(1, &[])));
    assert_eq!(view.stop_device("nobody").await, None);
}
