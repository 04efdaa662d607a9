use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::*;
use crate::pins::ESP32C3;
use crate::store::tests::{Flash, START};

/// What a radio in the tests finds, and whom it lets in.
#[derive(Debug)]
struct Air {
    networks: Networks,
    password: &'static str,
    joined: bool,
}

impl Radio for Air {
    fn is_joined(&self) -> bool {
        self.joined
    }

    async fn scan(&mut self) -> Networks {
        self.networks.clone()
    }

    async fn join(&mut self, ssid: &str, password: &str) -> bool {
        let is_there = self.networks.iter().any(|network| network.ssid == ssid);
        self.joined |= is_there && password == self.password;
        is_there && password == self.password
    }
}

#[derive(Default)]
struct Out(std::vec::Vec<u8>);

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

impl Port for Out {
    fn write_bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// A future that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn network(ssid: &str, rssi: i8) -> Network {
    Network {
        ssid: ssid.try_into().unwrap(),
        rssi,
        is_open: ssid == "open",
    }
}

type Tested<'f> = Terminal<'static, &'f mut Flash, Air>;

fn terminal(flash: &mut Flash) -> Tested<'_> {
    let built_in = std::boxed::Box::leak(std::boxed::Box::new(Settings::default()));
    let (store, _) = Store::open(flash, START, &ESP32C3).unwrap();
    let mut networks = Networks::new();
    networks.add(network("far", -80));
    networks.add(network("home", -50));
    let radio = Air {
        networks,
        password: "long enough",
        joined: false,
    };
    let console = Console::new(built_in.clone(), built_in, &ESP32C3, "a0b1c2d3e4f5");
    let quiet = std::boxed::Box::leak(std::boxed::Box::new(Quiet::new()));
    Terminal::new(console, Some(store), Some(radio), quiet, "wsdm-e4f5", "1.2.3")
}

/// Everything that comes back.
fn say(terminal: &mut Tested<'_>, bytes: &[u8]) -> std::vec::Vec<u8> {
    let mut out = Out::default();
    for byte in bytes {
        let after = ready(terminal.byte(0, *byte, &mut out)).unwrap();
        assert_eq!(after, After::Stay);
    }
    out.0
}

