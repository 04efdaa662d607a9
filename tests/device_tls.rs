//! TLS on the port for devices: beside plain connections or in their place, with a certificate that the gateway keeps, and
//! against peers that misuse it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use common::bare_websocket::upgrade;
use common::log::Log;
use common::process::{self, Process, run};
use common::{RawDevice, Running, client, listed, relaying, settings, vibrate, wait_until, within};
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::advice::Advice;
use wsdm_gateway::config::{DeviceSettings, DeviceTls, Settings};
use wsdm_gateway::device::handshake::{Address, Handshake, Identifier};
use wsdm_gateway::net::dial::{DialError, dial};
use wsdm_gateway::net::target::Target;
use wsdm_gateway::net::tls::{Fingerprint, Tls};
use wsdm_gateway::simulate::{DeviceOptions, SimulatedDevice};

/// A gateway whose devices may use TLS, or have to.
fn with_tls(home: &TempDir, only: bool) -> Settings {
    let settings = settings();
    Settings {
        devices: DeviceSettings {
            tls: Some(DeviceTls {
                only,
                certificate: None,
            }),
            ..settings.devices
        },
        state_file: Some(home.path().join("state.json")),
        ..settings
    }
}

/// A device that connects by TLS, and takes no other certificate.
fn secure(gateway: &Running, address: &str) -> DeviceOptions {
    DeviceOptions {
        tls: Tls::pinned(gateway.bound.fingerprint.unwrap()),
        ..DeviceOptions::hush(Target::secure(gateway.bound.devices), address)
    }
}

fn handshake(address: &str) -> Handshake {
    Handshake::new(
        Identifier::new("LVSDevice").unwrap(),
        Address::new(address).unwrap(),
    )
}

#[tokio::test]
async fn devices_with_and_without_tls_share_a_port_and_come_to_rest() {
    let home = TempDir::new().unwrap();
    let gateway = Running::start(with_tls(&home, false)).await;
    for options in [
        secure(&gateway, "8A3D9FAC2A45"),
        DeviceOptions::hush(gateway.bound.devices, "8A3D9FAC2A46"),
    ] {
        let client = client(&gateway.clients(), "driver").await;
        let mut hush = SimulatedDevice::connect(options).await.unwrap();
        listed(&client, 1).await;
        vibrate(&client, 0.5).await;
        assert!(within("it shakes", hush.wait_for(|all| all[0].level() == 10)).await);
        let device = client.devices().into_values().next().unwrap();
        assert_eq!(within("the battery", device.battery()).await.unwrap(), 90);
        within("the app goes", client.disconnect()).await.unwrap();
        assert!(within("it rests", hush.wait_for(|all| all[0].level() == 0)).await);
        within("it closes", hush.close()).await;
    }
    // A gateway that stops says so within TLS, too.
    let client = client(&gateway.clients(), "driver").await;
    let options = DeviceOptions {
        stops_when_lost: false,
        ..secure(&gateway, "8A3D9FAC2A45")
    };
    let mut hush = SimulatedDevice::connect(options).await.unwrap();
    listed(&client, 1).await;
    vibrate(&client, 1.0).await;
    assert!(within("it shakes", hush.wait_for(|all| all[0].level() == 20)).await);
    gateway.stop().await;
    assert!(within("it rests", hush.wait_for(|all| all[0].level() == 0)).await);
}

/// Both ways, larger than the records of TLS and than what it may hold back.
#[tokio::test]
async fn a_frame_of_many_records_arrives_whole() {
    let home = TempDir::new().unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = relaying(&format!("ws://{}", upstream.local_addr().unwrap()));
    let gateway = Running::start(Settings {
        upstream: relay.upstream,
        ..with_tls(&home, true)
    })
    .await;
    let tls = Tls::pinned(gateway.bound.fingerprint.unwrap());
    let target = Target::secure(gateway.bound.devices);
    let mut device = dial(&target, &handshake("A"), &tls).await.unwrap();
    let (tcp, _) = within("upstream is dialled", upstream.accept()).await.unwrap();
    let mut upstream = tokio_tungstenite::accept_async(tcp).await.unwrap();
    within("the handshake", upstream.next()).await.unwrap().unwrap();
    let frame = "0123456789abcde;".repeat(4_000);
    upstream.send(Message::binary(frame.clone())).await.unwrap();
    let arrived = within("the frame", next_frame(&mut device)).await;
    assert!(arrived == frame.as_bytes(), "{} bytes", arrived.len());
    device.send(Message::binary(frame.clone())).await.unwrap();
    let back = within("it comes back", next_frame(&mut upstream)).await;
    assert!(back == frame.as_bytes(), "{} bytes", back.len());
    drop(device);
    gateway.stop().await;
}

