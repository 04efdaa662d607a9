use proptest::prelude::*;

use super::*;

const LIMIT: usize = 24;

/// Feeds chunks as reads would, and collects the frames.
fn decode(codec: &mut FrameCodec, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut read = BytesMut::new();
    let mut frames = Vec::new();
    let mut take = |codec: &mut FrameCodec, read: &mut BytesMut| {
        while let Some(frame) = codec.decode(read).unwrap() {
            frames.push(frame.0.to_vec());
        }
    };
    for chunk in chunks {
        read.extend_from_slice(chunk);
        take(codec, &mut read);
    }
    frames
}

fn delimiter(bytes: &[u8]) -> Framing {
    Framing::Delimiter(Bytes::copy_from_slice(bytes))
}

fn prefix(width: PrefixWidth, order: ByteOrder) -> Framing {
    Framing::LengthPrefix { width, order }
}

fn texts(frames: Vec<Vec<u8>>) -> Vec<String> {
    frames
        .into_iter()
        .map(|f| String::from_utf8(f).unwrap())
        .collect()
}

#[test]
fn a_delimiter_stays_on_its_frame_and_blank_lines_are_none() {
    let mut codec = FrameCodec::new(delimiter(b";"));
    let frames = decode(&mut codec, &[b"OK;Z:11:AA", b"BB;;", b"\r\n;5;"]);
    assert_eq!(texts(frames), ["OK;", "Z:11:AABB;", "5;"]);
    let mut codec = FrameCodec::new(delimiter(b"\r\n"));
    let frames = decode(&mut codec, &[b"one\r", b"\n\r\ntwo\r\r\n", b"thr"]);
    assert_eq!(texts(frames), ["one\r\n", "two\r\r\n"]);
}

#[test]
fn a_length_prefix_is_taken_off_and_put_on() {
    for (width, order, wire) in [
        (PrefixWidth::One, ByteOrder::Big, &b"\x02ab\x00\x01c"[..]),
        (PrefixWidth::Two, ByteOrder::Big, b"\x00\x02ab\x00\x00\x00\x01c"),
        (
            PrefixWidth::Two,
            ByteOrder::Little,
            b"\x02\x00ab\x00\x00\x01\x00c",
        ),
        (
            PrefixWidth::Four,
            ByteOrder::Little,
            b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c",
        ),
    ] {
        let mut codec = FrameCodec::new(prefix(width, order));
        assert_eq!(texts(decode(&mut codec, &[wire])), ["ab", "c"]);
        let mut out = BytesMut::new();
        codec.encode(Frame::from(&b"ab"[..]), &mut out).unwrap();
        assert!(wire.starts_with(&out), "{out:?}");
    }
}

#[test]
fn a_frame_that_no_prefix_fits_is_dropped_alone() {
    let mut codec = FrameCodec::new(prefix(PrefixWidth::One, ByteOrder::Big));
    let mut out = BytesMut::new();
    codec.encode(Frame::from(vec![7; 256]), &mut out).unwrap();
    assert!(out.is_empty());
    assert_eq!(codec.dropped(), 1);
    codec.encode(Frame::from(vec![7; 255]), &mut out).unwrap();
    assert_eq!(out.len(), 256);
}

/// A machine of 32 bits has no length that does not fit four bytes.
#[test]
fn every_length_of_32_bits_fits_four_bytes() {
    for length in [0, 1, 255, 256, 65_535, 65_536, 0x00FF_FFFF, u32::MAX] {
        assert!(PrefixWidth::Four.fits(length.into()), "{length}");
        assert_eq!(PrefixWidth::Two.fits(length.into()), length < 65_536, "{length}");
        assert_eq!(PrefixWidth::One.fits(length.into()), length < 256, "{length}");
    }
    assert!(!PrefixWidth::Four.fits(u64::from(u32::MAX) + 1));
}

#[test]
fn a_frame_over_the_limit_is_dropped_and_the_next_one_is_found() {
    let long = [b'x'; 5 * LIMIT];
    let mut codec = FrameCodec::with_limit(delimiter(b";"), LIMIT);
    assert_eq!(texts(decode(&mut codec, &[b"a;", &long, b"b;c;"])), ["a;", "c;"]);
    assert_eq!(codec.dropped(), 1);

    let mut codec = FrameCodec::with_limit(prefix(PrefixWidth::One, ByteOrder::Big), LIMIT);
    let wire = [b"\x01a\x78", &long[..], b"\x01b"].concat();
    assert_eq!(texts(decode(&mut codec, &[&wire])), ["a", "b"]);
    assert_eq!(codec.dropped(), 1);

    let mut codec = FrameCodec::with_limit(Framing::Idle(Duration::from_millis(5)), LIMIT);
    let mut read = BytesMut::from(&long[..]);
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert!(read.is_empty(), "nothing of it is kept");
    read.extend_from_slice(b"end");
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert_eq!(codec.pause_over(&mut read), None);
    read.extend_from_slice(b"next");
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert_eq!(codec.pause_over(&mut read), Some(Frame::from(&b"next"[..])));
    assert_eq!(codec.dropped(), 1);

    let mut codec = FrameCodec::with_limit(Framing::Raw, LIMIT);
    let lengths: Vec<_> = decode(&mut codec, &[&long]).iter().map(Vec::len).collect();
    assert_eq!(lengths, [LIMIT; 5]);
}

