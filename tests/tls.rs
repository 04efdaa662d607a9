//! `wss://`: a real TLS server in front of a real gateway's port, certificates that are trusted and others that are
//! not.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use buttplug_client::device::ClientDeviceOutputCommand;
use common::{RawDevice, Running, client, settings, wait_until, within};
use futures::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use wsdm_gateway::advice::Advice;
use wsdm_gateway::config::{RelaySettings, Settings, UpstreamSettings};
use wsdm_gateway::device::handshake::{Address, Handshake, Identifier};
use wsdm_gateway::net::dial::dial;
use wsdm_gateway::net::target::Target;
use wsdm_gateway::net::tls::Tls;
use wsdm_gateway::simulate::{DeviceOptions, SimulatedDevice};

/// A CA, and the file that says so.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn tls(&self) -> Tls {
        Tls::with_ca(&self.file()).unwrap()
    }

    /// The settings of a gateway that relays to this port of `localhost`, and trusts this CA.
    fn relaying(&self, port: u16) -> Settings {
        Settings {
            upstream: Some(UpstreamSettings::Relay(RelaySettings {
                relay: wss(port),
                tls: self.tls(),
                grace: Duration::from_secs(5),
                stop_after: Duration::from_millis(1_500),
            })),
            ..settings()
        }
    }

    /// A server with a certificate for `localhost` of this CA, which `change` may spoil; what it is sent goes to
    /// `to`, as through any TLS proxy. Its port.
    async fn serve(&self, to: std::net::SocketAddr, change: fn(&mut CertificateParams)) -> u16 {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust us ends the handshake.
                    if let Ok(mut tls) = acceptor.accept(tcp).await {
                        let mut onwards = TcpStream::connect(to).await.unwrap();
                        let _ = copy_bidirectional(&mut tls, &mut onwards).await;
                    }
                });
            }
        });
        port
    }
}

fn as_it_is(_: &mut CertificateParams) {}

fn wss(port: u16) -> Target {
    Target::parse(&format!("wss://localhost:{port}")).unwrap()
}

#[tokio::test]
async fn a_device_is_relayed_over_tls_and_frames_pass_both_ways() {
    let ca = Ca::new("A");
    let upstream = Running::start(settings()).await;
    let port = ca.serve(upstream.bound.devices, as_it_is).await;
    let gateway = Running::start(ca.relaying(port)).await;
    let client = client(&upstream.clients(), "driver").await;
    let mut hush = SimulatedDevice::connect(DeviceOptions::hush(gateway.bound.devices, "8A3D9FAC2A45"))
        .await
        .unwrap();
    wait_until("it is listed upstream", || client.devices().len() == 1).await;
    let device = client.devices().into_values().next().unwrap();
    assert!(device.name().contains("Hush"), "{}", device.name());
    let vibrate = ClientDeviceOutputCommand::Vibrate(0.5.into());
    within("a command", device.run_output(&vibrate)).await.unwrap();
    assert!(within("it shakes", hush.wait_for(|all| all[0].level() == 10)).await);
    assert_eq!(within("the battery", device.battery()).await.unwrap(), 90);
    within("it closes", hush.close()).await;
    wait_until("it is gone upstream", || client.devices().is_empty()).await;
    gateway.stop().await;
    upstream.stop().await;
}

