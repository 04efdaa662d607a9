//! Boards on wires and on Bluetooth, through the page's port: what is there, and the entries that bridge it.
#![cfg(target_os = "linux")]
// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::bare_http::{ask, post};
use common::bluez::{Bluez, Peripheral};
use common::process::{Process, run};
use common::pty::Board;
use common::system::{ARDUINO, CH340, System};
use common::{ANY_PORT, Running, page_at, settings, wait_until, within};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use wsdm_gateway::config::{Layers, Loaded, Settings};

const TOML: &str = "# the bench\n[state]\npath = \"state.json\" # here\n";

/// A gateway that has this gateway.toml, and the ports of this system.
struct Bench {
    folder: TempDir,
    system: System,
    gateway: Running,
}

impl Bench {
    async fn start(toml: &str) -> Self {
        Self::start_with(toml, |_| {}).await
    }

    async fn start_with(toml: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (folder, system) = (TempDir::new().unwrap(), System::new());
        prepare(folder.path());
        let file = folder.path().join("gateway.toml");
        fs::write(&file, toml).unwrap();
        let loaded = Loaded::load(Some(&file), Layers::default()).unwrap().settings;
        let gateway = Running::start(Settings {
            page: Some(page_at(ANY_PORT)),
            ports: system.ports(),
            serial: loaded.serial,
            ble: loaded.ble,
            dial: loaded.dial,
            udcf: loaded.udcf,
            bridge_udcf: loaded.bridge_udcf,
            files: loaded.files,
            ..settings()
        })
        .await;
        Self {
            folder,
            system,
            gateway,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn toml(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = ask(self.gateway.page(), "GET", path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    async fn ports(&self) -> Vec<Value> {
        self.get("/api/ports").await["ports"].as_array().unwrap().clone()
    }

    /// Adds an entry; returns the status and the answer.
    async fn add(&self, section: &str, keys: &Value) -> (u16, Value) {
        let body = json!({"section": section, "keys": keys});
        let answer = post(self.gateway.page(), "/api/entries", &[], &body).await;
        (answer.status, answer.json())
    }

    async fn remove(&self, path: &str) -> (u16, Value) {
        let answer = ask(self.gateway.page(), "DELETE", path, &[]).await;
        (answer.status, answer.json())
    }
}

/// A board on USB, whose wire the test holds.
fn plug(system: &System) -> Board {
    system.usb("1-1", "ttyACM0", ARDUINO);
    let node = system.path("dev/ttyACM0");
    Board::plug(&node)
}

#[tokio::test]
async fn a_board_on_a_wire_is_listed_bridged_and_removed() {
    let bench = Bench::start(TOML).await;
    assert_eq!(bench.ports().await, [] as [Value; 0]);
    let _board = plug(&bench.system);
    let ports = bench.ports().await;
    let lasting = "/dev/serial/by-id/usb-ttyACM0-if00";
    let wanted = json!([{
        "path": "/dev/ttyACM0", "lasting": lasting, "manufacturer": "Arduino (www.arduino.cc)", "product": "Uno",
        "serial_number": "75834353030351F0E1B1", "usb": "2341:0043", "state": "free", "held_by": [], "hint": null,
        "entry": null,
    }]);
    assert_eq!(json!(ports), wanted);

    let keys = json!({"port": "/dev/ttyACM0", "baud_rate": 9600, "framing.delimiter": "\n"});
    let (status, written) = bench.add("serial", &keys).await;
    assert_eq!(status, 201, "{written}");
    let entry = "[[serial]]\nport = \"/dev/ttyACM0\"\nbaud_rate = 9600\nframing.delimiter = \"\\n\"\n";
    assert_eq!(written["toml"], entry);
    assert_eq!(written["line"], 5);
    assert_eq!(written["changed"]["file"], bench.file().display().to_string());
    assert_eq!(bench.toml(), format!("{TOML}\n{entry}"));
    let backup = written["changed"]["backup"].as_str().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), TOML);
    assert_eq!(bench.ports().await[0]["entry"], "serial.0");

    let entries = bench.get("/api/entries").await;
    assert_eq!(entries["file"], bench.file().display().to_string());
    assert_eq!(entries["entries"].as_array().unwrap().len(), 1);
    let listed = &entries["entries"][0];
    assert_eq!((&listed["section"], &listed["n"]), (&json!("serial"), &json!(0)));
    assert_eq!((&listed["toml"], &listed["keys"]), (&json!(entry), &keys));

    // Twice, or with what no entry has: refused, with the place, and nothing is written.
    let before = bench.toml();
    for (section, keys, problem) in [
        (
            "serial",
            json!({"port": "/dev/ttyACM0"}),
            "is for the same port as serial.0",
        ),
        (
            "serial",
            json!({"port": "/dev/x", "baud": 9600}),
            "did you mean \"baud_rate\"",
        ),
        (
            "serial",
            json!({"port": "/dev/x", "baud_rate": 1}),
            "serial.1.baud_rate",
        ),
        ("ble", json!({"name": "DIY-*"}), "profile"),
        (
            "clients",
            json!({"listen": "0.0.0.0:1"}),
            "there is no section [[clients]]",
        ),
        ("serial", json!({"a]\n[b": 1}), "is not the name of a key"),
    ] {
        let (status, refused) = bench.add(section, &keys).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains(problem), "{refused}");
        assert!(refused["hint"].is_string(), "{refused}");
        assert_eq!(bench.toml(), before);
    }

    let (status, refused) = bench.remove("/api/entries/serial/0?tag=000000000000").await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(bench.remove("/api/entries/serial/1").await.0, 404);
    assert_eq!(bench.remove("/api/entries/clients/0").await.0, 400);
    assert_eq!(bench.toml(), before);
    let path = format!("/api/entries/serial/0?tag={}", listed["tag"].as_str().unwrap());
    let (status, removed) = bench.remove(&path).await;
    assert_eq!(status, 200, "{removed}");
    assert_eq!(bench.toml(), TOML);
    assert_eq!(bench.ports().await[0]["entry"], Value::Null);
    bench.gateway.stop().await;
}

#[tokio::test]
async fn who_has_a_port_and_what_to_do_about_it_is_said() {
    let bench = Bench::start("[[serial]]\nport = \"/dev/wsdm-no-such-port\"\n").await;
    bench.system.usb("1-2", "ttyUSB0", CH340);
    let process = bench.system.path("proc/812");
    fs::create_dir_all(process.join("fd")).unwrap();
    fs::write(process.join("comm"), "screen\n").unwrap();
    symlink(bench.system.path("dev/ttyUSB0"), process.join("fd/5")).unwrap();
    let ports = bench.ports().await;
    assert_eq!(
        (&ports[0]["state"], &ports[0]["entry"]),
        (&json!("held"), &Value::Null)
    );
    assert_eq!(ports[0]["held_by"], json!(["screen (pid 812)"]));
    assert!(ports[0]["hint"].as_str().unwrap().contains("close it there"));
    assert_eq!(
        (&ports[1]["state"], &ports[1]["entry"]),
        (&json!("gone"), &json!("serial.0"))
    );
    // A file that a person broke is said, and shown to nobody as empty.
    fs::write(bench.file(), "[[serial]\n").unwrap();
    let broken = ask(bench.gateway.page(), "GET", "/api/entries", &[]).await;
    assert_eq!(broken.status, 409, "{}", broken.body);
    assert!(broken.json()["error"].as_str().unwrap().contains("line 1"));
    let (status, refused) = bench.add("serial", &json!({"port": "/dev/ttyUSB0"})).await;
    assert_eq!(status, 400, "{refused}");
    assert_eq!(bench.toml(), "[[serial]\n");
    bench.gateway.stop().await;
}

#[tokio::test]
async fn the_boards_of_a_udcf_are_offered_and_bridged() {
    let udcf = json!({
        "version": {"major": 5, "minor": 0},
        "user_configs": {"protocols": {"tcode-v03": {"communication": [
            {"serial": {"port": "/dev/wsdm-tcode", "baud_rate": 115_200, "data_bits": 8, "stop_bits": 1, "parity": "N"}},
            {"serial": {"port": "COM4", "baud_rate": 115_200, "data_bits": 8, "stop_bits": 1, "parity": "N"}},
        ]}}},
    });
    let toml = "[udcf]\npath = \"udcf.json\" # mine\n";
    let write = |folder: &Path| fs::write(folder.join("udcf.json"), udcf.to_string()).unwrap();
    let bench = Bench::start_with(toml, write).await;
    let states = |entries: &Value| -> Vec<Value> {
        let offers = entries["offers"].as_array().unwrap();
        offers.iter().map(|offer| offer["state"].clone()).collect()
    };
    let entries = bench.get("/api/entries").await;
    assert_eq!(states(&entries), ["offered", "unusable"]);
    let offer = &entries["offers"][0];
    assert_eq!(
        (&offer["section"], &offer["name"]),
        (&json!("serial"), &json!("/dev/wsdm-tcode"))
    );
    assert!(
        offer["toml"].as_str().unwrap().starts_with("[[serial]]\n"),
        "{offer}"
    );
    assert!(
        entries["offers"][1]["problem"]
            .as_str()
            .unwrap()
            .contains("Windows")
    );

    // All of them, as the UDCF has them.
    let bridge = async |bridge: bool| {
        let answer = post(
            bench.gateway.page(),
            "/api/entries/udcf",
            &[],
            &json!({"bridge": bridge}),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    bridge(true).await;
    assert_eq!(bench.toml(), format!("{toml}bridge = true\n"));
    let entries = bench.get("/api/entries").await;
    assert_eq!(states(&entries), ["bridged", "unusable"]);
    assert_eq!(entries["bridges_udcf"], true);
    assert_eq!(bench.ports().await[0]["entry"], "udcf");
    bridge(false).await;
    assert_eq!(states(&bench.get("/api/entries").await), ["offered", "unusable"]);

    // One of them, as an entry of one's own.
    let (status, written) = bench.add("serial", &offer["keys"]).await;
    assert_eq!(status, 201, "{written}");
    let lines = |toml: &Value| -> Vec<String> {
        let mut lines: Vec<_> = toml.as_str().unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&written["toml"]), lines(&offer["toml"]));
    let entries = bench.get("/api/entries").await;
    assert_eq!(states(&entries), ["configured", "unusable"]);
    bench.gateway.stop().await;
}

/// How many files of this process are this terminal.
fn open_files(port: &Path) -> usize {
    let node = fs::canonicalize(port).unwrap();
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    files
        .filter(|file| fs::read_link(file.path()).is_ok_and(|open| open == node))
        .count()
}

#[tokio::test]
async fn what_a_board_says_is_heard_before_it_is_bridged() {
    let bench = Bench::start(TOML).await;
    let mut board = plug(&bench.system);
    let before = open_files(&board.port);
    let mut live = Live::open(bench.gateway.page()).await;
    let speed = |board: &Board| board.attributes().output_speed();
    live.listen("/dev/ttyACM0", 9_600).await;
    assert_eq!(live.listening().await["baud_rate"], 9_600);
    assert_eq!(speed(&board), 9_600);
    assert_eq!(open_files(&board.port), before + 1);
    // Bytes as they come, without waiting for the end of a line.
    board.say(b"hi\xff").await;
    assert_eq!(live.heard(3).await, "6869ff");
    live.send(json!({"say": {"id": 3, "hex": "44300a"}})).await;
    assert_eq!(live.until("sent").await, json!({"id": 3, "error": null}));
    board.expect("D0\n").await;
    live.send(json!({"say": {"id": 4, "hex": "4"}})).await;
    assert!(live.until("sent").await["error"].is_string());

    // On the open port: what was written before it was read is not lost, as it would be with a port that was closed.
    live.listen("/dev/ttyACM0", 250_000).await;
    assert_eq!(live.listening().await["baud_rate"], 250_000);
    assert_eq!(speed(&board), 250_000);
    board.say("ok").await;
    assert_eq!(live.heard(2).await, "6f6b");

    // A port that an entry takes, or that is none, is not opened; and what was heard before is closed for it.
    let (status, written) = bench.add("serial", &json!({"port": "/dev/ttyACM0"})).await;
    assert_eq!(status, 201, "{written}");
    for (port, problem) in [
        ("/dev/null", "there is no serial port"),
        ("/dev/ttyACM0", "bridged by serial.0"),
    ] {
        live.listen(port, 9_600).await;
        let refused = live.listening().await;
        assert_eq!(refused["baud_rate"], Value::Null);
        assert!(
            refused["problem"]["error"].as_str().unwrap().contains(problem),
            "{refused}"
        );
    }
    assert_eq!(open_files(&board.port), before);
    assert_eq!(bench.remove("/api/entries/serial/0").await.0, 200);

    // The port is closed when the page goes.
    live.listen("/dev/ttyACM0", 9_600).await;
    assert_eq!(live.listening().await["baud_rate"], 9_600);
    drop(live);
    wait_until("the port is closed", || open_files(&board.port) == before).await;
    bench.gateway.stop().await;
}

/// The websocket of an open page.
struct Live(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Live {
    async fn open(page: SocketAddr) -> Self {
        let mut request = format!("ws://{page}/api/live").into_client_request().unwrap();
        let origin = format!("http://{page}").parse().unwrap();
        request.headers_mut().insert("Origin", origin);
        let (socket, _) = within("the websocket opens", connect_async(request))
            .await
            .unwrap();
        Self(socket)
    }

    async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn listen(&mut self, port: &str, baud_rate: u32) {
        self.send(json!({"listen": {"port": port, "baud_rate": baud_rate}}))
            .await;
    }

    /// The next message of this kind.
    async fn until(&mut self, kind: &str) -> Value {
        within(kind, async {
            loop {
                let Message::Text(text) = self.0.next().await.unwrap().unwrap() else {
                    continue;
                };
                let mut message: Value = serde_json::from_str(&text).unwrap();
                if message[kind].is_object() {
                    return message[kind].take();
                }
            }
        })
        .await
    }

    async fn listening(&mut self) -> Value {
        self.until("listening").await
    }

    /// So many bytes, as hexadecimal digits.
    async fn heard(&mut self, bytes: usize) -> String {
        let mut all = String::new();
        while all.len() < 2 * bytes {
            let heard = self.until("heard").await;
            assert_eq!(heard["missed"], 0);
            for chunk in heard["chunks"].as_array().unwrap() {
                all += chunk["hex"].as_str().unwrap();
            }
        }
        all
    }
}

#[tokio::test]
async fn peripherals_are_seen_with_what_fits_them() {
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::nus("C0:FF:EE:00:00:01", "DIY-1").rssi(-63));
    board.advertise();
    bluez
        .plug(Peripheral::hm10("C0:FF:EE:00:00:02", "far").rssi(-90))
        .advertise();
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("gateway.toml"), "").unwrap();
    let start = async |bus: &str| {
        let mut command = run(home.path());
        command.arg("--config").arg(home.path().join("gateway.toml"));
        Process::spawn({
            command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
            command
        })
        .await
    };
    let gateway = start(&bluez.bus_address()).await;
    let page = gateway.page_address();
    let entry = json!({"section": "ble", "keys": {"name": "far", "profile": "hm10"}});
    assert_eq!(post(page, "/api/entries", &[], &entry).await.status, 201);
    let seen = ask(page, "GET", "/api/bluetooth?seconds=2", &[]).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let seen = &seen.json()["peripherals"];
    assert_eq!(
        (&seen[0]["address"], &seen[0]["name"]),
        (&json!("C0:FF:EE:00:00:01"), &json!("DIY-1"))
    );
    assert_eq!(
        (&seen[0]["profiles"][0], &seen[0]["entry"]),
        (&json!("nus"), &Value::Null)
    );
    assert!((-64..=-62).contains(&seen[0]["rssi"].as_i64().unwrap()), "{seen}");
    assert_eq!(
        (&seen[1]["name"], &seen[1]["entry"]),
        (&json!("far"), &json!("ble.0"))
    );
    assert_eq!(
        ask(page, "GET", "/api/bluetooth?seconds=3600", &[]).await.status,
        400
    );
    drop(gateway);

    let gateway = start("unix:path=/nowhere").await;
    let none = ask(gateway.page_address(), "GET", "/api/bluetooth", &[]).await;
    assert_eq!(none.status, 503, "{}", none.body);
    assert!(
        none.json()["error"].as_str().unwrap().contains("no Bluetooth"),
        "{}",
        none.body
    );
    assert!(none.json()["hint"].is_string());
}
