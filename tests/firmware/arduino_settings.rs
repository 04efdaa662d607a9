//! A board with the Arduino library's Wi-Fi sketch is set up without a compiler: on its console, by a web page that speaks
//! Improv, and with a gateway that it finds by itself.

use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use wsdm_device_board::{Console, ESP32C3, Invalid, Key, Settings};

use crate::common::namespace;
use crate::common::process::{self, Process};
use crate::common::{client, listed, vibrate};
use crate::improv::improv;
use crate::program::{Program, addr, built};

/// What the radio of the stand-in finds.
const NETWORKS: &str = "Home\tsecret words\t-40\nCaf\u{e9}\t\t-60\nHome\tsecret words\t-71";

/// A board that was never set up, whose flash is in `home`.
fn board(sketch: &str, home: &Path) -> Command {
    let mut command = Command::new(built(&format!("host/{sketch}")));
    command
        .env("WSDM_HOST_SSID", "")
        .env("WSDM_HOST_WIFI", NETWORKS)
        .env("WSDM_HOST_FLASH", home)
        .env("WSDM_HOST_MAC", "02005E123456");
    command
}

#[tokio::test]
async fn a_board_is_set_up_on_its_console_and_stays_so() {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &["--device-token", "geheim-1"]).await;
    let flash = TempDir::new().unwrap();
    let mut board = Program::with_console(&mut board("WifiLovenseVibrator", flash.path()));
    board.line("no network is set: ").await;
    for line in [
        "set ssid Home",
        "set password secret words",
        &format!("set gateway {}", addr(&gateway.devices)),
        "set token geheim-1",
        "set address bedroom",
    ] {
        board.type_line(line).await;
        board.line("save keeps it").await;
    }
    board.type_line("save").await;
    board.line("saved").await;
    board.type_line("restart").await;
    board.line("settings: as saved").await;
    board.line("Wi-Fi: connected").await;
    board.line("connected").await;
    let client = client(&gateway.clients, "driver").await;
    listed(&client, 1).await;
    vibrate(&client, 0.5).await;
    board.pin_at("4 pwm", 127).await;
    // To save takes its time, which no motor runs through.
    board.type_line("save").await;
    board.pin_at("4 pwm", 0).await;
    board.line("saved").await;
    board.line("connected").await;
    board.type_line("show").await;
    assert_eq!(board.line("password = ").await, "********");
    assert_eq!(board.line("token = ").await, "********");
    assert_eq!(board.line("address = ").await, "bedroom");
}

/// What a person may type, right and wrong.
const TYPED: &[&str] = &[
    "hello",
    "save now",
    "set",
    "set colour red",
    "set ssid My Network",
    "set ssid a name that has more than 32 bytes",
    "set password short",
    "set password long enough",
    "set password",
    "set token geheim-1",
    "set identifier Stroker",
    "set identifier",
    "set gateway 10.0.0.2",
    "set gateway gw.local:8080",
    "set gateway gw:0",
    "set gateway gw:65536",
    "set gateway gw:80:90",
    "set gateway gw/a/path",
    "set gateway ws://gw:80/a/path/",
    "set gateway ws://gw/",
    "set gateway gw:0/path",
    "set gateway gw/a path",
    "set gateway gw/caf\u{e9}",
    "set gateway gw/?token=geheim-1",
    "set gateway ws://gw:80?token=geheim-1",
    "set gateway ::1",
    "set gateway [::1]:80",
    "set gateway ws://[fe80::1%eth0]/",
    "set gateway 2001:db8:0:0:0:0:0:1",
    "set gateway a b",
    "set gateway a b:0",
    "set gateway :0",
    "set gateway :80",
    "set gateway",
    "set gateway mdns",
    "set silence_ms 499",
    "set silence_ms 500",
    "set silence_ms 10000",
    "set silence_ms 10001",
    "set silence_ms 1 s",
    "set silence_ms",
    "set limits V0=60 l0=10-90  R2=0 A2=100",
    "set limits V0",
    "set limits V0=",
    "set limits V0=6x",
    "set limits V00=1",
    "set limits V0=10-20",
    "set limits V3=x-",
    "set limits R2=-5",
    "set limits A1=300-",
    "set limits L0=10",
    "set limits L1=",
    "set limits l2=x",
    "set limits L0=10-20-30",
    "set limits L0=101-x",
    "set limits L0=x-101",
    "set limits V0=1 V1=1 V2=1 V3=1 A0=1 A1=1 A1=1",
    "set limits X0=5",
    "set limits V0=101",
    "set limits L0=90-10",
    "set limits V0=5 V0=6",
    "set limits V0=1 V1=1 V2=1 V3=1 A0=1 A1=1 A2=1",
    "set limits none V0=1",
    "set fingerprint yes",
    "set fingerprint ?",
    "set fingerprint 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
    "set fingerprint 01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF",
    "set fingerprint 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
    "set fingerprint none none",
    "set fingerprint none",
    "set fingerprint",
    "set gateway wss://",
    "set gateway wss://gw:0",
    "set gateway wss://gw.local",
    "set limits none",
    "set limits L0=10-100",
];

