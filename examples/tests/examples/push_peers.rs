//! Real peers on the loopback: one good, several flaky, one that refuses, one that is not there.

use serde_json::Value;

use crate::peers::{Peer, Reply};
use crate::support::{Program, text};

#[test]
fn every_peer_is_served_or_told_of_and_none_holds_up_another() {
    let program = Program::new(env!("CARGO_BIN_EXE_push_peers"));
    let file = program.folder().join("document");
    std::fs::write(&file, "the document").expect("it can be written");
    let good = Peer::new([Reply::ok("")]);
    let flaky = Peer::new([
        Reply::HangUp,
        Reply::status("500 Internal Server Error"),
        Reply::HangUp,
        Reply::ok("thanks"),
    ]);
    let picky = Peer::new([Reply::status("413 Payload Too Large")]);
    let broken = Peer::new([Reply::status("502 Bad Gateway")]);
    let nobody = Peer::nobody();
    let peers = [&good, &flaky, &picky, &broken].map(|peer| peer.address.as_str());
    let mut words = vec!["push", file.to_str().expect("text")];
    words.extend(peers);
    words.push(&nobody);
    let done = program.run(&words);
    assert_eq!(
        done.status.code(),
        Some(1),
        "some were not served: {done:?}"
    );
    let said = text(done.stdout);
    let lines: Vec<_> = said.lines().collect();
    let [good_line, flaky_line, picky_line, broken_line, nobody_line] = lines[..] else {
        panic!("{said}");
    };
    assert!(good_line.ends_with(": 12 bytes, attempt 1"), "{said}");
    assert!(flaky_line.ends_with(": 12 bytes, attempt 4"), "{said}");
    assert!(picky_line.contains("the peer answered 413"), "{said}");
    assert!(
        broken_line.contains("failed: the peer answered 502"),
        "{said}"
    );
    assert!(nobody_line.contains("refused"), "{said}");

    assert_eq!(good.bodies(), ["the document"]);
    assert_eq!(flaky.bodies().len(), 4);
    assert_eq!(picky.bodies().len(), 1, "not tried again");
    assert_eq!(broken.bodies().len(), 5, "four retries");
    let attempts = |peer: &str| -> Value {
        let search = format!("peer={peer}");
        let jobs = program.json(&["jobs", "--search", &search, "--json"]);
        jobs[0]["attempt"].clone()
    };
    assert_eq!(attempts(&nobody), 5);
    assert_eq!(attempts(&picky.address), 1);
}

/// Its own word about when to come again counts, and each attempt has its own log.
#[test]
fn a_busy_peer_says_when_to_come_again() {
    let program = Program::new(env!("CARGO_BIN_EXE_push_peers"));
    let file = program.folder().join("document");
    std::fs::write(&file, "the document").expect("it can be written");
    let wait = "Retry-After: 1\r\n";
    let busy = Peer::new([
        Reply::Answer("503 Service Unavailable", wait, String::new()),
        Reply::status("204 No Content"),
    ]);
    let said = program.says(&["push", file.to_str().expect("text"), &busy.address]);
    assert!(said.ends_with(": 12 bytes, attempt 2\n"), "{said}");
    let id = program.says(&["jobs", "--ids"]);
    let job = program.json(&["show", id.trim(), "--json"]);
    let attempts = job["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2, "{job:#}");
    assert_eq!(
        attempts[0]["outcome"]["message"],
        "asked to be retried in 1s"
    );
    let log = program.says(&["logs", id.trim(), "--attempt", "1"]);
    assert!(log.contains("503 Service Unavailable"), "{log}");
}

/// The same document to the same peer goes in order, one after the other.
#[test]
fn a_peer_that_was_down_gets_the_newest() {
    let program = Program::new(env!("CARGO_BIN_EXE_push_peers"));
    let file = program.folder().join("document");
    let path = file.to_str().expect("text");
    std::fs::write(&file, "first").expect("it can be written");
    let peer = Peer::new([Reply::ok("")]);
    program.says(&["push", path, &peer.address]);
    std::fs::write(&file, "second").expect("it can be written");
    program.says(&["push", path, &peer.address, &peer.address]);
    assert_eq!(peer.bodies(), ["first", "second", "second"]);
}
