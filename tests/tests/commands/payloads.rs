//! How a program gets its payload: in a file, on standard input, in a variable, or not at all.

use std::path::Path;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, PATIENCE, eventually, notify, perform, said};
use serde_json::{Value, json};

use crate::{cause, shell};

/// As long as a payload may be.
fn largest() -> Value {
    json!("x".repeat((2 << 20) - 2))
}

#[test]
fn a_file_is_for_the_user_alone_and_removed_afterwards() {
    let home = shell("echo $0; stat -c %a $0; cat $0", "{payload.file}", "");
    let payload = json!({"to": "Ann", "ä": [1, null]});
    let job = perform(&home, "Run", &payload);
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let out = said(&job.attempts[0].stdout);
    let mut lines = out.lines();
    let path = Path::new(lines.next().expect("a path"));
    assert!(path.is_absolute(), "{path:?}");
    // It goes when the end is on record.
    eventually("the file is removed", PATIENCE, || !path.exists());
    assert_eq!(lines.next(), Some("600"));
    let text = lines.next().expect("the payload");
    assert_eq!(serde_json::from_str::<Value>(text).ok(), Some(payload));
}

#[test]
fn a_file_is_removed_whatever_ends_the_program() {
    let script = "echo $0 > path; [ \"$(cat $0)\" = '\"die\"' ] && kill -9 $$; \
                  [ \"$(cat $0)\" = '\"stay\"' ] && sleep 1000; exit 3";
    let home = Home::new(crate::FIXTURE);
    let directory = format!(
        "working_directory = {:?}\ntimeout = \"500ms\"\n",
        home.path()
    );
    dispatcher_tests::configure(&home, &crate::section(script, "{payload.file}", &directory));
    for (payload, expected) in [("die", "signalled"), ("stay", "timed_out"), ("", "exited")] {
        let job = perform(&home, "Run", &json!(payload));
        assert_eq!(cause(&job).name(), expected, "{job:?}");
        let path = home.read("path");
        let path = Path::new(path.trim());
        // It goes with the attempt's record.
        eventually("the file is removed", PATIENCE, || !path.exists());
    }
}

#[test]
fn a_file_may_be_as_large_as_a_payload() {
    let home = shell("wc -c < $0", "{payload.file}", "");
    let job = perform(&home, "Run", &largest());
    assert_eq!(
        said(&job.attempts[0].stdout).trim(),
        (2 << 20).to_string(),
        "{:?}",
        cause(&job)
    );
}

#[test]
fn each_attempt_has_a_file_of_its_own() {
    let options = "retries = 2\nbackoff = \"constant(10ms)\"";
    let home = shell(
        "echo spoilt > $0; echo $0; exit 1",
        "{payload.file}",
        options,
    );
    let job = perform(&home, "Run", &json!("Ann"));
    assert_eq!(job.attempts.len(), 3, "{job:?}");
    let home = shell(
        "cat $0; echo spoilt > $0; exit 1",
        "{payload.file}",
        options,
    );
    let job = perform(&home, "Run", &json!("Ann"));
    for attempt in &job.attempts {
        assert_eq!(said(&attempt.stdout), "\"Ann\"");
    }
}

#[test]
fn standard_input_may_be_as_large_as_a_payload() {
    let home = shell("cat > copy; cat; echo end", "", "payload = \"stdin\"");
    let config = home.read("dispatcher.toml");
    let directory = format!("working_directory = {:?}\n", home.path());
    std::fs::write(home.file("dispatcher.toml"), config + &directory).expect("it can be written");
    let job = perform(&home, "Run", &largest());
    assert_eq!(said(&job.attempts[0].stdout), "end\n", "{:?}", cause(&job));
    assert_eq!(home.read("copy"), largest().to_string());
}

#[test]
fn standard_input_need_not_be_read() {
    let home = shell("exit 0", "", "payload = \"stdin\"");
    let job = perform(&home, "Run", &largest());
    assert_eq!(job.state, JobState::Succeeded, "{:?}", cause(&job));
}

#[test]
fn a_variable_has_it() {
    let home = shell(
        "printf %s \"$DISPATCHER_PAYLOAD\"",
        "",
        "payload = \"environment\"",
    );
    let payload = json!({"to": "Ann O'Neil", "ä": ["$HOME", "`id`", "\n"]});
    let job = perform(&home, "Run", &payload);
    let out = said(&job.attempts[0].stdout);
    assert_eq!(
        serde_json::from_str::<Value>(&out).ok(),
        Some(payload),
        "{out}"
    );
}

/// The kernel takes no variable above 128 KiB.
#[test]
fn a_variable_that_is_too_large_is_told_and_does_not_run() {
    let home = shell("echo ran", "", "payload = \"environment\"");
    let job = perform(&home, "Run", &largest());
    assert!(
        matches!(cause(&job), Cause::SpawnFailed { errno: 7 }),
        "{:?}",
        cause(&job)
    );
    assert_eq!(job.attempts[0].stdout, b"");
}

#[test]
fn without_a_way_nothing_is_passed() {
    let script = "cat; echo ${DISPATCHER_PAYLOAD-none} $0; echo $DISPATCHER_NAME $DISPATCHER_JOB";
    let home = shell(script, "zero", "");
    let job = perform(&home, "Run", &json!("secret"));
    let out = said(&job.attempts[0].stdout);
    assert_eq!(out, format!("none zero\nRun {}\n", job.id));
}

#[test]
fn no_argument_list_shows_a_payload() {
    for (argument, way) in [
        ("{payload.file}", ""),
        ("", "payload = \"stdin\""),
        ("", "payload = \"environment\""),
    ] {
        let home = shell("sleep 1000", argument, way);
        let job = notify(&home, "Run", &json!("very-secret"), &[]);
        eventually("the program runs", PATIENCE, || {
            let processes = home.tagged();
            processes
                .iter()
                .any(|it| it.arguments.iter().any(|word| word == "sleep"))
        });
        let processes = home.processes();
        let shows = |text: &String| text.contains("very-secret");
        assert!(
            !processes.iter().any(|it| it.arguments.iter().any(shows)),
            "{processes:?}"
        );
        assert_eq!(home.stands(&job).0, JobState::Running);
    }
}
