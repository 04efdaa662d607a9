//! A gateway with TLS for a board, and others that pretend to be it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use wsdm_gateway::net::tls::Fingerprint;

use crate::common::log::Log;
use crate::common::process::{Process, command, run};
use crate::common::within;

pub const TOKEN: &str = "a-token-that-nobody-else-may-see";

/// A gateway that demands TLS and a token, on files of its own.
pub struct Gateway {
    pub process: Process,
    pub log: Log,
    pub fingerprint: String,
}

impl Gateway {
    pub async fn start(home: &Path, tls: &str) -> Self {
        let mut command = run(home);
        command.args(["--device-tls", tls, "--device-token", TOKEN]);
        let mut process = Process::spawn(command).await;
        let mut log = Log::of(&mut process.child);
        let line = log.expect(&["the fingerprint for boards is "]).await;
        Self {
            fingerprint: line.split_whitespace().last().unwrap().to_owned(),
            process,
            log,
        }
    }

    pub fn devices(&self) -> SocketAddr {
        let (_, address) = self.process.devices.split_once("://").unwrap();
        address.parse().unwrap()
    }

    /// The certificate that it keeps.
    pub fn certificate(home: &Path) -> CertificateDer<'static> {
        let file = home.join("state/wsdm-gateway/state.tls.pem");
        CertificateDer::from_pem_file(file).unwrap()
    }
}

/// A gateway that comes back where it was.
pub fn on_port(home: &Path, listen: &str) -> Command {
    command(
        home,
        &[
            "run",
            "--device-listen",
            listen,
            "--client-listen",
            "127.0.0.1:0",
            "--device-tls",
            "also",
            "--device-token",
            TOKEN,
        ],
    )
}

/// Takes one connection of a board, answers each piece of it in this way, and returns all that came.
pub async fn overheard(listener: &TcpListener, answer: &[u8]) -> Vec<u8> {
    let (mut stream, _) = within("the board dials", listener.accept()).await.unwrap();
    let mut heard = vec![0; 4_096];
    let read = within("it speaks", stream.read(&mut heard)).await.unwrap();
    heard.truncate(read);
    // It may have left already.
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
    let _ = within("it leaves", stream.read_to_end(&mut heard)).await;
    heard
}

/// Passes on what the two send each other until `over` completes, and returns it.
pub async fn between(near: &mut TcpStream, far: &mut TcpStream, over: impl Future<Output = ()>) -> Vec<u8> {
    let (mut up, mut down) = (vec![0; 4_096], vec![0; 4_096]);
    let mut seen = Vec::new();
    let pass_on = async {
        loop {
            let (towards, bytes) = tokio::select! {
                read = near.read(&mut up) => (&mut *far, &up[..read.unwrap()]),
                read = far.read(&mut down) => (&mut *near, &down[..read.unwrap()]),
            };
            assert!(!bytes.is_empty(), "it ended");
            seen.extend_from_slice(bytes);
            towards.write_all(bytes).await.unwrap();
        }
    };
    tokio::select! {
        () = over => {}
        () = pass_on => unreachable!("it goes on"),
    }
    seen
}

pub fn shows_the_token(heard: &[u8]) -> bool {
    heard
        .windows(8)
        .any(|window| TOKEN.as_bytes().windows(8).any(|part| part == window))
}

/// What a pretender may show: a certificate of its own, and the right one without its key.
pub fn pretences(gateway: &Gateway, home: &Path) -> [(CertificateDer<'static>, PrivateKeyDer<'static>); 2] {
    let copied = Gateway::certificate(home);
    assert_eq!(Fingerprint::of(&copied).to_string(), gateway.fingerprint);
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    [(own.cert.der().clone(), key()), (copied, key())]
}

/// A server with this certificate and key, which need not belong together.
pub async fn pretender(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> (SocketAddr, TlsAcceptor, TcpListener) {
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certified = CertifiedKey::new(vec![certificate], key);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (
        listener.local_addr().unwrap(),
        TlsAcceptor::from(Arc::new(config)),
        listener,
    )
}
