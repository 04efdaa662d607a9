//! The `[page]` section.

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
            note: "Only loopback addresses are accepted: everyone who can reach the page can command every device. If the port is \
                   taken and none is configured, the gateway runs without the page.",
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
    ],
};

/// The `[page]` section.
#[derive(Clone, Debug)]
pub struct PageSettings {
    /// Where to listen: loopback addresses; port 0 lets the system choose.
    pub listen: Listen,
    /// Whether the address was configured: the gateway does not start without it.
    pub is_required: bool,
    /// Further names of the host.
    pub hosts: Vec<String>,
}

pub(super) fn read(reader: &mut Reader) -> Option<PageSettings> {
    let mut keys = Keys::new(reader, &SECTION);
    let enabled = keys.switch("enabled").unwrap_or_default();
    let listen = keys.addresses("listen");
    if let Some(open) = listen.addresses().find(|address| !address.ip().is_loopback()) {
        // The system chooses another port than 0.
        let port = match open.port() {
            0 => "PORT".to_owned(),
            port => port.to_string(),
        };
        keys.problem(
            "listen",
            format!(
                "{open} can be reached from the network, where everybody could command every device; use a loopback \
                 address, and reach it from elsewhere by ssh -L {port}:127.0.0.1:{port}"
            ),
        );
    }
    let is_required = keys.is_given("listen");
    let hosts = keys.hosts("hosts");
    enabled.then_some(PageSettings {
        listen,
        is_required,
        hosts,
    })
}