/// The library is written anew in C++; so what its console answers is compared with what the firmware in Rust does.
#[tokio::test]
async fn both_consoles_answer_alike() {
    let flash = TempDir::new().unwrap();
    let mut board = Program::with_console(&mut board("WifiLovenseVibrator", flash.path()));
    board.line("no network is set: ").await;
    // It reports a limit of an output that it does not have, and the library does that at its start.
    let mut built_in = Settings::default();
    built_in.set(Key::Pins, "V0=0 L0=1 R2=2 A2=3", &ESP32C3).unwrap();
    let mut console = Console::new(built_in.clone(), &built_in, &ESP32C3, "02005e123456");
    let mut answer = |line: &str| {
        let mut answer = String::new();
        console.line(line, &mut answer).unwrap();
        answer
    };
    // The longest that is taken, and one that is longer.
    let longest = [("ssid", 32), ("password", 63), ("identifier", 64), ("token", 128)];
    let long =
        longest.map(|(key, most)| [most, most + 1].map(|length| format!("set {key} {}", "x".repeat(length))));
    let typed = TYPED.iter().map(|typed| (*typed).to_owned());
    for typed in typed.chain(long.into_iter().flatten()) {
        board.type_line(&typed).await;
        // Of a secret the echo has stars alone.
        let echo = typed.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
        board.line(&echo).await;
        for wanted in answer(&typed).lines() {
            assert_eq!(board.line("").await, wanted, "to {typed:?}");
        }
    }
    board.type_line("show").await;
    board.line("show").await;
    // The other settings of the library stand in the sketch, or are its own.
    let both = [
        Key::Ssid,
        Key::Password,
        Key::Gateway,
        Key::Token,
        Key::Identifier,
        Key::SilenceMs,
        Key::Limits,
        Key::Fingerprint,
    ];
    let shown = answer("show");
    for key in both {
        let start = format!("{} = ", key.name());
        let value = shown.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
        assert_eq!(board.line(&start).await, value, "{start}");
    }
    // The gateway of before has TLS.
    board.type_line("save").await;
    let refused = board.line("not saved: ").await;
    assert_eq!(refused, Invalid::NoFingerprint.to_string());
    // What only one of them has, the other does not take for a mistake in typing.
    for (line, word) in [
        ("set pins V0=4", "pins"),
        ("set button 9 opens", "button"),
        ("set battery 0", "battery"),
    ] {
        board.type_line(line).await;
        board.line(&format!("{word} stays: ")).await;
    }
    assert!(answer("set address bedroom").starts_with("address stays: "));
}

#[tokio::test]
async fn a_web_page_gives_a_board_its_network() {
    // Most of the time each waits for the network that says no.
    tokio::join!(
        set_up_by_a_page("WifiLovenseVibrator", "a computer"),
        set_up_by_a_page("WifiLovenseVibrator-esp8266", "ESP8266"),
    );
}

