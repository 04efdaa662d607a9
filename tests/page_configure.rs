//! The configuration of devices over HTTP: what a request changes in the UDCF, and what it leaves.

// Clippy's exception for tests does not reach the helper functions of a test file.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::bare_http::request;
use common::json_client::JsonClient;
use common::{RawDevice, Running, from_files, within};
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;
use wsdm_gateway::udcf::Udcf;
use wsdm_gateway::udcf::directory::Standing;

/// A Hush with limits, and no other device.
const LIMITED: &str = include_str!("../udcf-examples/limited-vibrator/udcf.json");

/// A gateway whose files are in a directory of its own, with this text as its UDCF.
struct Configured {
    gateway: Running,
    folder: TempDir,
}

impl Configured {
    async fn start(udcf: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(text) = udcf {
            std::fs::write(folder.path().join("udcf.json"), text).unwrap();
        }
        let gateway = Running::start(from_files(folder.path(), "")).await;
        Self { gateway, folder }
    }

    fn udcf(&self) -> PathBuf {
        self.folder.path().join("udcf.json")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.udcf()).unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = Some(body).filter(|body| !body.is_null());
        request(self.gateway.page(), method, path, body).await
    }

    async fn device(&self, address: &str) -> Value {
        self.ask(
            "GET",
            &format!("/api/devices/{}", address.replace('/', "%2F")),
            &Value::Null,
        )
        .await
        .1
    }

    /// Connects a device that is refused.
    async fn refuse(&self, identifier: &str, address: &str) -> Value {
        let mut stranger = RawDevice::hello(&self.gateway.devices(), identifier, address).await;
        stranger.closed().await;
        let device = self.device(address).await;
        assert_eq!(device["state"], "refused", "{device}");
        device
    }
}

/// The file, which nothing is to be said about.
fn load(path: &Path) -> Udcf {
    let udcf = Udcf::load(path).unwrap();
    assert_eq!(udcf.warnings(), Vec::<String>::new());
    udcf
}

