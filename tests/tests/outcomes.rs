//! Every row of the outcome table comes from a real process: its cause, state, exit code and
//! sentence, as the waiting command and `show` tell them, for forked and for fresh processes.
//!
//! `out_of_memory` is in `memory.rs`: it is said only on the word of a delegated control group.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Output};

use dispatcher_core::JobState;
use dispatcher_tests::{Home, Kind, PATIENCE, eventually, kill, limit_open_files, said, terminate};
use serde_json::{Value, json};

const WAYS: [&str; 2] = ["process", "exec"];

/// What a job is expected to come to.
#[derive(Debug, Clone)]
struct Row {
    deed: Value,
    options: Value,
    state: &'static str,
    cause: &'static str,
    attempts: u32,
    code: i32,
    /// A star stands for anything.
    sentence: &'static str,
}

/// A job that failed: it was tried again once if it may be.
fn failed(deed: Value, cause: &'static str, code: i32, sentence: &'static str) -> Row {
    Row {
        deed,
        options: json!({}),
        state: "failed",
        cause,
        attempts: 2,
        code,
        sentence,
    }
}

impl Row {
    fn options(self, options: Value) -> Self {
        Self { options, ..self }
    }

    fn never_retried(self) -> Self {
        Self {
            attempts: 1,
            ..self
        }
    }

    fn succeeded(deed: Value, sentence: &'static str) -> Self {
        Self {
            state: "succeeded",
            attempts: 1,
            ..failed(deed, "succeeded", 0, sentence)
        }
    }

    fn payload(&self, way: &str) -> Value {
        let mut options = json!({
            "isolation": way,
            "retries": 1,
            "backoff": { "kind": "constant", "delay": 10 },
            "grace": 200,
        });
        merge(&mut options, &self.options);
        json!({ "deed": self.deed, "options": options })
    }
}

fn merge(into: &mut Value, from: &Value) {
    let fields = from.as_object().expect("an object");
    into.as_object_mut()
        .expect("an object")
        .extend(fields.clone());
}

/// What the waiting command and `show` told of a job.
#[derive(Debug)]
struct Told {
    code: i32,
    record: Value,
    shown: String,
}

fn start(home: &Home, name: &str, payload: &Value) -> Child {
    home.start(["notifydispatcher", name, &payload.to_string(), "--json"])
}

