//! Every port, timeout, queue depth and size limit, each with its reason.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

// What devices must know too stands in a crate that their firmware shares.
pub use wsdm_protocol::{CLOSE_REASON_MAX_BYTES, HANDSHAKE_MAX_BYTES, TLS_FRAGMENT_MAX_BYTES};

/// Where devices connect on this machine: the port of the protocol's page, on loopback until somebody edits it.
pub const DEVICE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), wsdm_protocol::PORT);
/// Where Buttplug clients connect: the port that every Buttplug app tries first.
pub const CLIENT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 12345);
/// The port of the page.
pub const PAGE_LISTEN_PORT: u16 = 54880;
/// The name that Buttplug clients show for this server.
pub const SERVER_NAME: &str = "wsdm-gateway";

/// From the TCP accept to the end of the handshake. A board on bad Wi-Fi takes 2 s.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(5_000);
/// Between two pings of a device or a client; after two of them without a sound it is gone.
pub const PING_INTERVAL: Duration = Duration::from_millis(2_500);
/// A write that the peer's socket does not take for this long means that the peer is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_millis(5_000);
/// Time for the Close frame of a session that ended for another reason than the gateway stopping.
pub const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a web page that the user is asked about waits for the answer. Some browsers give up sooner.
pub const ORIGIN_QUESTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Web pages, by origin, that may wait for an answer at once. More is not what a person can read.
pub const ORIGIN_QUESTIONS_MAX: usize = 16;
/// Connections of one origin that wait for its answer: a few tabs of an app.
pub const ORIGIN_WAITING_MAX: usize = 4;

/// The largest head of an HTTP request. Browsers send cookies of everything else on this machine.
pub const UPGRADE_MAX_BYTES: usize = 64 * 1024;
/// What is read of it at once. Boards send 200 bytes, browsers 600.
pub const UPGRADE_READ_BYTES: usize = 1024;

/// The largest frame taken from or passed to a device. Real ones have tens of bytes.
pub const FRAME_MAX_BYTES: usize = 64 * 1024;
/// The read buffer of a device's websocket. The library's 128 KiB would be most of a device's memory.
pub const DEVICE_READ_BUFFER_BYTES: usize = 1024;
/// What is written to a device's websocket in one go if more than that is to be written: a frame and a ping.
pub const DEVICE_WRITE_BUFFER_BYTES: usize = 256;
/// What TLS may hold back of a connection from a device: two records. Past that frames wait where newer ones take their place.
pub const TLS_SEND_BUFFER_BYTES: usize = 2 * TLS_FRAGMENT_MAX_BYTES;
/// The largest message taken from a Buttplug client: a batch of some thousand commands.
pub const CLIENT_MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// The read buffer of a client's websocket: a batch of commands in one read.
pub const CLIENT_READ_BUFFER_BYTES: usize = 8 * 1024;
/// Messages that wait for a client to take them. Past that its own messages wait: it is the one that is slow.
pub const CLIENT_QUEUE: usize = 64;
/// Commands of one client that a device, or the library, has not answered. Past that a command gets an Error.
pub const CLIENT_COMMANDS_MAX: usize = 1024;
/// Between two device lists to one client. A thousand devices that come at once are not a thousand lists.
pub const CLIENT_LIST_PAUSE: Duration = Duration::from_millis(50);
/// Device lists to one client take at most one part in so many of the time, making and writing them together: a client
/// reads, and whoever else is served by the same thread has his turn.
pub const CLIENT_LIST_SHARE: u32 = 10;
/// The longest pause between two lists, unless one takes longer to write.
pub const CLIENT_LIST_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time for a device to answer a sensor query. A lovense answers in 50 ms, or not at all.
pub const INPUT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// Time for the library's stop of a device that may be running when it comes, before apps see it.
pub const LIBRARY_STOP_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How long a stop waits for the moves that the server inside has queued before it. They pass in microseconds, unless the
/// user's message gap holds them.
pub const FENCE_TIMEOUT: Duration = Duration::from_millis(50);
/// Time for the library's own stop of a device, before the stop bytes follow. A wedged device holds it for 1 s.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(80);
/// Queries that wait for a slow link, or frames in a language that is not known. Past that the oldest are dropped. Of
/// commands that set an actuator one waits for each.
pub const OUTBOX_MAX: usize = 256;
/// Motion that waited this long is stale: the moment that it was meant for is over.
pub const STALE_AFTER: Duration = Duration::from_millis(250);
/// Frames this close to the newest one came together with it: the server stops several actuators in one go.
pub const BURST: Duration = Duration::from_millis(20);
/// Between two pings that travel with a device's commands. Firmware answers pings in its loop: more would cost it time.
pub const PROBE_PAUSE: Duration = Duration::from_millis(25);
/// If a ping among the commands is not answered for this long, motion waits where newer motion can take its place. Wi-Fi in
/// power save answers in 100 ms.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// The same for a peer that has always answered at once: some turns of a busy board's loop.
pub const PROBE_TIMEOUT_MIN: Duration = Duration::from_millis(30);
/// Between two pings of an app or an upstream that drives an output, or two signs of life of a page or a monitor, if its silence counts after `stop_after`: three fit in,
/// so that a lost one does no harm.
pub fn attentive_pings(stop_after: Duration) -> Duration {
    (stop_after / 3).min(Duration::from_millis(500))
}
/// Frames that wait for somebody who watches a device: a second of a busy one. Past that the oldest are missed.
pub const WATCH_QUEUE: usize = 1024;
/// Frames that people sent by hand and a device has not taken. Past that they are told to wait.
pub const INJECT_QUEUE: usize = 16;
/// Time for whatever still stands on the control socket to be read, when the gateway stops.
pub const CONTROL_CLOSE_TIMEOUT: Duration = Duration::from_millis(100);
/// Time for a gateway to answer on its control socket. It does so in under a millisecond, unless it hangs.
pub const CONTROL_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long a thread that serves websocket devices waits awake for the frame after a frame: a server on the same host
/// answers within it. A device that gets 50 commands a second keeps a core awake for 0.5 % of the time at most.
pub const SPIN: Duration = Duration::from_micros(50);
/// Frames from upstream that a session writes before the device has its turn.
pub const UPSTREAM_BURST: usize = 32;

