//! The page in a real browser, on a real gateway: every scenario of `tests/page/`. The device's side is checked here.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;
#[cfg(unix)]
#[path = "page_browser/fleet.rs"]
mod fleet;
#[cfg(target_os = "linux")]
#[path = "page_browser/newboard.rs"]
mod newboard;
#[cfg(target_os = "linux")]
#[path = "page_browser/newcomer.rs"]
mod newcomer;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use buttplug_client::device::ClientDeviceOutputCommand;
use buttplug_server_device_config::UserDeviceIdentifier;
use common::json_client::JsonClient;
use common::{ANY_PORT, RawDevice, Running, from_files, page_at, settings, within};
#[cfg(target_os = "linux")]
use common::{
    bare_http::post,
    bluetooth::be_lovense,
    bluez::{Bluez, Peripheral},
    client, listed,
    pty::Board,
    system::{ARDUINO, CH340, System},
};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::config::{Layers, Loaded, Origins, Secret, Settings};
use wsdm_gateway::udcf::Udcf;

/// A scenario waits up to 20 s for each thing itself, and then says what is missing.
const SCENARIO: Duration = Duration::from_secs(120);

/// How long a page that drives may show no sign of life.
const SILENCE: Duration = Duration::from_millis(1_500);

/// Every scenario, and the test here that starts it.
const SCENARIOS: [&str; 23] = [
    "accessible",
    "apps",
    "bluetooth",
    "boards",
    "configure",
    "devices",
    "escape",
    "file",
    "fleet",
    "hangs",
    "hostile_name",
    "identifying",
    "login",
    "lost",
    "newboard",
    "phone",
    "pictures",
    "question",
    "reload",
    "simulate",
    "tryit",
    "watch",
    "wire",
];

fn with_page(at: SocketAddr) -> Settings {
    Settings {
        page: Some(page_at(at)),
        ..settings()
    }
}

async fn gateway() -> Running {
    Running::start(with_page(ANY_PORT)).await
}

/// A Lovense Hush that answers, in a task of its own; leaves when it is dropped.
struct Toy {
    level: watch::Receiver<u32>,
    heard: watch::Receiver<Vec<String>>,
    task: AbortOnDropHandle<()>,
}

impl Toy {
    async fn connect(gateway: &Running, address: &str) -> Self {
        let mut device = RawDevice::hello(&gateway.devices(), "LVSDevice", address).await;
        let (level, level_seen) = watch::channel(0);
        let (heard, heard_seen) = watch::channel(Vec::new());
        let address = address.to_owned();
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = device.ws.next().await {
                let Message::Binary(bytes) = message else { continue };
                let frame = String::from_utf8_lossy(&bytes).into_owned();
                if let Some(value) = frame.strip_prefix("Vibrate:") {
                    level.send_replace(value.trim_end_matches(';').parse().unwrap());
                }
                let answer = match frame.as_str() {
                    "DeviceType;" => format!("Z:11:{address};"),
                    "Battery;" => "90;".to_owned(),
                    _ => "OK;".to_owned(),
                };
                heard.send_modify(|heard| heard.push(frame));
                if device.ws.send(Message::binary(answer)).await.is_err() {
                    return;
                }
            }
        });
        Self {
            level: level_seen,
            heard: heard_seen,
            task: AbortOnDropHandle::new(task),
        }
    }

    async fn at(&mut self, level: u32) {
        let seen = self.level.clone();
        let reached = self.level.wait_for(|now| *now == level);
        let reached = timeout(common::DEADLINE, reached)
            .await
            .is_ok_and(|reached| reached.is_ok());
        assert!(reached, "the motor is at {}, not at {level}", *seen.borrow());
    }

    async fn heard(&mut self, frame: &str) {
        within(
            frame,
            self.heard.wait_for(|heard| heard.iter().any(|f| f == frame)),
        )
        .await
        .unwrap();
    }

    async fn leave(self) {
        drop(self.task);
    }
}

