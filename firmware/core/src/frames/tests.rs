use proptest::prelude::*;

use super::*;

/// A frame as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(len as u8),
        len => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// What a buffer of this size makes of bytes that come in chunks.
fn read(bytes: &[u8], room: usize, chunk: usize) -> Result<Vec<String>, ProtocolError> {
    let mut buffer = vec![0; room];
    let mut incoming = Incoming::new(&mut buffer, 0, 0);
    let mut seen = Vec::new();
    let mut rest = bytes;
    loop {
        while let Some(frame) = incoming.next()? {
            match frame {
                Frame::Message(m) => seen.push(format!("message {}", String::from_utf8_lossy(m))),
                Frame::Ping(p) => seen.push(format!("ping {}", String::from_utf8_lossy(p))),
                Frame::Close(code, reason) => seen.push(format!("close {code:?} {reason}")),
                Frame::Nothing => {}
            }
        }
        if rest.is_empty() {
            return Ok(seen);
        }
        let space = incoming.space();
        assert!(!space.is_empty(), "there is room when more is wanted");
        let take = chunk.min(space.len()).min(rest.len());
        space[..take].copy_from_slice(&rest[..take]);
        incoming.filled(take);
        rest = &rest[take..];
    }
}

#[test]
fn fragments_are_joined_and_a_ping_may_stand_between_them() {
    let bytes = [
        frame(0x02, b"Vib"),
        frame(0x89, b"p"),
        frame(0x00, b"rate"),
        frame(0x80, b":1;"),
        frame(0x81, b"text"),
        frame(0x8a, b"pong"),
        frame(0x88, b"\x0f\xa1no such name"),
    ]
    .concat();
    for chunk in [1, 2, 3, 100] {
        assert_eq!(
            read(&bytes, 64, chunk).unwrap(),
            [
                "ping p",
                "message Vibrate:1;",
                "message text",
                "close Some(4001) no such name"
            ],
            "in chunks of {chunk}"
        );
    }
}

#[test]
fn what_a_server_may_not_send_is_told() {
    for (bytes, wanted) in [
        (frame(0xc2, b"x"), ProtocolError::Header),
        (frame(0x83, b"x"), ProtocolError::Header),
        (vec![0x82, 0x81, 1, 2, 3, 4, 5], ProtocolError::Masked),
        (frame(0x09, b"x"), ProtocolError::Control),
        (frame(0x89, &[0; 126]), ProtocolError::Control),
        (frame(0x88, b"x"), ProtocolError::Control),
        (frame(0x80, b"x"), ProtocolError::Fragments),
        (
            [frame(0x02, b"x"), frame(0x82, b"y")].concat(),
            ProtocolError::Fragments,
        ),
        (frame(0x82, &[0; 300]), ProtocolError::TooLarge),
        (
            vec![0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255],
            ProtocolError::TooLarge,
        ),
        (frame(0x02, &[0; 90]).repeat(2), ProtocolError::Fragments),
        (
            [frame(0x02, &[0; 120]), frame(0x00, &[0; 120])].concat(),
            ProtocolError::TooLarge,
        ),
        (
            [vec![0x02, 0], [0x00, 0].repeat(50), frame(0x00, &[0; 240])].concat(),
            ProtocolError::TooLarge,
        ),
    ] {
        assert_eq!(
            read(&bytes, 200, 7),
            Err(wanted),
            "{:?}",
            &bytes[..bytes.len().min(8)]
        );
    }
}

#[test]
fn a_close_frame_may_be_bare_and_its_reason_damaged() {
    assert_eq!(read(&frame(0x88, b""), 64, 9).unwrap(), ["close None "]);
    assert_eq!(
        read(&frame(0x88, b"\x03\xe8ok\xff"), 64, 9).unwrap(),
        ["close Some(1000) ok"]
    );
}

#[test]
fn a_frame_is_masked_and_one_that_does_not_fit_leaves_the_others() {
    let mut buffer = [0; 16];
    let mut out = Outgoing::new(&mut buffer);
    out.push(FrameType::Binary(false), b"OK;", 0x0102_0304).unwrap();
    let first = [0x82, 0x83, 1, 2, 3, 4, b'O' ^ 1, b'K' ^ 2, b';' ^ 3];
    assert_eq!(out.bytes(), first);
    assert_eq!(out.push(FrameType::Binary(false), b"85;", 7), Err(Full));
    assert_eq!(out.push(FrameType::Ping, b"", 7), Ok(()));
    assert_eq!(out.push(FrameType::Ping, b"", 7), Err(Full));
    assert_eq!(out.bytes()[..9], first);
    assert_eq!(out.bytes().len(), 15);
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..600), room in 32_usize..300, chunk in 1_usize..50) {
        let _ = read(&bytes, room, chunk);
    }

    #[test]
    fn no_frames_break_it(
        frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..140)), 0..12),
        room in 32_usize..300,
        chunk in 1_usize..50,
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(first, payload)| frame(*first & 0x8f, payload)).collect();
        prop_assert_eq!(read(&bytes, room, chunk), read(&bytes, room, 1_000));
    }

    #[test]
    fn a_message_survives_any_fragmentation(
        message in proptest::collection::vec(0x20_u8..0x7f, 0..200),
        cuts in proptest::collection::vec(0_usize..200, 0..6),
        chunk in 1_usize..50,
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(message.len())).collect();
        cuts.sort_unstable();
        cuts.push(message.len());
        let mut bytes = Vec::new();
        let mut from = 0;
        for (i, to) in cuts.iter().enumerate() {
            let opcode = if i == 0 { 2 } else { 0 };
            let fin = if i + 1 == cuts.len() { 0x80 } else { 0 };
            bytes.extend(frame(opcode | fin, &message[from..*to]));
            from = *to;
        }
        let wanted = format!("message {}", String::from_utf8_lossy(&message));
        prop_assert_eq!(read(&bytes, 256, chunk), Ok(vec![wanted]));
    }
}