#[tokio::test]
async fn a_refused_device_is_added_to_a_file_that_is_created() {
    let configured = Configured::start(None).await;
    let refused = configured.refuse("ESP32Vibe", "new").await;
    assert_eq!(
        refused["mend"],
        json!({
            "kind": "add_name", "name": "ESP32Vibe", "protocol": null, "nearest": refused["mend"]["nearest"],
            "is_model_letter": false, "instead_of": null,
        })
    );
    let (_, protocols) = configured.ask("GET", "/api/protocols", &Value::Null).await;
    let protocols = protocols["protocols"].as_array().unwrap().clone();
    let lovense = protocols.iter().find(|p| p["name"] == "lovense").unwrap();
    assert!(lovense["outputs"].as_array().unwrap().contains(&json!("Vibrate")));

    let wrong = json!({ "name": "ESP32Vibe", "protocol": "lovence" });
    let (status, problem) = configured.ask("POST", "/api/udcf/names", &wrong).await;
    assert_eq!(status, 400);
    assert!(problem["hint"].as_str().unwrap().contains("lovense"), "{problem}");
    assert!(!configured.udcf().exists(), "nothing is written");

    let name = json!({ "name": "ESP32Vibe", "protocol": "lovense" });
    let (status, changed) = configured.ask("POST", "/api/udcf/names", &name).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["file"], configured.udcf().to_str().unwrap());
    assert_eq!(changed["backup"], Value::Null);
    let names = load(&configured.udcf()).websocket_names();
    for (name, protocol) in [
        ("ESP32Vibe", "lovense"),
        ("LVSDevice", "lovense"),
        ("TCodeDevice", "tcode-v03"),
    ] {
        assert!(
            names.contains(&(name.to_owned(), protocol.to_owned())),
            "{names:?}"
        );
    }
    // Once more changes nothing.
    let before = configured.text();
    let (status, changed) = configured.ask("POST", "/api/udcf/names", &name).await;
    assert_eq!((status, &changed["file"]), (200, &Value::Null), "{changed}");
    assert_eq!(configured.text(), before);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_protocols_name_and_a_model_letter_are_offered_with_what_was_meant() {
    let configured = Configured::start(None).await;
    let mend = configured.refuse("Lovense", "a").await["mend"].take();
    assert_eq!(
        (&mend["kind"], &mend["protocol"]),
        (&json!("add_name"), &json!("lovense"))
    );
    let mend = configured.refuse("Z", "b").await["mend"].take();
    assert_eq!(
        (&mend["is_model_letter"], &mend["nearest"]),
        (&json!(true), &json!("LVSDevice"))
    );
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_name_of_a_protocol_that_the_server_does_not_have_is_moved() {
    let text = r#"{
    // what I know of my boards
    "version": { "major": 5, "minor": 0 },
    "user_configs": { "protocols": { "lovence": { "communication": [{ "websocket": { "name": "Mine" } }] } } }
}
"#
    .replace(
        "// what I know of my boards",
        "\"//\": \"what I know of my boards\",",
    );
    let configured = Configured::start(Some(&text)).await;
    let mend = configured.refuse("Mine", "a").await["mend"].take();
    assert_eq!(
        (&mend["protocol"], &mend["instead_of"]),
        (&json!("lovense"), &json!("lovence"))
    );
    let name = json!({ "name": "Mine", "protocol": "lovense" });
    let (status, changed) = configured.ask("POST", "/api/udcf/names", &name).await;
    assert_eq!(status, 200, "{changed}");
    let backup = std::fs::read_to_string(changed["backup"].as_str().unwrap()).unwrap();
    assert_eq!(backup, text);
    let now = configured.text();
    assert!(
        now.contains("what I know of my boards") && !now.contains("lovence"),
        "{now}"
    );
    assert_eq!(
        Udcf::load(&configured.udcf()).unwrap().websocket_names(),
        [("Mine".to_owned(), "lovense".to_owned())]
    );
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_left_as_it_is() {
    let configured = Configured::start(None).await;
    std::fs::write(configured.udcf(), "{\"version\": ").unwrap();
    let name = json!({ "name": "ESP32Vibe", "protocol": "lovense" });
    let (status, problem) = configured.ask("POST", "/api/udcf/names", &name).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(configured.text(), "{\"version\": ");
    configured.gateway.stop().await;
}

/// A Lovense Hush that is listed.
async fn hush(configured: &Configured, address: &str) -> RawDevice {
    let device = RawDevice::lovense(&configured.gateway.devices(), address).await;
    within("it is listed", async {
        while configured.device(address).await["state"] != "ready" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    device
}

/// Reads what a device gets, so that it answers pings; leaves when it is dropped.
fn keep(mut device: RawDevice) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(Ok(_)) = device.ws.next().await {}
    }))
}