struct Scenario {
    name: String,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Scenario {
    fn start(name: &str, page: SocketAddr, args: &[&str]) -> Self {
        let python = std::env::var_os("WSDM_TEST_PYTHON")
            .expect("WSDM_TEST_PYTHON is not set: these tests need a Python that has playwright; run ./test");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/page/{name}.py"));
        let mut process = Command::new(python)
            .arg("-u")
            .arg(script)
            .arg(format!("http://{page}"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            name: name.to_owned(),
            lines: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            seen: Vec::new(),
        }
    }

    /// The next line of one of these kinds, and which kind it is. `None` if the scenario is done.
    async fn next(&mut self, kinds: &[&str]) -> Option<(String, String)> {
        loop {
            let line = timeout(SCENARIO, self.lines.next_line())
                .await
                .unwrap_or_else(|_| panic!("{} hangs after {:#?}", self.name, self.seen))
                .unwrap();
            let Some(line) = line else { break };
            println!("{}: {line}", self.name);
            self.seen.push(line.clone());
            let (kind, text) = line.split_once(": ").unwrap();
            if kinds.contains(&kind) {
                return Some((kind.to_owned(), text.to_owned()));
            }
        }
        let status = within("its end", self.process.wait()).await.unwrap();
        assert!(status.success(), "{}: {:#?}", self.name, self.seen);
        let done = self.seen.iter().any(|line| line.starts_with("done: "));
        assert!(done, "{}: {:#?}", self.name, self.seen);
        None
    }

    async fn want(&mut self, text: &str) {
        let wanted = self.next(&["want"]).await;
        assert!(
            wanted
                .as_ref()
                .is_some_and(|(_, wanted)| wanted.starts_with(text)),
            "{}: {wanted:?} instead of {text}",
            self.name
        );
    }

    async fn done(&mut self) {
        let more = self.next(&["want", "drove", "stopped", "closed", "sent"]).await;
        assert_eq!(more, None, "{}", self.name);
    }
}

#[test]
fn no_scenario_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".py").map(str::to_owned))
        .filter(|name| name != "common")
        .collect();
    found.sort();
    assert_eq!(found, SCENARIOS);
}

