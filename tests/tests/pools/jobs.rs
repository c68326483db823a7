//! Durable jobs of a dispatcher of the configuration that workers in PHP and in Python do.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{
    Home, Job, PATIENCE, Probe, configure, eventually, is_alive, notify, perform, said,
};
use serde_json::{Value, json};

use crate::{FIXTURE, Language, PYTHON, in_every_language, pool, replaced, serve, workers};

in_every_language!(
    is_done_with_its_answer_as_output,
    fails_softly,
    ends_with_its_worker,
    takes_too_long,
    is_given_to_another_worker,
    prints_where_a_header_should_be,
    streams_what_it_prints,
    writes_to_stderr,
    is_cancelled,
    takes_too_much_memory,
);

/// A dispatcher `Work` whose jobs the pool `w` does.
fn work(language: Language, keys: &str, options: &str) -> String {
    let pool = language.pool(keys);
    format!("{pool}\n[dispatchers.Work]\npool = \"w\"\nmax_queue = 0\nconcurrency = 0\n{options}\n")
}

const ONE: &str = "workers = 1";

fn cause(job: &Job) -> &Cause {
    &job.outcome.as_ref().expect("an outcome").cause
}

fn pid(home: &Home) -> String {
    Probe::connect(home).reply("w", "pid")
}

fn is_done_with_its_answer_as_output(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let before = pid(&home);
    let job = perform(&home, "Work", &json!("Ann"));
    assert_eq!(
        (job.state, job.output.as_deref()),
        (JobState::Succeeded, Some("\"hello Ann\""))
    );
    assert_eq!(
        job.attempts[0].pid.map(|pid| pid.to_string()),
        Some(before.clone())
    );
    // The payload of any kind arrives as JSON.
    let job = perform(&home, "Work", &json!({"a": [1, null]}));
    assert_eq!(job.output.as_deref(), Some(r#""hello {\"a\":[1,null]}""#));
    let job = perform(&home, "Work", &json!("context"));
    assert_eq!(job.output, None, "an empty answer is no output");
    assert_eq!(pid(&home), before);
}

fn fails_softly(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(
        &home,
        &work(language, ONE, "retries = 1\nbackoff = \"constant(10ms)\""),
    );
    let before = pid(&home);
    let job = perform(&home, "Work", &json!("error no such customer"));
    let Cause::Failed { message, .. } = cause(&job) else {
        panic!("{job:?}");
    };
    assert_eq!((&**message, job.attempts.len()), ("no such customer", 2));
    let pids: Vec<_> = job.attempts.iter().map(|it| it.pid).collect();
    assert_eq!(pids, [before.parse().ok(); 2], "the worker lives on");
    assert_eq!(pid(&home), before);
}

fn ends_with_its_worker(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let before = pid(&home);
    let job = perform(&home, "Work", &json!("exit 3"));
    assert!(matches!(cause(&job), Cause::Exited { code: 3 }), "{job:?}");
    assert_ne!(pid(&home), before);
    assert_eq!(
        perform(&home, "Work", &json!("Ann")).state,
        JobState::Succeeded
    );
}

fn takes_too_long(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(
        &home,
        &work(language, ONE, "timeout = \"300ms\"\ngrace = \"100ms\""),
    );
    let before = pid(&home);
    let job = perform(&home, "Work", &json!("sleep 1000"));
    assert!(matches!(cause(&job), Cause::TimedOut), "{job:?}");
    assert!(!is_alive(before.parse().expect("a number")));
    assert_ne!(pid(&home), before);
    assert_eq!(
        perform(&home, "Work", &json!("Ann")).state,
        JobState::Succeeded
    );
}

fn is_given_to_another_worker(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let before = pid(&home);
    let mark = home.file("asked-once");
    let job = perform(&home, "Work", &json!(format!("once {}", mark.display())));
    assert_eq!(
        (job.state, job.attempts.len()),
        (JobState::Succeeded, 1),
        "{job:?}"
    );
    let after = job.attempts[0].pid.expect("a process").to_string();
    assert_ne!(after, before);
    assert_eq!(
        job.output.as_deref(),
        Some(&*after),
        "it is the one that did it"
    );
    // One that nobody wants is not asked about for ever.
    let job = perform(&home, "Work", &json!("stop"));
    let Cause::ProtocolError { what } = cause(&job) else {
        panic!("{job:?}");
    };
    assert!(what.contains("4 workers"), "{what}");
    assert_eq!(
        perform(&home, "Work", &json!("Ann")).state,
        JobState::Succeeded
    );
}

fn prints_where_a_header_should_be(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let before = pid(&home);
    let job = perform(&home, "Work", &json!("echo debug: $x is 7"));
    let Cause::ProtocolError { what } = cause(&job) else {
        panic!("{job:?}");
    };
    assert!(what.contains("debug: $x"), "{what}");
    assert_ne!(pid(&home), before);
}

fn streams_what_it_prints(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let job = perform(&home, "Work", &json!("stream 3"));
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(said(&job.attempts[0].stdout), "12");
    assert_eq!(job.output.as_deref(), Some("3"));
}

fn writes_to_stderr(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, ""));
    let jobs: Vec<String> = (0..20)
        .map(|at| notify(&home, "Work", &json!(format!("say line {at}")), &[]))
        .collect();
    for (at, job) in jobs.iter().enumerate() {
        let job = home.wait(job);
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        assert_eq!(said(&job.attempts[0].stderr), format!("line {at}"));
    }
}

