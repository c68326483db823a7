//! Promise 10: names are exact. A dispatcher has one name and the aliases that it declares; every
//! other spelling is refused, and no two spellings ever run side by side.

use dispatcher_core::JobState;
use dispatcher_tests::{Home, assert_one_at_a_time, said};
use serde_json::json;

const SPELLINGS: [&str; 3] = ["Exclusive", "tests.exclusive", "App\\Exclusive"];

#[test]
fn names_are_exact_and_aliases_are_the_same_dispatcher() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let mut children = Vec::new();
    for round in 0..4 {
        for name in SPELLINGS {
            let payload = json!({ "name": format!("{name} {round}"), "run_ms": 10 });
            children.push(home.start(["notifydispatcher", name, &payload.to_string()]));
        }
    }
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    let jobs: Vec<_> = home.ids().iter().map(|id| home.job(id)).collect();
    assert_eq!(jobs.len(), 4 * SPELLINGS.len());
    for job in &jobs {
        assert_eq!(job.dispatcher, "Exclusive", "{job:#?}");
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }
    assert_one_at_a_time(jobs);
    assert_eq!(home.read("violations"), "");
}

#[test]
fn names_are_exact_and_other_spellings_are_refused() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let payload = json!({ "name": "x" }).to_string();
    let others = [
        "exclusive",
        "EXCLUSIVE",
        "Exclusive ",
        " Exclusive",
        "Exclusive\n",
        "Exclusiv",
        "Exclusive2",
        "Excl\u{200b}usive",
        "Ехсlusive",
        "TESTS.exclusive",
        "tests_exclusive",
        "tests.exclusive.",
        "App/Exclusive",
        "App\\\\Exclusive",
        "\\App\\Exclusive",
        "*",
        "",
    ];
    for name in others {
        let output = home.output(["notifydispatcher", name, &payload], b"");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name:?}: {text}");
        assert_eq!(said(&output.stdout), "", "{name:?}");
    }
    assert!(!home.database().exists() || home.ids().is_empty());
    let near = home.output(["notifydispatcher", "exclusive", &payload], b"");
    let text = said(&near.stderr);
    assert!(
        text.contains("Exclusive"),
        "the right spelling is named: {text}"
    );
}
