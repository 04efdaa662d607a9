//! No stale motion on Wi-Fi: a device that reads nothing for a while obeys, when it reads again, nothing that was meant
//! for a moment which is long over.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::bare_device::{BareDevice, ESP32_WINDOW, Pongs};
use common::json_client::JsonClient;
use common::model_board::UDCF;
use common::{Running, handshake, relaying, settings, wait_until, within};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async};
use wsdm_gateway::config::Settings;
use wsdm_gateway::defaults::{PROBE_PAUSE, PROBE_TIMEOUT, STALE_AFTER};

/// Between two commands: a hundred a second.
const PAUSE: Duration = Duration::from_millis(10);
/// How late a busy machine may be.
const LATE: Duration = Duration::from_millis(150);

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Who commands the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    /// An app, through the server inside: a TCode axis.
    App,
    /// An upstream that the device is relayed to: a Lovense vibrator, whose levels nobody but the device limits.
    Upstream,
}

/// A device, a gateway, and somebody who commands the device.
struct Rig {
    gateway: Running,
    driver: Driver,
    index: u64,
    sink: SplitSink<Ws, Message>,
    /// When each command was sent. Its number is its value.
    sent: Vec<Instant>,
    device: Arc<Device>,
    whim: watch::Sender<Whim>,
    _folder: TempDir,
}

/// What a device does when a test wants it to.
#[derive(Clone, Copy, Debug)]
enum Whim {
    None,
    /// Reads nothing for so long.
    Stall(Duration),
    /// Answers pings like this from now on.
    Pongs(Pongs),
}

/// What a device did.
#[derive(Default)]
struct Device {
    /// The commands that it obeyed, and when.
    obeyed: Mutex<Vec<(usize, Instant)>>,
    /// From when to when it did not read.
    stalled: Mutex<Option<(Instant, Instant)>>,
    pings: Mutex<usize>,
}

impl Device {
    fn obeyed(&self) -> Vec<(usize, Instant)> {
        self.obeyed.lock().unwrap().clone()
    }

    fn last(&self) -> Option<usize> {
        self.obeyed.lock().unwrap().last().map(|(n, _)| *n)
    }

    /// Reads and obeys, until the connection ends. Says something each `chatter`, as a sensor does.
    async fn run(
        self: Arc<Self>,
        mut io: BareDevice,
        mut whims: watch::Receiver<Whim>,
        chatter: Option<Duration>,
    ) {
        let mut chatters = tokio::time::interval(chatter.unwrap_or(Duration::from_secs(3_600)));
        loop {
            tokio::select! {
                biased;
                Ok(()) = whims.changed() => {
                    let whim = *whims.borrow_and_update();
                    match whim {
                        Whim::None => {}
                        Whim::Stall(lasts) => {
                            let from = Instant::now();
                            tokio::time::sleep(lasts).await;
                            *self.stalled.lock().unwrap() = Some((from, Instant::now()));
                        }
                        Whim::Pongs(pongs) => io.pongs = pongs,
                    }
                }
                _ = chatters.tick() => if chatter.is_some() && io.say(&[b"s1;"]).await.is_err() { return },
                frame = io.next() => {
                    let Ok(frame) = frame else { return };
                    *self.pings.lock().unwrap() = io.pings;
                    let text = String::from_utf8(frame).unwrap();
                    if text == "DeviceType;" {
                        io.say(&[b"Z:11:0000000000AA;"]).await.unwrap();
                    }
                    if let Some(n) = number(&text) {
                        self.obeyed.lock().unwrap().push((n, Instant::now()));
                    }
                }
            }
        }
    }
}

/// `L0123I10`, `Vibrate:123;`
fn number(text: &str) -> Option<usize> {
    let value = text
        .strip_prefix("L0")
        .and_then(|rest| rest.split_once('I'))
        .map(|(value, _)| value);
    let level = text
        .strip_prefix("Vibrate:")
        .and_then(|rest| rest.strip_suffix(';'));
    value.or(level)?.parse().ok()
}

/// Sends at once, and reads what comes, so that pings are answered.
fn split(ws: Ws) -> SplitSink<Ws, Message> {
    let MaybeTlsStream::Plain(stream) = ws.get_ref() else {
        unreachable!("no TLS here")
    };
    stream.set_nodelay(true).unwrap();
    let (sink, mut stream) = ws.split();
    tokio::spawn(async move { while let Some(Ok(_)) = stream.next().await {} });
    sink
}

