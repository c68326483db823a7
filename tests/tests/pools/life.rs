//! How many workers a pool has, how long each lives, and for how long somebody waits for one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dispatcher_tests::{Home, PATIENCE, Probe, eventually, exec, is_alive, kill, refusal};
use serde_json::Value;

use crate::{FIXTURE, Language, PHP, PYTHON, in_every_language, pool, replaced, serve, workers};

in_every_language!(
    is_replaced_after_so_many_tasks,
    is_replaced_when_it_has_grown
);

fn is_replaced_after_so_many_tasks(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &language.pool("workers = 1\nmax_jobs = 3"));
    let mut probe = Probe::connect(&home);
    let pids: Vec<String> = (0..9).map(|_| probe.reply("w", "pid")).collect();
    let different: BTreeSet<&String> = pids.iter().collect();
    assert_eq!(different.len(), 3, "{pids:?}");
    assert!(pids.chunks(3).all(|it| it[0] == it[2]), "{pids:?}");
    eventually("they are counted", PATIENCE, || {
        replaced(&home, "w", "max_jobs") == 3
    });
}

fn is_replaced_when_it_has_grown(language: Language) {
    let home = Home::new(FIXTURE);
    let _service = serve(
        &home,
        &language.pool("workers = 1\nmax_memory = \"100MiB\""),
    );
    let mut probe = Probe::connect(&home);
    let before = probe.reply("w", "pid");
    assert_eq!(probe.reply("w", &format!("hold {}", 150 << 20)), "held");
    eventually("it is replaced", PATIENCE, || {
        replaced(&home, "w", "max_memory") == 1
    });
    assert_ne!(probe.reply("w", "pid"), before);
}

/// Several requests at once, each in a worker until the gate is open.
fn ask_at_once(home: &Home, gate: &str, count: usize) -> Vec<Probe> {
    let body = format!("wait {}", home.file(gate).display());
    let ask = |_| {
        let mut probe = Probe::connect(home);
        probe.tell(&exec("w", &body)).expect("it listens");
        probe
    };
    (0..count).map(ask).collect()
}

fn wait_count(home: &Home, state: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} are {state}"), PATIENCE, || {
        let mut workers = workers(home, "w");
        workers.retain(|it| it["state"] == state);
        (workers.len() == count).then_some(workers)
    })
}

#[test]
fn as_many_come_as_are_needed_and_go_when_they_are_idle() {
    let home = Home::new(FIXTURE);
    let keys = "min_workers = 1\nmax_workers = 3\nidle_ttl = \"1s\"";
    let _service = serve(&home, &PYTHON.pool(keys));
    wait_count(&home, "ready", 1);
    let mut asked = ask_at_once(&home, "gate", 5);
    wait_count(&home, "working", 3);
    let seen = pool(&home, "w");
    assert_eq!((&seen["running"], &seen["waiting"]), (&3.into(), &2.into()));
    home.open_gate("gate");
    for probe in &mut asked {
        assert_eq!(probe.hear().expect("an answer")["reply"]["body"], "waited");
    }
    eventually("two are too many", PATIENCE, || {
        replaced(&home, "w", "idle_ttl") >= 2
    });
    wait_count(&home, "ready", 1);
}

#[test]
fn a_pool_may_be_empty_until_somebody_asks() {
    let home = Home::new(FIXTURE);
    let keys = "min_workers = 0\nmax_workers = 2\nidle_ttl = \"300ms\"";
    let _service = serve(&home, &PHP.pool(keys));
    let mut probe = Probe::connect(&home);
    for _ in 0..2 {
        eventually("it is empty", PATIENCE, || workers(&home, "w").is_empty());
        assert_eq!(probe.reply("w", "Ann"), "hello Ann");
    }
}