fn hear(home: &Home, child: Child) -> Told {
    let output = child.wait_with_output().expect("it ends");
    let record: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:#?}"));
    let id = record["id"].as_str().expect("an id");
    let again = home.output(["show", id, "--json"], b"");
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(record, again, "the waiting command and `show` agree");
    let shown = home.output(["show", id], b"");
    assert!(shown.status.success(), "{shown:#?}");
    Told {
        code: code(&output),
        shown: said(&shown.stdout),
        record,
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ends it")
}

fn check(told: &Told, row: &Row) {
    let record = &told.record;
    assert_eq!(record["state"], row.state, "{told:#?}");
    assert_eq!(record["outcome"]["cause"], row.cause, "{told:#?}");
    assert_eq!(told.code, row.code, "{told:#?}");
    assert_eq!(record["attempt"], row.attempts, "{told:#?}");
    let sentence = record["sentence"].as_str().expect("a sentence");
    assert!(fits(sentence, row.sentence), "{sentence:?} is not {row:#?}");
    let state = format!("{:<10} {} at ", "state", row.state);
    assert!(told.shown.contains(&state), "{}", told.shown);
    let cause = format!("{:<10} it {sentence}\n", "cause");
    assert!(told.shown.contains(&cause), "{}", told.shown);
}

/// Whether a text fits a pattern with one star at most.
fn fits(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

/// Runs all of them at the same time, in both kinds of process.
fn check_all(rows: &[Row], ways: &[&str]) {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let all = ways
        .iter()
        .flat_map(|way| rows.iter().map(move |row| (row, row.payload(way))));
    let waiting: Vec<_> = all
        .map(|(row, payload)| (row, start(&home, "Act", &payload)))
        .collect();
    for (row, child) in waiting {
        check(&hear(&home, child), row);
    }
    home.no_tags_left();
}

#[test]
fn results_of_the_job() {
    let chain = json!({ "fail": ["cannot renew", "no answer", "line 3"] });
    let rows = [
        Row::succeeded(json!("succeed"), "succeeded"),
        failed(
            chain,
            "failed",
            1,
            "failed: cannot renew: no answer: line 3",
        ),
        failed(
            json!({ "discard": "no such domain" }),
            "discarded",
            1,
            "failed and asked not to be retried: no such domain",
        )
        .never_retried(),
        failed(
            json!({ "panic": "index out of luck" }),
            "panicked",
            1,
            "panicked at tests/src/bin/fixture/act.rs:*: index out of luck",
        ),
    ];
    check_all(&rows, &WAYS);
}

#[test]
fn ends_without_a_result() {
    let rows = [
        failed(json!({ "exit": 7 }), "exited", 7, "exited with code 7"),
        failed(
            json!({ "exit": 0 }),
            "exited",
            1,
            "exited with code 0, but without a result",
        ),
        failed(
            json!("null_pointer"),
            "signalled",
            139,
            "was killed by SIGSEGV*",
        ),
        failed(
            json!({ "signal": 9 }),
            "signalled",
            137,
            "was killed by SIGKILL",
        ),
        failed(
            json!({ "signal": 15 }),
            "signalled",
            143,
            "was killed by SIGTERM",
        ),
        failed(
            json!("garbage"),
            "protocol_error",
            70,
            "broke the protocol with its supervisor: *",
        ),
    ];
    check_all(&rows, &WAYS);
}

#[test]
fn stopped_at_a_limit() {
    let rows = [
        failed(
            json!({ "run": 60_000 }),
            "timed_out",
            124,
            "ran longer than its timeout of 300ms and was stopped",
        )
        .options(json!({ "timeout": 300 })),
        failed(
            json!({ "allocate": 100 << 20 }),
            "memory_limit",
            137,
            "used more memory than its limit of 50MiB and was stopped",
        )
        .options(json!({ "memory_limit": 50 << 20 })),
        failed(
            json!("burn"),
            "cpu_limit",
            152,
            "used more CPU time than its limit of 1s and was stopped",
        )
        .options(json!({ "cpu_limit": 1_000, "retries": 0 }))
        .never_retried(),
    ];
    check_all(&rows, &WAYS);
}

/// Its result counts, and the bad end is told.
#[test]
fn a_bad_end_after_a_result() {
    let row = Row::succeeded(
        json!({ "exit_after_result": 3 }),
        "succeeded, but its process ended badly after that",
    );
    // A forked worker runs nothing of the program's after its result.
    check_all(&[row], &["exec"]);
}

/// The loader of a fresh image finds no descriptor to open its libraries with.
#[test]
fn dead_before_its_hello() {
    let row = failed(
        json!("succeed"),
        "protocol_error",
        70,
        "broke the protocol with its supervisor: it exited with status * before its hello",
    );
    check_all(&[row.options(json!({ "open_files": 4 }))], &["exec"]);
}

#[test]
fn cancelled() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let row = Row {
        state: "cancelled",
        ..failed(
            json!({ "wait_for": "never" }),
            "cancelled",
            130,
            "was cancelled by *",
        )
        .never_retried()
    };
    for (round, way) in WAYS.into_iter().enumerate() {
        let child = start(&home, "Act", &row.payload(way));
        let id = home.stored(round);
        home.wait_running(&id);
        let cancelled = home.output(["cancel", &id], b"");
        assert!(cancelled.status.success(), "{cancelled:#?}");
        check(&hear(&home, child), &row);
    }
    // One that waits is never started, and an interruption of the waiting command cancels too.
    let gate = json!({ "name": "first", "gate": "never" });
    home.wait_running(&home.submit("Exclusive", &gate));
    let child = start(&home, "Exclusive", &json!({ "name": "second" }));
    home.stored(WAYS.len() + 1);
    terminate(child.id());
    let interrupted = Row {
        attempts: 0,
        sentence: "was cancelled by an interruption of notifydispatcher (pid *)",
        ..row
    };
    check(&hear(&home, child), &interrupted);
    assert_eq!(home.read("order"), "start first\n");
}

#[test]
fn expired() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let gate = json!({ "name": "first", "gate": "gate" });
    let first = home.submit("Exclusive", &gate);
    home.wait_running(&first);
    let options = json!({ "expires": 100 });
    let late = json!({ "name": "late", "options": options });
    let told = hear(&home, start(&home, "Exclusive", &late));
    let row = Row {
        attempts: 0,
        ..failed(
            json!({}),
            "expired",
            75,
            "waited longer than its expiry of 100ms and was not started",
        )
    };
    check(&told, &row);
    home.open_gate("gate");
    assert_eq!(home.wait(&first).state, JobState::Succeeded);
    assert_eq!(home.read("order"), "start first\nend first\n");
}