async fn next_frame<S>(ws: &mut tokio_tungstenite::WebSocketStream<S>) -> Vec<u8>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        if let Message::Binary(bytes) = ws.next().await.expect("an open socket").expect("a message") {
            return bytes.to_vec();
        }
    }
}

/// A gateway in a process of its own whose log is read.
struct Logged {
    process: Process,
    log: Log,
    fingerprint: Fingerprint,
}

impl Logged {
    async fn start(home: &Path, args: &[&str]) -> Self {
        let mut command = run(home);
        command.args(args);
        let mut process = Process::spawn(command).await;
        let mut log = Log::of(&mut process.child);
        let line = log.expect(&["the fingerprint for boards is "]).await;
        let digits = line.split_whitespace().last().unwrap();
        assert_eq!(digits.to_lowercase(), digits);
        Self {
            fingerprint: digits.parse().unwrap(),
            process,
            log,
        }
    }

    fn devices(&self) -> SocketAddr {
        let (_, address) = self.process.devices.split_once("://").unwrap();
        address.parse().unwrap()
    }

    async fn dial(&self, tls: &Tls) -> Result<(), DialError> {
        dial(&Target::secure(self.devices()), &handshake("A"), tls)
            .await
            .map(drop)
    }
}

/// Sends some bytes, and reads until the gateway closes, which it does in good order.
async fn exchange(port: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(port).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let read = within("the answer and its end", stream.read_to_end(&mut answer)).await;
    read.expect("no reset");
    answer
}

#[tokio::test]
async fn without_tls_nobody_gets_in_where_it_is_demanded_whatever_the_token() {
    let home = TempDir::new().unwrap();
    let args = ["--device-tls", "only", "--device-token", "the-right-token"];
    let mut gateway = Logged::start(home.path(), &args).await;
    assert!(
        gateway.process.devices.starts_with("wss://"),
        "{}",
        gateway.process.devices
    );
    let mut answers = Vec::new();
    for path in ["/", "/?token=the-wrong-token", "/?token=the-right-token"] {
        let request = upgrade("").replacen("GET /", &format!("GET {path}"), 1);
        let answer = String::from_utf8(exchange(gateway.devices(), request.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("nothing but TLS") && answer.contains("wss://"),
            "{answer}"
        );
        answers.push(answer);
    }
    // Nobody learns without TLS whether a token is right.
    assert_eq!(answers[1], answers[2]);
    let line = gateway.log.expect(&["WARN", "does not use TLS"]).await;
    assert!(
        line.contains("set fingerprint") && !line.contains("right-token"),
        "{line}"
    );

    let tls = Tls::pinned(gateway.fingerprint);
    let secure = Target::secure(gateway.devices());
    let denied = dial(&secure, &handshake("A"), &tls).await;
    assert!(denied.is_err_and(|e| e.is_denial()));
    let admitted = secure.with_token("the-right-token");
    let _device = dial(&admitted, &handshake("A"), &tls).await.unwrap();
    let line = gateway.log.expect(&["connected", "wss 127.0.0.1:"]).await;
    assert!(!line.contains("right-token"), "{line}");
    let repeated = gateway
        .log
        .seen
        .iter()
        .filter(|line| line.contains("does not use TLS"));
    assert_eq!(repeated.count(), 1, "{}", gateway.log.text());
}

#[tokio::test]
async fn a_peer_that_expects_another_certificate_leaves_and_the_log_has_the_right_fingerprint() {
    let home = TempDir::new().unwrap();
    let mut gateway = Logged::start(home.path(), &["--device-tls", "also"]).await;
    let other = Tls::pinned(Fingerprint::of(b"another"));
    let refused = gateway.dial(&other).await.unwrap_err();
    assert!(matches!(refused, DialError::Tls { .. }), "{refused}");
    assert!(refused.hint().is_some());
    let line = gateway
        .log
        .expect(&["WARN", "does not accept this gateway's certificate"])
        .await;
    assert!(
        line.contains(&format!("give the board the fingerprint {}", gateway.fingerprint)),
        "{line}"
    );
    gateway.dial(&Tls::pinned(gateway.fingerprint)).await.unwrap();
}

/// As libraries do that can look at a certificate only when the handshake is over, with a last word of TLS or without.
#[tokio::test]
async fn a_peer_that_leaves_after_the_handshake_is_in_the_log_once_with_the_right_fingerprint() {
    let home = TempDir::new().unwrap();
    let mut gateway = Logged::start(home.path(), &["--device-tls", "only"]).await;
    let tls = Tls::pinned(gateway.fingerprint);
    for says_goodbye in [false, true, false] {
        let tcp = TcpStream::connect(gateway.devices()).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = tls.connector().unwrap().connect(name, tcp).await.unwrap();
        if says_goodbye {
            stream.shutdown().await.unwrap();
        }
    }
    let left = "left after the TLS handshake";
    let line = gateway.log.expect(&["WARN", left]).await;
    assert!(line.contains(&gateway.fingerprint.to_string()), "{line}");
    gateway.dial(&tls).await.unwrap();
    gateway.log.expect(&["connected", "wss 127.0.0.1:"]).await;
    let lines = gateway.log.seen.iter().filter(|line| line.contains(left));
    assert_eq!(lines.count(), 1, "{}", gateway.log.text());
}

/// It has the right fingerprint, or it would have sent nothing.
#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_of_its_request_is_told_nothing_of_fingerprints() {
    let home = TempDir::new().unwrap();
    let mut gateway = Logged::start(home.path(), &["--device-tls", "only"]).await;
    let tcp = TcpStream::connect(gateway.devices()).await.unwrap();
    let tls = Tls::pinned(gateway.fingerprint);
    let connector = tls.connector().unwrap();
    let mut stream = connector
        .connect("localhost".try_into().unwrap(), tcp)
        .await
        .unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a").await.unwrap();
    stream.shutdown().await.unwrap();
    let line = gateway
        .log
        .expect(&["dropped", "in the middle of its request"])
        .await;
    assert!(!line.contains("fingerprint"), "{line}");
}

