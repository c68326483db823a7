//! Commands that only read leave nothing behind.

use dispatcher_tests::{Home, said};

#[test]
fn reading_commands_make_no_state() {
    let home = Home::new(env!("CARGO_BIN_EXE_odd"));
    for (words, code) in [
        (&["jobs"][..], 0),
        (&["jobs", "--json"], 0),
        (&["status"], 0),
        (&["status", "--json"], 0),
        (&["list"], 0),
        (&["show", "abc"], 64),
        (&["logs", "abc"], 64),
        (&["output", "--latest", "Gate"], 1),
        (&["cancel", "abc"], 64),
        (&["retry", "abc"], 64),
        (&["prune"], 0),
    ] {
        let output = home.output(words, b"");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert!(!home.state().exists(), "{words:?}");
    }
    let jobs = said(&home.output(["jobs"], b"").stderr);
    assert!(jobs.starts_with("no jobs yet"), "{jobs}");
    // Where it cannot be told, that is said instead.
    std::fs::write(home.state(), b"a file").expect("the directory can be written");
    let output = home.output(["jobs"], b"");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
}
