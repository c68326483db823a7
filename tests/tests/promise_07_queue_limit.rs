//! Promise 7: the queue limit is atomic: fifty processes that submit at once to a dispatcher that
//! takes ten get exactly ten accepted while none finishes.

use std::io::Write as _;

use dispatcher_tests::{Home, stored_and_refused};
use serde_json::json;

#[test]
fn queue_limit_is_atomic() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "gate": "gate" }).to_string();
    let mut senders: Vec<_> = (0..50).map(|_| home.start(["submit", "Ten"])).collect();
    // All of them wait for their input, so they begin nearly together.
    for sender in &mut senders {
        let mut input = sender.stdin.take().expect("a pipe");
        input.write_all(payload.as_bytes()).expect("it reads");
    }
    assert_eq!(stored_and_refused(senders, "Ten"), (10, 40));
    assert_eq!(home.ids().len(), 10);
    home.open_gate("gate");
    for id in home.ids() {
        home.wait(&id);
    }
    assert_eq!(home.read("violations"), "");
}
