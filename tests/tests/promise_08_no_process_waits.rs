//! Promise 8: a waiting job is a row, not a process.

use dispatcher_core::JobState;
use dispatcher_tests::{Home, Kind, PATIENCE, eventually};
use serde_json::json;

#[test]
fn no_process_sits_waiting() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "name": "x", "gate": "gate" });
    let ids = home.submit_many("Exclusive", &payload, 100);
    home.wait_running(&ids[0]);
    let expected = [Kind::Supervisor, Kind::Keeper, Kind::Worker];
    eventually("only one worker beside the two", PATIENCE, || {
        home.kinds() == expected
    });
    let waiting = ids[1..]
        .iter()
        .filter(|id| home.stands(id).0 == JobState::Queued);
    assert_eq!(waiting.count(), 99);
    assert_eq!(home.kinds(), expected);
}
