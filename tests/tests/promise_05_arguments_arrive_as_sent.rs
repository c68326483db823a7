//! Promise 5: arguments arrive as sent, whatever is in them, by whichever way they came.

use std::path::Path;

use dispatcher_core::JobState;
use dispatcher_tests::{AWKWARD_TEXTS, Form, Home, awkward_mebibyte, said};
use serde_json::{Value, json};

/// Sends a text in a job, and checks what it got.
fn send(home: &Home, form: Form, isolation: &str, name: &str, text: &str) {
    let payload = json!({
        "file": name,
        "text": text,
        "options": { "isolation": isolation },
    });
    let id = form.send(home, |words| home.command(words), "Record", &payload);
    let job = home.wait(&id);
    assert_eq!(
        job.state,
        JobState::Succeeded,
        "{form:?} {text:?}: {job:#?}"
    );
    let arrived = std::fs::read(home.file(name)).expect("the job wrote it");
    assert_eq!(arrived, text.as_bytes(), "{form:?}, {isolation}");
    let stored: Value = serde_json::from_str(&job.payload).expect("JSON");
    assert_eq!(stored["text"], text, "{form:?}, {isolation}");
}

#[test]
fn arguments_arrive_as_sent() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for form in Form::ALL {
        for isolation in ["process", "exec"] {
            for (at, text) in AWKWARD_TEXTS.iter().enumerate() {
                let name = format!("{form:?}-{isolation}-{at}");
                send(&home, form, isolation, &name, text);
            }
        }
    }
    // Where senders and where jobs are at work.
    let touched = [home.path(), Path::new("/")].map(|path| path.join("here").exists());
    assert_eq!(touched, [false, false], "nothing was run");
}

/// An argument of the command line may have 128 KiB on Linux; the other forms have no such limit.
#[test]
fn a_mebibyte_arrives_as_sent() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let text = awkward_mebibyte();
    for form in [Form::File, Form::Input, Form::Value] {
        for isolation in ["process", "exec"] {
            send(
                &home,
                form,
                isolation,
                &format!("{form:?}-{isolation}"),
                &text,
            );
        }
    }
    let most: String = text.chars().take(40_000).collect();
    send(&home, Form::Argument, "process", "argument", &most);
}

/// Order, number forms and unknown spellings inside a payload are the sender's.
#[test]
fn json_is_kept_as_written() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let written = r#"{ "options" : {}, "deed":{"output":{"z":1,"a":[1.50,1e3,-0]}} }"#;
    let output = home.output(["notifydispatcher", "Act", written, "--detach"], b"");
    let job = home.wait(said(&output.stdout).trim());
    assert_eq!(job.payload, written);
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
}
