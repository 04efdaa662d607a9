use proptest::prelude::*;

use super::*;

const FROM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

fn name(labels: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in labels {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

use std::vec::Vec;

fn record(name: &[u8], kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    [
        name,
        &kind.to_be_bytes(),
        &class.to_be_bytes(),
        &ttl.to_be_bytes(),
        &(data.len() as u16).to_be_bytes(),
        data,
    ]
    .concat()
}

fn service(instance: &[&str], port: u16, host: &[u8]) -> Vec<u8> {
    let data = [&[0, 0, 0, 0], port.to_be_bytes().as_slice(), host].concat();
    record(&name(instance), TYPE_SRV, 0x8001, 120, &data)
}

fn address(host: &[u8], address: [u8; 4]) -> Vec<u8> {
    record(host, TYPE_A, 0x8001, 120, &address)
}

fn packet(records: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, records.len() as u8, 0, 0, 0, 0];
    packet.extend(records.concat());
    packet
}

const INSTANCE: [&str; 4] = ["Gateway on pc", "_wsdm", "_tcp", "local"];

#[test]
fn the_question_is_one() {
    assert_eq!(
        QUERY.len(),
        HEADER_BYTES + name(&["_wsdm", "_tcp", "local"]).len() + 4
    );
    assert_eq!(behind_name(&QUERY, HEADER_BYTES), Some(QUERY.len() - 4));
    assert!(are_same(
        labels(&QUERY, HEADER_BYTES),
        SERVICE.into_iter().map(Some)
    ));
    assert_eq!(answer(&QUERY, FROM), None);
}

/// What takes longer than the core waits for a connection is reported as no answer in time, like an address that is wrong.
#[test]
fn a_search_ends_before_the_core_gives_the_connection_up() {
    let search = u64::from(QUESTIONS) * ASK_AGAIN_MS;
    let connection = wsdm_device::Timing::DEFAULT.connect.saturating_sub(search);
    assert!(connection >= 1_500, "a gateway that answers late is dialled too");
}

#[test]
fn a_gateway_is_found() {
    let host = name(&["pc", "local"]);
    let found = packet(&[
        record(&name(&["_wsdm", "_tcp", "local"]), 12, 1, 4_500, &name(&INSTANCE)),
        record(&name(&INSTANCE), 16, 0x8001, 4_500, b"\0"),
        service(&INSTANCE, 54_817, &host),
        address(&name(&["PC", "Local"]), [10, 0, 0, 3]),
    ]);
    assert_eq!(answer(&found, FROM), Some((Ipv4Addr::new(10, 0, 0, 3), 54_817)));
}

#[test]
fn of_several_addresses_the_one_that_answered_counts() {
    let host = name(&["pc", "local"]);
    let found = packet(&[
        address(&host, [172, 17, 0, 1]),
        address(&host, FROM.octets()),
        service(&INSTANCE, 1, &host),
    ]);
    assert_eq!(answer(&found, FROM), Some((FROM, 1)));
    let none = packet(&[
        service(&INSTANCE, 1, &host),
        address(&name(&["nas", "local"]), [1; 4]),
    ]);
    assert_eq!(answer(&none, FROM), Some((FROM, 1)));
}

#[test]
fn names_may_be_cut_short_by_pointers() {
    // The question, then its answer: PTR to Gw, SRV of Gw on pc, A of pc.
    let mut found = QUERY.to_vec();
    found[2] = 0x84;
    found[11] = 2;
    let host = found.len() + 2 + 2 + 10 + 6 + 1;
    // "Gw" and a pointer to the service stand where the first record's name is.
    found.extend(b"\x02Gw\xc0\x0c");
    found.extend(TYPE_SRV.to_be_bytes());
    found.extend(b"\x80\x01\0\0\0\x78\0\x0b\0\0\0\0\x12\x34\x02pc\xc0\x17");
    found.extend([0xc0, host as u8]);
    found.extend(b"\0\x01\x80\x01\0\0\0\x78\0\x04\x0a\0\0\x03");
    assert_eq!(answer(&found, FROM), Some((Ipv4Addr::new(10, 0, 0, 3), 0x1234)));
}

#[test]
fn what_is_no_gateway_is_none() {
    let host = name(&["pc", "local"]);
    let other = service(&["Printer", "_ipp", "_tcp", "local"], 631, &host);
    let bare = service(&["_wsdm", "_tcp", "local"], 631, &host);
    let gone = record(&name(&INSTANCE), TYPE_SRV, 0x8001, 0, b"\0\0\0\0\0\x01\0");
    let chaos = record(&name(&INSTANCE), TYPE_SRV, 3, 120, b"\0\0\0\0\0\x01\0");
    let closed = service(&INSTANCE, 0, &host);
    let short = record(&name(&INSTANCE), TYPE_SRV, 1, 120, b"\0\0\0\0\0");
    for (i, record) in [other, bare, gone, chaos, closed, short].into_iter().enumerate() {
        assert_eq!(answer(&packet(&[record]), FROM), None, "{i}");
    }
    assert_eq!(answer(&[], FROM), None);
}

#[test]
fn a_circle_of_pointers_ends() {
    let mut packet = packet(&[]);
    packet.extend(b"\x01a\xc0\x0c");
    assert_eq!(labels(&packet, 12).last(), Some(None));
    packet.extend(b"\xc0\x10\xc0\x12");
    assert_eq!(labels(&packet, 16).last(), Some(None));
    assert_eq!(labels(&packet, 18).last(), Some(None));
}

proptest! {
    #[test]
    fn no_packet_breaks_it(bytes: Vec<u8>) {
        let _ = answer(&bytes, FROM);
        let _ = answer(&[b"\0\0\x84\0\0\0\0\x09\0\0\0\0".as_slice(), &bytes].concat(), FROM);
        for at in 0..bytes.len() {
            prop_assert!(labels(&bytes, at).count() <= LABELS_MAX);
        }
    }

    #[test]
    fn no_damage_breaks_it(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let host = name(&["pc", "local"]);
        let mut bytes = packet(&[service(&INSTANCE, 1, &host), address(&host, [1; 4])]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = answer(&bytes, FROM);
        bytes.truncate(bytes.len() / 2);
        let _ = answer(&bytes, FROM);
    }
}
