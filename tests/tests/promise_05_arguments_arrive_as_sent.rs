//! Promise 5: arguments arrive as sent, whatever is in them, by whichever way they came.

use std::path::Path;

use dispatcher_core::JobState;
use dispatcher_tests::{AWKWARD_TEXTS as TEXTS, Home, said};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
enum Way {
    /// JSON as an argument of the command line.
    Argument,
    /// JSON in a file.
    File,
    /// JSON on standard input.
    Input,
    /// A value of the program.
    Value,
}

const WAYS: [Way; 4] = [Way::Argument, Way::File, Way::Input, Way::Value];

/// Sends a text in a job, and checks what it got.
fn send(home: &Home, way: Way, isolation: &str, name: &str, text: &str) {
    let payload = json!({
        "file": name,
        "text": text,
        "options": { "isolation": isolation },
    });
    let json = payload.to_string();
    let notify = |argument: &str, input: &[u8]| {
        let output = home.output(["notifydispatcher", "Record", argument, "--detach"], input);
        assert!(output.status.success(), "{way:?} {text:?}: {output:#?}");
        said(&output.stdout).trim().to_owned()
    };
    let id = match way {
        Way::Argument => notify(&json, b""),
        Way::File => {
            std::fs::write(home.file("payload"), &json).expect("a file");
            notify("@payload", b"")
        }
        Way::Input => notify("-", json.as_bytes()),
        Way::Value => home.submit("Record", &payload),
    };
    let job = home.wait(&id);
    assert_eq!(job.state, JobState::Succeeded, "{way:?} {text:?}: {job:#?}");
    let arrived = std::fs::read(home.file(name)).expect("the job wrote it");
    assert_eq!(arrived, text.as_bytes(), "{way:?}, {isolation}");
    let stored: Value = serde_json::from_str(&job.payload).expect("JSON");
    assert_eq!(stored["text"], text, "{way:?}, {isolation}");
}

#[test]
fn arguments_arrive_as_sent() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    for way in WAYS {
        for isolation in ["process", "exec"] {
            for (at, text) in TEXTS.iter().enumerate() {
                let name = format!("{way:?}-{isolation}-{at}");
                send(&home, way, isolation, &name, text);
            }
        }
    }
    let touched = [home.path(), Path::new("/")].map(|path| path.join("here").exists());
    assert_eq!(touched, [false, false], "nothing was run");
}

/// An argument of the command line may have 128 KiB on Linux; the other ways have no such limit.
#[test]
fn a_mebibyte_arrives_as_sent() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text.push_str(TEXTS[text.len() % TEXTS.len()]);
        text.push('x');
    }
    for way in [Way::File, Way::Input, Way::Value] {
        for isolation in ["process", "exec"] {
            send(
                &home,
                way,
                isolation,
                &format!("{way:?}-{isolation}"),
                &text,
            );
        }
    }
    let most: String = text.chars().take(40_000).collect();
    send(&home, Way::Argument, "process", "argument", &most);
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
