//! Part two: what the built program prints is what is documented, key by key.

use std::collections::BTreeSet;

use dispatcher_core::{Cause, ExitStatus, Outcome, Usage};
use dispatcher_tests::{Home, PATIENCE, Serving, eventually, said};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::DOCUMENT;
use crate::messages::known;
use crate::shapes::Shapes;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

#[test]
fn every_command_is_there_or_excused() {
    let home = Home::new(FIXTURE);
    let help = said(&home.output(["--help"], b"").stdout);
    let (_, from) = help.split_once("Commands:\n").expect("a list");
    let (list, _) = from.split_once("\n\n").expect("an end");
    let own = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let excused = ["serve", "completions", "control"];
    for name in excused {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
    let own: BTreeSet<_> = own.filter(|name| !excused.contains(name)).collect();
    let shapes = Shapes::documented();
    let first_words = shapes.commands.keys().map(|it| it.split(' ').next());
    let mut documented: BTreeSet<_> = first_words.flatten().collect();
    assert!(documented.remove("--version"));
    assert_eq!(documented, own);
}

/// A program, and the shapes that its answers must have.
struct Asked {
    home: Home,
    shapes: Shapes,
}

impl Asked {
    /// Runs a command and compares what it prints with the shape of that name.
    fn says(&mut self, arguments: &[&str], shape: &'static str) -> Value {
        let with_json = arguments.iter().chain(&["--json"]);
        let output = self.home.output(with_json, b"");
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {arguments:?} {output:?}"));
        self.shapes.compare(&value, shape, &arguments.join(" "));
        value
    }

    /// As the table of commands says.
    fn asks(&mut self, command: &'static str, arguments: &[&str]) -> Value {
        let shape = self.shapes.commands[command];
        let shape = shape.split_once(';').map_or(shape, |(first, _)| first);
        let words = command.split(' ').chain(arguments.iter().copied());
        self.says(&words.collect::<Vec<_>>(), shape)
    }
}

#[test]
fn every_answer_has_the_documented_keys_and_no_others() {
    let mut asked = Asked {
        home: Home::new(FIXTURE),
        shapes: Shapes::documented(),
    };
    jobs(&mut asked);
    schedules(&mut asked);
    asked.asks("list", &[]);
    asked.asks("status", &[]);
    asked.asks("doctor", &[]);
    asked.asks("--version", &[]);
    asked.asks("config check", &[]);
    let file = asked.home.file("dispatcher.toml");
    std::fs::write(&file, "version = 1\n[service]\nworkers = 3\n").expect("a new file");
    let file = file.to_str().expect("a path in UTF-8").to_owned();
    asked.asks("config show", &["--config", &file]);
    asked.asks("prune", &[]);
    asked.asks("generate-secret", &["--create"]);
    asked.asks("generate-secret", &["--show"]);
    services(&mut asked.shapes);
    outcomes(&mut asked.shapes);
    progress(&mut asked.shapes);
    assert_eq!(asked.shapes.never_met(), [""; 0]);
}

fn jobs(asked: &mut Asked) {
    let act = |deed: Value| json!({ "deed": deed }).to_string();
    let output = act(json!({ "output": [1] }));
    let ended = asked.asks("notifydispatcher", &["Act", &output]);
    assert_eq!(ended["state"], "succeeded");
    asked.asks(
        "notifydispatcher",
        &["Act", &act(json!({ "fail": ["a", "b"] }))],
    );
    let wait = act(json!({ "mark": "begun" }));
    let arguments = ["notifydispatcher", "-d", "Act", &wait];
    let running = asked.says(&arguments, "Submission");
    let running = running["id"].as_str().expect("an id").to_owned();
    asked.home.wait_for("begun");
    asked.asks("status", &[]);
    asked.asks("show", &[&running]);
    asked.asks("jobs", &[]);
    asked.asks("cancel", &[&running]);
    asked.home.wait(&running);
    asked.asks("show", &[&running]);
    asked.asks("logs", &[&running]);
    asked.asks("output", &["--latest", "Act"]);
    asked.asks("retry", &[ended["id"].as_str().expect("an id")]);
    asked.asks("pause", &["Act"]);
    asked.asks("resume", &["Act"]);
}

fn schedules(asked: &mut Asked) {
    asked.asks("schedule tick", &[]);
    let connection = Connection::open(asked.home.database()).expect("there is a state file");
    connection.busy_timeout(PATIENCE).expect("a time");
    // As if nobody had looked for years.
    connection
        .execute(
            "UPDATE schedules SET record = json_set(record, '$.settled', json('[[1,1]]'))",
            (),
        )
        .expect("the state can be written");
    let ticked = asked.asks("schedule tick", &[]);
    assert_ne!(ticked["decided"], json!([]), "{ticked}");
    let listed = asked.asks("schedule list", &[]);
    assert!(listed[0]["last"].is_object(), "{listed}");
    asked.asks("schedule remove", &[]);
}

/// What is asked of a service.
fn services(shapes: &mut Shapes) {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, "[dispatchers.Act]\nisolation = \"pool\"");
    let job = home.submit("Act", &json!({"deed": {"wait_for": "gate"}}));
    service.works_on(&home, &job);
    let mut ask = |words: &[&str], shape: &'static str| {
        let output = home.output(words.iter().chain(&["--json"]), b"");
        let value: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {words:?} {output:?}"));
        shapes.compare(&value, shape, &words.join(" "));
        value
    };
    let seen = ask(&["workers"], "Services");
    assert_ne!(seen["services"][0]["pools"], json!([]), "{seen}");
    ask(&["status"], "Status");
    home.open_gate("gate");
    home.wait(&job);
    let reset = ask(&["reset", "default"], "list of Reset");
    assert_eq!(reset[0]["reset"], true, "{reset}");
    ask(&["stop"], "list of Ending");
    assert_eq!(service.end().code(), Some(0));
}