#[tokio::test]
async fn devices_come_and_go_without_a_reload() {
    let gateway = gateway().await;
    let _other = Toy::connect(&gateway, "a-first").await;
    let mut scenario = Scenario::start("devices", gateway.page(), &["page-1", "connection lost"]);
    scenario.want("device").await;
    let toy = Toy::connect(&gateway, "page-1").await;
    scenario.want("gone").await;
    toy.leave().await;
    scenario.want("back").await;
    let toy = Toy::connect(&gateway, "page-1").await;
    scenario.want("gone again").await;
    toy.leave().await;
    scenario.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_slider_drives_and_every_stop_stops() {
    let gateway = gateway().await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("tryit", gateway.page(), &["page-1"]);
    while let Some((kind, text)) = scenario.next(&["drove", "stopped", "closed"]).await {
        match kind.as_str() {
            "drove" => toy.at(text.parse().unwrap()).await,
            _ => toy.at(0).await,
        }
    }
    toy.at(0).await;
    gateway.stop().await;
}

/// Its browser goes on answering the pings of both websockets.
#[tokio::test]
async fn what_a_page_whose_script_hangs_left_on_is_stopped() {
    let gateway = gateway().await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("hangs", gateway.page(), &["page-1"]);
    let mut hung = 0;
    while let Some((kind, text)) = scenario.next(&["drove", "hangs"]).await {
        match kind.as_str() {
            "drove" => toy.at(text.parse().unwrap()).await,
            _ => {
                hung += 1;
                let start = Instant::now();
                toy.at(0).await;
                let took = start.elapsed();
                assert!(took < SILENCE + Duration::from_secs(3), "{text}: {took:?}");
            }
        }
    }
    assert_eq!(hung, 2, "{:#?}", scenario.seen);
    gateway.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_board_that_is_still_asked_what_it_is_has_a_row_and_can_be_stopped() {
    let folder = tempfile::TempDir::new().unwrap();
    let port = folder.path().join("board");
    let mut board = common::pty::Board::plug(&port);
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, format!("[[serial]]\nport = {port:?}\n")).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).unwrap();
    let gateway = Running::start(Settings {
        serial: loaded.settings.serial,
        ..with_page(ANY_PORT)
    })
    .await;
    let address = format!("serial {}", port.display());
    let mut scenario = Scenario::start("identifying", gateway.page(), &[&address]);
    let reads = tokio::spawn(async move {
        loop {
            board.read_patiently().await;
        }
    });
    assert!(scenario.next(&["stopped"]).await.is_some());
    scenario.done().await;
    reads.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn escape_stops_wherever_the_focus_is() {
    let gateway = gateway().await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("escape", gateway.page(), &["page-1"]);
    let mut stops = 0;
    while let Some((kind, _)) = scenario.next(&["drove", "stopped"]).await {
        if kind == "stopped" {
            stops += 1;
            toy.at(0).await;
        }
    }
    assert!(stops > 0, "{:#?}", scenario.seen);
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_that_is_markup_is_text() {
    let gateway = gateway().await;
    let mut scenario = Scenario::start("hostile_name", gateway.page(), &["page-1"]);
    let (_, wanted) = scenario.next(&["want"]).await.unwrap();
    let name = wanted.strip_prefix("device page-1 ").unwrap().to_owned();
    let mut stranger = RawDevice::hello(&gateway.devices(), &name, "page-1").await;
    stranger.closed().await;
    scenario.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_phone_shows_everything_without_scrolling_sideways() {
    let gateway = gateway().await;
    let _toy = Toy::connect(&gateway, "page-1").await;
    Scenario::start("phone", gateway.page(), &["page-1"]).done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn frames_are_watched_and_sent_by_hand() {
    let gateway = gateway().await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("watch", gateway.page(), &["page-1"]);
    while let Some((_, sent)) = scenario.next(&["sent"]).await {
        toy.heard(&sent.replace("\\n", "\n")).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_is_simulated_driven_and_ended() {
    let gateway = gateway().await;
    Scenario::start("simulate", gateway.page(), &[]).done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn apps_are_listed_with_what_they_drive_and_can_be_disconnected() {
    let gateway = gateway().await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("apps", gateway.page(), &["page-1", "json"]);
    scenario.want("app json").await;
    let mut app = JsonClient::connect(&gateway.clients(), 4).await;
    let index = app.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 10}}});
    app.call("OutputCmd", vibrate).await;
    toy.at(10).await;
    scenario.done().await;
    toy.at(0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_web_page_that_was_never_seen_is_asked_about() {
    let mut settings = with_page("127.0.0.1:0".parse().unwrap());
    settings.clients.origins = Origins::Ask;
    let gateway = Running::start(settings).await;
    let _toy = Toy::connect(&gateway, "page-1").await;
    let mut scenario = Scenario::start("question", gateway.page(), &[]);
    let mut apps = tokio::task::JoinSet::new();
    while let Some((_, wanted)) = scenario.next(&["want"]).await {
        let (what, origin) = wanted.split_once(' ').unwrap();
        let mut request = gateway.clients().into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        if what == "app" {
            apps.spawn(async {
                JsonClient::connect(request, 4).await.closed().await;
            });
        } else {
            apps.spawn(async { assert!(connect_async(request).await.is_err(), "it is refused") });
        }
    }
    gateway.stop().await;
    while let Some(ended) = apps.join_next().await {
        ended.unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_board_on_a_wire_is_bridged_by_mouse() {
    let (folder, system) = (tempfile::TempDir::new().unwrap(), System::new());
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "# mine\n").unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).unwrap();
    let gateway = Running::start(Settings {
        ports: system.ports(),
        files: loaded.settings.files,
        ..with_page(ANY_PORT)
    })
    .await;
    let mut scenario = Scenario::start("boards", gateway.page(), &["/dev/ttyACM0"]);
    scenario.want("board").await;
    system.usb("1-1", "ttyACM0", ARDUINO);
    let mut board = Board::plug(&system.path("dev/ttyACM0"));
    scenario.want("text").await;
    board.say("ready\n").await;
    scenario.want("asked").await;
    board.expect("D0\n").await;
    board.say("TCode v0.3\n").await;
    scenario.want("noise").await;
    board.say([0x80; 64]).await;
    while let Some((_, what)) = scenario.next(&["check"]).await {
        let toml = std::fs::read_to_string(&file).unwrap();
        assert_eq!(toml.contains("[[serial]]"), what == "bridged", "{toml}");
        assert!(toml.starts_with("# mine\n"), "{toml}");
    }
    gateway.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_board_on_bluetooth_is_bridged_by_mouse_driven_at_once_and_let_go() {
    const ADDRESS: &str = "C0:FF:EE:00:00:01";
    let bluez = Bluez::start();
    let board = bluez.plug(Peripheral::lovense(ADDRESS, "LVS-Hush41"));
    be_lovense(&board);
    board.advertise();
    let gateway = common::bluetooth::Gateway::start(&bluez, "# mine\n").await;
    let page = gateway.process.page_address();
    let mut scenario = Scenario::start("bluetooth", page, &[ADDRESS, "LVS-Hush41"]);
    let mut removed = 0;
    while let Some((kind, what)) = scenario.next(&["check", "drove", "stopped"]).await {
        match kind.as_str() {
            "check" => {
                let toml = std::fs::read_to_string(gateway.home().join("gateway.toml")).unwrap();
                assert_eq!(toml.contains("[[ble]]"), what == "bridged", "{toml}");
                assert!(toml.starts_with("# mine\n"), "{toml}");
                if what == "removed" {
                    removed += 1;
                    common::bluetooth::expect(&board, "Vibrate:0;").await;
                    within("it is let go", board.wait_connected(false)).await;
                }
            }
            "drove" => common::bluetooth::expect(&board, &format!("Vibrate:{what};")).await,
            _ => common::bluetooth::expect(&board, "Vibrate:0;").await,
        }
    }
    assert_eq!(removed, 2, "{:#?}", scenario.seen);
    gateway.stop().await;
}

#[tokio::test]
async fn the_files_change_under_an_open_page() {
    const TOML: &str = "[page]\npassword = \"first horse\"\nlisten = \"127.0.0.1:0\"\n\n[devices]\nlisten = \
                        \"127.0.0.1:0\"\n[clients]\nlisten = \"127.0.0.1:0\"\n[state]\npath = \"state.json\"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, TOML).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).unwrap();
    let gateway = Running::start(loaded.settings).await;
    let mut toy = Toy::connect(&gateway, "page-1").await;
    let args = ["page-1", "first horse", "second horse"];
    let mut scenario = Scenario::start("reload", gateway.page(), &args);
    let kinds = ["want", "drove", "stopped", "left", "closed"];
    while let Some((kind, what)) = scenario.next(&kinds).await {
        match (kind.as_str(), what.as_str()) {
            ("want", "broken") => std::fs::write(&file, TOML.replacen("\n\n", "\nlisten =\n", 1)).unwrap(),
            ("want", "mended") => std::fs::write(&file, TOML).unwrap(),
            ("want", _) => std::fs::write(&file, TOML.replace("first horse", "second horse")).unwrap(),
            ("drove", level) => toy.at(level.parse().unwrap()).await,
            ("closed", _) => {}
            _ => toy.at(0).await,
        }
    }
    toy.at(0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_page_asks_for_a_password_and_stops_without_one() {
    const PASSWORD: &str = "correct horse";
    let folder = tempfile::tempdir().unwrap();
    let code_file = folder.path().join("code");
    let mut settings = with_page(ANY_PORT);
    settings.page.as_mut().unwrap().password = Some(Secret(PASSWORD.to_owned()));
    let first = Running::start(settings.clone()).await;
    let mut toy = Toy::connect(&first, "page-1").await;
    let args = ["page-1", PASSWORD, code_file.to_str().unwrap()];
    let mut scenario = Scenario::start("login", first.page(), &args);
    scenario.want("drive").await;
    let mut app = JsonClient::connect(&first.clients(), 4).await;
    let index = app.first_device().await;
    let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": 10}}});
    app.call("OutputCmd", vibrate).await;
    toy.at(10).await;
    std::fs::write(folder.path().join("driven"), "").unwrap();
    assert!(
        scenario.next(&["stopped"]).await.is_some(),
        "it stops while logged out"
    );
    toy.at(0).await;
    while let Some((kind, text)) = scenario.next(&["drove", "left", "want"]).await {
        match kind.as_str() {
            "drove" => toy.at(text.parse().unwrap()).await,
            "left" => toy.at(0).await,
            _ => {
                assert_eq!(text, "code");
                break;
            }
        }
    }
    let code = first.page_access.as_ref().unwrap().hand_over().unwrap().unwrap();
    std::fs::write(code_file.with_extension("new"), code).unwrap();
    std::fs::rename(code_file.with_extension("new"), &code_file).unwrap();
    scenario.want("restart").await;
    settings.page.as_mut().unwrap().listen = first.page().into();
    first.stop().await;
    let second = Running::start(settings).await;
    let _toy = Toy::connect(&second, "page-1").await;
    scenario.done().await;
    second.stop().await;
}

#[tokio::test]
async fn a_gateway_that_goes_and_comes_back_is_one_banner() {
    let first = gateway().await;
    let at = first.page();
    let _toy = Toy::connect(&first, "page-1").await;
    let mut scenario = Scenario::start("lost", at, &["page-1"]);
    scenario.want("down").await;
    first.stop().await;
    scenario.want("up").await;
    let second = Running::start(with_page(at)).await;
    let _toy = Toy::connect(&second, "page-1").await;
    scenario.done().await;
    second.stop().await;
}

#[tokio::test]
async fn nothing_is_out_of_reach_of_the_keyboard_or_a_screen_reader() {
    let gateway = gateway().await;
    let _toy = Toy::connect(&gateway, "page-1").await;
    let mut stranger = RawDevice::hello(&gateway.devices(), "ESP32Vibe", "new").await;
    stranger.closed().await;
    Scenario::start("accessible", gateway.page(), &["page-1"])
        .done()
        .await;
    gateway.stop().await;
}

/// For people to look at: in target/tmp/screenshots, or where else the tests may write.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_main_states_are_pictured() {
    const EDGE: &str = "LVS-8A3D9FAC2A45";
    const STATES: [&str; 8] = [
        "apps",
        "boards",
        "configure",
        "devices",
        "login",
        "refused",
        "try",
        "watch",
    ];
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    let _ = std::fs::remove_dir_all(&pictures);
    std::fs::create_dir_all(&pictures).unwrap();
    let (folder, system) = (tempfile::TempDir::new().unwrap(), System::new());
    let file = folder.path().join("gateway.toml");
    let entry = "[[serial]]\nmatch.product = \"Uno\"\nidentifier = \"LVSDevice\"\n";
    std::fs::write(&file, entry).unwrap();
    let loaded = Loaded::load(Some(&file), Layers::default()).unwrap();
    system.usb("1-2", "ttyUSB0", CH340);
    let _free = Board::plug(&system.path("dev/ttyUSB0"));
    let gateway = Running::start(Settings {
        ports: system.ports(),
        serial: loaded.settings.serial,
        files: loaded.settings.files,
        ..with_page(ANY_PORT)
    })
    .await;
    let mut guarded = with_page(ANY_PORT);
    guarded.page.as_mut().unwrap().password = Some(Secret("correct horse".to_owned()));
    let guarded = Running::start(guarded).await;

    let mut toy = Toy::connect(&gateway, EDGE).await;
    for model in [
        json!({"protocol": "lovense", "model": "edge"}),
        json!({"protocol": "tcode"}),
    ] {
        let started = post(gateway.page(), "/api/simulated", &[], &model).await;
        assert_eq!(started.status, 201, "{}", started.body);
    }
    let mut stranger = RawDevice::hello(&gateway.devices(), "ESP32Vibe", "ESP32-kitchen").await;
    stranger.closed().await;
    let app = client(&gateway.clients(), "Bench app").await;
    listed(&app, 3).await;
    for device in app.devices().into_values() {
        let half = ClientDeviceOutputCommand::Vibrate(0.5.into());
        // The one that strokes does not.
        let _ = within("a command", device.run_output(&half)).await;
    }
    toy.at(10).await;
    let login = format!("http://{}", guarded.page());
    let args = [
        &*login,
        pictures.to_str().unwrap(),
        EDGE,
        "ESP32-kitchen",
        "Bench app",
        "75834353030351F0E1B1",
    ];
    let mut scenario = Scenario::start("pictures", gateway.page(), &args);
    scenario.want("board").await;
    system.usb("1-1", "ttyACM0", ARDUINO);
    let mut bridged = Board::plug(&system.path("dev/ttyACM0"));
    bridged.be_lovense("AABBCCDDEE01").await;
    scenario.done().await;
    for state in STATES {
        for look in ["1280-light", "390-dark"] {
            let picture = std::fs::read(pictures.join(format!("{state}-{look}.png"))).unwrap();
            assert!(picture.starts_with(b"\x89PNG"), "{state}-{look}");
            assert!(picture.len() > 5_000, "{state}-{look}: {} bytes", picture.len());
        }
    }
    toy.at(0).await;
    gateway.stop().await;
    guarded.stop().await;
}

#[tokio::test]
async fn a_refused_device_is_added_and_another_one_configured() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Running::start(from_files(folder.path(), "")).await;
    let mut stranger = RawDevice::hello(&gateway.devices(), "ESP32Vibe", "new").await;
    stranger.closed().await;
    let mut scenario = Scenario::start("configure", gateway.page(), &["new", "ESP32Vibe"]);
    let udcf = || Udcf::load(&folder.path().join("udcf.json")).unwrap();
    scenario.next(&["added"]).await.unwrap();
    let name = ("ESP32Vibe".to_owned(), "lovense".to_owned());
    assert!(udcf().websocket_names().contains(&name));
    let (_, address) = scenario.next(&["configured"]).await.unwrap();
    let loaded = udcf().device_configuration().unwrap();
    let id = UserDeviceIdentifier::new(&address, "lovense", &Some("Z".to_owned()));
    let device = loaded.user_device_definitions().get(&id).unwrap().clone();
    assert_eq!(device.display_name().as_deref(), Some("Bench <b>Hush"));
    let vibrate = device.features()[&0].output.iter().next().unwrap();
    let range = vibrate.as_value_properties().unwrap().value.internal();
    assert_eq!((range.start(), range.end()), (3, 10));
    scenario.done().await;
    assert_eq!(udcf().warnings(), Vec::<String>::new());
    gateway.stop().await;
}
