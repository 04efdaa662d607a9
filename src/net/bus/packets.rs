//! MQTT's packets on the wire. The library reads and writes them; what is too large for it is skipped.

use bytes::{Buf, BytesMut};
use rumqttc::mqttbytes::v4::{Codec, Packet};
use rumqttc::mqttbytes::{Error, QoS};
use tokio_util::codec::{Decoder, Encoder};

use super::Qos;
use crate::defaults::BUS_PACKET_MAX_BYTES;

/// The first four bits of a message.
const PUBLISH: u8 = 3;

/// What came from the broker.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// A packet.
    Packet(Packet),
    /// A message larger than [`BUS_PACKET_MAX_BYTES`]. Its payload is dropped as it arrives.
    TooLarge {
        topic: String,
        bytes: usize,
        /// By which it is acknowledged, if it is to be.
        id: Option<u16>,
    },
}

/// Reads and writes packets. The library's own ends the connection at a message that is too large, and anybody may send
/// one.
pub(super) struct PacketCodec {
    library: Codec,
    /// Bytes of a message that are still to be dropped.
    skip: usize,
    /// Bytes of a packet that is not whole.
    waiting: usize,
    moved: bool,
}

impl PacketCodec {
    /// Whether a part of a packet came since this was last asked: a large one takes a while.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
}

impl Default for PacketCodec {
    fn default() -> Self {
        Self {
            library: Codec {
                max_incoming_size: BUS_PACKET_MAX_BYTES,
                max_outgoing_size: BUS_PACKET_MAX_BYTES,
            },
            skip: 0,
            waiting: 0,
            moved: false,
        }
    }
}

impl Decoder for PacketCodec {
    type Item = Incoming;
    type Error = Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        self.moved |= bytes.len() != self.waiting;
        let incoming = self.next(bytes);
        self.waiting = bytes.len();
        incoming
    }
}

impl PacketCodec {
    fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Incoming>, Error> {
        let skipped = self.skip.min(bytes.len());
        bytes.advance(skipped);
        self.skip -= skipped;
        if self.skip > 0 {
            return Ok(None);
        }
        let Some((header, rest)) = head(bytes) else {
            return Ok(self.library.decode(bytes)?.map(Incoming::Packet));
        };
        if rest <= BUS_PACKET_MAX_BYTES || bytes[0] >> 4 != PUBLISH {
            return Ok(self.library.decode(bytes)?.map(Incoming::Packet));
        }
        let id_bytes = if bytes[0] & 0b0110 == 0 { 0 } else { 2 };
        let Some(topic_bytes) = number(bytes, header) else {
            return Ok(None);
        };
        let topic = header + 2..header + 2 + usize::from(topic_bytes);
        let kept = topic.end + id_bytes;
        if bytes.len() < kept {
            bytes.reserve(kept - bytes.len());
            return Ok(None);
        }
        let incoming = Incoming::TooLarge {
            topic: String::from_utf8_lossy(&bytes[topic.clone()]).into_owned(),
            bytes: rest - (kept - header),
            id: if id_bytes == 0 {
                None
            } else {
                number(bytes, topic.end)
            },
        };
        bytes.advance(kept);
        self.skip = header + rest - kept;
        Ok(Some(incoming))
    }
}

impl Encoder<Packet> for PacketCodec {
    type Error = Error;

    fn encode(&mut self, packet: Packet, bytes: &mut BytesMut) -> Result<(), Error> {
        self.library.encode(packet, bytes)
    }
}

/// The bytes of a packet's head, and how many follow it: at most four bytes of seven bits each, the lowest first.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut rest = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        rest |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((index + 2, rest));
        }
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

impl From<Qos> for QoS {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => Self::AtMostOnce,
            Qos::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::mqttbytes::v4::Publish;

    use super::*;

