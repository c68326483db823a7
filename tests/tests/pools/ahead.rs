//! Jobs that a pool has claimed ahead of its workers: what becomes of them when a supervisor dies.

use std::collections::BTreeMap;

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
fn killed_in_the_middle(config: &str) -> (Job, Vec<Job>) {
    let home = Home::new(FIXTURE);
    let service = serve(&home, config);
    ask(&home, &["pause", "Pooled"]);
    let before: Vec<String> = (0..BEFORE).map(|_| short(&home)).collect();
    let steps = json!({ "steps": [{ "freeze": service.pid() }] });
    let last = notify(&home, "Pooled", &steps, &[]);
    let after: Vec<String> = (0..AFTER).map(|_| short(&home)).collect();
    ask(&home, &["resume", "Pooled"]);
    eventually("the service stands still", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", service.pid()));
        stat.is_ok_and(|stat| stat.contains(") T "))
    });
    kill(i32::try_from(service.pid()).expect("a pid"));
    service.end();
    let _next = serve(&home, config);
    for job in &before {
        assert_eq!(home.wait(job).state, JobState::Succeeded);
    }
    let after = after.iter().map(|job| home.wait(job)).collect();
    (home.wait(&last), after)
}

#[test]
fn what_nobody_has_begun_is_not_lost() {
    let (last, after) = killed_in_the_middle(ONE);
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

#[test]
fn nothing_is_claimed_ahead_where_that_is_not_wanted() {
    for setting in ["prefetch = 0", "on_lost = \"fail\""] {
        let config = match setting {
            "prefetch = 0" => ONE.replace("mode", &format!("{setting}\nmode")),
            _ => format!("{ONE}\n{setting}"),
        };
        let (last, after) = killed_in_the_middle(&config);
        assert_eq!(last.attempts[0].outcome.cause, Cause::WorkerLost);
        let causes = causes(&after);
        assert_eq!(causes, BTreeMap::from([("succeeded", AFTER)]), "{setting}");
    }
}
