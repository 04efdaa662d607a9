//! The view of the fleet, of a hub and of an edge that meet at a real broker.

use serde_json::json;

use super::common::json_client::JsonClient;
use super::common::mosquitto::Mosquitto;
use super::common::{Running, from_files};
use super::{Scenario, Toy};

#[tokio::test]
async fn the_fleet_is_shown_and_stopped_at_a_hub_and_at_an_edge() {
    let broker = Mosquitto::start();
    let (at_edge, at_hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let upstream = format!("[upstream]\nmqtt = {:?}\nedge = \"bedroom\"\n", broker.url());
    let mqtt = format!("[mqtt]\nbroker = {:?}\nhub = \"living-room\"\n", broker.url());
    let edge = Running::start(from_files(at_edge.path(), &upstream)).await;
    let hub = Running::start(from_files(at_hub.path(), &mqtt)).await;
    let mut toy = Toy::connect(&edge, "page-1").await;
    let edge_page = format!("http://{}", edge.page());
    let args = [edge_page.as_str(), "page-1", "bedroom", "living-room"];
    let mut scenario = Scenario::start("fleet", hub.page(), &args);
    let mut edge = Some(edge);
    let (mut apps, mut stops) = (Vec::new(), 0);
    while let Some((kind, text)) = scenario.next(&["want", "stopped"]).await {
        match (kind.as_str(), text.as_str()) {
            ("want", "drive") => {
                let mut app = JsonClient::connect(&hub.clients(), 4).await;
                let index = app.first_device().await;
                // Another level each time: the server drops repeats.
                let level = 10 + stops;
                let vibrate = json!({"DeviceIndex": index, "FeatureIndex": 0, "Command": {"Vibrate": {"Value": level}}});
                app.call("OutputCmd", vibrate).await;
                toy.heard(&format!("Vibrate:{level};")).await;
                apps.push(app);
            }
            ("want", "gone") => edge.take().unwrap().stop().await,
            ("stopped", _) => {
                stops += 1;
                toy.at(0).await;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stops, 2);
    hub.stop().await;
}