/// How long the network is told at the end that the gateway goes; where that takes longer, it finds out by itself.
pub const WITHDRAW_TIMEOUT: Duration = Duration::from_millis(100);

/// How often the system's ports are looked at: a board that is plugged in appears within a second.
pub const PORT_POLL: Duration = Duration::from_millis(250);
/// Bits a second of a serial port: what most sketches open theirs with.
pub const BAUD_RATE: u32 = 115_200;
/// A pause that ends a frame, where none is given: several characters at 9,600 baud, less than a board's loop.
pub const IDLE_MS_DEFAULT: u64 = 20;
/// How long a board on a wire or on Bluetooth has to introduce itself, after it had its time to start, before that is
/// reported.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two newlines that ask a board to introduce itself. Longer than the keepalive of usual firmware, 200 or 250 ms,
/// by more than its tolerance of a quarter: a board that was not restarted with the gateway tells the question from a
/// sign of life by that.
pub const HELLO_ASK_PAUSE: Duration = Duration::from_millis(400);
/// The same, once a board was silent for [`HELLO_TIMEOUT`]: it may be slow to start, or get another sketch.
pub const HELLO_ASK_LATER: Duration = Duration::from_secs(10);
/// Newlines that ask for a hello line behind the first, before a board is asked anything else: a board prints the line
/// within two seconds of its start.
pub const HELLO_FIRST_ASKS: usize = 5;
/// A board that pauses for this long in a line will not end it. The pieces of a line come a connection interval of
/// Bluetooth LE apart, seldom more than 100 ms.
pub const LINE_PAUSE: Duration = Duration::from_millis(250);
/// How long an answer is waited for before the next question, while it is not known what a board is. All four fit into
/// what is left of [`HELLO_TIMEOUT`]; an answer that comes later counts too.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(600);
/// The same, once it is known which language the board speaks: some answer between two moves of a slow loop.
pub const ANSWER_TIMEOUT_KNOWN: Duration = Duration::from_millis(2_500);
/// An answer is whole when the board says nothing for this long. A list of axes comes in several reads.
pub const ANSWER_QUIET: Duration = Duration::from_millis(300);
/// The same of a board that never stops talking.
pub const ANSWER_QUIET_MAX: Duration = Duration::from_secs(3);
/// How long a port is held that may have no board behind it which identifies itself: all questions, and a second for
/// late answers.
pub const RECOGNITION_PATIENCE: Duration = Duration::from_secs(6);
/// Between two tries of a port that `match = "any"` found and that did not identify itself: opening it restarts many
/// boards, and holds it against other programs.
pub const UNIDENTIFIED_RETRY: Duration = Duration::from_secs(600);
/// How long a configured port may be missing before that is reported.
pub const PORT_MISSING_HINT: Duration = Duration::from_secs(5);
/// How long a peripheral is kept that does not introduce itself. Adapters have few connections, and a board that is
/// connected is seen by nobody else; it is connected again later.
pub const BLE_HELLO_PATIENCE: Duration = Duration::from_secs(12);

