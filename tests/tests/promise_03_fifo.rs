//! Promise 3: jobs start in the order in which they were submitted.

use dispatcher_core::JobState;
use dispatcher_tests::Home;
use serde_json::json;

#[test]
fn fifo() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let first = json!({ "name": "first", "gate": "gate" });
    let mut ids = vec![home.submit("Exclusive", &first)];
    home.wait_running(&ids[0]);
    for number in 1..=8 {
        ids.push(home.submit("Exclusive", &json!({ "name": number.to_string() })));
    }
    home.open_gate("gate");
    for id in &ids {
        assert_eq!(home.wait(id).state, JobState::Succeeded);
    }
    assert_eq!(
        home.starts(),
        ["first", "1", "2", "3", "4", "5", "6", "7", "8"]
    );
}

#[test]
fn fifo_inside_a_priority_higher_ones_first() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let first = json!({ "name": "first", "gate": "gate" });
    let mut ids = vec![home.submit("Exclusive", &first)];
    home.wait_running(&ids[0]);
    for (name, priority) in [
        ("low", -1),
        ("a", 0),
        ("high a", 5),
        ("b", 0),
        ("high b", 5),
    ] {
        let payload = json!({ "name": name, "options": { "priority": priority } });
        ids.push(home.submit("Exclusive", &payload));
    }
    home.open_gate("gate");
    for id in &ids {
        assert_eq!(home.wait(id).state, JobState::Succeeded);
    }
    assert_eq!(
        home.starts(),
        ["first", "high a", "high b", "a", "b", "low"]
    );
}