#[test]
fn a_pause_without_anything_is_no_frame() {
    let mut codec = FrameCodec::new(Framing::Idle(Duration::from_millis(5)));
    assert_eq!(codec.pause_over(&mut BytesMut::new()), None);
    assert_eq!(codec.idle(), Some(Duration::from_millis(5)));
    assert_eq!(FrameCodec::new(Framing::Raw).idle(), None);
}

/// A board that speaks JSON without newlines: nothing that it sends becomes a hello line.
#[test]
fn json_without_newlines_is_passed_on_at_once() {
    for text in [
        "{\"version\":3}",
        "{\"identifier\":7,\"speed\":1}",
        "{\"address\":\"x\"} {\"address\":\"y\"}",
        "{\"address\",",
        "{\"identifier\":\"a\"};",
    ] {
        let mut codec = FrameCodec::new(Framing::Raw);
        assert_eq!(texts(decode(&mut codec, &[text.as_bytes()])), [text]);
    }
}

#[test]
fn what_only_begins_like_a_hello_line_is_passed_on_after_a_pause() {
    for text in ["{", "{\"add", "{\"address\":\"open", "{\"version\":3"] {
        let mut codec = FrameCodec::new(Framing::Raw);
        let mut read = BytesMut::from(text);
        assert_eq!(codec.decode(&mut read).unwrap(), None, "{text}");
        assert_eq!(codec.idle(), Some(HELLO_PAUSE));
        assert_eq!(codec.pause_over(&mut read), Some(text.into()));
        assert_eq!(codec.idle(), None);
        // It held nothing back for good.
        read.extend_from_slice(b"5");
        assert_eq!(codec.decode(&mut read).unwrap(), Some("5".into()), "{text}");
    }
    let mut codec = FrameCodec::new(delimiter(b";"));
    let mut read = BytesMut::from("{\"address\":\"a;b;");
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert_eq!(codec.pause_over(&mut read), Some("{\"address\":\"a;".into()));
    assert_eq!(codec.decode(&mut read).unwrap(), Some("b;".into()));
    // A hello line of which only the end is missing is one.
    let mut codec = FrameCodec::new(Framing::Raw);
    let mut read = BytesMut::from(HELLO.trim_end());
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert_eq!(codec.pause_over(&mut read), None);
    assert!(codec.take_hello().is_some() && read.is_empty());
}

const HELLO: &str = "{\"identifier\":\"LVSDevice\",\"address\":\"b;1\",\"version\":0}\r\n";

#[test]
fn hello_lines_that_come_later_are_no_frames() {
    let stream = format!("OK;\r\n{HELLO}{HELLO}5;{{\"identifier\":7}};\n");
    let mut codec = FrameCodec::new(delimiter(b";"));
    assert_eq!(codec.take_hello(), None);
    let frames = texts(decode(&mut codec, &[stream.as_bytes()]));
    assert_eq!(frames, ["OK;", "5;", "{\"identifier\":7};"]);
    let hello = codec.take_hello().expect("what they said is kept");
    assert_eq!(hello.handshake.identifier.as_str(), "LVSDevice");
    assert_eq!(codec.take_hello(), None);

    let mut codec = FrameCodec::new(Framing::Raw);
    let frames = texts(decode(
        &mut codec,
        &[&HELLO.as_bytes()[..9], &HELLO.as_bytes()[9..], b"42"],
    ));
    assert_eq!(frames, ["42"]);

    let mut codec = FrameCodec::new(Framing::Idle(Duration::from_millis(5)));
    let mut read = BytesMut::from(HELLO.as_bytes());
    assert_eq!(codec.decode(&mut read).unwrap(), None);
    assert_eq!(codec.pause_over(&mut read), None);
}

#[test]
fn text_that_only_looks_like_a_hello_line_passes() {
    let mut codec = FrameCodec::new(delimiter(b"\n"));
    for text in [
        "{\"identity\":1}\n",
        "{\n",
        "{\"identifier\":\"x\"}\n",
        "{\"version\":3}\n",
    ] {
        assert_eq!(texts(decode(&mut codec, &[text.as_bytes()])), [text]);
    }
    let mut codec = FrameCodec::new(delimiter(b";"));
    let long = format!("{{\"identifier\":\"{}\";", "x".repeat(HANDSHAKE_MAX_BYTES));
    assert_eq!(texts(decode(&mut codec, &[long.as_bytes()])), [long]);
}