/// How long dialling a board may take: the name, the connection, TLS and the upgrade. As on Wi-Fi with bad reception.
pub const BOARD_DIAL_TIMEOUT: Duration = Duration::from_millis(5_000);
/// The first pause before a board that listens is dialled again: it may have restarted.
pub const DIAL_RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest one.
pub const DIAL_RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a board has to refuse a UDP port that nothing listens on.
pub const UDP_REFUSAL_WAIT: Duration = Duration::from_millis(300);
/// The largest datagram in either direction: what passes any network in one piece. Real ones have tens of bytes.
pub const DATAGRAM_MAX_BYTES: usize = 1_200;
/// What the system may hold back of a TCP connection to a board. Linux counts a kilobyte and more for each command that
/// is not acknowledged, so this is a dozen of them: a stop does not wait for an acknowledgement that comes 40 ms late.
pub const BOARD_SEND_BUFFER_BYTES: usize = 8 * 1_024;
/// Between two questions to a board that is silent, if its language has one.
pub const QUESTION_PAUSE: Duration = Duration::from_millis(1_000);
/// If a board that answers does not answer for this long, motion waits where newer motion can take its place.
pub const QUESTION_TIMEOUT: Duration = Duration::from_millis(100);
/// A board that answers and is silent for so long is gone. Over UDP three questions in a row may be lost.
pub const SILENT_AFTER: Duration = Duration::from_millis(3_500);
/// Boards that one service name may find. Anybody on the network may announce any number.
pub const FOUND_MAX: usize = 64;

/// How long dialling a broker may take: the name, the connection, TLS and the broker's answer.
pub const BUS_CONNECT_TIMEOUT: Duration = Duration::from_millis(5_000);
/// The first pause before a broker is dialled again: it may have restarted, and all its clients come back at once.
pub const BUS_RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest one.
pub const BUS_RETRY_MAX: Duration = Duration::from_secs(5);
/// The broker sends the will of a client that is silent for one and a half of these.
pub const BUS_KEEPALIVE: Duration = Duration::from_secs(5);
/// Frames that wait for the broker to take them. Past that whoever sends them keeps the newest.
pub const BUS_QUEUE: usize = 16;
/// Other messages that wait: what an edge with a thousand devices says when it connects.
pub const BUS_WAITING_MAX: usize = 4_096;
/// Messages that the broker has not acknowledged. Past that others wait; frames are not acknowledged.
pub const BUS_IN_FLIGHT_MAX: usize = 64;
/// The largest packet to and from a broker: twice the largest frame.
pub const BUS_PACKET_MAX_BYTES: usize = 2 * FRAME_MAX_BYTES;
/// What the system may hold back of a connection to a broker: some hundred frames. Past that frames wait here, where
/// newer ones take their place.
pub const BUS_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// A board's connection that lasted this long was a good one.
pub const GOOD_AFTER: Duration = Duration::from_secs(5);
/// The first pause before a board that was refused is asked about again.
pub const REFUSED_FIRST_PAUSE: Duration = Duration::from_secs(5);
/// See [`REFUSED_FIRST_PAUSE`].
pub const REFUSED_LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The first pause before a peripheral that went is connected again: it may have restarted.
pub const BLE_RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest one: each try holds the radio up for others.
pub const BLE_RETRY_MAX: Duration = Duration::from_secs(10);
/// What both may be set to, in milliseconds.
pub const BLE_RETRY_RANGE_MS: std::ops::RangeInclusive<u64> = 10..=600_000;
/// Time for a peripheral that advertises to take a connection. A board that advertises once a second takes 3 s.
pub const BLE_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for pairing, which may ask somebody something.
pub const BLE_PAIR_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for each step after that: discovery, subscription. Slow connection intervals take 5 s.
pub const BLE_STEP_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for the system to let go of a peripheral.
pub const BLE_DISCONNECT_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How often it is looked after what no event tells of: that nothing was seen.
pub const BLE_SWEEP: Duration = Duration::from_millis(1_000);
/// A wanted peripheral that was not seen for so long gets a hint in the log.
pub const BLE_UNSEEN_HINT: Duration = Duration::from_secs(30);
/// Notifications that wait for the session. Past that the oldest are dropped, and counted in the log.
pub const BLE_NOTIFICATIONS: usize = 64;
/// Between two tries to reach a Bluetooth that is not there, where nothing tells that it came.
pub const BLE_ADAPTER_RETRY: Duration = Duration::from_secs(2);