/// A frame far larger than a TLS record arrives whole.
#[tokio::test]
async fn a_frame_of_many_records_arrives_whole() {
    let ca = Ca::new("A");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = ca.serve(listener.local_addr().unwrap(), as_it_is).await;
    let gateway = Running::start(ca.relaying(port)).await;
    let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", "A").await;
    let (tcp, _) = within("upstream is dialled", listener.accept()).await.unwrap();
    let mut upstream = tokio_tungstenite::accept_async(tcp).await.unwrap();
    let frame = "0123456789abcde;".repeat(4_000);
    let _handshake = within("the handshake", upstream.next()).await.unwrap().unwrap();
    upstream
        .send(tokio_tungstenite::tungstenite::Message::binary(frame.clone()))
        .await
        .unwrap();
    device.expect(&frame).await;
    device.binary(frame.as_bytes()).await;
    loop {
        let message = within("it comes back", upstream.next()).await.unwrap().unwrap();
        if message.is_binary() {
            assert_eq!(message.into_data(), frame.as_bytes());
            break;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_refused_with_what_to_do() {
    let (ca, other, newer) = (Ca::new("A"), Ca::new("B"), Ca::new("A"));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody_at = nobody.local_addr().unwrap();
    let good = ca.serve(nobody_at, as_it_is).await;
    let expired = ca
        .serve(nobody_at, |p| p.not_after = date_time_ymd(2020, 1, 1))
        .await;
    let early = ca
        .serve(nobody_at, |p| p.not_before = date_time_ymd(4000, 1, 1))
        .await;
    let own = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = ca.serve(nobody_at, own).await;
    let plain = Running::start(settings()).await;
    let plain_port = plain.bound.devices.port();
    let handshake = Handshake::new(Identifier::new("LVSDevice").unwrap(), Address::new("A").unwrap());
    for (url, tls, wanted) in [
        (
            format!("wss://localhost:{good}"),
            other.tls(),
            "--upstream-ca FILE",
        ),
        // A CA that was made anew under its old name.
        (
            format!("wss://localhost:{good}"),
            newer.tls(),
            "--upstream-ca FILE",
        ),
        (format!("wss://127.0.0.1:{good}"), ca.tls(), "for another name"),
        (format!("wss://localhost:{expired}"), ca.tls(), "has expired"),
        (format!("wss://localhost:{early}"), ca.tls(), "the clock"),
        (format!("wss://localhost:{own}"), ca.tls(), "CA:FALSE"),
        (format!("wss://localhost:{plain_port}"), ca.tls(), "ws:// instead"),
        (format!("ws://localhost:{good}"), ca.tls(), "needs wss://"),
    ] {
        let refused = dial(&Target::parse(&url).unwrap(), &handshake, &tls).await;
        let refused = refused.err().unwrap_or_else(|| panic!("{url} is refused"));
        assert!(refused.to_string().contains(&url), "{refused}");
        assert!(
            refused.hint().is_some_and(|hint| hint.contains(wanted)),
            "{url}: {}",
            refused.with_hint()
        );
    }
    plain.stop().await;
}

fn program(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsdm-gateway"));
    command.args(args).env_clear().env("HOME", home).current_dir(home);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

#[tokio::test]
async fn without_the_ca_the_device_is_told_4006_and_the_log_says_what_to_do() {
    let (ca, systems) = (Ca::new("A"), Ca::new("B"));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = ca.serve(nobody.local_addr().unwrap(), as_it_is).await;
    let home = TempDir::new().unwrap();
    let config = format!("[upstream]\nrelay = \"wss://localhost:{port}\"\ngrace_s = 0\n");
    std::fs::write(home.path().join("g.toml"), config).unwrap();
    let args = ["run", "--config", "g.toml", "--device-listen", "127.0.0.1:0"];
    let mut gateway = program(home.path(), &args)
        .env("SSL_CERT_FILE", systems.file())
        .spawn()
        .unwrap();
    let mut ready = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let ready = within("it is ready", ready.next_line()).await.unwrap().unwrap();
    let mut words = ready.split_whitespace();
    let devices = words.find_map(|w| w.strip_prefix("devices=")).unwrap();
    let mut device = RawDevice::hello(devices, "LVSDevice", "8A3D9FAC2A45").await;
    let (code, reason) = device.closed().await;
    assert_eq!(code, 4006, "{reason}");
    assert!(reason.contains("certificate"), "{reason}");
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    loop {
        let line = within("the log", log.next_line())
            .await
            .unwrap()
            .expect("more lines");
        if line.contains("--upstream-ca FILE") {
            assert!(line.contains("UnknownIssuer"), "{line}");
            break;
        }
    }
}

#[tokio::test]
async fn simulate_dials_wss_with_its_own_ca() {
    let ca = Ca::new("A");
    let upstream = Running::start(settings()).await;
    let port = ca.serve(upstream.bound.devices, as_it_is).await;
    let client = client(&upstream.clients(), "lister").await;
    let url = format!("wss://localhost:{port}");
    let file = ca.file();
    let args = [
        "simulate",
        "lovense",
        "--url",
        &url,
        "--ca",
        file.to_str().unwrap(),
    ];
    let device = program(ca.folder.path(), &args).spawn().unwrap();
    wait_until("it is listed", || client.devices().len() == 1).await;
    drop(device);
    wait_until("it is gone", || client.devices().is_empty()).await;
    upstream.stop().await;
}

/// All of it before anything listens or is dialled.
#[tokio::test]
async fn what_is_missing_for_tls_is_told_at_start_with_what_to_do() {
    let ca = Ca::new("A");
    let folder = ca.folder.path();
    std::fs::write(folder.join("empty.pem"), "").unwrap();
    std::fs::write(
        folder.join("g.toml"),
        "[upstream]\nrelay = \"wss://h\"\nca = \"none.pem\"\n",
    )
    .unwrap();
    let wss = ["check", "--upstream", "wss://localhost"];
    for (args, wanted) in [
        (&["--upstream-ca", "none.pem"][..], "none.pem cannot be read"),
        (
            &["--upstream-ca", "empty.pem"],
            "empty.pem holds no certificate; give the CA's",
        ),
        (&["--config", "g.toml"], "g.toml:3:6: upstream.ca: "),
        (&[], "no CA certificates to check a server with"),
    ] {
        let mut check = program(folder, &[&wss[..], args].concat());
        let refused = check.env("SSL_CERT_FILE", "/nowhere").output().await.unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    let held = program(folder, &[&wss[..], &["--upstream-ca", "ca.pem"]].concat());
    let held = within("check", { held }.output()).await.unwrap();
    assert_eq!(held.status.code(), Some(0), "{held:?}");
    let unused = [
        "check",
        "--upstream",
        "ws://localhost:1",
        "--upstream-ca",
        "ca.pem",
    ];
    let unused = program(folder, &unused).output().await.unwrap();
    assert_eq!(unused.status.code(), Some(0), "{unused:?}");
    let said = String::from_utf8(unused.stdout).unwrap();
    assert!(said.contains("--upstream-ca: upstream.ca: is not used"), "{said}");

    for (args, wanted) in [
        (
            ["--url", "wss://localhost", "--ca", "none.pem"],
            "--ca: none.pem cannot be read",
        ),
        (
            ["--url", "ws://localhost", "--ca", "ca.pem"],
            "write wss:// in --url",
        ),
    ] {
        let refused = program(folder, &["simulate", "lovense"]).args(args).output();
        let refused = refused.await.unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
