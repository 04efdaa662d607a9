use proptest::prelude::*;

use super::*;

/// A packet as the specification has it.
fn specified(kind: u8, data: &[u8]) -> std::vec::Vec<u8> {
    let mut packet = [b"IMPROV\x01", &[kind, data.len() as u8][..], data].concat();
    packet.push(packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    packet
}

fn rpc(command: u8, arguments: &[u8]) -> std::vec::Vec<u8> {
    specified(3, &[&[command, arguments.len() as u8], arguments].concat())
}

/// What is typed, and the packets.
fn received(chunks: &[(u64, &[u8])]) -> (String, std::vec::Vec<String>) {
    let mut receiver = Receiver::new();
    let (mut typed, mut packets) = (std::vec::Vec::new(), std::vec::Vec::new());
    for (now, bytes) in chunks {
        for byte in *bytes {
            match receiver.push(*now, *byte) {
                Input::Typed(bytes) => typed.extend_from_slice(bytes),
                Input::Packet(packet) => packets.push(format!("{packet:?}")),
            }
        }
    }
    (String::from_utf8_lossy(&typed).into_owned(), packets)
}

#[test]
fn the_specifications_example_is_read() {
    let packet = b"IMPROV\x01\x03\x20\x01\x1e\x0cMyWirelessAP\x10mysecurepassword\xc1";
    let request = Request::Join {
        ssid: "MyWirelessAP",
        password: "mysecurepassword",
    };
    assert_eq!(rpc(1, b"\x0cMyWirelessAP\x10mysecurepassword"), packet);
    assert_eq!(
        received(&[(0, packet)]),
        (String::new(), vec![format!("{:?}", Ok::<_, Error>(request))])
    );
}

#[test]
fn questions_are_read() {
    for (command, wanted) in [(2, "State"), (3, "Info"), (4, "Scan"), (7, "Network")] {
        let packets = received(&[(0, &rpc(command, &[]))]).1;
        assert_eq!(packets, [format!("Ok({wanted})")]);
    }
}

#[test]
fn what_is_wrong_is_called_that() {
    let mut broken = rpc(2, &[]);
    *broken.last_mut().unwrap() ^= 1;
    for (packet, wanted) in [
        (broken, "Err(InvalidPacket)"),
        (rpc(9, &[]), "Err(UnknownCommand)"),
        (rpc(2, b"x"), "Err(InvalidPacket)"),
        (rpc(1, b""), "Err(InvalidPacket)"),
        (rpc(1, b"\x00\x00"), "Err(InvalidPacket)"),
        (rpc(1, b"\x05abc"), "Err(InvalidPacket)"),
        (rpc(1, b"\x01a\x01bc"), "Err(InvalidPacket)"),
        (rpc(1, b"\x01\xff\x00"), "Err(InvalidPacket)"),
        (specified(3, &[2, 5]), "Err(InvalidPacket)"),
        (specified(3, &[]), "Err(InvalidPacket)"),
        (specified(4, &[2, 0]), "Err(InvalidPacket)"),
    ] {
        assert_eq!(received(&[(0, &packet)]).1, [wanted], "{packet:?}");
    }
}

#[test]
fn what_is_typed_stays_the_consoles() {
    let state = rpc(2, &[]);
    let ok = vec!["Ok(State)".to_owned()];
    // A packet amid a line, with the newline that its sender puts behind it.
    assert_eq!(
        received(&[(0, b"show"), (0, &state), (0, b"\n\n")]),
        ("show\n".to_owned(), ok.clone())
    );
    assert_eq!(
        received(&[(0, b"set ssid IMPROV\nIMPR"), (9_000, b"x")]).0,
        "set ssid IMPROV\nIMPRx"
    );
    assert_eq!(
        received(&[(0, b"II"), (1, &state)]),
        ("II".to_owned(), ok.clone())
    );
    // One that was cut off is forgotten, and the next one is whole.
    assert_eq!(received(&[(0, &state[..9]), (501, &state)]), (String::new(), ok));
}

#[test]
fn answers_are_as_specified() {
    for (packet, wanted) in [
        (state(State::Provisioned), specified(1, &[4])),
        (error(Error::UnableToConnect), specified(2, &[3])),
        (
            result(Command::Info, &["wsdm", "0.1.0"]).unwrap(),
            specified(4, b"\x03\x0b\x04wsdm\x050.1.0"),
        ),
        (result(Command::Scan, &[]).unwrap(), specified(4, b"\x04\x00")),
    ] {
        assert_eq!(packet[..], wanted[..]);
    }
    assert_eq!(result(Command::Info, &[&"x".repeat(256)]), None);
    assert_eq!(
        result(Command::Info, &[&"x".repeat(252)]).unwrap().len(),
        9 + 255 + 1
    );
    assert_eq!(result(Command::Info, &[&"x".repeat(253)]), None);
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes: std::vec::Vec<u8>, len: u8, kind: u8) {
        let mut receiver = Receiver::new();
        for byte in [b"IMPROV\x01", &[kind, len][..], &bytes].concat() {
            let _ = receiver.push(0, byte);
        }
    }

    #[test]
    fn every_byte_is_typed_or_in_a_packet(
        pieces in proptest::collection::vec(prop_oneof![Just(None), "[IMPROVa-z]{0,9}".prop_map(Some)], 0..12),
    ) {
        let packet = rpc(4, &[]);
        let mut all = std::vec::Vec::new();
        let (mut typed, mut count) = (String::new(), 0);
        for piece in &pieces {
            match piece {
                Some(text) => {
                    all.extend_from_slice(text.as_bytes());
                    typed.push_str(text);
                }
                None => {
                    all.extend_from_slice(&packet);
                    count += 1;
                }
            }
        }
        // Ends what may have begun like a packet.
        all.push(b'.');
        typed.push('.');
        let (got, packets) = received(&[(0, &all)]);
        prop_assert_eq!(got, typed);
        prop_assert_eq!(packets, vec!["Ok(Scan)"; count]);
    }
}