    fn publish(topic: &str, qos: QoS, payload: usize) -> Packet {
        let mut publish = Publish::new(topic, qos, vec![b'x'; payload]);
        publish.pkid = if qos == QoS::AtMostOnce { 0 } else { 7 };
        Packet::Publish(publish)
    }

    /// What is read of these packets if they arrive in pieces of so many bytes, and the most that was held.
    fn read(packets: &[Packet], piece: usize) -> (Vec<Incoming>, usize) {
        let mut wire = BytesMut::new();
        for packet in packets {
            packet.write(&mut wire, usize::MAX).unwrap();
        }
        let (mut codec, mut held, mut incoming, mut most) =
            (PacketCodec::default(), BytesMut::new(), Vec::new(), 0);
        for piece in wire.chunks(piece) {
            held.extend_from_slice(piece);
            while let Some(next) = codec.decode(&mut held).unwrap() {
                incoming.push(next);
            }
            most = most.max(held.len());
        }
        (incoming, most)
    }

    #[test]
    fn a_message_that_is_too_large_is_dropped_as_it_arrives() {
        let large = 4 * BUS_PACKET_MAX_BYTES;
        for piece in [1, 7, 4096, usize::MAX] {
            let (incoming, most) = read(
                &[
                    publish("a", QoS::AtMostOnce, 3),
                    publish("large/0", QoS::AtMostOnce, large),
                    publish("large/1", QoS::AtLeastOnce, large),
                    publish("b", QoS::AtLeastOnce, 3),
                ],
                piece,
            );
            let too_large = |topic: &str, id| Incoming::TooLarge {
                topic: topic.to_owned(),
                bytes: large,
                id,
            };
            assert_eq!(
                incoming,
                [
                    Incoming::Packet(publish("a", QoS::AtMostOnce, 3)),
                    too_large("large/0", None),
                    too_large("large/1", Some(7)),
                    Incoming::Packet(publish("b", QoS::AtLeastOnce, 3)),
                ],
                "{piece}"
            );
            assert!(
                piece == usize::MAX || most < 2 * piece + 20,
                "{most} bytes held, {piece} at a time"
            );
        }
    }

    #[test]
    fn the_largest_message_is_taken() {
        let payload = BUS_PACKET_MAX_BYTES - "ab".len() - 2;
        let (incoming, _) = read(&[publish("ab", QoS::AtMostOnce, payload)], 1000);
        assert!(matches!(incoming[..], [Incoming::Packet(Packet::Publish(_))]));
        let (incoming, _) = read(&[publish("ab", QoS::AtMostOnce, payload + 1)], 1000);
        assert!(matches!(incoming[..], [Incoming::TooLarge { .. }]));
    }

    #[test]
    fn parts_of_a_packet_are_a_sign_of_life() {
        for payload in [100, 4 * BUS_PACKET_MAX_BYTES] {
            let mut wire = BytesMut::new();
            publish("a", QoS::AtMostOnce, payload)
                .write(&mut wire, usize::MAX)
                .unwrap();
            let (mut codec, mut held) = (PacketCodec::default(), BytesMut::new());
            for piece in wire.chunks(payload / 10) {
                held.extend_from_slice(piece);
                while codec.decode(&mut held).unwrap().is_some() {}
                assert!(codec.take_moved(), "of {payload}");
                assert_eq!(codec.decode(&mut held).unwrap(), None);
                assert!(!codec.take_moved(), "nothing came");
            }
        }
    }

    #[test]
    fn what_is_no_message_is_not_skipped() {
        let mut bytes = BytesMut::from(&[0x20, 0xff, 0xff, 0xff, 0x7f, 0, 0][..]);
        assert!(PacketCodec::default().decode(&mut bytes).is_err());
        let mut bytes = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(PacketCodec::default().decode(&mut bytes).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let (mut codec, mut bytes) = (PacketCodec::default(), BytesMut::from(&bytes[..]));
            while let Ok(Some(_)) = codec.decode(&mut bytes) {}
        }
    }
}
