//! Promise 12: a job refused by a full queue leaves nothing behind.

use dispatcher_tests::Home;
use serde_json::json;

#[test]
fn refused_means_unchanged() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "gate": "gate" });
    let ids = home.submit_many("Ten", &payload, 10);
    home.wait_running(&ids[0]);
    home.wait_for("alone.lock");
    let before = (home.dump(), home.files());
    for _ in 0..5 {
        let refused = home
            .try_submit("Ten", &payload)
            .expect_err("the queue is full");
        assert_eq!(refused.code, 69, "{refused:?}");
        assert!(
            refused
                .said
                .contains("the queue of Ten is full (max_queue = 10)"),
            "{refused:?}"
        );
    }
    let after = (home.dump(), home.files());
    assert_eq!(before, after);
}
