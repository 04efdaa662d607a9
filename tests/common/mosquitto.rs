//! A real broker: mosquitto in a folder of its own, on a port of its own.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustix::process::Signal;
use tempfile::TempDir;

use super::DEADLINE;
use super::reserved::Reserved;
use super::signal;

/// How a broker is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What is retained outlives a restart.
    pub persistence: bool,
    /// Names and passwords; nobody else may connect then.
    pub users: Vec<(&'static str, &'static str)>,
    /// What mosquitto calls an ACL file.
    pub acl: Option<String>,
    /// Only TLS, with a certificate for `localhost` and `::1` by [`Mosquitto::ca`].
    pub tls: bool,
    /// Clients need a certificate, such as [`Mosquitto::client_certificate`]; its name is that of the user.
    pub client_certificates: bool,
    /// Listens on `::1` instead of 127.0.0.1.
    pub ipv6: bool,
    /// Further lines.
    pub extra: String,
}

/// A broker that runs until it is dropped. Its log is shown if the test fails.
pub struct Mosquitto {
    options: Options,
    folder: TempDir,
    port: Reserved,
    running: Option<(Child, JoinHandle<()>)>,
    log: Arc<Mutex<String>>,
}

impl Mosquitto {
    /// A broker that lets anybody in.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let folder = TempDir::new().expect("a folder");
        make_files(&options, folder.path());
        let host = match options.ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        let mut broker = Self {
            options,
            folder,
            port: Reserved::at(host),
            running: None,
            log: Arc::default(),
        };
        broker.run();
        broker
    }

    pub fn port(&self) -> u16 {
        self.port.port()
    }

    pub fn url(&self) -> String {
        let Options { tls, ipv6, .. } = self.options;
        let host = match (tls, ipv6) {
            (_, true) => "[::1]",
            (true, false) => "localhost",
            (false, false) => "127.0.0.1",
        };
        format!("{}://{host}:{}", if tls { "mqtts" } else { "mqtt" }, self.port())
    }

    /// The CA of its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for the user `edge`, and its key.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (
            self.folder.path().join("edge.pem"),
            self.folder.path().join("edge.key"),
        )
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// As a power cut: nothing is saved, nobody is told.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// In an orderly way: saves what is retained, if it persists.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Starts again on the same port.
    pub fn restart(&mut self) {
        self.end(Signal::TERM);
        self.run();
    }

    /// It does nothing any more; the system still takes bytes for it.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let (child, _) = self.running.as_ref().expect("it runs");
        signal::send(child.id(), signal);
    }

    fn end(&mut self, signal: Signal) {
        let Some((mut child, reader)) = self.running.take() else {
            return;
        };
        signal::send(child.id(), signal);
        let _ = child.wait();
        let _ = reader.join();
    }

    /// Returns when it takes connections.
    fn run(&mut self) {
        let config = self.folder.path().join("mosquitto.conf");
        std::fs::write(&config, self.config()).expect("our own folder");
        let mut child = Command::new(find("mosquitto"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosquitto starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (ready, is_ready) = channel();
        let log = self.log.clone();
        let reader = std::thread::spawn(move || read_log(stderr, &log, &ready));
        self.running = Some((child, reader));
        // The sender is dropped if it ends before that.
        let ready = is_ready.recv_timeout(DEADLINE);
        assert!(ready.is_ok(), "mosquitto does not start:\n{}", self.log());
        let host = if self.options.ipv6 { "::1" } else { "127.0.0.1" };
        TcpStream::connect((host, self.port())).expect("it listens");
    }

    fn config(&self) -> String {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let Options {
            persistence,
            users,
            acl,
            tls,
            client_certificates,
            ipv6,
            extra,
        } = &self.options;
        let host = if *ipv6 { "::1" } else { "127.0.0.1" };
        let mut lines = vec![
            format!("listener {} {host}", self.port()),
            "set_tcp_nodelay true".to_owned(),
            // As root it would become a user that may not read our folder.
            "user root".to_owned(),
            "log_dest stderr".to_owned(),
            "log_type all".to_owned(),
            "sys_interval 0".to_owned(),
            format!("allow_anonymous {}", users.is_empty() && !client_certificates),
        ];
        if *persistence {
            let folder = self.folder.path().display();
            lines.extend([
                "persistence true".to_owned(),
                format!("persistence_location {folder}/"),
            ]);
        }
        if !users.is_empty() {
            lines.push(format!("password_file {}", file("passwords")));
        }
        if acl.is_some() {
            lines.push(format!("acl_file {}", file("acl")));
        }
        if *tls {
            for (option, name) in [
                ("cafile", "ca.pem"),
                ("certfile", "broker.pem"),
                ("keyfile", "broker.key"),
            ] {
                lines.push(format!("{option} {}", file(name)));
            }
        }
        if *client_certificates {
            lines.extend([
                "require_certificate true".to_owned(),
                "use_identity_as_username true".to_owned(),
            ]);
        }
        lines.push(extra.clone());
        lines.join("\n") + "\n"
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        if std::thread::panicking() {
            eprintln!("the log of mosquitto on port {}:\n{}", self.port(), self.log());
        }
    }
}

fn read_log(stderr: impl BufRead, log: &Mutex<String>, ready: &Sender<()>) {
    for line in stderr.lines().map_while(Result::ok) {
        if line.ends_with(" running") {
            // A receiver that gave up has failed the test.
            let _ = ready.send(());
        }
        let mut log = log.lock().expect("not poisoned");
        log.push_str(&line);
        log.push('\n');
    }
}

/// Where a program of the package is. Users who are not root seldom have `sbin` in their path.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: run ./test, or apt-get install mosquitto"))
}

fn make_files(options: &Options, folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("our own folder");
    if let Some(acl) = &options.acl {
        write("acl", acl);
    }
    if !options.users.is_empty() {
        write("passwords", "");
    }
    for (user, password) in &options.users {
        let made = Command::new(find("mosquitto_passwd"))
            .arg("-b")
            .arg(folder.join("passwords"))
            .args([user, password])
            .output()
            .expect("mosquitto_passwd starts");
        assert!(made.status.success(), "{made:?}");
    }
    if options.tls {
        let mut ca = CertificateParams::new(Vec::new()).expect("no names");
        ca.distinguished_name.push(DnType::CommonName, "a test's CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
        write("ca.pem", &ca.pem());
        for (file, names, user, usage) in [
            (
                "broker",
                vec!["localhost", "::1"],
                "broker",
                ExtendedKeyUsagePurpose::ServerAuth,
            ),
            ("edge", vec![], "edge", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
            let mut params = CertificateParams::new(names).expect("names");
            params.distinguished_name.push(DnType::CommonName, user);
            params.extended_key_usages.push(usage);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &ca).expect("a certificate");
            write(&format!("{file}.pem"), &certificate.pem());
            write(&format!("{file}.key"), &key.serialize_pem());
        }
    }
}