#[test]
fn missing_requirement() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    // The supervisor that this one starts does not find the program that the next ones find.
    assert_eq!(
        home.run("Act", &json!({ "deed": "succeed" })).state,
        JobState::Succeeded
    );
    let programs = home.file("programs");
    std::fs::create_dir(&programs).expect("a directory");
    let program = programs.join("only-here");
    std::fs::write(&program, "#!/bin/sh\n").expect("a file");
    set_mode(&program, 0o755);
    let path = std::env::var("PATH").unwrap_or_default();
    for way in WAYS {
        let command = failed(
            json!("succeed"),
            "missing_requirement",
            78,
            "needs what is not there: command only-here",
        );
        let command = command.options(json!({ "required_commands": ["only-here"] }));
        let payload = command.payload(way).to_string();
        let child = home
            .command(["notifydispatcher", "Act", &payload, "--json"])
            .env("PATH", format!("{path}:{}", programs.display()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        check(&hear(&home, child), &command.never_retried());
        let library = failed(
            json!("succeed"),
            "missing_requirement",
            78,
            "needs what is not there: libnowhere.so: *",
        );
        let library = library.options(json!({ "package_includes": ["libnowhere.so"] }));
        let child = start(&home, "Act", &library.payload(way));
        check(&hear(&home, child), &library.never_retried());
    }
}

/// The keeper has no room for the descriptors of a worker.
#[test]
fn spawn_failed_for_want_of_resources() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    home.run("Act", &json!({ "deed": "succeed" }));
    let [keeper] = &home.of_kind(Kind::Keeper)[..] else {
        panic!("one keeper, not {:#?}", home.processes());
    };
    let before = limit_open_files(keeper.pid, 5);
    let row = failed(
        json!("succeed"),
        "spawn_failed",
        126,
        "could not be started: *(os error 24)",
    );
    let row = row.options(json!({ "retries": 0 })).never_retried();
    let hopeless = WAYS.map(|way| start(&home, "Act", &row.payload(way)));
    for child in hopeless {
        check(&hear(&home, child), &row);
    }
    // A shortage that ends costs no attempt.
    let child = start(&home, "Act", &row.payload("process"));
    home.wait_running(&home.stored(3));
    limit_open_files(keeper.pid, before);
    check(
        &hear(&home, child),
        &Row::succeeded(json!("succeed"), "succeeded"),
    );
}

/// The program may no longer be started. Whoever forks does not notice.
#[test]
fn spawn_failed_at_exec() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let program = home.file("program");
    std::fs::copy(env!("CARGO_BIN_EXE_fixture"), &program).expect("a copy");
    let home = home.with_program(&program);
    let gate = json!({ "name": "first", "gate": "gate" });
    home.wait_running(&home.submit("Exclusive", &gate));
    let fresh = json!({ "name": "fresh", "options": { "isolation": "exec" } });
    let fresh = start(&home, "Exclusive", &fresh);
    home.stored(1);
    let forked = start(&home, "Exclusive", &json!({ "name": "forked" }));
    home.stored(2);
    set_mode(&program, 0o644);
    home.open_gate("gate");
    let outputs = [fresh, forked].map(|child| child.wait_with_output().expect("it ends"));
    set_mode(&program, 0o755);
    let [fresh, forked] = outputs.map(|output| {
        let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (code(&output), record)
    });
    assert_eq!(fresh.0, 126, "{fresh:#?}");
    assert_eq!(fresh.1["outcome"]["cause"], "spawn_failed", "{fresh:#?}");
    assert_eq!(
        fresh.1["sentence"],
        "could not be started: Permission denied (os error 13)"
    );
    assert_eq!((forked.0, &forked.1["state"]), (0, &json!("succeeded")));
}