impl Rig {
    async fn new(driver: Driver, pongs: Pongs, ping_interval: Duration, chatter: Option<Duration>) -> Self {
        let folder = TempDir::new().unwrap();
        let (whim, whims) = watch::channel(Whim::None);
        let device = Arc::<Device>::default();
        let plug = async |gateway: &Running, identifier: &str| {
            let hello = handshake(identifier, "wifi-1");
            let mut io = BareDevice::connect(gateway.bound.devices, ESP32_WINDOW, &hello)
                .await
                .unwrap();
            io.pongs = pongs;
            tokio::spawn(device.clone().run(io, whims.clone(), chatter));
        };
        let with_pings = |mut settings: Settings| {
            settings.devices.ping_interval = ping_interval;
            settings
        };
        match driver {
            Driver::App => {
                let udcf = folder.path().join("udcf.json");
                std::fs::write(&udcf, UDCF).unwrap();
                let settings = Settings {
                    udcf: Some(udcf),
                    ..settings()
                };
                let gateway = Running::start(with_pings(settings)).await;
                plug(&gateway, "ModelStroker").await;
                let mut app = JsonClient::connect(&gateway.clients(), 4).await;
                let index = app.first_device().await;
                let sink = split(app.into_inner());
                Self {
                    gateway,
                    driver,
                    index,
                    sink,
                    sent: Vec::new(),
                    device,
                    whim,
                    _folder: folder,
                }
            }
            Driver::Upstream => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("ws://{}", listener.local_addr().unwrap());
                let gateway = Running::start(with_pings(relaying(&url))).await;
                plug(&gateway, "LVSDevice").await;
                let (stream, _) = within("it is dialled", listener.accept()).await.unwrap();
                let ws = accept_async(MaybeTlsStream::Plain(stream)).await.unwrap();
                Self {
                    gateway,
                    driver,
                    index: 0,
                    sink: split(ws),
                    sent: Vec::new(),
                    device,
                    whim,
                    _folder: folder,
                }
            }
        }
    }

    async fn send(&mut self) {
        let n = self.sent.len();
        assert!(n < 1_000, "numbers do not repeat");
        let message = match self.driver {
            Driver::App => {
                let command = json!({ "HwPositionWithDuration": { "Value": n, "Duration": 10 } });
                let fields = json!({ "Id": n + 100, "DeviceIndex": self.index, "FeatureIndex": 0, "Command": command });
                Message::text(json!([{ "OutputCmd": fields }]).to_string())
            }
            Driver::Upstream => Message::binary(format!("Vibrate:{n};")),
        };
        self.sent.push(Instant::now());
        self.sink.send(message).await.expect("an open socket");
    }

    /// Commands the device for so long.
    async fn command_for(&mut self, time: Duration) {
        let mut turns = tokio::time::interval(PAUSE);
        let until = Instant::now() + time;
        while Instant::now() < until {
            turns.tick().await;
            self.send().await;
        }
    }

    async fn last_arrives(&self) {
        let last = self.sent.len() - 1;
        wait_until("the last command arrives", || self.device.last() == Some(last)).await;
    }

    /// The age of each command when it was obeyed, and when it was sent.
    fn ages(&self) -> Vec<(Duration, Instant)> {
        let sent = |n: usize| self.sent[n];
        let obeyed = self.device.obeyed();
        assert!(obeyed.is_sorted_by_key(|(n, _)| *n), "out of order");
        obeyed
            .into_iter()
            .map(|(n, at)| (at - sent(n), sent(n)))
            .collect()
    }
}

/// Commands that were older than they may be, and the oldest.
fn stale(ages: &[(Duration, Instant)]) -> (usize, Duration) {
    let stale = ages.iter().filter(|(age, _)| *age > STALE_AFTER);
    let oldest = ages.iter().map(|(age, _)| *age).max().unwrap_or_default();
    (stale.count(), oldest)
}

