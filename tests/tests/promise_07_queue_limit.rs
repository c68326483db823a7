//! Promise 7: the queue limit is atomic: fifty processes that submit at once to a dispatcher that
//! takes ten get exactly ten accepted while none finishes.

use dispatcher_tests::{Home, said};
use serde_json::json;

#[test]
fn queue_limit_is_atomic() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "gate": "gate" }).to_string();
    let children: Vec<_> = (0..50).map(|_| home.start(["submit", "Ten"])).collect();
    // All of them wait for their input, so they start nearly together.
    let mut waiting = children;
    for child in &mut waiting {
        use std::io::Write as _;
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(payload.as_bytes()).expect("it reads");
    }
    let (mut accepted, mut refused) = (0, 0);
    for child in waiting {
        let output = child.wait_with_output().expect("it ends");
        let text = said(&output.stderr);
        match output.status.code() {
            Some(0) => accepted += 1,
            Some(69) if text.contains("queue of Ten is full") => refused += 1,
            other => panic!("a submitter ended with {other:?}: {text}"),
        }
    }
    assert_eq!((accepted, refused), (10, 40));
    assert_eq!(home.ids().len(), 10);
    home.open_gate("gate");
    for id in home.ids() {
        home.wait(&id);
    }
    assert_eq!(home.read("violations"), "");
}