fn is_cancelled(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &work(language, ONE, "grace = \"5s\""));
    let before = pid(&home);
    let running = notify(&home, "Work", &json!("sleep 1000"), &[]);
    let waiting = notify(&home, "Work", &json!("sleep 1000"), &[]);
    home.wait_running(&running);
    for job in [&waiting, &running] {
        let cancelled = home.output(["cancel", job], b"");
        assert!(cancelled.status.success(), "{}", said(&cancelled.stderr));
        assert_eq!(home.wait(job).state, JobState::Cancelled);
    }
    eventually("its worker ends", PATIENCE, || {
        !is_alive(before.parse().expect("a number"))
    });
    assert_ne!(pid(&home), before);
    assert_eq!(
        perform(&home, "Work", &json!("Ann")).state,
        JobState::Succeeded
    );
}

fn takes_too_much_memory(language: Language) {
    let home = Home::new(FIXTURE);
    let options = "memory_limit = \"150MiB\"\ngrace = \"100ms\"";
    let _service = serve(&home, &work(language, ONE, options));
    let before = pid(&home);
    let job = perform(&home, "Work", &json!(format!("grow {}", 400 << 20)));
    assert!(
        matches!(cause(&job), Cause::MemoryLimit | Cause::OutOfMemory),
        "{job:?}"
    );
    assert_ne!(pid(&home), before);
    assert_eq!(
        perform(&home, "Work", &json!("Ann")).state,
        JobState::Succeeded
    );
}

#[test]
fn jobs_use_as_many_workers_as_there_are() {
    let home = Home::new(FIXTURE);
    let keys = "min_workers = 0\nmax_workers = 3\nidle_ttl = \"300ms\"";
    let _service = serve(&home, &work(PYTHON, keys, ""));
    let gate = json!(format!("wait {}", home.file("gate").display()));
    let jobs: Vec<String> = (0..5).map(|_| notify(&home, "Work", &gate, &[])).collect();
    eventually("three run", PATIENCE, || pool(&home, "w")["running"] == 3);
    let seen = workers(&home, "w");
    let known = |it: &Value| jobs.iter().any(|job| it["job"]["id"] == **job);
    assert!(seen.len() == 3 && seen.iter().all(known), "{seen:?}");
    home.open_gate("gate");
    for job in &jobs {
        assert_eq!(home.wait(job).state, JobState::Succeeded);
    }
    eventually("they go", PATIENCE, || workers(&home, "w").is_empty());
    assert!(replaced(&home, "w", "idle_ttl") >= 3);
}

#[test]
fn jobs_wait_while_the_pool_is_degraded_and_lose_nothing() {
    let home = Home::new(FIXTURE);
    let script = home.file("late.py");
    let config = format!(
        "[pools.w]\ncommand = [\"python3\", {script:?}]\nworkers = 2\n\
         [dispatchers.Work]\npool = \"w\"\n"
    );
    let _service = serve(&home, &config);
    eventually("the pool is degraded", PATIENCE, || {
        pool(&home, "w")["degraded"].is_string()
    });
    let jobs: Vec<String> = (0..3)
        .map(|_| notify(&home, "Work", &json!("Ann"), &[]))
        .collect();
    let before: Vec<_> = jobs.iter().map(|job| home.stands(job).0).collect();
    assert!(before.iter().all(|it| !it.is_terminal()), "{before:?}");
    PYTHON.write(&home, "late.py", "");
    for job in &jobs {
        let job = home.wait(job);
        assert_eq!(
            (job.state, job.failures),
            (JobState::Succeeded, 0),
            "{job:?}"
        );
    }
}

#[test]
fn without_a_service_a_detached_supervisor_has_the_pool() {
    let home = Home::new(FIXTURE);
    configure(&home, &work(PYTHON, "workers = 2", ""));
    let first = perform(&home, "Work", &json!("pid"));
    let second = perform(&home, "Work", &json!("pid"));
    assert_eq!(first.state, JobState::Succeeded, "{first:?}");
    assert_eq!(
        first.output, second.output,
        "one after the other needs one worker"
    );
    let third = perform(&home, "Work", &json!("exit 3"));
    assert!(
        matches!(cause(&third), Cause::Exited { code: 3 }),
        "{third:?}"
    );
    eventually("it goes when nothing is left to do", PATIENCE, || {
        home.processes().is_empty()
    });
}
