//! The program's own dispatchers in a pool: one process for many jobs, and each finds it as new.

use std::collections::BTreeSet;
use std::time::Duration;

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{
    Home, Job, Kind, PATIENCE, Probe, configure, eventually, is_alive, kill, notify, perform, said,
};
use serde_json::{Value, json};

use crate::{FIXTURE, look, replaced, serve, workers};

/// Whether a service is there, or a supervisor comes by itself.
#[derive(Debug, Clone, Copy)]
enum With {
    Service,
    Nobody,
}

const BOTH: [With; 2] = [With::Service, With::Nobody];

const ONE: &str = "[pools.default]\nworkers = 1\nmode = \"probe\"\n\
                   [dispatchers.Pooled]\nisolation = \"pool\"\n[dispatchers.Act]\nisolation = \"pool\"";

/// Does the same with a service and without.
fn with_both(config: &str, test: impl Fn(&Home, With)) {
    for with in BOTH {
        let home = Home::new(FIXTURE);
        let service = match with {
            With::Service => Some(serve(&home, config)),
            With::Nobody => {
                configure(&home, config);
                None
            }
        };
        test(&home, with);
        drop(service);
    }
}

fn steps(steps: &Value) -> Value {
    json!({ "steps": steps })
}

/// Sends many at once, each of them itself.
fn send(home: &Home, payloads: &[Value]) -> Vec<String> {
    let send = |payload| notify(home, "Pooled", payload, &[]);
    payloads.iter().map(send).collect()
}

fn output(job: &Job) -> Value {
    let output = job.output.as_deref();
    let output = output.unwrap_or_else(|| panic!("no output: {job:?}"));
    serde_json::from_str(output).expect("JSON")
}

fn pid_of(job: &Job) -> i32 {
    job.attempts[0]
        .pid
        .unwrap_or_else(|| panic!("no process: {job:?}"))
}

#[test]
fn one_process_serves_many_jobs() {
    with_both(ONE, |home, with| {
        let jobs = send(home, &vec![steps(&json!([])); 12]);
        let jobs: Vec<Job> = jobs.iter().map(|job| home.wait(job)).collect();
        let pids: BTreeSet<i32> = jobs.iter().map(pid_of).collect();
        assert_eq!(pids.len(), 1, "{with:?}: {pids:?}");
        for job in &jobs {
            let told = output(job);
            assert_eq!(
                (&told["pid"], &told["job"]),
                (&json!(pid_of(job)), &json!(job.id))
            );
        }
    });
}

#[test]
fn what_it_says_belongs_to_the_job_that_said_it() {
    with_both(ONE, |home, with| {
        let payloads: Vec<Value> = (0..40)
            .map(|at| match at % 4 {
                0 => steps(&json!([{"mutter": format!("{at} without an end")}])),
                1 => steps(&json!([])),
                _ => steps(&json!([{"say": at.to_string()}])),
            })
            .collect();
        for (at, job) in send(home, &payloads).iter().enumerate() {
            let job = home.wait(job);
            assert_eq!(job.state, JobState::Succeeded, "{with:?}: {job:?}");
            let (out, err) = (said(&job.attempts[0].stdout), said(&job.attempts[0].stderr));
            let expected = match at % 4 {
                0 => (format!("{at} without an end"), String::new()),
                1 => Default::default(),
                _ => (format!("out {at}\n"), format!("err {at}\n")),
            };
            assert_eq!((out, err), expected, "{with:?}: job {at}");
        }
    });
}

#[test]
fn progress_is_shown_live() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, ONE);
    for text in ["first", "second"] {
        let gate = format!("{text}.gate");
        let payload = steps(&json!([{"say": text}, {"wait_for": gate}]));
        let job = notify(&home, "Pooled", &payload, &[]);
        eventually("its progress is shown", PATIENCE, || {
            let shown = home.output(["show", &job, "--json"], b"");
            let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
            shown["progress"]["text"] == *text
        });
        let logs = said(&home.output(["logs", &job], b"").stdout);
        assert!(logs.contains(&format!("out {text}")), "{logs}");
        home.open_gate(&gate);
        assert_eq!(home.wait(&job).state, JobState::Succeeded);
    }
}

#[test]
fn where_it_was_is_where_the_next_one_begins() {
    let config = ONE.replace("mode", "working_directory = \"/usr\"\nmode");
    with_both(&config, |home, with| {
        let moved = perform(home, "Pooled", &steps(&json!([{"enter": "/tmp"}])));
        let next = perform(home, "Pooled", &steps(&json!([])));
        let own = json!({"steps": [], "options": {"working_directory": "/var"}});
        let own = perform(home, "Pooled", &own);
        let last = perform(home, "Pooled", &steps(&json!([])));
        let jobs = [&moved, &next, &own, &last];
        let seen = jobs.map(|job| output(job)["directory"].clone());
        assert_eq!(seen, ["/usr", "/usr", "/var", "/usr"], "{with:?}");
        assert!(
            jobs.iter().all(|job| pid_of(job) == pid_of(&moved)),
            "{with:?}"
        );
    });
}

#[test]
fn a_panic_ends_the_worker_after_the_job() {
    with_both(ONE, |home, with| {
        let before = perform(home, "Pooled", &steps(&json!([])));
        let job = perform(
            home,
            "Pooled",
            &steps(&json!([{"say": "a"}, {"panic": "boom"}])),
        );
        let Some(Cause::Panicked(panic)) = job.outcome.as_ref().map(|it| &it.cause) else {
            panic!("{with:?}: {job:?}");
        };
        assert_eq!(panic.message, "boom");
        assert_eq!(pid_of(&job), pid_of(&before));
        assert_eq!(said(&job.attempts[0].stdout), "out a\n");
        let next = perform(home, "Pooled", &steps(&json!([])));
        assert_ne!(pid_of(&next), pid_of(&before), "{with:?}");
        eventually("it ends", PATIENCE, || !is_alive(pid_of(&before)));
        if matches!(with, With::Service) {
            assert_eq!(replaced(home, "default", "finalizer"), 1);
        }
    });
}