fn rpc(command: u8, arguments: &[u8]) -> std::vec::Vec<u8> {
    let data = [&[command, arguments.len() as u8], arguments].concat();
    let mut packet = [b"IMPROV\x01\x03", &[data.len() as u8][..], &data].concat();
    packet.push(packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    packet.push(b'\n');
    packet
}

/// Each packet on its own line.
fn lines(packets: &[Packet]) -> std::vec::Vec<u8> {
    packets
        .iter()
        .flat_map(|packet| [b"\n", &packet[..], b"\n"].concat())
        .collect()
}

fn result(command: Command, texts: &[&str]) -> Packet {
    improv::result(command, texts).unwrap()
}

fn loaded(flash: &mut Flash) -> Settings {
    match Store::open(flash, START, &ESP32C3).unwrap().1 {
        crate::Loaded::Saved(settings, None) => settings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_board_says_who_it_is_and_what_is_near() {
    let mut flash = Flash::new();
    let mut terminal = terminal(&mut flash);
    assert_eq!(
        say(&mut terminal, &rpc(2, &[])),
        lines(&[improv::state(State::Ready)])
    );
    assert_eq!(
        say(&mut terminal, &rpc(3, &[])),
        lines(&[result(
            Command::Info,
            &["wsdm-device", "1.2.3", "ESP32-C3", "wsdm-e4f5"]
        )])
    );
    assert_eq!(
        say(&mut terminal, &rpc(4, &[])),
        lines(&[
            result(Command::Scan, &["home", "-50", "YES"]),
            result(Command::Scan, &["far", "-80", "YES"]),
            result(Command::Scan, &[]),
        ])
    );
    assert_eq!(
        say(&mut terminal, &rpc(7, &[])),
        lines(&[result(Command::Network, &["2"])])
    );
    assert_eq!(
        say(&mut terminal, &rpc(5, b"name")),
        lines(&[improv::error(Error::UnknownCommand)])
    );
}

#[test]
fn a_network_that_takes_the_board_is_kept_and_nothing_else_with_it() {
    let mut flash = Flash::new();
    let mut tested = terminal(&mut flash);
    say(&mut tested, b"set pins V0=5\n");
    let joined = [
        improv::error(Error::None),
        improv::state(State::Provisioning),
        improv::state(State::Provisioned),
        result(Command::Join, &[]),
    ];
    assert_eq!(
        say(&mut tested, &rpc(1, b"\x04home\x0blong enough")),
        lines(&joined)
    );
    assert_eq!(
        say(&mut tested, &rpc(2, &[])),
        lines(&[improv::state(State::Provisioned), result(Command::State, &[])])
    );
    let shown = std::string::String::from_utf8(say(&mut tested, b"show\n")).unwrap();
    assert!(
        shown.contains("ssid = home\n") && shown.contains("pins = V0=5\n"),
        "{shown}"
    );
    assert!(shown.ends_with("not saved yet\n"), "{shown}");
    assert!(!shown.contains("enough"), "{shown}");
    let saved = loaded(&mut flash);
    assert_eq!((saved.ssid(), saved.password()), ("home", "long enough"));
    assert_eq!(
        saved.outputs().iter().count(),
        0,
        "what was not saved is not saved by Improv"
    );
}

#[test]
fn a_network_that_does_not_is_not_kept() {
    let mut flash = Flash::new();
    let mut tested = terminal(&mut flash);
    say(&mut tested, b"set ssid before\nsave\n");
    let refused = [
        improv::error(Error::None),
        improv::state(State::Provisioning),
        improv::error(Error::UnableToConnect),
        improv::state(State::Ready),
    ];
    assert_eq!(
        say(&mut tested, &rpc(1, b"\x04home\x0bwrong words")),
        lines(&refused)
    );
    assert_eq!(
        say(&mut tested, &rpc(1, b"\x04away\x0blong enough")),
        lines(&refused)
    );
    // What no network can have is not tried.
    let got = say(&mut tested, &rpc(1, b"\x04home\x05short"));
    let text = std::string::String::from_utf8_lossy(&got).into_owned();
    assert!(text.contains("8 to 63 characters"), "{text}");
    assert!(!got.windows(3).any(|bytes| bytes == [1, 1, 3]), "{text}");
    assert_eq!(loaded(&mut flash).ssid(), "before");
}

#[test]
fn what_cannot_be_kept_is_said() {
    let mut flash = Flash::new();
    let mut tested = terminal(&mut flash);
    tested.store = None;
    let got = say(&mut tested, &rpc(1, b"\x04home\x0blong enough"));
    assert!(std::string::String::from_utf8_lossy(&got).contains("not saved"));
    assert!(got.ends_with(&lines(&[
        improv::error(Error::Unknown),
        improv::state(State::Provisioned)
    ])));
}

#[test]
fn the_console_goes_on_beside_it_and_restarts() {
    let mut flash = Flash::new();
    let mut tested = terminal(&mut flash);
    let got = say(&mut tested, &[b"sh", &rpc(2, &[])[..], b"ow\n"].concat());
    let text = std::string::String::from_utf8_lossy(&got).into_owned();
    assert!(
        text.starts_with("sh\nIMPROV") && text.contains("ssid = \n"),
        "{text}"
    );
    let mut out = Out::default();
    let mut after = After::Stay;
    for byte in b"restart\n" {
        after = ready(tested.byte(0, *byte, &mut out)).unwrap();
    }
    assert_eq!(after, After::Restart);
    // Without a radio nobody speaks Improv.
    tested.radio = None;
    assert_eq!(say(&mut tested, &rpc(2, &[])), b"");
}

#[test]
fn each_name_is_there_once_and_the_best_signals_stay() {
    let mut networks = Networks::new();
    for (ssid, rssi) in [("a", -70), ("b", -60), ("a", -50), ("b", -90), ("", -10)] {
        networks.add(network(ssid, rssi));
    }
    let named: std::vec::Vec<_> = networks.iter().map(|n| (n.ssid.as_str(), n.rssi)).collect();
    assert_eq!(named, [("a", -50), ("b", -60)]);
    for i in 0..30 {
        networks.add(network(&std::format!("n{i}"), -100 + i));
    }
    assert_eq!(networks.iter().count(), NETWORKS_MAX);
    assert!(networks.iter().is_sorted_by(|one, other| one.rssi >= other.rssi));
    assert!(networks.iter().all(|n| n.rssi > -86), "{networks:?}");
}
