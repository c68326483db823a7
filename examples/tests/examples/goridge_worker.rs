//! The worker in Rust, as its host starts it.

use std::io::Write as _;
use std::process::{Output, Stdio};

use dispatcher_core::frame::{Decoder, Frame};

use crate::support::{Program, text};

/// Sends frames, then hangs up; what the worker answered and how it ended.
fn host(mode: &str, frames: &[Frame]) -> (Vec<Frame>, Output) {
    let program = Program::new(env!("CARGO_BIN_EXE_goridge_worker"));
    let mut child = program
        .command(&[])
        .env("RR_RELAY", "pipes")
        .env("RR_MODE", mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be started");
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    let mut stdin = child.stdin.take().expect("a pipe");
    // A worker that refuses its mode reads nothing.
    let _ = stdin.write_all(&bytes);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends with its host");
    let mut decoder = Decoder::new(1024);
    decoder.push(&output.stdout);
    let answers = std::iter::from_fn(|| decoder.next().expect("frames and nothing else"));
    (answers.collect(), output)
}

#[test]
fn ticks_are_answered_and_printing_does_no_harm() {
    let tick = Frame::task(br#"{"lastTick":null}"#, br#"{"tick":7}"#);
    let (answers, output) = host("ticker", &[tick, Frame::task(b"", b"tock"), Frame::stop()]);
    assert_eq!(answers[0], Frame::task(b"", b"OK"));
    assert!(answers[1].is_error() && answers.len() == 2);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(output.stderr), "tick 7\nno more ticks\n");
}

#[test]
fn an_echo_comes_whole_or_line_by_line() {
    let lines = Frame {
        flags: Frame::RAW,
        ..Frame::task(b"", b"a\nb")
    };
    let (answers, _) = host("echo", &[Frame::task(b"c", b"d"), lines]);
    let pieces = [
        Frame::chunk(b"a\n"),
        Frame::chunk(b"b"),
        Frame::task(b"", b""),
    ];
    assert_eq!(answers[0], Frame::task(b"c", b"d"));
    assert_eq!(answers[1..], pieces);
}

#[test]
fn another_mode_is_refused_and_no_host_means_the_command_line() {
    let (answers, output) = host("http", &[Frame::pid_request(1)]);
    assert!(answers.is_empty());
    assert_eq!(output.status.code(), Some(78));
    let said = text(output.stderr);
    assert!(
        said.contains("serves RR_MODE `http`; it has Echo, Ticker"),
        "{said}"
    );
    let program = Program::new(env!("CARGO_BIN_EXE_goridge_worker"));
    assert!(program.says(&["--help"]).contains("Commands:"));
}
