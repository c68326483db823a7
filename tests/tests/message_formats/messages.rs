//! Our own control messages: each there is has an example, and each example is one.

use std::collections::BTreeSet;

use dispatcher_core::message::{SupervisorMessage, WorkResult, WorkerMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::block;

/// What serde says it knows, when it is told something that it does not.
pub(crate) fn known<T: DeserializeOwned>(tag: &str) -> BTreeSet<String> {
    let refused = serde_json::from_value::<T>(json!({ tag: "?" })).err();
    let text = refused.expect("nothing is called ?").to_string();
    let words = text.split('`').skip(1).step_by(2);
    words
        .filter(|word| *word != "?")
        .map(str::to_owned)
        .collect()
}

/// The values of a key in examples, each of which is a message in full.
fn examples<T: DeserializeOwned + Serialize>(mark: &str, tag: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in block(mark) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
        let message: T = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
        let again = serde_json::to_value(message).expect("JSON");
        let keys = |value: &Value| -> BTreeSet<String> {
            let object = value.as_object().expect("an object");
            object.keys().cloned().collect()
        };
        assert_eq!(keys(&again), keys(&value), "{line}");
        for (key, value) in value.as_object().expect("an object") {
            // The example names one option; there are more.
            assert!(key == "options" || again[key] == *value, "{line}: {key}");
        }
        found.extend(value[tag].as_str().map(str::to_owned));
    }
    found
}

#[test]
fn each_message_has_an_example() {
    let worker = examples::<WorkerMessage>("json worker", "say");
    assert_eq!(worker, known::<WorkerMessage>("say"));
    let results = examples::<WorkerMessage>("json worker", "result");
    assert_eq!(results, known::<WorkResult>("result"));
    let supervisor = examples::<SupervisorMessage>("json supervisor", "say");
    assert_eq!(supervisor, known::<SupervisorMessage>("say"));
}