#[tokio::test]
async fn a_listed_device_gets_a_name_and_limits() {
    let configured = Configured::start(Some(LIMITED)).await;
    let _hush = keep(hush(&configured, "toy/1").await);
    let path = "/api/udcf/devices/toy%2F1";
    let (status, settings) = configured.ask("GET", path, &Value::Null).await;
    assert_eq!(status, 200, "{settings}");
    assert_eq!(settings["migration"], Value::Null);
    let entry = &settings["entry"];
    assert_eq!(
        (&entry["is_in_file"], &entry["identifier"]),
        (&json!(false), &json!("Z"))
    );
    assert_eq!(entry["limits"][0]["full"], 20, "{entry}");
    let index = entry["index"].clone();

    let change = json!({
        "display_name": "Bench",
        "limits": [{ "feature": 0, "kind": "vibrate", "low": 2, "high": 12 }],
    });
    let (status, changed) = configured.ask("PUT", path, &change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["warnings"], json!([]));
    assert_eq!(
        std::fs::read_to_string(changed["backup"].as_str().unwrap()).unwrap(),
        LIMITED
    );
    load(&configured.udcf());
    let mut now: Value = serde_json::from_str(&configured.text()).unwrap();
    let devices = now["user_configs"]["devices"].as_array_mut().unwrap();
    let added = devices.pop().unwrap();
    assert_eq!(
        added["identifier"],
        json!({ "address": "toy/1", "protocol": "lovense", "identifier": "Z" })
    );
    let settings = &added["config"]["user_config"];
    assert_eq!(
        (&settings["display_name"], &settings["index"]),
        (&json!("Bench"), &index)
    );
    assert_eq!(
        added["config"]["features"][0]["output"],
        json!({ "vibrate": { "value": [2, 12] } })
    );
    assert_eq!(
        now,
        serde_json::from_str::<Value>(LIMITED).unwrap(),
        "nothing else changed"
    );

    let before = configured.text();
    let (status, changed) = configured.ask("PUT", path, &change).await;
    assert_eq!((status, &changed["file"]), (200, &Value::Null), "{changed}");
    assert_eq!(configured.text(), before, "the same once more");
    let (status, problem) = configured.ask("PUT", path, &json!({ "index": 7 })).await;
    assert_eq!(status, 409);
    assert!(
        problem["error"].as_str().unwrap().contains("8A3D9FAC2A45"),
        "{problem}"
    );
    let (status, problem) = configured.ask("PUT", path, &json!({ "indx": 7 })).await;
    assert!(
        (400..=422).contains(&status) && problem["hint"].is_string(),
        "{problem}"
    );
    assert_eq!(configured.text(), before);
    let (status, _) = configured
        .ask("GET", "/api/udcf/devices/nobody", &Value::Null)
        .await;
    assert_eq!(status, 404);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_device_that_is_denied_is_offered_to_be_let_in() {
    let text = LIMITED.replace("\"deny\": false", "\"deny\": true");
    let configured = Configured::start(Some(&text)).await;
    let mend = configured.refuse("LVSDevice", "8A3D9FAC2A45").await["mend"].take();
    assert_eq!(mend, json!({ "kind": "undeny" }));
    let path = "/api/udcf/devices/8A3D9FAC2A45";
    let (status, changed) = configured.ask("PUT", path, &json!({ "deny": false })).await;
    assert_eq!(status, 200, "{changed}");
    load(&configured.udcf());
    assert_eq!(configured.text(), LIMITED);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_device_beside_an_allow_list_is_offered_to_be_allowed_too() {
    let text = LIMITED.replace("\"allow\": false", "\"allow\": true");
    let configured = Configured::start(Some(&text)).await;
    let mend = configured.refuse("LVSDevice", "other").await["mend"].take();
    assert_eq!(mend, json!({ "kind": "allow" }));
    let (status, changed) = configured
        .ask("PUT", "/api/udcf/devices/other", &json!({ "allow": true }))
        .await;
    assert_eq!(status, 200, "{changed}");
    let udcf = load(&configured.udcf());
    let directory = udcf.directory(&udcf.device_configuration().unwrap());
    for address in ["other", "8A3D9FAC2A45"] {
        assert_eq!(directory.standing(address), Standing::Welcome, "{address}");
    }
    assert_eq!(directory.standing("third"), Standing::NotAllowed);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn an_older_file_is_migrated_on_request_and_shows_first_what_that_does() {
    let old = r#"{
        "version": { "major": 3, "minor": 0 },
        "user-configs": {
            "protocols": { "lovense": { "communication": [{ "websocket": { "name": "LVSDevice" } }] } },
            "wobble": 1
        }
    }"#;
    let configured = Configured::start(Some(old)).await;
    let _hush = keep(hush(&configured, "toy").await);
    let (_, settings) = configured.ask("GET", "/api/udcf/devices/toy", &Value::Null).await;
    let migration = settings["migration"].clone();
    assert_eq!(migration["version"], 3, "{settings}");
    assert!(
        migration["warnings"].to_string().contains("wobble"),
        "{migration}"
    );
    let rename = json!({ "display_name": "Bench" });
    let (status, problem) = configured.ask("PUT", "/api/udcf/devices/toy", &rename).await;
    assert_eq!(status, 409);
    assert!(problem["hint"].as_str().unwrap().contains("migrate"), "{problem}");

    let (status, dry) = configured
        .ask("POST", "/api/udcf/migrate", &json!({ "dry_run": true }))
        .await;
    assert_eq!((status, &dry), (200, &migration));
    assert_eq!(configured.text(), old);
    let (status, done) = configured
        .ask("POST", "/api/udcf/migrate", &json!({ "dry_run": false }))
        .await;
    assert_eq!(status, 200, "{done}");
    let backup = std::fs::read_to_string(done["changed"]["backup"].as_str().unwrap()).unwrap();
    assert_eq!(backup, old);
    assert_eq!(load(&configured.udcf()).major(), 5);
    let (status, changed) = configured.ask("PUT", "/api/udcf/devices/toy", &rename).await;
    assert_eq!(status, 200, "{changed}");
    load(&configured.udcf());
    let (status, _) = configured
        .ask("POST", "/api/udcf/migrate", &json!({ "dry_run": false }))
        .await;
    assert_eq!(status, 409, "it is migrated");
    configured.gateway.stop().await;
}

/// A file of version 2 with a board on a serial port.
const THEIRS: &str = include_str!("fixtures/udcf/v2-serial-tcode.json");

#[tokio::test]
async fn a_file_of_another_program_is_shown_before_it_replaces_the_udcf() {
    let configured = Configured::start(Some(LIMITED)).await;
    let toy = hush(&configured, "toy").await;
    let mut import = json!({ "name": "C:\\theirs.json", "text": THEIRS, "dry_run": true });
    let (status, dry) = configured.ask("POST", "/api/udcf/import", &import).await;
    assert_eq!((status, &dry["version"]), (200, &json!(2)), "{dry}");
    assert_eq!(dry["summary"], "everything was carried over");
    assert_eq!(
        (&dry["is_migrated"], &dry["replaces"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(dry["file"], configured.udcf().to_str().unwrap());
    assert!(
        dry["warnings"][0].as_str().unwrap().contains("theirs.json:4:5"),
        "{dry}"
    );
    let board = &dry["boards"][0];
    assert_eq!(
        (&board["section"], &board["name"]),
        (&json!("serial"), &json!("COM3"))
    );
    assert_eq!(
        board["features"],
        json!(["HwPositionWithDuration 0-999", "Vibrate 0-99"])
    );
    assert!(dry["refused_names"].to_string().contains("LVSDevice"), "{dry}");
    assert_eq!(configured.text(), LIMITED, "nothing is written");

    import["dry_run"] = json!(false);
    let (status, mut done) = configured.ask("POST", "/api/udcf/import", &import).await;
    assert_eq!(status, 200, "{done}");
    let changed = done["changed"].take();
    assert_eq!(done, dry, "it does what it showed");
    let backup = std::fs::read_to_string(changed["backup"].as_str().unwrap()).unwrap();
    assert_eq!(backup, LIMITED);
    let written = Udcf::load(&configured.udcf()).unwrap();
    assert!(!written.is_migrated());
    assert_eq!(written.bridged()[0].name, "COM3");
    // It is in force.
    configured.refuse("LVSDevice", "other").await;
    drop(toy);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_file_of_the_newest_version_is_imported_byte_for_byte() {
    const TEXT: &str = include_str!("fixtures/udcf/v5-commented.json");
    let configured = Configured::start(None).await;
    let import = json!({ "text": TEXT, "dry_run": false });
    let (status, done) = configured.ask("POST", "/api/udcf/import", &import).await;
    assert_eq!((status, &done["is_migrated"]), (200, &json!(false)), "{done}");
    assert_eq!(
        (&done["replaces"], &done["summary"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(configured.text(), TEXT);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_device_configuration_is_not_imported() {
    let configured = Configured::start(Some(LIMITED)).await;
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for (text, status, wanted) in [
        ("{\n  oops", 400, "mine.json:2:3: not JSON"),
        ("[1, 2]", 400, "mine.json:1:1: "),
        (&large, 413, "larger than 1 MiB"),
        // Beyond what is read at all.
        (&large.repeat(3), 413, "larger than 1 MiB"),
        // Below: larger than what any other request may have.
        (
            &format!("\"{}\"", "x".repeat(1024 * 1024 - 2)),
            400,
            "mine.json:1:1: ",
        ),
    ] {
        for dry_run in [true, false] {
            let import = json!({ "name": "mine.json", "text": text, "dry_run": dry_run });
            let (answered, problem) = configured.ask("POST", "/api/udcf/import", &import).await;
            assert_eq!(answered, status, "{problem}");
            assert!(problem["error"].as_str().unwrap().contains(wanted), "{problem}");
        }
    }
    let (status, _) = configured
        .ask("POST", "/api/udcf/import", &json!({ "text": LIMITED }))
        .await;
    assert_eq!(status, 400, "whether to write it must be said");
    assert_eq!(configured.text(), LIMITED);
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_limit_that_was_set_limits_what_the_device_gets() {
    let configured = Configured::start(None).await;
    let device = keep(hush(&configured, "toy").await);
    let change = json!({ "limits": [{ "feature": 0, "kind": "vibrate", "high": 12 }] });
    let (status, changed) = configured.ask("PUT", "/api/udcf/devices/toy", &change).await;
    assert_eq!(status, 200, "{changed}");
    drop(device);
    let text = configured.text();
    configured.gateway.stop().await;

    let configured = Configured::start(Some(&text)).await;
    let mut device = hush(&configured, "toy").await;
    let mut app = JsonClient::connect(&configured.gateway.clients(), 4).await;
    let index = app.first_device().await;
    let (_, settings) = configured.ask("GET", "/api/udcf/devices/toy", &Value::Null).await;
    assert_eq!(settings["entry"]["limits"][0]["high"], 12);
    let full = json!({ "DeviceIndex": index, "FeatureIndex": 0, "Command": { "Vibrate": { "Value": 12 } } });
    app.call("OutputCmd", full).await;
    device.expect("Vibrate:12;").await;
    configured.gateway.stop().await;
}

#[tokio::test]
async fn a_tcode_board_gets_axes() {
    let configured = Configured::start(None).await;
    let path = "/api/udcf/axes/TCodeDevice";
    let (status, axes) = configured.ask("GET", path, &Value::Null).await;
    assert_eq!((status, &axes["is_in_file"]), (200, &json!(false)), "{axes}");
    let wanted = json!({ "name": "My stroker", "axes": [
        { "channel": "L0", "kind": "position", "description": "Stroke" },
        { "channel": "V0", "kind": "vibrate", "description": "Buzz" },
    ] });
    let (status, changed) = configured.ask("PUT", path, &wanted).await;
    assert_eq!((status, &changed["warnings"]), (200, &json!([])), "{changed}");
    load(&configured.udcf());
    let wrong = json!({ "name": "x", "axes": [{ "channel": "L0", "kind": "vibrate" }] });
    let (status, _) = configured.ask("PUT", path, &wrong).await;
    assert_eq!(status, 409);
    let (status, _) = configured
        .ask("GET", "/api/udcf/axes/LVSDevice", &Value::Null)
        .await;
    assert_eq!(status, 404, "a Lovense has no axes");
    let text = configured.text();
    configured.gateway.stop().await;

    let configured = Configured::start(Some(&text)).await;
    let mut board = RawDevice::hello(&configured.gateway.devices(), "TCodeDevice", "board").await;
    let mut app = JsonClient::connect(&configured.gateway.clients(), 4).await;
    let index = app.first_device().await;
    let buzz = json!({ "DeviceIndex": index, "FeatureIndex": 1, "Command": { "Vibrate": { "Value": 99 } } });
    app.call("OutputCmd", buzz).await;
    board.expect("V099\n").await;
    configured.gateway.stop().await;
}
