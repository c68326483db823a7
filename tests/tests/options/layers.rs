//! The layers of options, each over the one before: attribute, configuration, value, builder,
//! command line. What a job was submitted with stays with it.

use std::time::Duration;

use dispatcher_core::Options;
use dispatcher_tests::Home;
use serde_json::json;

use crate::{configure, fixture, prints, refused};

fn options(home: &Home, arguments: &[&str]) -> Options {
    let words = ["notifydispatcher", "--detach", "Layers"];
    let output = home.output(words.iter().chain(arguments), b"");
    assert!(output.status.success(), "{output:#?}");
    let id = dispatcher_tests::said(&output.stdout).trim().to_owned();
    home.wait(&id).options
}

const CONFIGURED: &str = "[dispatchers.Layers]\ntimeout = \"20s\"\npriority = 20\nretries = 20";

#[test]
fn layers_in_their_order() {
    let home = fixture();
    let file = configure(&home, CONFIGURED);
    let attribute = options(&home, &["{\"add\":0}"]);
    assert_eq!(attribute.timeout, Some(Duration::from_secs(10)));
    assert_eq!(attribute.grace, Duration::from_secs(1));
    assert_eq!((attribute.priority, attribute.retries), (10, 10));
    assert_eq!(attribute.queue, "attribute");

    let configured = options(&home, &["{\"add\":0}", "--config", &file]);
    assert_eq!(configured.timeout, Some(Duration::from_secs(20)));
    assert_eq!(configured.grace, Duration::from_secs(1), "not overridden");
    assert_eq!((configured.priority, configured.retries), (20, 20));

    // The value sees what the layers before it have made of the options.
    let value = options(&home, &["{\"add\":100}"]);
    assert_eq!((value.priority, value.retries), (10, 110));
    let value = options(&home, &["{\"add\":100}", "--config", &file]);
    assert_eq!((value.priority, value.retries), (20, 120));

    let line = [
        "{\"add\":100}",
        "--config",
        &file,
        "--retries",
        "7",
        "--timeout",
        "0",
    ];
    let line = options(&home, &line);
    assert_eq!((line.priority, line.retries), (20, 7));
    assert_eq!(line.timeout, None);
}

#[test]
fn layers_of_the_builder_come_after_the_value() {
    let home = fixture();
    let file = configure(&home, CONFIGURED);
    for (variable, retries) in [("", 1_110), (file.as_str(), 1_120)] {
        let payload = home.file("payload.json");
        std::fs::write(&payload, "{\"add\":100}").expect("it can be written");
        let mut command = home.command(["submit-layers"]);
        if !variable.is_empty() {
            command.env("DISPATCHER_CONFIG", variable);
        }
        let output = command
            .stdin(std::fs::File::open(&payload).expect("it is there"))
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:#?}");
        let id = dispatcher_tests::said(&output.stdout).trim().to_owned();
        let built = home.wait(&id).options;
        assert_eq!((built.priority, built.retries), (-1, retries));
    }
}

/// A configuration that changes later changes no job that is there, and no retry of it.
#[test]
fn layers_are_frozen_with_the_job() {
    let home = fixture();
    let file = configure(&home, CONFIGURED);
    let words = ["notifydispatcher", "--detach", "--config", &file, "Layers"];
    let payload = json!({ "add": 1 }).to_string();
    let output = home.output(
        words
            .iter()
            .copied()
            .chain([payload.as_str(), "--delay", "1s"]),
        b"",
    );
    let id = dispatcher_tests::said(&output.stdout).trim().to_owned();
    configure(&home, "[dispatchers.Layers]\nretries = 3");
    let first = home.wait(&id).options;
    assert_eq!(first.retries, 21);
    let again = prints(&home, ["retry", &id, "--config", &file]);
    let again = home.wait(again.trim()).options;
    // A delay is not waited for twice; everything else is as it was.
    assert_eq!(
        again,
        Options {
            delay: None,
            ..first
        }
    );
}

/// Nothing at the command line is taken for something else.
#[test]
fn values_of_the_command_line_at_their_ends() {
    let home = fixture();
    for (words, good) in [
        (["--timeout", "36600d"], false),
        (["--timeout", "1000000000000"], false),
        (["--timeout", "-1"], false),
        (["--timeout", "5 m"], false),
        (["--timeout", "36500d"], true),
        (["--retries", "4294967295"], true),
        (["--retries", "4294967296"], false),
        (["--retries", "-1"], false),
        (["--delay", "0"], true),
        (["--expires", "0"], true),
        (["--expires", "1ms "], true),
        (["--expires", "soon"], false),
        (["--unique-key", ""], true),
    ] {
        let payload = json!({ "add": 0 }).to_string();
        // A delay, so that nothing expires before it is looked at.
        let all = [
            "notifydispatcher",
            "Layers",
            &payload,
            "--detach",
            words[0],
            words[1],
        ];
        let output = home.output(all, b"");
        if good {
            assert!(output.status.success(), "{words:?}: {output:#?}");
        } else {
            let text = refused(&output, 64);
            assert!(text.contains(words[0]), "{words:?}: {text}");
        }
    }
}