#[test]
fn whoever_asks_whether_it_is_cancelled_may_finish() {
    with_both(ONE, |home, with| {
        let payload = json!({"steps": [{"until_cancelled": "asks"}], "options": {"grace": 60_000}});
        let job = notify(home, "Pooled", &payload, &[]);
        home.wait_for("asks");
        let cancelled = home.output(["cancel", &job], b"");
        assert!(cancelled.status.success(), "{}", said(&cancelled.stderr));
        let job = home.wait(&job);
        assert_eq!(job.state, JobState::Cancelled, "{with:?}");
        // Whoever comes next is not cancelled, and does not listen to what it did not ask for.
        let next = output(&perform(home, "Pooled", &steps(&json!([]))));
        let fresh = json!({"steps": [], "options": {"isolation": "process"}});
        let fresh = output(&perform(home, "Pooled", &fresh));
        assert_eq!(next["listens_to"], fresh["listens_to"], "{with:?}");
        assert_eq!(next["stopped"], false);
    });
}

#[test]
fn what_it_used_is_its_own() {
    with_both(ONE, |home, with| {
        let heavy = perform(home, "Pooled", &steps(&json!([{"burn": 300}])));
        let light = perform(home, "Pooled", &steps(&json!([])));
        let used = |job: &Job| {
            let usage = &job.outcome.as_ref().expect("an outcome").usage;
            Duration::from_micros(usage.user_us + usage.system_us)
        };
        assert_eq!(pid_of(&heavy), pid_of(&light), "{with:?}");
        assert!(
            used(&heavy) >= Duration::from_millis(290),
            "{with:?}: {:?}",
            used(&heavy)
        );
        assert!(
            used(&light) < Duration::from_millis(200),
            "{with:?}: {:?}",
            used(&light)
        );
        assert!(light.outcome.expect("an outcome").usage.max_rss_kib > 0);
    });
}

#[test]
fn what_a_job_leaves_behind_goes_with_the_worker() {
    let config = ONE.replace("mode", "max_jobs = 2\nmode");
    with_both(&config, |home, with| {
        let leaving = perform(home, "Pooled", &steps(&json!([{"leave": "left.pid"}])));
        assert_eq!(leaving.state, JobState::Succeeded, "{with:?}: {leaving:?}");
        let left: i32 = home.read("left.pid").parse().expect("a number");
        assert!(is_alive(left), "{with:?}: the worker lives, and so does it");
        let last = perform(home, "Pooled", &steps(&json!([])));
        assert_eq!(pid_of(&last), pid_of(&leaving));
        eventually("both end", PATIENCE, || {
            !is_alive(left) && !is_alive(pid_of(&last))
        });
    });
}

#[test]
fn direct_requests_and_jobs_share_the_workers() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, ONE);
    let mut probe = Probe::connect(&home);
    let pid = probe.reply("default", "pid");
    for round in 0..10 {
        let job = perform(&home, "Pooled", &steps(&json!([{"say": "x"}])));
        assert_eq!(pid_of(&job).to_string(), pid, "round {round}");
        assert_eq!(said(&job.attempts[0].stdout), "out x\n");
        assert_eq!(probe.reply("default", "Ann"), "hello Ann");
    }
    assert_eq!(
        probe.refusal("default", "error no luck").2,
        "the worker says: no luck"
    );
    assert_eq!(probe.reply("default", "pid"), pid);
    let (kind, cause, text) = probe.refusal("default", "exit 3");
    assert_eq!((&*kind, &*cause), ("worker_died", "exited"), "{text}");
    let after = probe.reply("default", "pid");
    assert_ne!(after, pid);
    // A panic is told to the asker, and spoils the worker.
    let (kind, _, text) = probe.refusal("default", "panic out of luck");
    assert!(text.contains("out of luck"), "{kind}: {text}");
    assert_ne!(probe.reply("default", "pid"), after);
    assert_eq!(
        perform(&home, "Pooled", &steps(&json!([]))).state,
        JobState::Succeeded
    );
}

#[test]
fn a_pool_that_serves_no_requests_says_so() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &ONE.replace("\"probe\"", "\"nothing\""));
    let mut probe = Probe::connect(&home);
    let (kind, _, text) = probe.refusal("default", "Ann");
    assert_eq!(kind, "refused", "{text}");
    let job = perform(&home, "Pooled", &steps(&json!([])));
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(workers(&home, "default").len(), 1);
}

#[test]
fn workers_of_a_lost_keeper_are_replaced_and_their_jobs_run_again() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, ONE);
    let waiting = steps(&json!([{"mark": "begun"}, {"wait_for": "gate"}]));
    let job = notify(&home, "Pooled", &waiting, &[]);
    home.wait_for("begun");
    let keeper = home.of_kind(Kind::Keeper).remove(0);
    kill(keeper.pid);
    eventually("it runs again", PATIENCE, || home.stands(&job).1 == 2);
    home.open_gate("gate");
    let job = home.wait(&job);
    assert_eq!(
        (job.state, job.failures),
        (JobState::Succeeded, 0),
        "{job:?}"
    );
    assert!(look(&home)["serving"] == true);
}
