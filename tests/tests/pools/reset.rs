//! `reset`: new workers first, then the old ones go; and if there are no new ones, they stay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Probe, eventually, exec, notify, said};
use serde_json::{Value, json};

use crate::{FIXTURE, Language, PYTHON, in_every_language, pool, replaced, serve, workers};

in_every_language!(
    gets_new_workers,
    keeps_the_old_ones_when_the_script_is_broken
);

fn reset(home: &Home, arguments: &[&str]) -> Output {
    home.output(["reset"].iter().chain(arguments), b"")
}

/// Process ids of the workers that serve.
fn serving(home: &Home) -> Vec<u64> {
    let workers = workers(home, "w").into_iter();
    let serving = workers.filter(|it| it["state"] == "ready" || it["state"] == "working");
    let mut pids: Vec<u64> = serving.filter_map(|it| it["pid"].as_u64()).collect();
    pids.sort_unstable();
    pids
}

fn gets_new_workers(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool("workers = 2"));
    let before = eventually("both are ready", PATIENCE, || {
        Some(serving(&home)).filter(|it| it.len() == 2)
    });
    let answer = reset(&home, &["w"]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    let after = serving(&home);
    assert!(
        after.len() == 2 && after.iter().all(|it| !before.contains(it)),
        "{before:?} {after:?}"
    );
    eventually("the old ones are gone", PATIENCE, || {
        replaced(&home, "w", "reset") == 2
    });
    assert_eq!(Probe::connect(&home).reply("w", "Ann"), "hello Ann");
}

fn keeps_the_old_ones_when_the_script_is_broken(language: Language) {
    let home = Home::new(FIXTURE);
    let script = language.write(&home, language.file, "");
    let config = format!(
        "[pools.w]\ncommand = [{:?}, {script:?}]\nworkers = 2\n",
        language.program
    );
    let _service = serve(&home, &config);
    let before = eventually("both are ready", PATIENCE, || {
        Some(serving(&home)).filter(|it| it.len() == 2)
    });
    fs::write(&script, "<?php this is (no program").expect("it can be written");
    let answer = reset(&home, &["w"]);
    let text = said(&answer.stderr);
    assert_eq!(answer.status.code(), Some(1), "{text}");
    assert!(text.contains("was not reset\nbecause: "), "{text}");
    let quoted = text.contains("SyntaxError") || text.contains("Parse error");
    assert!(quoted, "{text}");
    let json = reset(&home, &["w", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (&json[0]["reset"], &json[0]["pool"]),
        (&json!(false), &json!("w")),
        "{json}"
    );
    assert_eq!(serving(&home), before);
    assert!(pool(&home, "w")["degraded"].is_null(), "it works");
    let mut probe = Probe::connect(&home);
    for _ in 0..4 {
        let pid: u64 = probe.reply("w", "pid").parse().expect("a number");
        assert!(before.contains(&pid), "{pid} {before:?}");
    }
    fs::copy(language.script(), &script).expect("it can be copied");
    let answer = reset(&home, &["w"]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    assert!(serving(&home).iter().all(|it| !before.contains(it)));
}

/// A program that cannot be overwritten while it runs is replaced.
fn replace(program: &Path, with: &Path) {
    let fresh = program.with_extension("fresh");
    fs::copy(with, &fresh).expect("it can be copied");
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).expect("it is ours");
    fs::rename(&fresh, program).expect("it can be replaced");
}

#[test]
fn a_broken_binary_leaves_the_old_workers_serving() {
    let home = Home::new(FIXTURE);
    let program = home.file("worker");
    replace(&program, FIXTURE.as_ref());
    let config = format!("[pools.w]\ncommand = [{program:?}]\nmode = \"probe\"\nworkers = 2\n");
    let _service = serve(&home, &config);
    let before = eventually("both are ready", PATIENCE, || {
        Some(serving(&home)).filter(|it| it.len() == 2)
    });
    let garbage = home.file("garbage");
    fs::write(&garbage, "\u{7f}ELF and nothing more").expect("it can be written");
    let failing = home.file("failing");
    fs::write(&failing, "#!/bin/sh\necho no licence >&2; exit 4\n").expect("it can be written");
    let broken = [(&garbage, "worker"), (&failing, "no licence")];
    for (with, words) in broken {
        replace(&program, with);
        let answer = reset(&home, &["w"]);
        let text = said(&answer.stderr);
        assert_eq!(answer.status.code(), Some(1), "{text}");
        assert!(text.contains(words), "{text}");
        assert_eq!(serving(&home), before);
        assert_eq!(Probe::connect(&home).reply("w", "Ann"), "hello Ann");
    }
    replace(&program, FIXTURE.as_ref());
    let answer = reset(&home, &["w"]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    assert_eq!(Probe::connect(&home).reply("w", "Ann"), "hello Ann");
}

#[test]
fn a_busy_worker_finishes_its_task() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &PYTHON.pool("workers = 1"));
    let mut busy = Probe::connect(&home);
    let gate = home.file("gate");
    busy.tell(&exec("w", &format!("wait {}", gate.display())))
        .expect("it listens");
    eventually("it is busy", PATIENCE, || pool(&home, "w")["running"] == 1);
    let answer = reset(&home, &["w"]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    // The new one serves beside it.
    assert_eq!(Probe::connect(&home).reply("w", "Ann"), "hello Ann");
    home.open_gate("gate");
    assert_eq!(busy.hear().expect("an answer")["reply"]["body"], "waited");
    eventually("it goes", PATIENCE, || {
        serving(&home).len() == 1 && replaced(&home, "w", "reset") == 1
    });
}

#[test]
fn nothing_is_lost_under_load() {
    let home = Home::new(FIXTURE);
    let config = format!(
        "{}\n[dispatchers.Work]\npool = \"w\"\nmax_queue = 0\nconcurrency = 0\n",
        PYTHON.pool("workers = 3")
    );
    let _service = serve(&home, &config);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ask = |_| {
            let mut probe = Probe::connect(&home);
            let over = &over;
            scope.spawn(move || {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(probe.reply("w", "Ann"), "hello Ann");
                    answered += 1;
                }
                answered
            })
        };
        let asking: Vec<_> = (0..4).map(ask).collect();
        let mut jobs = Vec::new();
        let mut sender = Probe::connect(&home);
        for _ in 0..5 {
            let sent = (0..20).map(|_| sender.dispatch("Work", &json!("Ann")).expect("it listens"));
            jobs.extend(sent);
            let answer = reset(&home, &["w"]);
            assert!(answer.status.success(), "{}", said(&answer.stderr));
        }
        over.store(true, Ordering::Relaxed);
        for asking in asking {
            assert!(asking.join().expect("every request was answered") > 0);
        }
        for job in &jobs {
            let job = home.wait(job);
            // What was claimed ahead and waited for too long has gone back, begun by nobody.
            let begun = job.attempts.iter().filter(|it| it.started_at.is_some());
            assert_eq!(
                (job.state, job.failures + job.lost, begun.count()),
                (JobState::Succeeded, 0, 1),
                "{job:?}"
            );
        }
    });
    assert!(replaced(&home, "w", "reset") >= 12);
    assert_eq!(replaced(&home, "w", "crashed"), 0);
}

