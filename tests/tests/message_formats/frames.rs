//! Part one: each frame of the table, in both directions, and the commands that try a worker.

use std::path::Path;
use std::process::Command;

use dispatcher_core::frame::{Decoder, Frame};

use crate::{block, chapter, code, rows};

fn frame(name: &str) -> Frame {
    let pinging = Frame {
        stream: Frame::STREAM | Frame::PING,
        ..Frame::task(b"", b"a")
    };
    let raw = Frame {
        flags: Frame::RAW,
        ..Frame::task(b"", b"A")
    };
    match name {
        "pid request" => Frame::pid_request(1234),
        "pid reply" => Frame::pid_reply(1234),
        r#"task, context `{"lastTick":0}`"# => Frame::task(br#"{"lastTick":0}"#, br#"{"tick":0}"#),
        "RAW task without a context" => raw,
        "reply" => Frame::task(b"", b"OK"),
        "empty reply" => Frame::task(b"", b""),
        "soft error" => Frame::error("boom"),
        "stop" => Frame::stop(),
        "wish to be stopped" => Frame::stop_reply(),
        "chunk of a stream" => Frame::chunk(b"a"),
        "chunk with PING" => pinging,
        "cancel of a stream" => Frame::stream_cancel(),
        "PONG" => Frame::pong(),
        other => panic!("what is {other:?}?"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    pairs
        .map(|byte| u8::try_from(byte).expect("two digits"))
        .collect()
}

#[test]
fn each_frame_has_its_bytes() {
    let mut count = 0;
    for cells in rows(chapter("Frames")) {
        let [name, _, header, payload] = cells[..] else {
            panic!("{cells:?}");
        };
        let expected = frame(name);
        let documented = [bytes(header), code(payload).as_bytes().to_vec()].concat();
        let mut encoded = Vec::new();
        expected.encode(&mut encoded);
        assert_eq!(encoded, documented, "{name}");
        let mut decoder = Decoder::new(1024);
        decoder.push(&documented);
        assert_eq!(decoder.next(), Ok(Some(expected)), "{name}");
        count += 1;
    }
    assert_eq!(count, 13);
}

#[test]
fn the_layout_is_that_of_the_codec() {
    let layout: Vec<_> = block("").collect();
    for (flag, name) in [
        (Frame::CONTROL, "CONTROL"),
        (Frame::RAW, "RAW"),
        (Frame::JSON, "JSON"),
        (Frame::MSGPACK, "MSGPACK"),
        (Frame::GOB, "GOB"),
        (Frame::ERROR, "ERROR"),
        (Frame::PROTO, "PROTO"),
    ] {
        assert!(layout[2].contains(&format!("{flag:02x} {name}")), "{name}");
    }
    for (bit, name) in [
        (Frame::STREAM, "STREAM"),
        (Frame::STOP, "STOP"),
        (Frame::PING, "PING"),
        (Frame::PONG, "PONG"),
    ] {
        assert!(layout[5].contains(&format!("{bit:02x} {name}")), "{name}");
    }
}

#[test]
fn the_commands_print_what_they_say() {
    let mut lines = block("console").peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("$ ").expect("a command, then its output");
        let mut printed = String::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
            printed.push_str(line);
            printed.push('\n');
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let output = Command::new("bash")
            .args(["-c", command])
            .current_dir(root.expect("the root of the workspace"))
            .output()
            .expect("bash can be started");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim_end(), printed.trim_end(), "{output:?}");
        count += 1;
    }
    assert_eq!(count, 2);
}
