//! Every cause of death of a job in a reused worker, and that the next job is none the wiser.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{
    Home, Job, Kind, PATIENCE, Serving, configure, eventually, is_alive, notify, perform, said,
};
use serde_json::{Value, json};

use crate::{FIXTURE, serve};

const CONFIG: &str = "[pools.default]\nworkers = 1\n[dispatchers.Act]\nisolation = \"pool\"\n\
                      grace = \"200ms\"\nretries = 0\n[dispatchers.Exclusive]\nisolation = \"pool\"";

fn homes() -> [(Home, Option<Serving>); 2] {
    let served = Home::new(FIXTURE);
    let service = serve(&served, CONFIG);
    let alone = Home::new(FIXTURE);
    configure(&alone, CONFIG);
    [(served, Some(service)), (alone, None)]
}

fn act(home: &Home, deed: &Value, options: &Value) -> Job {
    perform(home, "Act", &json!({"deed": deed, "options": options}))
}

fn cause(job: &Job) -> &'static str {
    job.outcome.as_ref().expect("an outcome").cause.name()
}

fn pid_of(job: &Job) -> Option<i32> {
    job.attempts.last().and_then(|it| it.pid)
}

/// The worker that stays for the next job, or is replaced before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    Stays,
    Goes,
}

/// Runs one job of each kind between two good ones.
fn check(rows: &[(Value, Value, &str, Worker)]) {
    for (home, service) in &homes() {
        let served = service.is_some();
        for (deed, options, expected, worker) in rows {
            let before = act(home, &json!("succeed"), &json!({}));
            let job = act(home, deed, options);
            let after = act(home, &json!("succeed"), &json!({}));
            assert_eq!(cause(&job), *expected, "{deed}, served {served}: {job:?}");
            assert_eq!(
                (cause(&before), cause(&after)),
                ("succeeded", "succeeded"),
                "{deed}"
            );
            let stays = pid_of(&before) == pid_of(&after);
            assert_eq!(stays, *worker == Worker::Stays, "{deed}, served {served}");
            if *worker == Worker::Goes {
                let gone = || !is_alive(pid_of(&before).expect("a process"));
                eventually("the worker is gone", PATIENCE, gone);
            }
        }
    }
}

#[test]
fn results_keep_the_worker() {
    let none = json!({});
    check(&[
        (
            json!({"output": [1, 2]}),
            none.clone(),
            "succeeded",
            Worker::Stays,
        ),
        (
            json!({"fail": ["cannot renew", "line 3"]}),
            none.clone(),
            "failed",
            Worker::Stays,
        ),
        (
            json!({"discard": "no such domain"}),
            none.clone(),
            "discarded",
            Worker::Stays,
        ),
        (
            json!({"panic": "index out of luck"}),
            none,
            "panicked",
            Worker::Goes,
        ),
    ]);
}

#[test]
fn ends_without_a_result_name_the_cause() {
    let none = json!({});
    check(&[
        (json!({"exit": 7}), none.clone(), "exited", Worker::Goes),
        (json!({"exit": 0}), none.clone(), "exited", Worker::Goes),
        (
            json!("null_pointer"),
            none.clone(),
            "signalled",
            Worker::Goes,
        ),
        (
            json!({"signal": 9}),
            none.clone(),
            "signalled",
            Worker::Goes,
        ),
        (
            json!({"signal": 15}),
            none.clone(),
            "signalled",
            Worker::Goes,
        ),
        (json!("garbage"), none, "protocol_error", Worker::Goes),
    ]);
}

#[test]
fn limits_end_the_worker_with_the_job() {
    check(&[
        (
            json!({"run": 60_000}),
            json!({"timeout": 300}),
            "timed_out",
            Worker::Goes,
        ),
        (
            json!({"allocate": 150 << 20}),
            json!({"memory_limit": 100 << 20}),
            "memory_limit",
            Worker::Goes,
        ),
    ]);
}

#[test]
fn what_is_missing_is_told_and_keeps_the_worker() {
    check(&[(
        json!("succeed"),
        json!({"package_includes": ["libnowhere.so"]}),
        "missing_requirement",
        Worker::Stays,
    )]);
}

