//! Promise 2: waiting is free of the run budget.
//!
//! The specification's ten jobs of 299 s with a timeout of 300 s, at a hundredth of the size: their
//! sum is far beyond the timeout, each of them is within it.

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE};
use serde_json::json;

#[test]
fn waiting_is_free_of_the_run_budget() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let options = json!({ "timeout": 3_000, "unique_key": null });
    let payload = json!({ "name": "one", "run_ms": 500, "options": options });
    let ids = home.submit_many("Exclusive", &payload, 10);
    let mut waited_longest = 0;
    for id in &ids {
        let job = home.wait_at_most(id, 2 * PATIENCE);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert_eq!(job.attempt, 1, "{job:?}");
        let waited = job.started_at.expect("it ran") - job.submitted_at;
        waited_longest = waited.max(waited_longest);
    }
    assert!(
        waited_longest > 3_000,
        "the last one waited {waited_longest} ms, less than the timeout: the test proves nothing"
    );
}