#[test]
fn the_end_of_the_stream_is_the_end_of_a_pause_but_of_no_other_frame() {
    let mut codec = FrameCodec::new(Framing::Idle(Duration::from_millis(5)));
    let mut read = BytesMut::from(&b"last"[..]);
    assert_eq!(
        codec.decode_eof(&mut read).unwrap(),
        Some(Frame::from(&b"last"[..]))
    );
    let mut codec = FrameCodec::new(delimiter(b";"));
    let mut read = BytesMut::from(&b"OK;hal"[..]);
    assert_eq!(
        codec.decode_eof(&mut read).unwrap(),
        Some(Frame::from(&b"OK;"[..]))
    );
    assert_eq!(codec.decode_eof(&mut read).unwrap(), None);
}

fn chunked<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// Few letters, so that half delimiters are frequent, and hello lines between them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n'), Just(b'{')], 0..40),
        1 => Just(HELLO.as_bytes().to_vec()),
        1 => Just(HELLO.as_bytes()[..20].to_vec()),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// However it is cut, all that a device sends is passed on: what is held back waits for a pause at most.
    #[test]
    fn nothing_is_held_back_past_a_pause(
        stream in stream(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut codec = FrameCodec::new(Framing::Raw);
        let mut read = BytesMut::new();
        let mut passed = 0;
        let letters = |bytes: &[u8]| bytes.iter().filter(|b| !b.is_ascii_whitespace()).count();
        for chunk in chunked(&stream, &cuts) {
            read.extend_from_slice(chunk);
            while let Some(frame) = codec.decode(&mut read).unwrap() {
                passed += letters(&frame.0);
            }
            let held = read.len();
            prop_assert!(held == 0 || codec.idle().is_some(), "{read:?}");
            if let Some(frame) = codec.pause_over(&mut read) {
                passed += letters(&frame.0);
            }
            prop_assert!(read.is_empty(), "{read:?}");
        }
        // Hello lines are no frames.
        let hellos = stream.windows(HELLO.len()).filter(|w| *w == HELLO.as_bytes()).count();
        prop_assert!(passed + hellos * letters(HELLO.as_bytes()) >= letters(&stream));
    }

    #[test]
    fn any_chunking_decodes_alike_up_to_a_delimiter(
        stream in stream(),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        end in proptest::sample::select(vec![&b"a"[..], b"ab", b"aab", b"aa", b"\n", b"b\n"]),
    ) {
        let mut whole = FrameCodec::with_limit(delimiter(end), LIMIT);
        let mut pieces = FrameCodec::with_limit(delimiter(end), LIMIT);
        let wanted = decode(&mut whole, &[&stream]);
        prop_assert!(wanted.iter().all(|f| f.ends_with(end) && f.len() <= LIMIT + end.len()));
        prop_assert_eq!(decode(&mut pieces, &chunked(&stream, &cuts)), wanted);
        prop_assert_eq!(pieces.dropped(), whole.dropped());
    }

    #[test]
    fn any_chunking_decodes_alike_behind_a_length_prefix(
        stream in proptest::collection::vec(prop_oneof![4 => 0_u8..3, 1 => any::<u8>()], 0..400),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        width in prop_oneof![Just(PrefixWidth::One), Just(PrefixWidth::Two), Just(PrefixWidth::Four)],
        order in prop_oneof![Just(ByteOrder::Big), Just(ByteOrder::Little)],
    ) {
        let framing = prefix(width, order);
        let mut whole = FrameCodec::with_limit(framing.clone(), LIMIT);
        let mut pieces = FrameCodec::with_limit(framing, LIMIT);
        let wanted = decode(&mut whole, &[&stream]);
        prop_assert_eq!(decode(&mut pieces, &chunked(&stream, &cuts)), wanted);
        prop_assert_eq!(pieces.dropped(), whole.dropped());
    }

    #[test]
    fn what_is_encoded_is_decoded(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..LIMIT), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..20),
        width in prop_oneof![Just(PrefixWidth::One), Just(PrefixWidth::Two), Just(PrefixWidth::Four)],
        order in prop_oneof![Just(ByteOrder::Big), Just(ByteOrder::Little)],
    ) {
        let mut codec = FrameCodec::new(prefix(width, order));
        let mut wire = BytesMut::new();
        for frame in &frames {
            codec.encode(Frame::from(frame.clone()), &mut wire).unwrap();
        }
        prop_assert_eq!(decode(&mut codec, &chunked(&wire, &cuts)), frames);
    }

    #[test]
    fn no_more_is_kept_than_a_frame_and_its_delimiter(
        chunks in proptest::collection::vec(proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'x')], 0..50), 0..20),
    ) {
        let mut codec = FrameCodec::with_limit(delimiter(b"aaaa"), LIMIT);
        let mut read = BytesMut::new();
        for chunk in &chunks {
            read.extend_from_slice(chunk);
            while codec.decode(&mut read).unwrap().is_some() {}
            prop_assert!(read.len() <= LIMIT + 4, "{}", read.len());
        }
    }
}