#[test]
fn snoozes_and_wishes_for_a_retry_keep_the_worker() {
    for (home, _service) in &homes() {
        let snoozed = act(home, &json!({"snooze_until": 3}), &json!({}));
        assert_eq!(
            (snoozed.state, snoozed.attempt, snoozed.failures),
            (JobState::Succeeded, 3, 0)
        );
        let retried = act(home, &json!({"retry_until": 3}), &json!({"retries": 5}));
        assert_eq!(
            (retried.state, retried.attempt, retried.failures),
            (JobState::Succeeded, 3, 2)
        );
        let mut pids: Vec<_> = snoozed.attempts.iter().chain(&retried.attempts).collect();
        pids.dedup_by_key(|it| it.pid);
        assert_eq!(pids.len(), 1, "{pids:?}");
    }
}

#[test]
fn cancelled_jobs_take_their_worker_along() {
    for (home, _service) in &homes() {
        let payload = json!({"deed": {"mark": "runs"}, "options": {"grace": 200}});
        let job = notify(home, "Act", &payload, &[]);
        home.wait_for("runs");
        let cancelled = home.output(["cancel", &job], b"");
        assert!(cancelled.status.success(), "{}", said(&cancelled.stderr));
        let job = home.wait(&job);
        assert_eq!((job.state, cause(&job)), (JobState::Cancelled, "cancelled"));
        let after = act(home, &json!("succeed"), &json!({}));
        assert_ne!(pid_of(&job), pid_of(&after));
    }
}

#[test]
fn one_that_waits_too_long_expires() {
    for (home, _service) in &homes() {
        let first = notify(
            home,
            "Exclusive",
            &json!({"name": "first", "gate": "gate"}),
            &[],
        );
        home.wait_running(&first);
        let late = json!({"name": "late", "options": {"expires": 100}});
        let late = perform(home, "Exclusive", &late);
        assert_eq!((cause(&late), late.attempt), ("expired", 0));
        home.open_gate("gate");
        assert_eq!(home.wait(&first).state, JobState::Succeeded);
    }
}

#[test]
fn failures_are_tried_again_with_a_new_worker_if_need_be() {
    for (home, _service) in &homes() {
        let options = json!({"retries": 2, "backoff": {"kind": "constant", "delay": 10}});
        let job = act(home, &json!({"exit": 3}), &options);
        assert!(matches!(
            job.outcome.as_ref().map(|it| &it.cause),
            Some(Cause::Exited { code: 3 })
        ));
        let mut pids: Vec<_> = job.attempts.iter().map(|it| it.pid).collect();
        pids.dedup();
        assert_eq!((pids.len(), job.failures), (3, 2), "{job:?}");
    }
}

#[test]
fn a_service_that_ends_in_haste_queues_them_again() {
    let home = Home::new(FIXTURE);
    let service = serve(&home, CONFIG);
    let job = notify(&home, "Act", &json!({"deed": {"mark": "runs"}}), &[]);
    home.wait_for("runs");
    let stopped = home.output(["stop", "--now"], b"");
    assert!(stopped.status.success(), "{}", said(&stopped.stderr));
    assert_eq!(service.end().code(), Some(0));
    let job = home.job(&job);
    assert_eq!((job.state, job.failures), (JobState::Queued, 0));
    assert_eq!(job.attempts[0].outcome.cause.name(), "shutdown");
    assert_eq!(home.processes(), []);
}

#[test]
fn lost_with_everybody_it_runs_again_or_is_told_as_lost() {
    let home = Home::new(FIXTURE);
    configure(&home, CONFIG);
    let send = |mark: &str, on_lost: &str| {
        let options = json!({"on_lost": on_lost});
        let deed = json!({"mark": mark});
        let job = notify(
            &home,
            "Act",
            &json!({"deed": deed, "options": options}),
            &[],
        );
        home.wait_for(mark);
        let worker = home.tagged();
        home.kill_at_once(&[Kind::Supervisor, Kind::Keeper]);
        (job, worker[0].pid)
    };
    let (job, worker) = send("first", "fail");
    let next = act(&home, &json!("succeed"), &json!({}));
    assert_eq!(cause(&next), "succeeded");
    let job = home.wait(&job);
    assert_eq!((cause(&job), job.attempt), ("worker_lost", 1), "{job:?}");
    assert!(!is_alive(worker));
    let (job, worker) = send("second", "rerun");
    std::fs::remove_file(home.file("second")).expect("it is there");
    notify(&home, "Act", &json!({"deed": "succeed"}), &[]);
    home.wait_for("second");
    assert!(!is_alive(worker));
    assert_eq!(home.stands(&job), (JobState::Running, 2));
}
