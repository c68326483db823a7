//! `env`, `working_directory`, `nice`, `package_includes`: what a job finds when it begins.

use std::process::Command;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job};
use serde_json::{Value, json};

use crate::{WAYS, fixture, refused};

/// What a job saw that succeeded.
fn saw(job: &Job) -> Value {
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    serde_json::from_str(job.output.as_deref().expect("an output")).expect("JSON")
}

fn look(home: &Home, way: &str, mut options: Value) -> Value {
    options["isolation"] = json!(way);
    saw(&home.run("Look", &json!({ "options": options })))
}

fn message(job: &Job) -> String {
    match &job.outcome.as_ref().expect("it ended").cause {
        Cause::Failed { message, causes } => format!("{message}: {}", causes.join(": ")),
        other => panic!("{other:?}"),
    }
}

fn variables(seen: &Value) -> Vec<&str> {
    let names = seen["variables"].as_array().expect("a list");
    let mut names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn env_of_nothing_of_some_and_of_all() {
    let home = fixture();
    for way in WAYS {
        let seen = look(&home, way, json!({ "env": { "only": [] } }));
        assert_eq!(variables(&seen), ["DISPATCHER_ATTEMPT"]);
        let some = ["HOME", "NOT_THERE", "home", "LANG"];
        let seen = look(&home, way, json!({ "env": { "only": some } }));
        assert_eq!(variables(&seen), ["DISPATCHER_ATTEMPT", "HOME", "LANG"]);
        let seen = look(&home, way, json!({ "env": "inherit" }));
        assert!(variables(&seen).contains(&"PATH"), "{seen}");
        assert!(variables(&seen).contains(&"DISPATCHER_DATABASE_URL"));
    }
}

/// The environment is that of the supervisor's start, whoever submits later.
#[test]
fn env_is_that_of_the_supervisor() {
    let home = fixture();
    home.run("Act", &json!({ "deed": "succeed" }));
    let output = home
        .command(["notifydispatcher", "Look", "{}", "--json"])
        .env("LATE", "1")
        .output()
        .expect("it starts");
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let seen = &record["output"];
    assert!(variables(seen).contains(&"HOME"), "{record:#}");
    assert!(!variables(seen).contains(&"LATE"), "{record:#}");
}

#[test]
fn working_directory_there_and_not() {
    let home = fixture();
    let folder = home.file("a folder");
    std::fs::create_dir(&folder).expect("a folder");
    let file = home.file("file");
    std::fs::write(&file, "").expect("a file");
    for way in WAYS {
        assert_eq!(look(&home, way, json!({}))["directory"], "/");
        let seen = look(&home, way, json!({ "working_directory": folder }));
        assert_eq!(seen["directory"], json!(folder));
        for (path, why) in [
            (file.as_path(), "Not a directory"),
            (home.file("nowhere").as_path(), "No such file or directory"),
        ] {
            let options = json!({
                "working_directory": path,
                "isolation": way,
                "retries": 1,
                "backoff": { "kind": "constant", "delay": 0 },
            });
            let job = home.run("Look", &json!({ "options": options }));
            assert_eq!(job.state, JobState::Failed, "{job:#?}");
            assert_eq!(job.attempt, 2, "it may be there the next time");
            let told = message(&job);
            assert!(
                told.starts_with("cannot enter the working directory"),
                "{told}"
            );
            assert!(told.contains(why), "{told}");
        }
    }
}

/// What an attribute could not say is refused before anything is stored.
#[test]
fn options_of_a_value_that_do_not_fit_are_refused() {
    let home = fixture();
    let before = home.run("Act", &json!({ "deed": "succeed" })).id;
    for (options, option) in [
        (
            json!({ "working_directory": "relative" }),
            "working_directory",
        ),
        (json!({ "working_directory": "" }), "working_directory"),
        (json!({ "nice": 20 }), "nice"),
        (json!({ "nice": -21 }), "nice"),
        (json!({ "open_files": 0 }), "open_files"),
        (json!({ "memory_limit": 0 }), "memory_limit"),
        (json!({ "queue": "" }), "queue"),
        (json!({ "queue": "a,b" }), "queue"),
        (json!({ "required_commands": [""] }), "required_commands"),
        (json!({ "package_includes": [" "] }), "package_includes"),
        (json!({ "env": { "only": ["A=1"] } }), "env"),
    ] {
        let payload = json!({ "options": options }).to_string();
        let output = home.output(["notifydispatcher", "Look", &payload], b"");
        let code = if option == "required_commands" {
            78
        } else {
            64
        };
        let text = refused(&output, code);
        assert!(
            code == 78 || text.contains(&format!("`{option}`")),
            "{text}"
        );
        assert_eq!(home.ids(), [before.as_str()], "nothing is stored");
    }
}

#[test]
fn nice_at_both_ends() {
    let home = fixture();
    // Lower than ours needs a privilege, which root has; without it the job says so and runs.
    let privileged = rustix::process::geteuid().is_root();
    let own = look(&home, "process", json!({}))["nice"].clone();
    for way in WAYS {
        for (nice, expected) in [(0, "0"), (1, "1"), (19, "19"), (-20, "-20")] {
            let options = json!({ "nice": nice, "isolation": way });
            let job = home.run("Look", &json!({ "options": options }));
            let seen = saw(&job);
            if privileged || nice > 0 {
                assert_eq!(seen["nice"], expected, "{way}");
            } else if nice < 0 {
                assert_eq!(seen["nice"], own);
                let said = dispatcher_tests::said(&job.attempts[0].stderr);
                assert!(said.contains("niceness -20"), "{said}");
            }
        }
    }
}

/// Builds a shared library; there is a C compiler, since SQLite was built with it.
fn library(home: &Home, name: &str, source: &str) -> String {
    let code = home.file(&format!("{name}.c"));
    std::fs::write(&code, source).expect("it can be written");
    let library = home.file(&format!("lib{name}.so"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &code])
        .status()
        .expect("there is a C compiler");
    assert!(built.success());
    library.to_str().expect("a text").to_owned()
}

/// The second library needs a symbol of the first one, which must be global for that.
#[test]
fn package_includes_are_loaded_in_order_with_global_symbols() {
    let home = fixture();
    let first = library(&home, "first", "int first(void) { return 41; }");
    let second = "extern int first(void);\nint second(void) { return first() + 1; }";
    let second = library(&home, "second", second);
    for way in WAYS {
        let payload = |includes: Value| {
            json!({
                "calls": [[first, "first"], [second, "second"], [null, "second"]],
                "options": { "package_includes": includes, "isolation": way },
            })
        };
        let seen = saw(&home.run("Look", &payload(json!([first, second]))));
        assert_eq!(seen["calls"], json!([41, 42, 42]));
        let job = home.run("Look", &payload(json!([second, first])));
        let names = match &job.outcome.as_ref().expect("it ended").cause {
            Cause::MissingRequirement { names } => names.join("\n"),
            other => panic!("{other:?}"),
        };
        assert!(names.contains("undefined symbol: first"), "{names}");
        assert_eq!(job.attempt, 1, "what is missing now is missing later");
    }
    // What a job loaded is gone with its process.
    let payload = json!({ "calls": [[null, "first"]] });
    let job = home.run("Look", &payload);
    let cause = &job.outcome.as_ref().expect("it ended").cause;
    assert!(
        matches!(cause, Cause::Discarded { message } if message == "no function first"),
        "{cause:?}"
    );
}

#[test]
fn package_includes_quote_the_loader_for_each() {
    let home = fixture();
    let file = home.file("no-library.so");
    std::fs::write(&file, "text").expect("it can be written");
    let includes = json!(["libnowhere.so.7", file, "libc.so.6"]);
    for way in WAYS {
        let options = json!({ "package_includes": includes, "isolation": way });
        let job = home.run("Look", &json!({ "options": options }));
        match &job.outcome.as_ref().expect("it ended").cause {
            Cause::MissingRequirement { names } => {
                assert_eq!(names.len(), 2, "{names:?}");
                assert!(names[0].contains("libnowhere.so.7: cannot open"));
                assert!(
                    names[1].contains("no-library.so: file too short"),
                    "{names:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