/// An address may change hands this often within [`TAKEOVER_WINDOW`]; after that the incumbent stays.
pub const TAKEOVER_LIMIT: usize = 3;
/// See [`TAKEOVER_LIMIT`].
pub const TAKEOVER_WINDOW: Duration = Duration::from_secs(30);

/// On SIGINT or SIGTERM: time for stop commands and stop bytes to be flushed to all devices.
pub const STOP_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for the stop bytes on a link that a newer connection replaces.
pub const REPLACED_STOP_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the answers to stop bytes are waited for, before a returning device is set up. A toy takes 50 ms.
pub const STOP_ANSWER_TIMEOUT: Duration = Duration::from_millis(200);
/// On SIGINT or SIGTERM: time for all sessions to close, after the stop was flushed.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(1_500);

/// Devices that went before they could be stopped, and are stopped first when they return: remembered at most.
pub const PENDING_STOPS_MAX: usize = 10_000;

/// Devices that left or were refused, whose last state is shown: remembered at most.
pub const PAST_DEVICES_MAX: usize = 200;

/// What timeouts and intervals may be set to, in milliseconds.
pub const TIMEOUT_RANGE_MS: std::ops::RangeInclusive<u64> = 50..=600_000;
/// How long nothing may be received from an app or from upstream before the devices that it drives are stopped. A
/// pause of Wi-Fi is shorter, and a motor that nobody controls should not run for longer.
pub const STOP_AFTER: Duration = Duration::from_millis(1_500);
/// What [`STOP_AFTER`] may be set to, in milliseconds.
pub const STOP_AFTER_RANGE_MS: std::ops::RangeInclusive<u64> = 500..=10_000;
/// What Buttplug's ping may be set to, in milliseconds; 0 is off.
pub const MAX_PING_RANGE_MS: std::ops::RangeInclusive<u64> = 0..=600_000;

/// How long devices are kept while upstream is away: a restart of Intiface Central takes ten seconds.
pub const UPSTREAM_GRACE: Duration = Duration::from_secs(30);
/// What [`UPSTREAM_GRACE`] may be set to, in seconds.
pub const GRACE_RANGE_S: std::ops::RangeInclusive<u64> = 0..=3_600;
/// Connections of a hub to its broker: one carries 12,500 frames a second, and stalls soon above that.
pub const HUB_CONNECTIONS: i64 = 4;
/// What [`HUB_CONNECTIONS`] may be set to.
pub const HUB_CONNECTIONS_RANGE: std::ops::RangeInclusive<i64> = 1..=16;
/// How long an output lasts that Home Assistant set: it holds no lease, and its own will comes after 90 s.
pub const HOLD: Duration = Duration::from_secs(10);
/// What [`HOLD`] may be set to, in seconds.
pub const HOLD_RANGE_S: std::ops::RangeInclusive<u64> = 1..=3_600;
/// How long a move to a position takes that Home Assistant set: over the whole way no faster than by hand.
pub const MOVE: Duration = Duration::from_millis(1_000);
/// What [`MOVE`] may be set to, in milliseconds.
pub const MOVE_RANGE_MS: std::ops::RangeInclusive<u64> = 100..=60_000;
/// Where devices connect when upstream has [`DEVICE_LISTEN`]'s port on this machine.
pub const DEVICE_PORT_BESIDE_INTIFACE: u16 = 54818;
/// How long a gateway stays away from the broker once another one has its name. Each that connects would throw the other out.
pub const FLEET_YIELD_FOR: Duration = Duration::from_secs(30);
/// How soon the own state of an edge or a hub must come back after it was published: brokers deny in silence.
pub const OWN_STATE_WITHIN: Duration = Duration::from_secs(2);
