//! Users, passwords, access lists, TLS and client certificates: with the right ones all works, and with each wrong one
//! there is one line that says what to do, and the gateway runs on.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use buttplug_client::ButtplugClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rumqttc::MqttOptions;
use tempfile::TempDir;

use super::broker::{Broker, Mqtt};
use super::common::model_board::Kind;
use super::common::wait_until;
use super::presence::{drive, only};
use super::rig::{Board, EDGE, Gateway, HUB, edge_toml, hub_toml};

/// The access list of the guide: an edge under the user of its name, a hub, Home Assistant.
pub const ACL: &str = "\
pattern readwrite wsdm/1/%u/#
pattern read wsdm/1/halt
pattern read wsdm/1/hub/#
user living-room
topic readwrite wsdm/1/#
user homeassistant
topic read wsdm/1/+/state
topic write wsdm/1/halt
topic write wsdm/1/+/halt
topic write wsdm/1/+/dev/+/halt
";

fn password_file(folder: &Path, users: &[&str]) {
    let file = folder.join("passwords");
    fs::write(&file, "").expect("a folder to write in");
    for user in users {
        let made = Command::new("mosquitto_passwd")
            .args([
                "-b",
                &file.display().to_string(),
                user,
                &format!("secret-of-{user}"),
            ])
            .output();
        assert!(made.expect("mosquitto_passwd").status.success());
    }
}

pub async fn guarded(acl: &str) -> Broker {
    let folder = TempDir::new().expect("a folder to write in");
    password_file(folder.path(), &[EDGE, HUB, "homeassistant"]);
    fs::write(folder.path().join("acl"), acl).expect("a folder to write in");
    let config = "allow_anonymous false\npassword_file FOLDER/passwords\nacl_file FOLDER/acl\n";
    Broker::in_folder(folder, config, Ipv4Addr::LOCALHOST, &[]).await
}

pub fn login(user: &str) -> String {
    format!("user = {user:?}\npassword = \"secret-of-{user}\"\n")
}

/// An edge and a hub, each as the user of its name.
pub async fn with_users(broker: &Broker) -> (Gateway, Gateway) {
    tokio::join!(
        Gateway::edge(broker, login(EDGE)),
        Gateway::start(hub_toml(&broker.url(), HUB) + &login(HUB))
    )
}