#[tokio::test]
async fn the_certificate_is_made_once_and_kept_for_its_owner_alone() {
    let home = TempDir::new().unwrap();
    let state = home.path().join("state.json");
    let args = ["--device-tls", "also", "--state", state.to_str().unwrap()];
    let first = Logged::start(home.path(), &args).await.fingerprint;
    let file = home.path().join("state.tls.pem");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Logged::start(home.path(), &args).await.fingerprint, first);
    // Programs that check names can be told to trust it.
    let gateway = Logged::start(home.path(), &args).await;
    gateway.dial(&Tls::with_ca(&file).unwrap()).await.unwrap();

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut gateway = Process::spawn({
        let mut command = run(home.path());
        command.args(args);
        command
    })
    .await;
    Log::of(&mut gateway.child)
        .expect(&["WARN", "state.tls.pem", "chmod 600"])
        .await;
}

#[tokio::test]
async fn a_damaged_certificate_is_never_replaced() {
    let home = TempDir::new().unwrap();
    let state = home.path().join("state.json");
    let file = home.path().join("state.tls.pem");
    std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nhalf").unwrap();
    for subcommand in ["run", "check"] {
        let args = [
            subcommand,
            "--device-tls",
            "also",
            "--state",
            state.to_str().unwrap(),
        ];
        let output = within("it ends", process::command(home.path(), &args).output())
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        for text in ["state.tls.pem", "backup", "fingerprint"] {
            assert!(stderr.contains(text), "{text} in {stderr}");
        }
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "-----BEGIN PRIVATE KEY-----\nhalf"
    );
}

#[tokio::test]
async fn a_configuration_that_cannot_hold_is_refused() {
    let home = TempDir::new().unwrap();
    for (args, wanted) in [
        (&["--device-tls", "yes"][..], "off, also, only"),
        (
            &["--device-tls", "only", "--state", "/dev/null"],
            "nothing is remembered",
        ),
    ] {
        let args = [&["check"], args].concat();
        let output = within("it ends", process::command(home.path(), &args).output())
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(wanted), "{wanted} in {stderr}");
    }
    let toml = home.path().join("gateway.toml");
    for (keys, wanted) in [
        ("tls = \"also\"\ntls_cert = \"a.pem\"", "stands without tls_key"),
        ("tls = \"also\"\ntls_key = \"a.pem\"", "stands without tls_cert"),
        (
            "tls = \"also\"\ntls_cert = \"a.pem\"\ntls_key = \"a.pem\"",
            "a.pem cannot be read",
        ),
    ] {
        std::fs::write(&toml, format!("[devices]\n{keys}\n")).unwrap();
        let args = ["check", "--config", toml.to_str().unwrap()];
        let output = within("it ends", process::command(home.path(), &args).output())
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(wanted), "{wanted} in {stderr}");
    }
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_presented() {
    let home = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
    std::fs::write(home.path().join("devices.pem"), made.cert.pem()).unwrap();
    std::fs::write(home.path().join("devices.key"), made.signing_key.serialize_pem()).unwrap();
    let toml = home.path().join("gateway.toml");
    let text = "[devices]\ntls = \"only\"\ntls_cert = \"devices.pem\"\ntls_key = \"devices.key\"\n";
    std::fs::write(&toml, text).unwrap();
    let gateway = Logged::start(home.path(), &["--config", toml.to_str().unwrap()]).await;
    assert_eq!(gateway.fingerprint, Fingerprint::of(made.cert.der()));
    gateway.dial(&Tls::pinned(gateway.fingerprint)).await.unwrap();
}

