//! What the Rust worker does when the code of its user fails, or does not keep the rules.

use dispatcher_core::frame::Frame;

use crate::host::{End, Host, Kind};

const LAST: &str = "finalizer a ran for the last time\n\
                    finalizer b ran for the last time\n\
                    finalizer c ran for the last time\n";

/// Sends a task and waits for the end that follows an ERROR frame with a text like this.
fn refused(task: &str, text: &str) -> End {
    let mut host = Host::greet(Kind::Rust);
    host.task(task);
    let error = host.frame();
    assert!(error.is_error(), "{task}: {error:?}");
    let said = String::from_utf8(error.payload).expect("text");
    assert!(said.contains(text), "{task}: {said}");
    let end = host.end();
    assert_eq!((end.code, &end.stdout[..]), (Some(70), &b""[..]), "{end:?}");
    assert!(end.stderr.contains(LAST), "{task}: {}", end.stderr);
    assert!(
        end.stderr.contains(&format!("error: {said}")),
        "{}",
        end.stderr
    );
    end
}

#[test]
fn a_failure_answers_the_task_and_ends_the_worker() {
    refused("panic boom", "panicked at tests/src/bin/goridge.rs:");
    refused("panic boom", ": boom");
    refused("fail it is broken", "it is broken");
    refused("exit without a number", "invalid digit");
}

#[test]
fn each_payload_is_answered_once() {
    refused("forget", "the last task has no answer yet");
    refused("leave", "the last task has no answer yet");
    let mut host = Host::greet(Kind::Rust);
    assert_eq!(host.ask("twice"), "once");
    assert_eq!(host.ask("next"), "hello next");
    host.hang_up();
    let end = host.end();
    assert_eq!(end.code, Some(0));
    assert!(end.stderr.contains("there is no task to answer"));
}

#[test]
fn finalizers_run_after_each_answer_and_once_at_the_end() {
    let mut host = Host::greet(Kind::Rust);
    assert_eq!(host.ask("ran"), "");
    assert_eq!(host.ask("ran"), "abc");
    host.task("error softly");
    assert!(host.frame().is_error());
    assert_eq!(host.ask("ran"), "abcabcabc");
    host.send(&Frame::stop());
    let end = host.end();
    assert_eq!(end.code, Some(0));
    assert_eq!(end.stderr.matches(LAST).count(), 1, "{}", end.stderr);
}

#[test]
fn a_failed_finalizer_is_told_as_its_own_and_the_task_keeps_its_answer() {
    for (task, text) in [
        ("mishap 1", "the cache could not be emptied"),
        ("mishap 2", "tests/src/bin/goridge.rs:"),
        ("swallow", "the cache could not be emptied"),
    ] {
        let mut host = Host::greet(Kind::Rust);
        assert_eq!(host.ask(task), "answered");
        let end = host.end();
        assert_eq!((end.code, &end.stdout[..]), (Some(70), &b""[..]), "{end:?}");
        assert!(end.stderr.contains("error: finalizers failed"), "{end:?}");
        assert!(end.stderr.contains(text), "{end:?}");
        for line in LAST.lines() {
            assert_eq!(end.stderr.matches(line).count(), 1, "{end:?}");
        }
    }
}

#[test]
fn a_task_that_meets_a_failed_finalizer_goes_elsewhere() {
    let mut host = Host::greet(Kind::Rust);
    let two = ["mishap 1", "next"].map(|body| Frame::task(b"", body.as_bytes()));
    let bytes = two.iter().flat_map(crate::host::encoded);
    host.write(&bytes.collect::<Vec<u8>>());
    assert_eq!(host.frame(), Frame::task(b"", b"answered"));
    assert!(host.frame().is_stop_reply());
    assert_eq!(host.end().code, Some(70));
}

#[test]
fn what_the_body_is_goes_back_as_it_came() {
    let mut host = Host::greet(Kind::Rust);
    let task = Frame {
        flags: Frame::PROTO,
        ..Frame::task(b"context", b"same \0\xff")
    };
    host.send(&task);
    assert_eq!(host.frame(), task);
}

#[test]
fn a_process_that_nobody_can_serve_says_so() {
    for (variables, text) in [
        (
            [("RR_MODE", "http")],
            "error: nothing in this program serves RR_MODE `http`; it has Commands, Unwanted\n",
        ),
        ([("RR_RELAY", "")], "error: RR_RELAY is not set"),
        (
            [("RR_RELAY", "tcp://127.0.0.1:6001")],
            "error: RR_RELAY is `tcp://127.0.0.1:6001`",
        ),
    ] {
        let mut host = Host::start_with(Kind::Rust, &variables);
        host.send(&Frame::pid_request(1));
        let end = host.end();
        assert_eq!((end.code, &end.stdout[..]), (Some(78), &b""[..]), "{end:?}");
        assert!(end.stderr.contains(text), "{}", end.stderr);
        assert!(end.stderr.contains("\ntry: "), "{}", end.stderr);
    }
}

#[test]
fn a_frame_that_has_no_place_there_ends_the_worker() {
    for (frame, text) in [
        (Frame::error("no"), "the host sent an error"),
        (
            Frame::control(b"{\"go\":1}".to_vec()),
            "the host sent a control frame that means nothing",
        ),
        (
            Frame::default(),
            "no task: options [] for a payload of 0 bytes",
        ),
    ] {
        let mut host = Host::greet(Kind::Rust);
        host.send(&frame);
        let end = host.end();
        assert_eq!((end.code, &end.stdout[..]), (Some(70), &b""[..]), "{end:?}");
        assert!(end.stderr.contains(text), "{}", end.stderr);
    }
}
