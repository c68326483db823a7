//! Payloads, messages and options as JSON: what is read is written so that it reads the same.

use std::fmt::Debug;

use dispatcher_core::message::{SupervisorMessage, WorkerMessage};
use dispatcher_core::{
    Context, Dispatcher, DispatcherOptions, Failure, Options, Outcome, Process, canonical, identity,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::allocations::allocated;
use crate::driver::{Seen, fuzz};

/// A bit of everything that a payload may hold.
#[derive(Debug, Clone, PartialEq, Dispatcher, Serialize, Deserialize)]
struct Everything {
    name: String,
    count: u64,
    #[serde(default)]
    offset: i64,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    kind: Kind,
    inner: Option<Box<Everything>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
enum Kind {
    #[default]
    Plain,
    Pair(u8, bool),
    Named {
        letter: char,
    },
}

impl Process for Everything {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

#[test]
fn payloads() {
    fuzz("payloads", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let mut options = Options::default();
        let checked = (Everything::definition().check)(text, &mut options);
        let canon = canonical(text);
        match &canon {
            Ok(canon) => is_canonical(text, canon),
            Err(error) => {
                let said = error.to_string();
                assert!(says_where(&said) || said.contains("nested"), "{said}");
                assert!(serde_json::from_str::<serde_json::Value>(text).is_err());
            }
        }
        let error = match checked {
            Ok(()) => {
                let canon = canon.expect("what a job can read has a canonical form");
                let read = |text: &str| serde_json::from_str::<Everything>(text);
                let value = read(text).expect("it was checked");
                assert_eq!(read(&canon).expect("the same value"), value);
                let written = serde_json::to_string(&value).expect("JSON");
                assert_eq!(read(&written).expect("it was written"), value);
                return Seen::of((
                    "fits",
                    std::mem::discriminant(&value.kind),
                    value.inner.is_some(),
                ));
            }
            Err(error) => error.to_string(),
        };
        assert!(
            error.contains("Everything") && says_where(&error),
            "{error}"
        );
        Seen::message(&error)
    });
}

fn is_canonical(text: &str, canon: &str) {
    assert_eq!(canonical(canon).as_deref(), Ok(canon));
    assert_eq!(identity(canon), identity(text));
    // Every number may gain some zeros, every letter may be escaped.
    assert!(canon.len() <= 24 * text.len(), "{} bytes", canon.len());
    let (Ok(before), Ok(after)) = (
        serde_json::from_str::<serde_json::Value>(text),
        serde_json::from_str::<serde_json::Value>(canon),
    ) else {
        return;
    };
    is_same(&before, &after);
}

/// Equal as JSON: a number may be spelled as a whole one or with a fraction.
fn is_same(before: &serde_json::Value, after: &serde_json::Value) {
    use serde_json::Value;
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(after) {
                is_same(before, after);
            }
        }
        (Value::Object(before), Value::Object(after)) => {
            assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
            for (before, after) in before.values().zip(after.values()) {
                is_same(before, after);
            }
        }
        (Value::Number(before), Value::Number(after)) => {
            let (before, after) = (before.as_f64().unwrap(), after.as_f64().unwrap());
            // Readers of floats may be off in the last place.
            let close = (before - after).abs() <= before.abs() * 1e-15;
            assert!(close, "{before} {after}");
        }
        (Value::Null | Value::Bool(_) | Value::String(_), _) => assert_eq!(before, after),
        (Value::Array(_) | Value::Object(_) | Value::Number(_), _) => {
            panic!("{before} became {after}");
        }
    }
}

#[test]
fn messages() {
    fuzz("messages", |bytes| {
        Seen::of([
            survives::<WorkerMessage>(bytes, Placed::Syntax),
            survives::<SupervisorMessage>(bytes, Placed::Syntax),
            survives::<Outcome>(bytes, Placed::Syntax),
        ])
    });
}

#[test]
fn options() {
    fuzz("options", |bytes| {
        Seen::of([
            survives::<Options>(bytes, Placed::Always),
            survives::<DispatcherOptions>(bytes, Placed::Always),
        ])
    });
}

/// Which mistakes are told with their place.
#[derive(Debug, Clone, Copy)]
enum Placed {
    Always,
    /// Not those found after the kind of a message is known, when its fields were read already.
    Syntax,
}

/// What is read is written so that it reads the same; what is refused is refused at a place.
fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
    placed: Placed,
) -> Seen {
    let (read, asked) = allocated(|| serde_json::from_slice::<T>(bytes));
    assert!(asked <= 256 * bytes.len() + 16_384, "{asked} bytes");
    match read {
        Ok(value) => {
            let written = serde_json::to_vec(&value).expect("JSON");
            let again: T = serde_json::from_slice(&written).expect("it was just written");
            assert_eq!(again, value);
            Seen::of((std::any::type_name::<T>(), written.len() / 16))
        }
        Err(error) => {
            let said = error.to_string();
            let is_placed = match placed {
                Placed::Always => true,
                Placed::Syntax => !error.is_data(),
            };
            assert!(says_where(&said) || !is_placed, "{said}");
            Seen::message(&said)
        }
    }
}

fn says_where(error: &str) -> bool {
    error.contains(" at line ") && error.contains(" column ")
}