/// Whoever begins a handshake and does not go on has the time that an upgrade has, and nobody else waits for that.
#[tokio::test]
async fn a_silent_peer_within_tls_is_dropped_in_time_and_the_others_live() {
    let home = TempDir::new().unwrap();
    let limit = Duration::from_millis(500);
    let settings = with_tls(&home, false);
    let gateway = Running::start(Settings {
        devices: DeviceSettings {
            handshake_timeout: limit,
            ..settings.devices
        },
        ..settings
    })
    .await;
    let mut silent = Vec::new();
    // The type of a record; a header; a header and the beginning of a hello; a whole handshake and nothing behind it.
    for begun in [&[0x16][..], &[0x16, 3, 1, 1, 0], &[0x16, 3, 1, 1, 0, 1, 0, 0]] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(gateway.bound.devices).await.unwrap();
            stream.write_all(begun).await.unwrap();
            silent.push(stream);
        }
    }
    let started = Instant::now();
    let tls = Tls::pinned(gateway.bound.fingerprint.unwrap());
    let tcp = TcpStream::connect(gateway.bound.devices).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut idle = tls.connector().unwrap().connect(name, tcp).await.unwrap();

    let mut hush = SimulatedDevice::connect(secure(&gateway, "8A3D9FAC2A45"))
        .await
        .unwrap();
    let client = client(&gateway.clients(), "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    assert!(within("it shakes", hush.wait_for(|all| all[0].level() == 10)).await);
    for mut stream in silent {
        let _ = within("it is dropped", stream.read(&mut [0; 64])).await;
    }
    let _ = within("it is dropped", idle.read(&mut [0; 64])).await;
    assert!(started.elapsed() < 10 * limit, "{:?}", started.elapsed());
    assert!(started.elapsed() >= limit, "{:?}", started.elapsed());
    within("it closes", hush.close()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn garbage_that_begins_like_tls_is_logged_once_and_harms_nobody() {
    let home = TempDir::new().unwrap();
    let mut gateway = Logged::start(home.path(), &["--device-tls", "also"]).await;
    let mut noise = vec![0x16];
    for n in 0_u32..40 {
        noise.extend(n.wrapping_mul(2_654_435_761).to_be_bytes());
        let mut stream = TcpStream::connect(gateway.devices()).await.unwrap();
        stream.write_all(&noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = within("the end", stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP"));
    }
    // The record that follows a good one is no better.
    let oversized = [&[0x16, 3, 3, 0xff, 0xff][..], &[0; 70_000]].concat();
    let mut stream = TcpStream::connect(gateway.devices()).await.unwrap();
    let _ = stream.write_all(&oversized).await;
    let _ = within("the end", stream.read_to_end(&mut Vec::new())).await;

    gateway.dial(&Tls::pinned(gateway.fingerprint)).await.unwrap();
    gateway.process.signal(Signal::TERM);
    assert_eq!(gateway.process.exit_code().await, Some(0));
    let log = gateway.log.rest().await;
    let warned = log.iter().filter(|line| line.contains("begins like TLS")).count();
    assert_eq!(warned, 1, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

/// Those of the page come through the same port.
#[tokio::test]
async fn simulated_devices_of_the_page_use_tls_where_it_is_demanded() {
    let home = TempDir::new().unwrap();
    let gateway = Running::start(Settings {
        page: Some(common::page_at(common::ANY_PORT)),
        ..with_tls(&home, true)
    })
    .await;
    let client = client(&gateway.clients(), "lister").await;
    let body = r#"{"protocol":"lovense"}"#;
    let headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", &body.len().to_string()),
    ];
    let started = common::bare_http::send(gateway.page(), "POST", "/api/simulated", &headers, body).await;
    assert!(started.status < 300, "{}", started.body);
    listed(&client, 1).await;
    let about = common::bare_http::ask(gateway.page(), "GET", "/api/gateway", &[])
        .await
        .json();
    let wanted = gateway.bound.fingerprint.unwrap().to_string();
    assert_eq!(about["fingerprint"], Value::from(wanted));
    let url = about["devices"][0].as_str().unwrap();
    assert!(url.starts_with("wss://"), "{url}");
    gateway.stop().await;
}

/// Without TLS the port says how to switch it on, as before.
#[tokio::test]
async fn a_port_without_tls_says_so() {
    let gateway = Running::start(settings()).await;
    let target = Target::secure(gateway.bound.devices);
    let refused = dial(&target, &handshake("A"), &Tls::pinned(Fingerprint::of(b"")))
        .await
        .map(drop);
    assert!(matches!(refused, Err(DialError::Tls { .. })), "{refused:?}");
    let device = RawDevice::lovense(&gateway.devices(), "8A3D9FAC2A45").await;
    let client = client(&gateway.clients(), "lister").await;
    wait_until("the list", || client.devices().len() == 1).await;
    drop(device);
    gateway.stop().await;
}