async fn works(edge: &Gateway, hub: &Gateway) -> (ButtplugClient, Board) {
    let app = hub.app().await;
    let board = Board::plug(edge, Kind::Hush, "A1").await;
    only(&app).await;
    drive(&app, &board).await;
    (app, board)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_users_and_the_access_list_of_the_guide_all_of_it_works() {
    let broker = guarded(ACL).await;
    let (edge, hub) = with_users(&broker).await;
    let (app, board) = works(&edge, &hub).await;
    // Home Assistant may stop it, and may not move it.
    let mut options = MqttOptions::new("ha", "127.0.0.1", broker.port);
    options.set_credentials("homeassistant", "secret-of-homeassistant");
    let mut home = Mqtt::with(options).await;
    home.subscribe("wsdm/1/bedroom/state").await;
    wait_until("the state", || home.last("state")["online"] == true).await;
    let moved = board.moved();
    home.publish("wsdm/1/halt", b"PRESS", false).await;
    board.at_rest().await;
    assert_eq!(board.moved(), moved);
    drive(&app, &board).await;
    // Once its own state came back there is nothing to complain of.
    for gateway in [&edge, &hub] {
        assert_eq!(gateway.logged(&["ERROR"]), 0, "{}", gateway.log().join("\n"));
    }
}

/// Waits until the broker has turned a gateway away so often: each time it waited longer.
async fn turned_away(broker: &Broker, times: usize, how: &str) {
    wait_until("it tries again", || {
        broker.log().lines().filter(|line| line.contains(how)).count() >= times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_one_line_and_the_gateway_runs_on() {
    let broker = guarded(ACL).await;
    let bad = "user = \"living-room\"\npassword = \"wrong-password\"\n";
    let hub = Gateway::start(hub_toml(&broker.url(), HUB) + bad).await;
    let edge = Gateway::edge(&broker, "user = \"bedroom\"\npassword = \"wrong-password\"\n").await;
    for gateway in [&hub, &edge] {
        gateway.expect(&["password"]).await;
    }
    turned_away(&broker, 8, "not authorised").await;
    for gateway in [&hub, &edge] {
        assert_eq!(
            gateway.logged(&["the broker", "is away"]),
            1,
            "{}",
            gateway.log().join("\n")
        );
        assert!(
            !gateway.log().join("\n").contains("wrong-password"),
            "a secret is logged"
        );
    }
    // A device of the hub itself is untouched.
    let (_app, board) = works(&hub, &hub).await;
    assert!(board.model.rest_since().is_none());
    println!("{}", hub.expect(&["the broker", "is away"]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_full_is_one_line_and_is_tried_again() {
    let broker = Broker::with("allow_anonymous true\nmax_connections 1\n").await;
    let other = Mqtt::connect(&broker, "other").await;
    let edge = Gateway::edge(&broker, "").await;
    turned_away(&broker, 5, "max_connections exceeded").await;
    let line = edge
        .expect(&["the broker", "is away", "too many connections"])
        .await;
    println!("{line}");
    assert_eq!(
        edge.logged(&["the broker", "is away"]),
        1,
        "{}",
        edge.log().join("\n")
    );
    drop(other);
    edge.expect(&["connected to the broker"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_list_that_keeps_an_edge_from_its_own_state_is_named() {
    let broker = guarded(&ACL.replace("pattern readwrite wsdm/1/%u/#", "pattern read wsdm/1/%u/#")).await;
    let edge = Gateway::edge(&broker, login(EDGE)).await;
    let line = edge
        .expect(&["the state of this edge does not come back", "wsdm/1/bedroom/#"])
        .await;
    println!("{line}");
    // It stays connected, and complains once.
    assert_eq!(edge.logged(&["does not come back"]), 1);
    assert_eq!(edge.logged(&["is away"]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_list_that_keeps_an_edge_from_its_devices_is_named() {
    let own = |rights: &str| {
        let lines = rights.replace("TOPIC", "pattern readwrite wsdm/1/%u");
        ACL.replace("pattern readwrite wsdm/1/%u/#\n", &lines)
    };
    for (rights, missing) in [
        ("TOPIC/state\nTOPIC/dev/+/owner\n", "dev/+/birth"),
        ("TOPIC/state\nTOPIC/dev/+/birth\n", "dev/+/owner"),
    ] {
        let broker = guarded(&own(rights)).await;
        let edge = Gateway::edge(&broker, login(EDGE)).await;
        let _board = Board::plug(&edge, Kind::Hush, "A1").await;
        let topic = format!("wsdm/1/bedroom/{missing}");
        let line = edge.expect(&["does not come back", &topic]).await;
        println!("{line}");
        let _other = Board::plug(&edge, Kind::Edge, "A2").await;
        assert_eq!(edge.logged(&["does not come back"]), 1);
    }
}

/// A hub that may read and not write: no lease of it ever arrives, so nothing moves, and nobody is told why by the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_list_that_keeps_a_hub_from_writing_lets_nothing_move() {
    let broker = guarded(&ACL.replace("topic readwrite wsdm/1/#", "topic read wsdm/1/#")).await;
    let (edge, hub) = with_users(&broker).await;
    let board = Board::plug(&edge, Kind::Hush, "A1").await;
    let line = hub.expect(&["allow this user", "wsdm/1"]).await;
    println!("{line}");
    assert_eq!(board.moved(), 0);
}

/// A CA, with what it signed in a folder.
struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.pem")), ca.pem()).unwrap();
        Self(ca)
    }

    fn sign(&self, folder: &Path, file: &str, hosts: &[&str], user: &str) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(folder.join(format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// A broker with TLS whose certificate is for these names.
async fn encrypted(hosts: &[&str], clients: bool) -> Broker {
    let folder = TempDir::new().expect("a folder to write in");
    let ca = Ca::new(folder.path(), "ca");
    Ca::new(folder.path(), "other-ca");
    ca.sign(folder.path(), "server", hosts, "broker");
    ca.sign(folder.path(), EDGE, &["client"], EDGE);
    ca.sign(folder.path(), HUB, &["client"], HUB);
    fs::write(folder.path().join("acl"), ACL).expect("a folder to write in");
    let config = format!(
        "cafile FOLDER/ca.pem\ncertfile FOLDER/server.pem\nkeyfile FOLDER/server.key\n{}",
        match clients {
            true =>
                "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\nacl_file FOLDER/acl\n",
            false => "allow_anonymous true\n",
        }
    );
    Broker::in_folder(folder, &config, Ipv4Addr::LOCALHOST, &[]).await
}

fn tls(broker: &Broker, ca: &str, own: Option<&str>) -> String {
    let file = |name: &str| broker.folder.path().join(name).display().to_string();
    let mut toml = format!("ca = {:?}\n", file(ca));
    if let Some(own) = own {
        let (cert, key) = (file(&format!("{own}.pem")), file(&format!("{own}.key")));
        toml += &format!("client_cert = {cert:?}\nclient_key = {key:?}\n");
    }
    toml
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_client_certificates_all_of_it_works() {
    let broker = encrypted(&["localhost"], true).await;
    let url = format!("mqtts://localhost:{}", broker.port);
    let (edge, hub) = tokio::join!(
        Gateway::start(edge_toml(&url, EDGE, &tls(&broker, "ca.pem", Some(EDGE)))),
        Gateway::start(hub_toml(&url, HUB) + &tls(&broker, "ca.pem", Some(HUB)))
    );
    works(&edge, &hub).await;
    // Without a certificate nobody is let in.
    let none = Gateway::start(edge_toml(&url, "kitchen", &tls(&broker, "ca.pem", None))).await;
    let line = none.expect(&["the broker", "is away"]).await;
    println!("{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_trusted_is_one_line_with_what_to_do() {
    let (right, wrong) = tokio::join!(
        encrypted(&["localhost"], false),
        encrypted(&["broker.example"], false)
    );
    let url = |broker: &Broker| format!("mqtts://localhost:{}", broker.port);
    let cases = [
        (
            "the CA is another one",
            url(&right),
            tls(&right, "other-ca.pem", None),
            ["ca = ", "not known"],
        ),
        (
            "the name is another one",
            url(&wrong),
            tls(&wrong, "ca.pem", None),
            ["certificate", "localhost"],
        ),
        (
            "it speaks TLS",
            format!("mqtt://localhost:{}", right.port),
            String::new(),
            ["mqtts://", ""],
        ),
    ];
    for (what, url, more, words) in cases {
        let gateway = Gateway::start(hub_toml(&url, HUB) + &more).await;
        let line = gateway.expect(&["the broker", "is away"]).await;
        println!("{what}: {line}");
        for word in words {
            assert!(line.to_lowercase().contains(word), "{what}: {word:?} in {line}");
        }
        works(&gateway, &gateway).await;
        assert_eq!(gateway.logged(&["is away"]), 1, "{}", gateway.log().join("\n"));
    }
}
