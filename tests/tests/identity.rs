//! One job has one identity, whoever wrote its payload.

use dispatcher_tests::{Home, said};

/// A struct without fields is sent as `null`, `{}`, `[]` or nothing: that is the same job.
#[test]
fn a_struct_without_fields_has_one_payload() {
    let home = Home::new(env!("CARGO_BIN_EXE_odd"));
    let by_value = home.output(["only-by-value"], b"");
    let first = said(&by_value.stderr);
    let (id, duplicate) = first.trim().split_once(' ').expect("an id and a word");
    assert_eq!(duplicate, "false", "{first}");
    for payload in [None, Some("{}"), Some("null"), Some(" { } "), Some("[]")] {
        let words = ["notifydispatcher", "--detach", "Only"].into_iter();
        let output = home.output(words.chain(payload), b"");
        assert!(output.status.success(), "{payload:?}: {output:?}");
        assert_eq!(said(&output.stdout).trim(), id, "{payload:?}");
    }
    let again = said(&home.output(["only-by-value"], b"").stderr);
    assert_eq!(again.trim(), format!("{id} true"));
    assert_eq!(home.ids(), [id]);
    let shown = said(&home.output(["show", "--json", id], b"").stdout);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["payload"], serde_json::json!({}));
}