/// A device that stalls in the middle of a stream of commands: the number of stale ones, how old the oldest was, and of
/// those that were sent afterwards.
async fn stalled(driver: Driver, pongs: Pongs, stall: Duration) {
    // A device that is silent for two intervals is let go.
    let mut rig = Rig::new(driver, pongs, stall * 2, None).await;
    rig.command_for(Duration::from_secs(1)).await;
    rig.whim.send_replace(Whim::Stall(stall));
    rig.command_for(stall + Duration::from_secs(1)).await;
    rig.last_arrives().await;
    let (from, to) = rig.device.stalled.lock().unwrap().expect("it stalled");
    let ages = rig.ages();
    let (count, oldest) = stale(&ages);
    let afterwards = ages
        .iter()
        .filter(|(_, sent)| *sent > to)
        .map(|(age, _)| *age)
        .max();
    println!(
        "{driver:?}, {} s, pongs {pongs:?}: {count} of {} commands were stale, the oldest {} ms; of those sent afterwards the \
         oldest {} ms",
        stall.as_secs(),
        ages.len(),
        oldest.as_millis(),
        afterwards.unwrap_or_default().as_millis()
    );
    // What was sent before anything could tell that the device reads no more.
    let unnoticed = PROBE_PAUSE + PROBE_TIMEOUT;
    let bound = (unnoticed.as_millis() / PAUSE.as_millis()) as usize + 2;
    assert!(count <= bound, "{count} are more than {bound}");
    assert!(
        count > 0,
        "what is on its way cannot be taken back: it did not stall"
    );
    let late: Vec<_> = ages
        .iter()
        .filter(|(age, sent)| *age > STALE_AFTER && *sent > from + unnoticed + LATE)
        .map(|(age, sent)| (*age, *sent - from))
        .collect();
    assert!(late.is_empty(), "age, and time since the stall began: {late:?}");
    rig.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_seconds_a_device_obeys_nothing_stale_of_an_app() {
    stalled(Driver::App, Pongs::Whole, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_four_seconds_a_device_obeys_nothing_stale_of_an_app() {
    stalled(Driver::App, Pongs::Whole, Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_two_seconds_a_device_obeys_nothing_stale_of_upstream() {
    stalled(Driver::Upstream, Pongs::Whole, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_four_seconds_a_device_obeys_nothing_stale_of_upstream() {
    stalled(Driver::Upstream, Pongs::Whole, Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_pongs_are_empty_obeys_nothing_stale_either() {
    stalled(Driver::Upstream, Pongs::Empty, Duration::from_secs(2)).await;
}

/// Such a device tells nothing of what it has received, and must not lose anything by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lives_and_never_answers_pings_gets_every_command() {
    let often = Some(Duration::from_millis(50));
    let mut rig = Rig::new(Driver::Upstream, Pongs::Never, Duration::from_secs(2), often).await;
    rig.command_for(Duration::from_millis(500)).await;
    rig.whim.send_replace(Whim::Stall(Duration::from_secs(1)));
    rig.command_for(Duration::from_secs(2)).await;
    rig.last_arrives().await;
    assert!(*rig.device.pings.lock().unwrap() > 0, "it was asked");
    let obeyed: Vec<usize> = rig.device.obeyed().iter().map(|(n, _)| *n).collect();
    assert_eq!(obeyed, Vec::from_iter(0..rig.sent.len()));
    rig.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_stops_answering_pings_and_lives_is_commanded_again() {
    let often = Some(Duration::from_millis(50));
    let interval = Duration::from_millis(400);
    let mut rig = Rig::new(Driver::Upstream, Pongs::Whole, interval, often).await;
    rig.command_for(Duration::from_millis(500)).await;
    rig.last_arrives().await;
    rig.whim.send_replace(Whim::Pongs(Pongs::Never));
    let from = Instant::now();
    // Commands that come meanwhile wait, and the newest of them arrives.
    rig.command_for(4 * interval).await;
    rig.last_arrives().await;
    let obeyed = rig.device.obeyed();
    let longest = (obeyed.windows(2))
        .filter(|pair| pair[1].1 > from)
        .map(|pair| pair[1].1 - pair[0].1)
        .max()
        .unwrap();
    println!("motion waited for {} ms", longest.as_millis());
    assert!(longest > PROBE_TIMEOUT, "{longest:?}: nothing waited for a pong");
    assert!(longest < 3 * interval, "{longest:?}");
    // Nothing waits for pongs any more.
    let before = rig.sent.len();
    rig.command_for(2 * interval).await;
    rig.last_arrives().await;
    let obeyed: Vec<usize> = rig
        .device
        .obeyed()
        .iter()
        .map(|(n, _)| *n)
        .filter(|n| *n >= before)
        .collect();
    assert_eq!(obeyed, Vec::from_iter(before..rig.sent.len()));
    // It answers again: a stall is noticed again, one in which it is not let go for its silence.
    rig.whim.send_replace(Whim::Pongs(Pongs::Whole));
    let answered = rig.sent.len();
    rig.command_for(2 * interval).await;
    rig.whim.send_replace(Whim::Stall(interval * 3 / 4));
    rig.command_for(Duration::from_secs(1)).await;
    rig.last_arrives().await;
    let came = rig.device.obeyed().iter().filter(|(n, _)| *n >= answered).count();
    let sent = rig.sent.len() - answered;
    assert!(
        came < sent - 10,
        "{came} of {sent} came: the stall was not noticed"
    );
    rig.gateway.stop().await;
}