#[test]
fn every_pool_of_the_service_is_reset_without_a_name() {
    let home = Home::new(FIXTURE);
    let script = PYTHON.write(&home, "other.py", "");
    let config = format!(
        "{}\n[pools.other]\ncommand = [\"python3\", {script:?}]\nworkers = 1\n",
        PYTHON.pool("workers = 1")
    );
    let _service = serve(&home, &config);
    let mut probe = Probe::connect(&home);
    let mut pids = || ["w", "other"].map(|pool| probe.reply(pool, "pid"));
    let before = pids();
    let answer = reset(&home, &[]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    let after = pids();
    assert!(
        before.iter().all(|pid| !after.contains(pid)),
        "{before:?} {after:?}"
    );
    // One failure is the answer, whatever the others do.
    fs::write(&script, "raise SystemExit('no licence')").expect("it can be written");
    let answer = reset(&home, &[]);
    assert_eq!(answer.status.code(), Some(1));
    assert!(
        said(&answer.stderr).contains("no licence"),
        "{}",
        said(&answer.stderr)
    );
    let last = pids();
    assert_eq!((last[0] == after[0], last[1] == after[1]), (false, true));
}

#[test]
fn what_cannot_be_reset_is_told() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &PYTHON.pool("workers = 1"));
    let answer = reset(&home, &["v"]);
    let text = said(&answer.stderr);
    assert_eq!(answer.status.code(), Some(64), "{text}");
    assert!(
        text.contains("no pool `v`") && text.contains("there are w"),
        "{text}"
    );
    let job = notify(&home, "Act", &json!({"deed": "succeed"}), &[]);
    assert_eq!(home.wait(&job).state, JobState::Succeeded);
}
