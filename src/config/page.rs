//! The `[page]` section.

use super::Secret;
use super::layers::Reader;
use super::read::Keys;
use super::table::{Key, Kind, Preset, Section};
use crate::defaults;
use crate::net::listen::Listen;

pub(super) static SECTION: Section = Section {
    name: "page",
    repeated: false,
    help: "The page that shows this gateway in a browser, and the HTTP interface beneath it.",
    keys: &[
        Key {
            name: "enabled",
            kind: Kind::Switch,
            default: Preset::Switch(true),
            help: "Serve the page",
            ..Key::BASE
        },
        Key {
            name: "listen",
            kind: Kind::Addresses,
            default: Preset::Localhost(defaults::PAGE_LISTEN_PORT),
            flag: Some("page-listen"),
            help: "Serve the page at this address",
            note: "Any other address than a loopback one needs a password or a token: everyone who can use the page can command \
                   every device. If the port is taken and none is configured, the gateway runs without the page.",
            ..Key::BASE
        },
        Key {
            name: "hosts",
            kind: Kind::Hosts,
            default: Preset::Unset("this machine's loopback addresses"),
            example: "[\"gateway.example\"]",
            help: "Serve the page under these host names too, as behind a proxy or a tunnel",
            ..Key::BASE
        },
        Key {
            name: "password",
            kind: Kind::Password,
            default: Preset::Unset("no password"),
            flag: Some("page-password"),
            example: "\"at-least-8-characters\"",
            help: "Let only those use the page who know this password",
            note: "Also on this machine. Other users see flags in the list of processes, but neither this file, if only you may \
                   read it, nor the environment. Without TLS in front, everybody on the network in between can read the password.",
            ..Key::BASE
        },
        Key {
            name: "token",
            kind: Kind::Secret,
            default: Preset::Unset("no token"),
            flag: Some("page-token"),
            example: "\"at-least-8-characters\"",
            help: "Let scripts in that send this as Authorization: Bearer TOKEN",
            note: "It has at least 8 characters of A-Z a-z 0-9 - . _ ~. With a token and no password, nobody can log in on the page.",
            ..Key::BASE
        },
    ],
};

/// The `[page]` section.
#[derive(Clone, Debug)]
pub struct PageSettings {
    /// Where to listen: loopback addresses, if there is neither a password nor a token. Port 0 lets the system choose.
    pub listen: Listen,
    /// Whether the address was configured: the gateway does not start without it.
    pub is_required: bool,
    /// Further names of the host.
    pub hosts: Vec<String>,
    /// What people log in with.
    pub password: Option<Secret>,
    /// What scripts send.
    pub token: Option<Secret>,
}

impl PageSettings {
    /// What one has to know to use the page; `None` if it is open to everybody who reaches it.
    pub fn condition(&self) -> Option<&'static str> {
        match (&self.password, &self.token) {
            (None, None) => None,
            (Some(_), None) => Some("the password"),
            (None, Some(_)) => Some("the token"),
            (Some(_), Some(_)) => Some("the password or the token"),
        }
    }
}

pub(super) fn read(reader: &mut Reader) -> Option<PageSettings> {
    let mut keys = Keys::new(reader, &SECTION);
    let enabled = keys.switch("enabled").unwrap_or_default();
    let listen = keys.addresses("listen");
    let is_required = keys.is_given("listen");
    let hosts = keys.hosts("hosts");
    let is_guarded = keys.is_given("password") || keys.is_given("token");
    let (password, token) = (keys.password("password"), keys.secret("token"));
    let open = listen.addresses().find(|address| !address.ip().is_loopback());
    if enabled
        && !is_guarded
        && let Some(open) = open
    {
        // The system chooses another port than 0.
        let port = match open.port() {
            0 => "PORT".to_owned(),
            port => port.to_string(),
        };
        keys.problem(
            "listen",
            format!(
                "{open} can be reached from the network, where everybody could command every device; set password under \
                 [page], or WSDM_GATEWAY_PAGE_PASSWORD; or use a loopback address, and reach it from elsewhere by ssh -L \
                 {port}:127.0.0.1:{port}"
            ),
        );
    }
    enabled.then_some(PageSettings {
        listen,
        is_required,
        hosts,
        password,
        token,
    })
}