/// What a job says while it runs.
fn progress(shapes: &mut Shapes) {
    let home = Home::new(env!("CARGO_BIN_EXE_odd"));
    let chatter = ["notifydispatcher", "-d", "Chatter", r#"{"gate":"quiet"}"#];
    let id = said(&home.output(chatter, b"").stdout);
    let shown = eventually("it says something", PATIENCE, || {
        let output = home.output(["show", id.trim(), "--json"], b"");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        value["progress"].is_object().then_some(value)
    });
    shapes.compare(&shown, "Record", "a job that runs");
    home.open_gate("quiet");
    home.wait(id.trim());
}

/// Ends that a test could not bring about have their shape from the code.
fn outcomes(shapes: &mut Shapes) {
    let text = || "text".to_owned();
    let panic = dispatcher_core::Panic {
        message: text(),
        location: text(),
        backtrace: text(),
    };
    let signalled = Cause::Signalled {
        signal: 9,
        core: false,
        oom_suspected: true,
    };
    let causes = [
        Cause::Discarded { message: text() },
        Cause::Panicked(panic),
        Cause::Exited { code: 3 },
        signalled,
        Cause::MissingRequirement {
            names: vec![text()],
        },
        Cause::SpawnFailed { errno: 11 },
        Cause::ProtocolError { what: text() },
    ];
    for cause in causes {
        let outcome = Outcome {
            cause,
            exit_status: Some(ExitStatus::Signalled {
                signal: 9,
                core: true,
            }),
            unclean_exit: true,
            leaked_output: true,
            left_processes: 2,
            usage: Usage {
                tree_peak_kib: Some(1),
                ..Usage::default()
            },
        };
        let value = serde_json::to_value(outcome).expect("JSON");
        shapes.compare(&value, "Outcome", "an outcome");
    }
}

#[test]
fn all_causes_are_named() {
    let cell = DOCUMENT
        .lines()
        .find(|line| line.starts_with("| `cause` |"));
    let named = cell.expect("a row").split('`').skip(3).step_by(2);
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    assert_eq!(named, known::<Cause>("cause"));
}