#[test]
fn whoever_waits_too_long_is_told() {
    let home = Home::new(FIXTURE);
    let keys = "workers = 1\nqueue_timeout = \"300ms\"";
    let _service = serve(&home, &PHP.pool(keys));
    let mut busy = ask_at_once(&home, "gate", 1);
    wait_count(&home, "working", 1);
    let began = Instant::now();
    let (kind, _, text) = Probe::connect(&home).refusal("w", "Ann");
    assert_eq!(kind, "queue_timeout", "{text}");
    assert!(
        text.contains("300ms") && began.elapsed() >= Duration::from_millis(300),
        "{text}"
    );
    // The time is for the wait alone.
    home.open_gate("gate");
    assert_eq!(
        busy[0].hear().expect("an answer")["reply"]["body"],
        "waited"
    );
    assert_eq!(busy[0].reply("w", "Ann"), "hello Ann");
}

#[test]
fn an_old_one_is_replaced_when_it_is_idle() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &PHP.pool("workers = 1\nttl = \"500ms\""));
    let mut busy = ask_at_once(&home, "gate", 1);
    let working = wait_count(&home, "working", 1);
    eventually("it is old", PATIENCE, || {
        let [worker] = &workers(&home, "w")[..] else {
            panic!("one worker is busy, and no other is made");
        };
        worker["age_ms"].as_u64() >= Some(1_000)
    });
    home.open_gate("gate");
    assert_eq!(
        busy[0].hear().expect("an answer")["reply"]["body"],
        "waited"
    );
    eventually("it is replaced", PATIENCE, || {
        replaced(&home, "w", "ttl") >= 1
    });
    let next: Value = busy[0].reply("w", "pid").parse().expect("a number");
    assert_ne!(working[0]["pid"], next);
}

#[test]
fn an_idle_worker_that_is_killed_is_replaced_at_once() {
    let home = Home::new(FIXTURE);
    let _service = serve(&home, &PYTHON.pool("workers = 1"));
    let mut probe = Probe::connect(&home);
    let before: i32 = probe.reply("w", "pid").parse().expect("a number");
    kill(before);
    eventually("it is gone", PATIENCE, || !is_alive(before));
    let after = eventually("another answers", PATIENCE, || {
        probe.exec("w", "pid")["reply"]["body"]
            .as_str()
            .map(str::to_owned)
    });
    assert_ne!(after, before.to_string());
    eventually("it is counted", PATIENCE, || {
        replaced(&home, "w", "crashed") == 1
    });
}

#[test]
fn a_worker_that_does_not_listen_is_killed_after_its_time() {
    let home = Home::new(FIXTURE);
    let deaf = "import signal; signal.signal(15, signal.SIG_IGN)\n";
    let script = PYTHON.write(&home, "deaf.py", deaf);
    let config = format!(
        "[pools.w]\ncommand = [\"python3\", {script:?}]\nworkers = 1\n\
         exec_timeout = \"200ms\"\nstop_timeout = \"200ms\""
    );
    let _service = serve(&home, &config);
    let mut probe = Probe::connect(&home);
    let before: i32 = probe.reply("w", "pid").parse().expect("a number");
    assert_eq!(probe.refusal("w", "sleep 1000").0, "exec_timeout");
    eventually("it is killed", PATIENCE, || !is_alive(before));
}

#[test]
fn what_is_asked_of_a_service_that_ends_is_answered() {
    let home = Home::new(FIXTURE);
    let service = serve(&home, &PHP.pool("workers = 1"));
    let mut asked = ask_at_once(&home, "gate", 3);
    wait_count(&home, "working", 1);
    dispatcher_tests::terminate(service.pid());
    eventually("it drains", PATIENCE, || {
        home.read("service.log").contains("told to end")
    });
    home.open_gate("gate");
    for probe in &mut asked {
        let answer = probe.hear().expect("an answer");
        assert_eq!(
            answer["reply"]["body"], "waited",
            "it was accepted: {answer}"
        );
    }
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn what_takes_longer_than_the_drain_time_is_told_so() {
    let home = Home::new(FIXTURE);
    let keys = "workers = 1\ndrain_timeout = \"200ms\"\nstop_timeout = \"100ms\"";
    let service = serve(&home, &PHP.pool(keys));
    let mut asked = ask_at_once(&home, "never", 2);
    wait_count(&home, "working", 1);
    dispatcher_tests::terminate(service.pid());
    for probe in &mut asked {
        let answer = probe.hear().expect("an answer");
        assert_eq!(refusal(&answer).0, "stopping", "{answer}");
    }
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.processes(), []);
}
