//! Where gateways are, as they say on the network: a question for `_wsdm._tcp.local`, and what answers it (RFC 6762
//! and 6763).
//!
//! A gateway that is found this way is not proven to be one: whoever is on the network can answer. A token keeps such
//! a stranger from nothing, since the device says it first; where that matters, set the gateway's address.

use core::net::Ipv4Addr;

use heapless::Vec;

/// To which multicast DNS is sent.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// Its port.
pub const PORT: u16 = 5353;

/// The question: who offers the service? Its top bit asks that the answer go to the asker alone, as does a port other than
/// that of mDNS, since many access points lose what is for everybody.
pub const QUERY: [u8; 34] = *b"\0\0\0\0\0\x01\0\0\0\0\0\0\x05_wsdm\x04_tcp\x05local\0\0\x0c\x80\x01";

/// How often a search asks before it is given up, and the device core reports that no gateway answered. Wi-Fi loses some.
pub const QUESTIONS: u32 = 3;
/// Between two questions.
pub const ASK_AGAIN_MS: u64 = 1_000;

const SERVICE: [&[u8]; 3] = [b"_wsdm", b"_tcp", b"local"];

const HEADER_BYTES: usize = 12;
const IS_ANSWER: u8 = 0x80;
const TYPE_A: u16 = 1;
const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
/// Beside the class: the record replaces what was known. It replaces nothing here.
const CACHE_FLUSH: u16 = 0x8000;
/// More labels than a name can have: it has 255 bytes at most.
const LABELS_MAX: usize = 128;
/// A gateway's answer has about six. What comes behind these is not looked at.
const RECORDS_MAX: usize = 32;

/// A record that may matter.
struct Record<'a> {
    /// Where its name begins.
    name: usize,
    kind: u16,
    /// Where its data begins.
    at: usize,
    data: &'a [u8],
}

/// The address and port of a gateway, where this packet gives one. `from` is whoever sent it: where a gateway has
/// several addresses, the one from which it answered can be reached from here.
pub fn answer(packet: &[u8], from: Ipv4Addr) -> Option<(Ipv4Addr, u16)> {
    let records = records(packet)?;
    records.iter().find_map(|service| {
        let [_, _, _, _, p0, p1, ..] = *service.data else {
            return None;
        };
        let port = u16::from_be_bytes([p0, p1]);
        if service.kind != TYPE_SRV || port == 0 || !is_of_service(packet, service.name) {
            return None;
        }
        let host = service.at + 6;
        let mut addresses = records
            .iter()
            .filter(|record| record.kind == TYPE_A && is_same_name(packet, record.name, host))
            .filter_map(|record| Some(Ipv4Addr::from(*record.data.first_chunk::<4>()?)));
        let first = addresses.next();
        let address = match first {
            Some(first) if first != from && addresses.any(|address| address == from) => from,
            Some(first) => first,
            None => from,
        };
        Some((address, port))
    })
}

/// The records of an answer that hold a service or an address.
fn records(packet: &[u8]) -> Option<Vec<Record<'_>, RECORDS_MAX>> {
    let count = |at| u16_at(packet, at).map(u32::from);
    if packet.get(2)? & IS_ANSWER == 0 {
        return None;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..count(4)? {
        at = behind_name(packet, at)?.checked_add(4)?;
    }
    let mut records = Vec::new();
    for _ in 0..count(6)? + count(8)? + count(10)? {
        let name = at;
        // A packet that was cut short is good for what is in it.
        let Some((kind, class, ttl, data_at, data)) = record(packet, at) else {
            break;
        };
        at = data_at + data.len();
        let goes = ttl == [0; 4];
        if matches!(kind, TYPE_A | TYPE_SRV) && class & !CACHE_FLUSH == CLASS_IN && !goes {
            let record = Record {
                name,
                kind,
                at: data_at,
                data,
            };
            if records.push(record).is_err() {
                break;
            }
        }
    }
    Some(records)
}

type Parts<'a> = (u16, u16, [u8; 4], usize, &'a [u8]);

fn record(packet: &[u8], at: usize) -> Option<Parts<'_>> {
    let at = behind_name(packet, at)?;
    let ttl = packet.get(at + 4..)?.first_chunk()?;
    let len = usize::from(u16_at(packet, at + 8)?);
    let data = packet.get(at + 10..)?.get(..len)?;
    Some((u16_at(packet, at)?, u16_at(packet, at + 2)?, *ttl, at + 10, data))
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?))
}

/// What stands behind the name at this place.
fn behind_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            // The rest of it is elsewhere.
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// The labels of the name at this place. `None` once, where it is broken.
fn labels(packet: &[u8], at: usize) -> impl Iterator<Item = Option<&[u8]>> {
    let mut at = Some(at);
    // Pointers go back, and only back: none of them leads in a circle.
    let mut before = usize::MAX;
    let next = move || loop {
        let here = at?;
        match packet.get(here) {
            Some(0) => {
                at = None;
                return None;
            }
            Some(len @ 1..=63) => {
                let end = here + 1 + usize::from(*len);
                at = packet.get(here + 1..end).map(|_| end);
                return Some(packet.get(here + 1..end));
            }
            Some(0xc0..) => {
                let to = u16_at(packet, here).map(|pointer| usize::from(pointer & 0x3fff));
                let Some(to) = to.filter(|to| *to < before.min(here)) else {
                    at = None;
                    return Some(None);
                };
                before = to;
                at = Some(to);
            }
            _ => {
                at = None;
                return Some(None);
            }
        }
    };
    core::iter::from_fn(next).take(LABELS_MAX)
}

/// Whether the name at this place is that of one who offers the service.
fn is_of_service(packet: &[u8], name: usize) -> bool {
    let mut labels = labels(packet, name);
    let instance = labels.next();
    matches!(instance, Some(Some(_))) && are_same(labels, SERVICE.into_iter().map(Some))
}

fn is_same_name(packet: &[u8], one: usize, other: usize) -> bool {
    are_same(labels(packet, one), labels(packet, other))
}

fn are_same<'a>(
    mut one: impl Iterator<Item = Option<&'a [u8]>>,
    mut other: impl Iterator<Item = Option<&'a [u8]>>,
) -> bool {
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Some(one)), Some(Some(other))) if one.eq_ignore_ascii_case(other) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests;