async fn set_up_by_a_page(sketch: &str, chip: &str) {
    let home = TempDir::new().unwrap();
    let gateway = Process::start(home.path(), &[]).await;
    let flash = TempDir::new().unwrap();
    let mut command = board(sketch, flash.path());
    let gateway_at = addr(&gateway.devices);
    command
        .env("WSDM_HOST_GATEWAY", gateway_at.ip().to_string())
        .env("WSDM_HOST_PORT", gateway_at.port().to_string());
    let steps = json!([
        ["wait", "or use Improv\r\n"],
        ["initialize"],
        ["scan"],
        ["type", "set ss", "set ss"],
        ["provision", "Home", "wrong words"],
        ["provision", "Home", "secret words"],
        ["states"],
        ["type", "id Caf\u{e9}\r", "uses it\r\n"],
        ["state"],
        ["network"],
        ["hostname", "bedroom"],
        // A sum that is wrong.
        ["raw", "494d50524f5601030202000000"],
        ["scan"],
        ["type", "show\r", "not saved yet"],
    ]);
    let answers = improv(&steps, command).await;
    println!("{sketch}: {answers:#?}");
    let value = |at: usize| &answers[at]["value"];
    let error = |at: usize| &answers[at]["error"];
    assert_eq!(
        *value(1),
        json!({
            "firmware": "wsdm-device", "version": "0.1.0", "chipFamily": chip, "name": "LVSDevice 02005e123456",
            "osName": null, "osVersion": null, "state": 2, "nextUrl": null,
        })
    );
    let networks = json!([
        { "name": "Caf\u{e9}", "rssi": -60, "secured": false },
        { "name": "Home", "rssi": -40, "secured": true },
    ]);
    assert_eq!(*value(2), networks);
    assert_eq!(*error(4), "UNABLE_TO_CONNECT");
    assert_eq!(*value(5), json!({ "state": 4, "nextUrl": null }));
    assert_eq!(*value(6), json!([2, 3, 2, 3, 4, 4]));
    let typed = value(7).as_str().unwrap();
    assert!(typed.contains("ssid = Caf\u{e9}"), "{typed}");
    assert_eq!(*value(8), json!({ "state": 4, "nextUrl": null }));
    let network = json!({
        "online": true, "supportsWifi": true, "supportsEthernet": false, "supportsThread": false,
        "supportsModem": false, "urls": [],
    });
    assert_eq!(*value(9), network);
    assert_eq!(*error(10), "UNKNOWN_RPC_COMMAND");
    assert_eq!(*value(11), 1);
    assert_eq!(*value(12), networks);
    // It is kept, and what was typed and not saved is not.
    let mut board = Program::start(&mut board(sketch, flash.path()));
    board.line("settings: as saved").await;
    board.line("connected").await;
}

/// In a network of its own: on this machine's may be other gateways.
#[tokio::test]
async fn a_board_finds_its_gateway_and_the_next_one() {
    let network = "ip link set lo up && ip link add net0 type dummy && ip addr add 10.9.9.1/24 dev net0 && ip link set net0 up multicast on && ip route add 224.0.0.0/4 dev net0";
    let Some(inside) = namespace::of_our_own(network).await else {
        return;
    };
    let home = TempDir::new().unwrap();
    let gateway = |enter: &[String]| {
        let mut command = process::command(home.path(), &[]);
        let program = command.as_std().get_program().to_owned();
        let mut entered = Command::new(&enter[0]);
        entered
            .args(&enter[1..])
            .arg(program)
            .args([
                "run",
                "--client-listen",
                "127.0.0.1:0",
                "--device-listen",
                "0.0.0.0:0",
            ])
            .envs(
                command
                    .as_std_mut()
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Process::spawn(entered)
    };
    let mut first = gateway(&inside).await;
    let within_it = |id: u32| {
        [
            "nsenter",
            "--preserve-credentials",
            "-U",
            "-n",
            "-t",
            &id.to_string(),
        ]
        .map(str::to_owned)
    };
    let enter = within_it(first.child.id().unwrap());
    let sketch = board("WifiLovenseVibrator", home.path()).into_std();
    let mut command = Command::new(&enter[0]);
    command
        .args(&enter[1..])
        .arg(sketch.get_program())
        .envs(sketch.get_envs().filter_map(|(key, value)| Some((key, value?))))
        .env("WSDM_HOST_SSID", "Caf\u{e9}");
    let mut board = Program::start(&mut command);
    let port = |gateway: &Process| addr(&gateway.devices).port();
    assert_eq!(
        board.line("found a gateway at ").await,
        format!("10.9.9.1:{}", port(&first))
    );
    board.line("connected").await;
    first.signal(Signal::TERM);
    first.exit_code().await;
    board.line("closed by the gateway: 1001 ").await;
    let enter = within_it(board.id());
    let second = gateway(&enter).await;
    assert_ne!(port(&first), port(&second));
    assert_eq!(
        board.line("found a gateway at ").await,
        format!("10.9.9.1:{}", port(&second))
    );
    board.line("connected").await;
}