fn set_mode(path: &std::path::Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("it is ours");
}

/// Supervisor, keeper and worker die at once; whoever comes next tells what became of the job.
#[test]
fn worker_lost() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let row = failed(
        json!({ "wait_for": "never" }),
        "worker_lost",
        70,
        "was lost together with its supervisor or host",
    );
    let row = row.options(json!({ "on_lost": "fail" })).never_retried();
    for (round, way) in WAYS.into_iter().enumerate() {
        let child = start(&home, "Act", &row.payload(way));
        home.wait_running(&home.stored(2 * round));
        home.kill_all(&[Kind::Supervisor, Kind::Keeper, Kind::Worker]);
        eventually("all are dead", PATIENCE, || {
            home.of_kind(Kind::Supervisor).is_empty()
        });
        home.run("Act", &json!({ "deed": "succeed" }));
        check(&hear(&home, child), &row);
    }
}

/// Three times it is run again; whatever loses its worker four times is given up.
#[test]
fn worker_lost_again_and_again() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let row = Row {
        attempts: 4,
        ..failed(
            json!({ "wait_for": "never" }),
            "worker_lost",
            70,
            "was lost together with its supervisor or host",
        )
    };
    let child = start(&home, "Act", &row.payload("process"));
    let id = home.stored(0);
    for attempt in 1..=4 {
        let keeper = eventually("it runs again", PATIENCE, || {
            let of_job = |seen: &&dispatcher_tests::Seen| {
                seen.tag.as_deref() == Some(&format!("{id}.{attempt}"))
            };
            let workers = home.of_kind(Kind::Worker);
            workers.iter().find(of_job).map(|seen| seen.parent)
        });
        kill(keeper);
    }
    let told = hear(&home, child);
    check(&told, &row);
    assert_eq!(told.record["lost"], 3, "{told:#?}");
    assert_eq!(told.record["failures"], 0, "{told:#?}");
}

/// A supervisor that is told to end gives its jobs back, and they end under the next one.
#[test]
fn shutdown() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let mut ids = Vec::new();
    for way in WAYS {
        let options = json!({ "isolation": way, "grace": 100 });
        let payload = json!({ "deed": { "wait_for": "gate" }, "options": options });
        ids.push(home.submit("Act", &payload));
    }
    for id in &ids {
        home.wait_running(id);
    }
    for seen in home.of_kind(Kind::Supervisor) {
        terminate(seen.pid.unsigned_abs());
    }
    for id in &ids {
        eventually("it is queued again", PATIENCE, || {
            home.stands(id).0 == JobState::Queued
        });
    }
    eventually("all have left", PATIENCE, || home.processes().is_empty());
    home.open_gate("gate");
    home.run("Act", &json!({ "deed": "succeed" }));
    for id in &ids {
        let job = home.wait(id);
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
        assert_eq!((job.attempt, job.failures, job.lost), (2, 0, 0), "{job:#?}");
        let record = home.output(["show", id, "--json"], b"");
        let record: Value = serde_json::from_slice(&record.stdout).expect("JSON");
        let first = &record["attempts"][0];
        assert_eq!(first["outcome"]["cause"], "shutdown", "{record:#}");
        assert_eq!(
            first["sentence"], "was stopped by a shutdown and is queued again",
            "{record:#}"
        );
    }
}

/// What was asked for later is no failure.
#[test]
fn snoozed() {
    let rows = [
        Row {
            attempts: 3,
            ..Row::succeeded(json!({ "snooze_until": 3 }), "succeeded")
        },
        Row {
            attempts: 3,
            ..Row::succeeded(json!({ "retry_until": 3 }), "succeeded")
        }
        .options(json!({ "retries": 2 })),
        failed(
            json!({ "retry_until": 3 }),
            "failed",
            1,
            "failed: asked to be retried in 20ms",
        ),
    ];
    check_all(&rows, &WAYS);
}
