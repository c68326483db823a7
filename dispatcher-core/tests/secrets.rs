//! What a payload's refusal tells: everything, unless the dispatcher has a secret field.

use dispatcher_core::message::WorkerMessage;
use dispatcher_core::{Context, Dispatcher, Failure, JobId, Link, LinkError, Options, Process};
use serde::{Deserialize, Deserializer, Serialize};

const SECRET: &str = "hunter2";

#[derive(Dispatcher, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    user: String,
    #[dispatcher(secret)]
    pin: u32,
    #[dispatcher(secret)]
    #[serde(default)]
    kind: Option<Kind>,
    #[dispatcher(secret)]
    #[serde(default)]
    own: Own,
    #[dispatcher(secret)]
    #[serde(default)]
    pair: Option<(u8, u8)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Plain,
    Other { inner: u8 },
}

/// Refuses with words of its own.
#[derive(Default, Serialize)]
struct Own;

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = String::deserialize(from)?;
        Err(serde::de::Error::custom(words))
    }
}

#[derive(Dispatcher, Serialize, Deserialize)]
struct Open {
    pin: u32,
}

impl Process for Login {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

impl Process for Open {
    fn process(&mut self, _: &mut Context) -> Result<(), Failure> {
        Ok(())
    }
}

struct Nobody;

impl Link for Nobody {
    fn send(&mut self, _: WorkerMessage) -> Result<(), LinkError> {
        Ok(())
    }

    fn cancelled(&mut self) -> bool {
        false
    }
}

/// What both readers of a payload say: the check of a submission, and the worker.
fn refusal<T: Dispatcher>(payload: &str) -> String {
    let definition = T::definition();
    let checked = (definition.check)(payload, &mut Options::default()).unwrap_err();
    let job = JobId::from_bytes([7; 10]);
    let mut cx = Context::new(job, 1, None, Vec::new(), Box::new(Nobody));
    let run = (definition.run)(payload, &mut cx).unwrap_err();
    assert_eq!(checked.to_string(), run.to_string());
    checked.reason
}

#[test]
fn values_that_do_not_fit_are_not_told() {
    for (payload, told) in [
        (
            r#"{"user":"a","pin":"hunter2"}"#,
            "invalid type: ***, expected u32 at line 1 column 27",
        ),
        (
            r#"{"user":"a","pin":-17000}"#,
            "invalid value: ***, expected u32 at line 1 column 24",
        ),
        (
            r#"{"user":"a","pin":"x, expected hunter2"}"#,
            "invalid type: ***, expected u32 at line 1 column 39",
        ),
        (
            r#"{"user":"a","pin":1,"kind":"hunter2"}"#,
            "unknown variant: ***, expected `plain` or `other` at line 1 column 36",
        ),
        (
            r#"{"user":"a","pin":1,"kind":{"other":{"hunter2":1}}}"#,
            "unknown field: ***, expected `inner` at line 1 column 46",
        ),
        (
            r#"{"user":"a","pin":1,"own":"no hunter2 here"}"#,
            "a value is refused by its type: *** at line 1 column 44",
        ),
        (
            r#"{"user":"a","pin":1,"own":"missing field `a` hunter2"}"#,
            "a value is refused by its type: *** at line 1 column 54",
        ),
        (
            r#"{"user":"a","pin":1,"own":"invalid type: hunter2"}"#,
            "a value is refused by its type: *** at line 1 column 50",
        ),
        (
            r#"{"user":"a","pin":1,"pair":[17]}"#,
            "invalid length: ***, expected a tuple of size 2 at line 1 column 31",
        ),
        // Which field a value is meant for is not known: one that is not secret is hidden, too.
        (
            r#"{"user":17000,"pin":1}"#,
            "invalid type: ***, expected a string at line 1 column 13",
        ),
        (
            r#""hunter2""#,
            "invalid type: ***, expected struct Login at line 1 column 9",
        ),
    ] {
        let said = refusal::<Login>(payload);
        assert_eq!(said, told, "{payload}");
        assert!(!said.contains(SECRET) && !said.contains("17"), "{said}");
    }
}

#[test]
fn names_of_fields_and_the_grammar_are_told() {
    for (payload, told) in [
        ("{}", "missing field `user` at line 1 column 2"),
        (
            r#"{"user":"a","user":"b"}"#,
            "duplicate field `user` at line 1 column 18",
        ),
        (
            r#"{"user":"hunter2""#,
            "EOF while parsing an object at line 1 column 17",
        ),
        (r#"{"user":hunter2}"#, "expected value at line 1 column 9"),
    ] {
        assert_eq!(refusal::<Login>(payload), told);
    }
}

#[test]
fn without_secrets_everything_is_told() {
    assert_eq!(
        refusal::<Open>(r#"{"pin":"hunter2"}"#),
        r#"invalid type: string "hunter2", expected u32 at line 1 column 16"#
    );
}
