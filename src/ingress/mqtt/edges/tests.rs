use super::*;
use crate::device::fleet::clock::Clock;
use crate::device::fleet::names::Prefix;
use crate::net::broker::BrokerUrl;
use crate::net::bus::{BusSettings, bus};
use crate::net::tls::Tls;

/// The edge `attic`, at a broker that is not there.
fn edges() -> (Edges, Name) {
    let settings = BusSettings {
        broker: BrokerUrl::parse("mqtt://127.0.0.1:9").unwrap(),
        tls: Tls::system(),
        user: None,
        password: None,
        client_id: "test".to_owned(),
        keepalive: Duration::from_secs(5),
    };
    let (bus, _) = bus(settings, None, Vec::new());
    let name = Name::new("attic").unwrap();
    let hub = Name::new("office").unwrap();
    let line = EdgeLine::new(
        name.clone(),
        bus,
        Prefix::default(),
        hub,
        Epoch::random(),
        Clock::start(),
    );
    let mut edges = Edges::default();
    edges.add(Arc::new(line));
    (edges, name)
}

fn id(n: usize) -> DeviceId {
    DeviceId::try_from(format!("{n:016x}")).unwrap()
}

fn owner(session: u32) -> Owner {
    Owner {
        hub: Name::new("stranger").unwrap(),
        hub_epoch: Epoch::random(),
        session,
        lapsed: false,
    }
}

fn birth() -> Birth {
    Birth {
        identifier: "LVSDevice".to_owned(),
        address: "A1".to_owned(),
        version: 0,
        epoch: Epoch::random(),
        session: 1,
        transport: String::new(),
        recognised: None,
        hubs: Vec::new(),
    }
}

#[tokio::test]
async fn an_owner_of_a_device_that_is_unknown_costs_something_and_no_owner_costs_nothing() {
    let (mut edges, name) = edges();
    let office = Name::new("office").unwrap();
    let us = (&office, Epoch::random());
    for n in 0..100 {
        edges.owner(&name, id(n), None, us);
    }
    assert_eq!((edges.edges[&name].devices.len(), edges.device_bytes), (0, 0));
    for n in 0..DEVICES_MAX + 10 {
        edges.owner(&name, id(n), Some(owner(1)), us);
    }
    let all = DEVICES_MAX * DEVICE_BYTES;
    assert_eq!(
        (edges.edges[&name].devices.len(), edges.device_bytes),
        (DEVICES_MAX, all)
    );
    // A birth costs its own size besides, once.
    for _ in 0..2 {
        edges.birth(&name, id(0), Some(birth()), 100).unwrap();
        assert_eq!(edges.device_bytes, all + 100);
    }
    // It stays while it is born, and without a birth it goes with its owner.
    for n in 0..DEVICES_MAX {
        edges.owner(&name, id(n), None, us);
    }
    assert_eq!(
        (edges.edges[&name].devices.len(), edges.device_bytes),
        (1, DEVICE_BYTES + 100)
    );
    edges.birth(&name, id(0), None, 0).unwrap();
    assert_eq!((edges.edges[&name].devices.len(), edges.device_bytes), (0, 0));
    // Where all that is allowed is taken, an owner finds no room either.
    edges.device_bytes = DEVICES_MAX_BYTES;
    edges.owner(&name, id(0), Some(owner(1)), us);
    assert_eq!(edges.edges[&name].devices.len(), 0);
}

#[tokio::test]
async fn a_session_ends_with_its_owner_or_with_another_session_and_not_with_the_same_one() {
    let (mut edges, name) = edges();
    let office = Name::new("office").unwrap();
    let us = (&office, Epoch::random());
    edges.birth(&name, id(0), Some(birth()), 100).unwrap();
    let mut ended = |owner: Option<Owner>| {
        let before = edges.edges[&name].devices[&id(0)].ended_at;
        edges.owner(&name, id(0), owner, us);
        edges.edges[&name].devices[&id(0)].ended_at != before
    };
    assert!(ended(Some(owner(1))));
    assert!(!ended(Some(owner(1))));
    assert!(ended(Some(owner(2))));
    assert!(ended(None));
    assert!(ended(None), "a free device is halted, too");
}
