//! A submission that is refused ends with the exit code of its cause and three lines: what
//! happened, why, what to do. Nothing is stored.

use dispatcher_tests::{Home, said};
use serde_json::json;

#[test]
fn submissions_that_are_refused() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let refused = |arguments: &[&str]| {
        let output = home.output(arguments.iter().copied(), b"");
        let text = said(&output.stderr);
        assert_eq!(said(&output.stdout), "", "{text}");
        assert_eq!(text.lines().count(), 3, "what, why and what to do: {text}");
        (output.status.code().expect("no signal ends it"), text)
    };
    let notify = |name: &str, payload: &str| refused(&["notifydispatcher", name, payload]);
    let (code, text) = notify("Exclusve", "{}");
    assert_eq!(code, 64, "{text}");
    assert!(text.contains("Exclusive"), "{text}");
    for payload in ["{", r#"{"nam": 1}"#, "[]"] {
        let (code, text) = notify("Exclusive", payload);
        assert_eq!(code, 64, "{text}");
    }
    let needs = json!({ "deed": "succeed", "options": { "required_commands": ["nowhere"] } });
    let (code, text) = notify("Act", &needs.to_string());
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("command nowhere"), "{text}");
    let ids = home.submit_many("Ten", &json!({ "gate": "gate" }), 10);
    let (code, text) = notify("Ten", "{}");
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("queue of Ten is full"), "{text}");
    assert_eq!(home.ids(), ids, "what is refused is not stored");
    let output = home
        .command(["notifydispatcher", "Ten", "{}"])
        .env("DISPATCHER_DATABASE_URL", "sqlite:/proc/nowhere/state.db")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(74), "{output:#?}");
}
