//! The counters of all devices in the OpenMetrics format. They are read when they are asked for: the path of frames pays
//! nothing.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::view::fleet::{EdgeState, Fleet};
use super::view::{Device, State, View};
use crate::device::fleet::gate::Why;
use crate::session::registry::SessionHandle;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the metrics of the connected devices, and of the fleet. Those of devices that left are gone.
///
/// # Errors
/// None that is known: writing to a text cannot fail.
pub async fn encode(view: &View) -> Result<String, fmt::Error> {
    let fleet = match &view.fleet {
        Some(fleet) => Some(fleet.look().await),
        None => None,
    };
    let (devices, apps) = view.look();
    let mut registry = Registry::with_prefix("wsdm_gateway");
    registry.register_collector(Box::new(Seen {
        devices: devices.into_iter().filter(Device::is_connected).collect(),
        apps: apps.len(),
        fleet,
        // The boards of an edge that is a hub, too, are beside the others.
        refused: (view.registry.sessions().iter())
            .chain(&view.registry.sessions_beside())
            .flat_map(|session| refused(session))
            .collect(),
    }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Device {
    fn is_connected(&self) -> bool {
        !matches!(self.state, State::Identifying | State::Gone | State::Refused)
    }
}

#[derive(Debug)]
struct Seen {
    devices: Vec<Device>,
    apps: usize,
    fleet: Option<Fleet>,
    refused: Vec<RefusedFrames>,
}

/// Frames of a hub that did not reach a device, for one reason.
#[derive(Debug)]
struct RefusedFrames {
    labels: [(&'static str, String); 4],
    number: u64,
}

fn refused(session: &SessionHandle) -> Vec<RefusedFrames> {
    let one = |why: Why| RefusedFrames {
        labels: [
            ("address", session.handshake.address.as_str().to_owned()),
            ("identifier", session.handshake.identifier.as_str().to_owned()),
            ("way", session.peer.way().to_owned()),
            ("reason", why.name().to_owned()),
        ],
        number: session.counters.refused.number(why),
    };
    let all = Why::ALL.into_iter().map(one);
    all.filter(|refused| refused.number > 0).collect()
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let count = |n: usize| ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX));
        let devices = count(self.devices.len());
        devices.encode(encoder.encode_descriptor(
            "devices",
            "Connected devices",
            None,
            devices.metric_type(),
        )?)?;
        let apps = count(self.apps);
        apps.encode(encoder.encode_descriptor("apps", "Connected apps", None, apps.metric_type())?)?;
        if let Some(fleet) = &self.fleet {
            encode_fleet(fleet, &mut encoder)?;
        }
        self.counter(
            &mut encoder,
            "frames_to_device",
            "Frames written to the device",
            None,
            |d| d.to_device,
        )?;
        self.counter(
            &mut encoder,
            "frames_from_device",
            "Frames that the device sent",
            None,
            |d| d.from_device,
        )?;
        self.counter(
            &mut encoder,
            "frames_dropped",
            "Frames of the device that were dropped because upstream did not keep up",
            None,
            |d| d.dropped,
        )?;
        self.refused(&mut encoder)?;
        self.counter(
            &mut encoder,
            "to_device",
            "Bytes written to the device",
            Some(Unit::Bytes),
            |d| d.bytes_to_device,
        )?;
        self.counter(
            &mut encoder,
            "from_device",
            "Bytes that the device sent",
            Some(Unit::Bytes),
            |d| d.bytes_from_device,
        )?;
        self.gauge(
            &mut encoder,
            "outputs_on",
            "1 if an output of the device may be on",
            None,
            |d| Some(f64::from(u8::from(d.outputs_on))),
        )?;
        self.gauge(
            &mut encoder,
            "round_trip",
            "The round trip of the device's last ping",
            Some(Unit::Seconds),
            |d| d.round_trip_ms.map(|ms| ms / 1_000.0),
        )?;
        self.gauge(
            &mut encoder,
            "battery",
            "The battery level that the device last reported",
            Some(Unit::Ratios),
            |d| d.battery,
        )
    }
}

impl Seen {
    /// Only an edge has any.
    fn refused(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let help = "Frames of a hub that did not reach the device: too late, overtaken, or not the owner's";
        let mut family = encoder.encode_descriptor("frames_refused", help, None, kind)?;
        for refused in &self.refused {
            ConstCounter::new(refused.number).encode(family.encode_family(&refused.labels)?)?;
        }
        Ok(())
    }

    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl Fn(&Device) -> u64,
    ) -> Result<(), fmt::Error> {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for device in &self.devices {
            ConstCounter::new(value(device)).encode(family.encode_family(&labels(device))?)?;
        }
        Ok(())
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl Fn(&Device) -> Option<f64>,
    ) -> Result<(), fmt::Error> {
        let kind = ConstGauge::new(0.0_f64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for device in &self.devices {
            if let Some(value) = value(device) {
                ConstGauge::new(value).encode(family.encode_family(&labels(device))?)?;
            }
        }
        Ok(())
    }
}

/// The connections to the broker, and the edges that a hub knows.
fn encode_fleet(fleet: &Fleet, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let kind = ConstGauge::new(0_i64).metric_type();
    let help = "1 if the broker of the fleet has accepted the connection";
    let mut family = encoder.encode_descriptor("fleet_connected", help, None, kind)?;
    let brokers = [
        ("hub", fleet.hub.as_ref().map(|hub| &hub.broker)),
        ("edge", fleet.edge.as_ref().map(|edge| &edge.broker)),
    ];
    for (role, broker) in brokers {
        if let Some(broker) = broker {
            let is_connected = ConstGauge::new(i64::from(broker.connected_since.is_some()));
            is_connected.encode(family.encode_family(&[("role", role)])?)?;
        }
    }
    if fleet.hub.is_some() {
        let help = "Edges of the fleet that the hub knows";
        let mut family = encoder.encode_descriptor("fleet_edges", help, None, kind)?;
        for (name, state) in [
            ("there", EdgeState::There),
            ("silent", EdgeState::Silent),
            ("gone", EdgeState::Gone),
        ] {
            let count = i64::try_from(fleet.edges_that_are(state).len()).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&[("state", name)])?)?;
        }
    }
    Ok(())
}

fn labels(device: &Device) -> [(&'static str, String); 3] {
    [
        ("address", device.address.clone()),
        ("identifier", device.identifier.clone()),
        ("way", device.way.clone()),
    ]
}
