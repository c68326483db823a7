//! Jobs that a pool has claimed ahead of its workers: what becomes of them when a supervisor dies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job, PATIENCE, eventually, kill, notify, said};
use serde_json::json;

use crate::{FIXTURE, serve};

const ONE: &str = "[pools.default]\nworkers = 1\nmode = \"probe\"\n\
                   [dispatchers.Pooled]\nisolation = \"pool\"";
/// Short jobs before the one in which everything ends, and after it.
const BEFORE: usize = 80;
const AFTER: usize = 20;

fn ask(home: &Home, arguments: &[&str]) {
    let output = home.output(arguments.iter().copied(), b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
}

fn short(home: &Home) -> String {
    notify(home, "Pooled", &json!({ "steps": [] }), &[])
}

/// How often attempts ended for each cause.
fn causes(jobs: &[Job]) -> BTreeMap<&'static str, usize> {
    let mut causes = BTreeMap::new();
    for attempt in jobs.iter().flat_map(|job| &job.attempts) {
        *causes.entry(attempt.outcome.cause.name()).or_default() += 1;
    }
    causes
}

/// A service that is killed with a job running and others claimed, and another one after it.
fn killed_in_the_middle(config: &str, meanwhile: impl Fn(&Home)) -> (Job, Vec<Job>) {
    let home = Home::new(FIXTURE);
    let service = serve(&home, config);
    ask(&home, &["pause", "Pooled"]);
    let before: Vec<String> = (0..BEFORE).map(|_| short(&home)).collect();
    let steps = json!({ "steps": [{ "freeze": service.pid() }] });
    let last = notify(&home, "Pooled", &steps, &[]);
    let after: Vec<String> = (0..AFTER).map(|_| short(&home)).collect();
    ask(&home, &["resume", "Pooled"]);
    eventually("the service stands still", PATIENCE, || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", service.pid()));
        stat.is_ok_and(|stat| stat.contains(") T "))
    });
    kill(i32::try_from(service.pid()).expect("a pid"));
    service.end();
    meanwhile(&home);
    let _next = serve(&home, config);
    for job in &before {
        assert_eq!(home.wait(job).state, JobState::Succeeded);
    }
    let after = after.iter().map(|job| home.wait(job)).collect();
    (home.wait(&last), after)
}

#[test]
fn what_nobody_has_begun_is_not_lost() {
    let (last, after) = killed_in_the_middle(ONE, |_| ());
    let cause = |job: &Job| job.attempts[0].outcome.cause.clone();
    assert_eq!((cause(&last), last.lost), (Cause::WorkerLost, 1));
    assert_eq!(last.state, JobState::Succeeded);
    for job in &after {
        assert_eq!(
            (job.state, job.lost, job.failures),
            (JobState::Succeeded, 0, 0)
        );
    }
    let causes = causes(&after);
    assert_eq!(causes.get("succeeded"), Some(&AFTER), "{causes:?}");
    // They had been claimed, and went back.
    assert!(
        causes.get("shutdown").is_some_and(|count| *count > 0),
        "{causes:?}"
    );
    assert_eq!(causes.len(), 2, "{causes:?}");
}

/// Without the notes nobody can tell, and whatever was claimed counts as begun.
#[test]
fn what_cannot_be_told_counts_as_lost_and_runs_again() {
    let (last, after) = killed_in_the_middle(ONE, |home| {
        let notes = named("begun", home.path());
        assert_eq!(notes.len(), 1, "{notes:?}");
        fs::remove_file(&notes[0]).expect("it is there");
    });
    assert_eq!(last.lost, 1);
    let causes = causes(&after);
    assert_eq!(causes.get("succeeded"), Some(&AFTER), "{causes:?}");
    let lost = causes.get("worker_lost").copied().unwrap_or(0);
    assert!(lost > 0 && causes.len() == 2, "{causes:?}");
    let counted: u32 = after.iter().map(|job| job.lost).sum();
    assert_eq!(counted as usize, lost);
}

/// Files of this name in a folder and all below it.
fn named(name: &str, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => named(name, &entry.path()),
        _ if entry.file_name() == *name => vec![entry.path()],
        _ => Vec::new(),
    });
    found.collect()
}

#[test]
fn nothing_is_claimed_ahead_where_that_is_not_wanted() {
    for setting in ["prefetch = 0", "on_lost = \"fail\""] {
        let config = match setting {
            "prefetch = 0" => ONE.replace("mode", &format!("{setting}\nmode")),
            _ => format!("{ONE}\n{setting}"),
        };
        let (last, after) = killed_in_the_middle(&config, |_| ());
        assert_eq!(last.attempts[0].outcome.cause, Cause::WorkerLost);
        let causes = causes(&after);
        assert_eq!(causes, BTreeMap::from([("succeeded", AFTER)]), "{setting}");
    }
}
