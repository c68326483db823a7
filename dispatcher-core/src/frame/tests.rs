//! The codec against the bytes of the specification, against corruption and against any cut.

use super::*;

/// A small generator (splitmix64), so that a failing case can be named by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// Every frame, then how it ended: `Ok` with what is half received, or the last error.
type Reading = (Vec<Frame>, Result<bool, FrameError>);

fn read_pieces<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Reading {
    let mut decoder = Decoder::new(1 << 20);
    let mut frames = Vec::new();
    let mut end = Ok(());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    assert!(end.is_ok(), "a decoder that failed gave a frame");
                    frames.push(frame);
                }
                Ok(None) => {
                    assert!(end.is_ok(), "a decoder that failed recovered");
                    break;
                }
                Err(error) => {
                    assert!(decoder.pending_bytes() <= QUOTE_BYTES_MAX.max(piece.len()));
                    end = Err(error);
                    break;
                }
            }
        }
    }
    (frames, end.map(|()| decoder.half_received()))
}

fn read_whole(bytes: &[u8]) -> Reading {
    read_pieces(std::iter::once(bytes))
}

fn read_singly(bytes: &[u8]) -> Reading {
    read_pieces(bytes.chunks(1))
}

/// What it is called, how it is made, and its bytes in the specification.
type Row = (&'static str, Frame, Vec<u8>);

fn with(header: &str, payload: &[u8]) -> Vec<u8> {
    [hex(header), payload.to_vec()].concat()
}

fn table() -> Vec<Row> {
    [control_frames(), task_frames(), stream_frames()].concat()
}

fn control_frames() -> Vec<Row> {
    vec![
        (
            "pid request",
            Frame::pid_request(1234),
            with("13 09 0c000000 5f0c4673 0000", br#"{"pid":1234}"#),
        ),
        (
            "pid reply",
            Frame::pid_reply(1234),
            with("13 01 0c000000 9e473643 0000", br#"{"pid":1234}"#),
        ),
        (
            "stop",
            Frame::stop(),
            with("13 09 0d000000 3a6bfacb 0000", br#"{"stop":true}"#),
        ),
    ]
}

fn task_frames() -> Vec<Row> {
    let raw = Frame {
        flags: Frame::RAW,
        ..Frame::task(b"", b"A")
    };
    vec![
        (
            "exec",
            Frame::task(br#"{"lastTick":0}"#, br#"{"tick":0}"#),
            with(
                "14 00 18000000 5e9e28bc 0000 0e000000",
                br#"{"lastTick":0}{"tick":0}"#,
            ),
        ),
        (
            "exec raw",
            raw,
            hex("14 04 01000000 8b20b964 0000 00000000 41"),
        ),
        (
            "reply",
            Frame::task(b"", b"OK"),
            hex("14 00 02000000 a5298c83 0000 00000000 4f4b"),
        ),
        (
            "empty reply",
            Frame::task(b"", b""),
            hex("14 00 00000000 2ee18529 0000 00000000"),
        ),
        (
            "error",
            Frame::error("boom"),
            with("13 40 04000000 881e11e3 0000", b"boom"),
        ),
        (
            "stop reply",
            Frame::stop_reply(),
            with("14 00 0d000000 f339efdb 0000 0d000000", br#"{"stop":true}"#),
        ),
    ]
}

fn stream_frames() -> Vec<Row> {
    let ping = Frame {
        stream: Frame::STREAM | Frame::PING,
        ..Frame::chunk(b"a")
    };
    vec![
        (
            "chunk",
            Frame::chunk(b"a"),
            hex("14 00 01000000 4b863991 0100 00000000 61"),
        ),
        (
            "chunk with ping",
            ping,
            hex("14 00 01000000 4b863991 0500 00000000 61"),
        ),
        (
            "stream cancel",
            Frame::stream_cancel(),
            hex("13 00 00000000 96d18034 0200"),
        ),
        ("pong", Frame::pong(), hex("13 00 00000000 96d18034 0800")),
    ]
}

#[test]
fn every_row_of_the_table() {
    for (name, frame, bytes) in table() {
        assert_eq!(encoded(&frame), bytes, "{name}");
        assert_eq!(read_whole(&bytes), (vec![frame], Ok(false)), "{name}");
    }
}

#[test]
fn one_byte_at_a_time_equals_all_at_once() {
    let stream: Vec<u8> = table()
        .into_iter()
        .flat_map(|(_, _, bytes)| bytes)
        .collect();
    assert_eq!(read_singly(&stream), read_whole(&stream));
    assert_eq!(read_whole(&stream).0.len(), table().len());
}

#[test]
fn a_prefix_is_half_received() {
    for (name, _, bytes) in table() {
        for end in 1..bytes.len() {
            assert_eq!(
                read_whole(&bytes[..end]),
                (vec![], Ok(true)),
                "{name} {end}"
            );
        }
    }
}

#[test]
fn every_single_corrupt_bit_that_the_header_protects_is_found() {
    for (name, frame, bytes) in table() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut corrupt = bytes.clone();
            corrupt[bit / 8] ^= 1 << (bit % 8);
            let reading = read_whole(&corrupt);
            assert_eq!(reading, read_singly(&corrupt), "{name} bit {bit}");
            // The checksum ends at byte 5: the four stream bits have no protection in this format.
            if (80..84).contains(&bit) {
                let stream = frame.stream ^ 1 << (bit - 80);
                let other = Frame {
                    stream,
                    ..frame.clone()
                };
                assert_eq!(reading, (vec![other], Ok(false)), "{name} bit {bit}");
            } else {
                assert!(
                    reading.0.is_empty() && reading.1.is_err(),
                    "{name} bit {bit}"
                );
            }
        }
    }
}

#[test]
fn every_header_length_and_version() {
    for first in 0..=u8::MAX {
        let mut header = vec![first, 0, 0, 0, 0, 0];
        let crc = crc32fast::hash(&header);
        header.extend(crc.to_le_bytes());
        header.extend([0, 0]);
        header.extend([0; 4 * 15]);
        let (frames, end) = read_whole(&header[..HEADER_BYTES.max(4 * usize::from(first & 15))]);
        if first >> 4 == 1 && (3..=13).contains(&(first & 15)) {
            assert_eq!(frames[0].options.len(), usize::from((first & 15) - 3));
            assert_eq!(end, Ok(false));
        } else if first >> 4 == 1 {
            assert_eq!(end, Err(FrameError::HeaderLength { words: first & 15 }));
        } else {
            assert_eq!(end, Err(FrameError::Version { found: first >> 4 }));
        }
    }
}

#[test]
fn a_claim_allocates_nothing() {
    let mut header = hex("13 00 ffffffff");
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header.extend([0, 0]);
    let mut decoder = Decoder::new(usize::MAX);
    decoder.push(&header);
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.half_received());
    assert!(decoder.buffer.capacity() < 64);

    let mut decoder = Decoder::new(10);
    decoder.push(&header);
    let refused = FrameError::PayloadTooLarge {
        length: u32::MAX,
        max: 10,
    };
    assert_eq!(decoder.next(), Err(refused.clone()));
    decoder.push(&encoded(&Frame::pong()));
    assert_eq!(decoder.next(), Err(refused));
    assert!(!decoder.half_received());
}

#[test]
fn the_cap_is_exact() {
    for length in [9, 10, 11] {
        let mut decoder = Decoder::new(10);
        decoder.push(&encoded(&Frame::error("x".repeat(length))));
        assert_eq!(decoder.next().is_ok(), length <= 10, "{length}");
    }
}

#[test]
fn stray_text_is_quoted() {
    for text in [
        "x",
        "Warning: Undefined variable $a in /app/worker.php on line 3\n",
        "\u{1b}[31mred\u{1b}[0m text",
        "héllo wörld, ünd so weiter",
        "\r\n\t",
    ] {
        let quote = text.to_owned();
        let expected = (vec![], Err(FrameError::StrayText { quote }));
        assert_eq!(read_whole(text.as_bytes()), expected);
        assert_eq!(read_singly(text.as_bytes()), expected);
        let after = [encoded(&Frame::pong()), text.as_bytes().to_vec()].concat();
        assert_eq!(read_singly(&after), (vec![Frame::pong()], expected.1));
    }
}

#[test]
fn the_quotation_is_bounded_and_grows_to_its_bound() {
    let text = "a".repeat(100_000);
    let quote = "a".repeat(QUOTE_BYTES_MAX);
    let expected = (vec![], Err(FrameError::StrayText { quote }));
    assert_eq!(read_whole(text.as_bytes()), expected);
    assert_eq!(read_singly(text.as_bytes()), expected);
    assert_eq!(read_pieces(text.as_bytes().chunks(7)), expected);
}

#[test]
fn context_must_lie_in_the_payload() {
    let frame = |options: &[u32]| Frame {
        options: options.to_vec(),
        payload: b"abc".to_vec(),
        ..Frame::default()
    };
    assert_eq!(frame(&[2]).context_and_body(), Ok((&b"ab"[..], &b"c"[..])));
    assert_eq!(frame(&[3]).context_and_body(), Ok((&b"abc"[..], &b""[..])));
    for options in [&[][..], &[4], &[u32::MAX], &[1, 1]] {
        assert!(frame(options).context_and_body().is_err(), "{options:?}");
    }
}

#[test]
fn stops_are_told_apart() {
    assert!(Frame::stop().is_stop() && !Frame::stop().is_stop_reply());
    assert!(Frame::stop_reply().is_stop_reply() && !Frame::stop_reply().is_stop());
    assert!(!Frame::task(b"", br#"{"stop":true}"#).is_stop_reply());
    assert!(!Frame::task(br#"{"stop":true}"#, b"x").is_stop_reply());
    assert!(!Frame::error(r#"{"stop":true}"#).is_stop_reply());
}

#[test]
#[should_panic(expected = "at most 10 options")]
fn too_many_options_are_a_bug() {
    encoded(&Frame {
        options: vec![0; 11],
        ..Frame::default()
    });
}

/// Valid frames, bits flipped in them, text and noise, in any mixture.
fn any_stream(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=random.below(6) {
        match random.below(8) {
            0 => stream.extend(random.bytes(40)),
            1 => stream.extend(b"stray text"),
            _ => {
                let length = random.below(300);
                let frame = Frame {
                    flags: random.bytes(1)[0],
                    stream: random.bytes(1)[0] & 0x0f,
                    options: (0..random.below(11)).map(|_| 7).collect(),
                    payload: random.bytes(length),
                };
                frame.encode(&mut stream);
            }
        }
    }
    if random.below(3) == 0 {
        let at = random.below(stream.len());
        stream[at] ^= 1 << random.below(8);
    }
    stream
}

#[test]
fn no_bytes_panic_and_no_cut_matters() {
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let stream = any_stream(&mut random);
        let whole = read_whole(&stream);
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(read_pieces(pieces.into_iter()), whole, "seed {seed}");
        if seed % 10 == 0 {
            assert_eq!(read_singly(&stream), whole, "seed {seed}");
        }
    }
}

#[test]
fn what_is_encoded_is_read_back() {
    for seed in 0..500 {
        let mut random = Random(seed);
        let length = random.below(5_000);
        let frame = Frame {
            flags: random.bytes(1)[0],
            stream: random.bytes(1)[0] & 0x0f,
            options: (0..random.below(11)).map(|option| option as u32).collect(),
            payload: random.bytes(length),
        };
        assert_eq!(read_whole(&encoded(&frame)), (vec![frame], Ok(false)));
    }
}
