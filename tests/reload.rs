//! Changes of the configuration while the gateway runs: what changes, who notices, and what stays.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its parts has failed"
)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use buttplug_client::ButtplugClient;
use buttplug_client::device::ClientDeviceOutputCommand;
use common::bare_http::{Answer, ask, post};
use common::listener::{Listener, Over};
use common::model_board::{Kind, ModelBoard};
use common::pty::Board;
use common::{PORTS, RawDevice, Running, client, from_text, listed, vibrate, wait_until, within};
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use wsdm_gateway::device::close::ADDRESS_REFUSED;

/// A gateway with files of its own.
struct Rig {
    folder: TempDir,
    gateway: Running,
}

impl Rig {
    async fn start(toml: &str, udcf: Option<&Value>) -> Self {
        Self::start_as(&format!("{PORTS}{toml}"), udcf).await
    }

    /// The same with a whole gateway.toml.
    async fn start_as(toml: &str, udcf: Option<&Value>) -> Self {
        let folder = TempDir::new().unwrap();
        if let Some(udcf) = udcf {
            write(&folder.path().join("udcf.json"), &udcf.to_string());
        }
        let mut settings = from_text(folder.path(), toml);
        // While the files are read, seconds on a slow machine, nobody reads the devices, and they answer no pings.
        settings.devices.ping_interval = std::time::Duration::from_secs(60);
        let gateway = Running::start(settings).await;
        Self { folder, gateway }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toml(&self, toml: &str) {
        write(&self.path("gateway.toml"), &format!("{PORTS}{toml}"));
    }

    fn udcf(&self, udcf: &Value) {
        write(&self.path("udcf.json"), &udcf.to_string());
    }

    async fn reload(&self) -> (u16, Value) {
        let answer = post(self.gateway.page(), "/api/reload", &[], &json!({})).await;
        (answer.status, answer.json())
    }

    async fn get(&self, path: &str) -> Value {
        ask(self.gateway.page(), "GET", path, &[]).await.json()
    }

    /// The device of this address, as the page shows it.
    async fn device(&self, address: &str) -> Value {
        self.get(&format!("/api/devices/{address}")).await
    }

    /// Waits until the device has this state.
    async fn state(&self, address: &str, state: &str) -> Value {
        within(state, async {
            loop {
                let device = self.device(address).await;
                if device["state"] == state {
                    return device;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A UDCF with these websocket names under lovense, and these devices.
fn names(names: &[&str], devices: &Value) -> Value {
    let communication: Vec<Value> = names
        .iter()
        .map(|name| json!({ "websocket": { "name": name } }))
        .collect();
    json!({
        "version": { "major": 5, "minor": 0 },
        "user_configs": { "protocols": { "lovense": { "communication": communication } }, "devices": devices },
    })
}

/// An entry for the Hush of this address.
fn hush(address: &str, deny: bool) -> Value {
    json!({
        "identifier": { "protocol": "lovense", "identifier": "Z", "address": address },
        "config": {
            "id": "8a6c7fdd-ad9b-474b-a378-4a1ba54c1cbd",
            "base_id": "37642e1c-a416-44d3-bada-76b6d9e245c9",
            "features": [
                {
                    "id": "186db189-66d6-48a4-9815-47bd94b1fccf",
                    "base_id": "3f7a25a5-df21-42ca-bf9f-d1c52df1f37e",
                    "output": { "vibrate": { "value": [2, 12] } },
                },
                {
                    "id": "a4be09ff-316b-4050-8b60-9be688e73cb0",
                    "base_id": "14bd7637-13ed-49ba-9eb9-9c8ba9abec20",
                },
            ],
            "user_config": { "allow": false, "deny": deny, "index": 3 },
        },
    })
}

/// Has every device of a client vibrate.
async fn vibrate_all(client: &ButtplugClient, strength: f64) {
    for device in client.devices().into_values() {
        let command = ClientDeviceOutputCommand::Vibrate(strength.into());
        within("a command", device.run_output(&command)).await.unwrap();
    }
}

fn entry(port: &Path, address: &str) -> String {
    format!(
        "[[serial]]\nport = {:?}\nidentifier = \"LVSDevice\"\naddress = {address:?}\n",
        port.to_str().unwrap()
    )
}

/// Whether it is asked what it is, and not closed: because it is refused, or once more if it was admitted while the change
/// was being applied.
async fn is_asked(device: &mut RawDevice) -> bool {
    loop {
        match device.ws.next().await {
            Some(Ok(Message::Binary(frame))) => return &frame[..] == b"DeviceType;",
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return false,
        }
    }
}

#[tokio::test]
async fn a_refused_device_is_admitted_once_the_file_names_it_and_nobody_else_notices() {
    let rig = Rig::start("", Some(&names(&["LVSDevice"], &json!([])))).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    let mut other = RawDevice::lovense(&rig.gateway.devices(), "other").await;
    listed(&client, 1).await;
    let before = rig.device("other").await;
    let mut refused = RawDevice::hello(&rig.gateway.devices(), "ESP32Vibe", "new").await;
    assert_eq!(refused.closed().await.0, 4001);
    // By hand, and nobody asks the gateway to look.
    rig.udcf(&names(&["LVSDevice", "ESP32Vibe"], &json!([])));
    let mut device = within("the device is admitted", async {
        loop {
            let mut device = RawDevice::hello(&rig.gateway.devices(), "ESP32Vibe", "new").await;
            if is_asked(&mut device).await {
                return device;
            }
        }
    })
    .await;
    device.binary(b"Z:11:AABBCCDDEEFF;").await;
    listed(&client, 2).await;
    vibrate_all(&client, 0.5).await;
    other.expect("Vibrate:10;").await;
    let after = rig.device("other").await;
    assert_eq!(
        before["connection"], after["connection"],
        "it was not interrupted"
    );
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_a_change_affects_is_stopped_and_comes_back_with_it() {
    let rig = Rig::start("", Some(&names(&["LVSDevice"], &json!([])))).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    let mut device = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    let mut other = RawDevice::lovense(&rig.gateway.devices(), "other").await;
    listed(&client, 2).await;
    let before = rig.device("other").await;
    vibrate_all(&client, 1.0).await;
    device.expect("Vibrate:20;").await;
    other.expect("Vibrate:20;").await;
    rig.udcf(&names(&["LVSDevice"], &json!([hush("one", true)])));
    let (status, changed) = rig.reload().await;
    assert_eq!(status, 200, "{changed}");
    assert!(
        changed["applied"].to_string().contains("one connects again"),
        "{changed}"
    );
    device.expect("Vibrate:0;").await;
    let (_, reason) = device.closed().await;
    assert_eq!(reason, "its configuration changed");
    let mut again = RawDevice::hello(&rig.gateway.devices(), "LVSDevice", "one").await;
    assert_eq!(again.closed().await.0, ADDRESS_REFUSED, "it is denied now");
    assert_eq!(before["connection"], rig.device("other").await["connection"]);
    // It comes back with limits.
    rig.udcf(&names(&["LVSDevice"], &json!([hush("one", false)])));
    assert_eq!(rig.reload().await.0, 200);
    let mut limited = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    listed(&client, 2).await;
    vibrate_all(&client, 1.0).await;
    limited.expect("Vibrate:12;").await;
    // And back.
    rig.udcf(&names(&["LVSDevice"], &json!([])));
    assert_eq!(rig.reload().await.0, 200);
    let _again = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    rig.state("one", "ready").await;
    assert_eq!(
        rig.reload().await.1["applied"],
        json!([]),
        "nothing changed since"
    );
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_board_on_a_wire_comes_and_goes_with_its_entry_and_its_neighbour_stays() {
    let folder = TempDir::new().unwrap();
    let mut first = Board::plug(&folder.path().join("tty1"));
    let mut second = Board::plug(&folder.path().join("tty2"));
    let rig = Rig::start(&entry(&first.port, "first"), None).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    first.be_lovense("AABBCCDDEE01").await;
    listed(&client, 1).await;
    let both = entry(&first.port, "first") + &entry(&second.port, "second");
    rig.toml(&both);
    second.be_lovense("AABBCCDDEE02").await;
    listed(&client, 2).await;
    let before = rig.device("first").await;
    vibrate_all(&client, 1.0).await;
    second.expect("Vibrate:20;").await;
    // The entry goes while the board runs.
    rig.toml(&entry(&first.port, "first"));
    second.expect("Vibrate:0;").await;
    let gone = rig.state("second", "gone").await;
    assert_eq!(gone["reason"], "its configuration changed");
    let after = rig.device("first").await;
    assert_eq!(
        before["connection"], after["connection"],
        "it was not interrupted"
    );
    // The same port with another address is another device.
    rig.toml(&(entry(&first.port, "first") + &entry(&second.port, "third")));
    second.be_lovense("AABBCCDDEE02").await;
    rig.state("third", "ready").await;
    rig.gateway.stop().await;
    first.expect("Vibrate:0;").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_its_problem_is_shown() {
    let folder = TempDir::new().unwrap();
    let mut board = Board::plug(&folder.path().join("tty"));
    let rig = Rig::start(&entry(&board.port, "first"), None).await;
    let client = client(&rig.gateway.clients(), "driver").await;
    board.be_lovense("AABBCCDDEE01").await;
    listed(&client, 1).await;
    let before = rig.device("first").await;
    for (name, text, problem) in [
        ("gateway.toml", "[[serial]]\nprot = \"x\"\n", "gateway.toml:2"),
        ("udcf.json", "{ \"version\": ", "udcf.json:1"),
    ] {
        let kept = std::fs::read(rig.path(name)).ok();
        write(&rig.path(name), text);
        // By itself, and when asked.
        let shown = within("the problem is shown", async {
            loop {
                let shown = rig.get("/api/configuration").await;
                if !shown["problem"].is_null() || shown["error"].is_string() {
                    return shown;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(shown.to_string().contains(problem), "{shown}");
        let (status, refused) = rig.reload().await;
        assert_eq!(status, 409);
        assert!(refused["error"].to_string().contains(problem), "{refused}");
        assert_eq!(before["connection"], rig.device("first").await["connection"]);
        vibrate(&client, 0.5).await;
        board.expect("Vibrate:10;").await;
        vibrate(&client, 0.0).await;
        board.expect("Vibrate:0;").await;
        match kept {
            Some(kept) => std::fs::write(rig.path(name), kept).unwrap(),
            None => std::fs::remove_file(rig.path(name)).unwrap(),
        }
        assert_eq!(rig.reload().await.0, 200);
        assert!(rig.get("/api/configuration").await["problem"].is_null());
    }
    rig.gateway.stop().await;
}

#[tokio::test]
async fn what_cannot_be_applied_while_it_runs_is_named() {
    let broker = |name: &str, password: &str| {
        format!(
            "[{name}]\nuser = \"me\"\npassword = \"{password}\"\nclient_cert = \"a\"\nclient_key = \"b\"\n"
        )
    };
    let both = |password: &str| broker("upstream", password) + &broker("mqtt", password);
    let rig = Rig::start(&both("old"), None).await;
    for (toml, wanted) in [
        (
            format!("{}broker = \"mqtt://127.0.0.1\"\n", both("old")),
            &["mqtt.broker", "mqtt.hub"][..],
        ),
        // Passwords are masked where they are shown.
        (both("new"), &["mqtt.password", "upstream.password"]),
        (both("old"), &[]),
        (
            "[upstream]\nrelay = \"ws://127.0.0.1:1\"\n".to_owned() + &broker("mqtt", "old"),
            &[
                "upstream.client_cert",
                "upstream.client_key",
                "upstream.password",
                "upstream.relay",
                "upstream.user",
            ],
        ),
    ] {
        rig.toml(&toml);
        let (status, changed) = rig.reload().await;
        assert_eq!(status, 200, "{changed}");
        assert_eq!(changed["after_restart"], json!(wanted), "{toml}");
    }
    rig.gateway.stop().await;
}

/// A vibrator that listens, and its entry.
async fn listener(over: Over, address: &str) -> (Arc<ModelBoard>, Listener, String) {
    let board = Arc::new(ModelBoard::new(Kind::Hush, true));
    let listener = Listener::start(over, board.clone()).await;
    let entry = format!(
        "[[dial]]\nurl = {:?}\nidentifier = \"LVSDevice\"\naddress = {address:?}\n",
        listener.url
    );
    (board, listener, entry)
}

#[tokio::test]
async fn a_board_that_listens_comes_and_goes_with_its_entry_and_its_neighbour_stays() {
    for over in Over::ALL {
        let (stays, neighbour, first) = listener(over, "first").await;
        let (goes, away, second) = listener(over, "second").await;
        let rig = Rig::start(&first, None).await;
        let client = client(&rig.gateway.clients(), "driver").await;
        listed(&client, 1).await;
        let before = rig.device("first").await;
        rig.toml(&(second.clone() + &first));
        listed(&client, 2).await;
        vibrate_all(&client, 1.0).await;
        wait_until("both run", || stays.is_running_all() && goes.is_running_all()).await;
        // The entry goes while the board runs.
        rig.toml(&first);
        wait_until("it is at rest", || goes.rest_since().is_some()).await;
        let gone = rig.state("second", "gone").await;
        assert_eq!(gone["reason"], "its configuration changed", "{over:?}");
        listed(&client, 1).await;
        assert!(stays.is_running_all(), "{over:?}: the neighbour goes on");
        assert_eq!(before["connection"], rig.device("first").await["connection"]);
        assert_eq!(neighbour.knobs.connections.load(Ordering::Relaxed), 1, "{over:?}");
        // It is not dialled any more, and dialled again with its entry.
        assert_eq!(away.knobs.connections.load(Ordering::Relaxed), 1, "{over:?}");
        rig.toml(&(first + &second));
        rig.state("second", "ready").await;
        assert!(goes.rest_since().is_some(), "{over:?}: it comes back at rest");
        rig.gateway.stop().await;
        assert!(stays.rest_since().is_some(), "{over:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_board_on_bluetooth_comes_and_goes_with_its_entry() {
    use common::bluetooth::{Gateway, be_lovense, expect};
    use common::bluez::{Bluez, Peripheral};

    const ENTRY: &str = "[[ble]]\nname = \"LVS-*\"\nprofile = \"lovense\"\nidentifier = \"LVSDevice\"\n";
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::lovense("C0:FF:EE:00:00:01", "LVS-Hush41"));
    be_lovense(&board);
    board.advertise();
    let gateway = Gateway::start(&bluez, "").await;
    let file = gateway.home().join("gateway.toml");
    let client = client(&gateway.process.clients, "driver").await;
    for _ in 0..2 {
        write(&file, ENTRY);
        listed(&client, 1).await;
        vibrate(&client, 0.5).await;
        expect(&board, "Vibrate:10;").await;
        write(&file, "# none\n");
        expect(&board, "Vibrate:0;").await;
        within("it is let go", board.wait_connected(false)).await;
        listed(&client, 0).await;
        within("nobody scans", bluez.wait_discovering(false)).await;
    }
    gateway.stop().await;
}

/// A gateway.toml with these keys under `[page]`.
fn guarded(keys: &str) -> String {
    PORTS.replace("[page]\n", &format!("[page]\n{keys}\n"))
}

/// The status of a request to a page, with this cookie.
async fn asked(page: SocketAddr, cookie: &str) -> u16 {
    ask(page, "GET", "/api/configuration", &[("Cookie", cookie)])
        .await
        .status
}

/// The cookie that a password is good for, or the status of its refusal.
async fn log_in(page: SocketAddr, password: &str) -> Result<String, u16> {
    let answer = post(page, "/api/login", &[], &json!({ "password": password })).await;
    let cookie = answer.header("Set-Cookie").ok_or(answer.status)?;
    Ok(cookie.split(';').next().unwrap().to_owned())
}

/// Waits until a cookie is refused.
async fn logged_out(page: SocketAddr, cookie: &str) {
    within("the session ends", async {
        while asked(page, cookie).await != 401 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn reload_as(page: SocketAddr, cookie: &str) -> Answer {
    post(page, "/api/reload", &[("Cookie", cookie)], &json!({})).await
}

#[tokio::test]
async fn a_changed_password_is_in_force_at_once() {
    let rig = Rig::start_as(&guarded("password = \"first horse\""), None).await;
    let (page, file) = (rig.gateway.page(), rig.path("gateway.toml"));
    let cookie = log_in(page, "first horse").await.unwrap();
    assert_eq!(asked(page, &cookie).await, 200);
    write(&file, &guarded("password = \"second horse\""));
    logged_out(page, &cookie).await;
    assert_eq!(log_in(page, "first horse").await, Err(401));
    let cookie = log_in(page, "second horse").await.unwrap();
    assert_eq!(asked(page, &cookie).await, 200);
    // Other changes end no session.
    write(
        &file,
        &format!(
            "{}[udcf]\nbridge = true\n",
            guarded("password = \"second horse\"")
        ),
    );
    assert_eq!(reload_as(page, &cookie).await.status, 200);
    // Switched off it stays as it is until the next start; a password that comes with switching it on again is applied.
    write(&file, &guarded("enabled = false"));
    let answer = reload_as(page, &cookie).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("page.enabled"), "{}", answer.body);
    assert_eq!(asked(page, "").await, 401, "it is not open meanwhile");
    write(&file, &guarded("password = \"third horse\""));
    logged_out(page, &cookie).await;
    let cookie = log_in(page, "third horse").await.unwrap();
    assert_eq!(asked(page, &cookie).await, 200);
    // It does not open to everybody before it is started again: neither without a password, nor if the file is truncated
    // or replaced in two steps.
    for text in [Some(PORTS), Some(""), None] {
        match text {
            Some(text) => write(&file, text),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let answer = reload_as(page, &cookie).await;
        assert!(
            answer.body.contains("page.password") || answer.status == 409,
            "{}",
            answer.body
        );
        assert_eq!(asked(page, "").await, 401, "{text:?}");
        assert_ne!(asked(page, &cookie).await, 401, "{text:?}");
    }
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_page_on_the_network_keeps_its_password_until_its_port_is_closed() {
    let on_network = |toml: &str| {
        let (before, page) = toml.split_once("[page]").unwrap();
        format!("{before}[page]{}", page.replacen("127.0.0.1:0", "0.0.0.0:0", 1))
    };
    let rig = Rig::start_as(&on_network(&guarded("password = \"first horse\"")), None).await;
    let page = SocketAddr::from((Ipv4Addr::LOCALHOST, rig.gateway.page().port()));
    let file = rig.path("gateway.toml");
    let cookie = log_in(page, "first horse").await.unwrap();
    let reload = async || post(page, "/api/reload", &[("Cookie", &cookie)], &json!({})).await;
    // As it stands the file is not a configuration; and with a port for the next start it is one that is not applied.
    write(&file, &on_network(PORTS));
    let refused = reload().await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(asked(page, "").await, 401);
    write(&file, PORTS);
    for _ in 0..2 {
        let answer = reload().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let later = answer.json()["after_restart"].clone();
        let later = later.as_array().unwrap();
        assert!(later.contains(&json!("page.password")), "{later:?}");
        assert!(later.contains(&json!("page.listen")), "{later:?}");
        assert_eq!(asked(page, "").await, 401, "it is not open");
        assert_eq!(asked(page, &cookie).await, 200, "nobody is logged out");
    }
    assert!(log_in(page, "first horse").await.is_ok());
    rig.gateway.stop().await;
}

/// The file is read while the caller leaves; it is applied all the same.
#[tokio::test]
async fn a_reload_whose_caller_leaves_is_carried_out() {
    let rig = Rig::start("", Some(&names(&["LVSDevice"], &json!([])))).await;
    let page = rig.gateway.page();
    let client = client(&rig.gateway.clients(), "driver").await;
    let mut device = RawDevice::lovense(&rig.gateway.devices(), "one").await;
    listed(&client, 1).await;
    vibrate(&client, 1.0).await;
    device.expect("Vibrate:20;").await;
    rig.udcf(&names(&["LVSDevice"], &json!([hush("one", true)])));
    let mut stream = TcpStream::connect(page).await.unwrap();
    let request = format!("POST /api/reload HTTP/1.1\r\nHost: {page}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    device.expect("Vibrate:0;").await;
    assert_eq!(device.closed().await.1, "its configuration changed");
    rig.gateway.stop().await;
}

/// The file that gateway.toml names is at fault, and mended.
#[tokio::test]
async fn a_mended_file_is_applied_though_it_never_was_in_force() {
    let rig = Rig::start("", None).await;
    write(&rig.path("other.json"), "{ \"version\": ");
    rig.toml("[udcf]\npath = \"other.json\"\n");
    assert_eq!(rig.reload().await.0, 409);
    write(
        &rig.path("other.json"),
        &names(&["ESP32Vibe"], &json!([])).to_string(),
    );
    within("it is in force", async {
        while !rig.get("/api/configuration").await["problem"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let _device = RawDevice::hello(&rig.gateway.devices(), "ESP32Vibe", "new").await;
    rig.state("new", "connecting").await;
    rig.gateway.stop().await;
}

#[tokio::test]
async fn a_copy_of_a_file_that_others_may_not_read_is_as_private() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::start("", None).await;
    let file = rig.path("gateway.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let page = rig.gateway.page();
    let entry = json!({ "section": "dial", "keys": { "url": "tcp://192.0.2.1:8000" } });
    let answer = post(page, "/api/entries", &[], &entry).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    for name in ["gateway.toml", "gateway.toml.bak"] {
        let mode = rig.path(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    rig.gateway.stop().await;
}

/// A pipe would keep every later change waiting.
#[tokio::test]
async fn a_file_that_is_no_regular_file_changes_nothing() {
    let rig = Rig::start("", None).await;
    let file = rig.path("gateway.toml");
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let (status, refused) = rig.reload().await;
    assert_eq!(
        (status, refused["error"].to_string().contains("regular file")),
        (409, true),
        "{refused}"
    );
    std::fs::remove_file(&file).unwrap();
    rig.toml("[udcf]\nbridge = true\n");
    assert_eq!(rig.reload().await.0, 200);
    rig.gateway.stop().await;
}
