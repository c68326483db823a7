//! `workers`, `stop`, `status --metrics`: a running service is asked from outside.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Serving, control_sockets, eventually, kill, said, sample};
use serde_json::{Value, json};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

fn ask(home: &Home, arguments: &[&str]) -> Output {
    home.output(arguments.iter().copied(), b"")
}

fn asked(home: &Home, arguments: &[&str]) -> Value {
    let output = ask(home, arguments);
    assert!(output.status.success(), "{}", said(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn wait_for(gate: &str) -> Value {
    json!({"deed": {"wait_for": gate}})
}

#[test]
fn the_workers_of_a_service_are_told_as_they_are() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &["--workers", "3"]);
    let job = home.submit("Act", &wait_for("gate"));
    home.wait_running(&job);
    let seen = asked(&home, &["workers", "--json"]);
    let seen = &seen["services"][0];
    assert_eq!(seen["pid"], service.pid());
    assert_eq!(
        (&seen["serving"], &seen["slots"]),
        (&json!(true), &json!(3))
    );
    let working = |seen: &Value| {
        let workers = seen["workers"].as_array().expect("a list").clone();
        workers.into_iter().find(|it| it["job"]["id"] == *job)
    };
    let worker = eventually("its worker is seen", PATIENCE, || {
        let seen = asked(&home, &["workers", "--json"]);
        working(&seen["services"][0]).filter(|it| it["pid"].is_u64())
    });
    assert_eq!(worker["job"]["dispatcher"], "Act");
    assert!(worker["pool"].is_null());
    let shown = said(&ask(&home, &["workers"]).stdout);
    assert!(shown.contains(&job), "{shown}");
    let status = asked(&home, &["status", "--json"]);
    assert_eq!(status["services"][0]["pid"], service.pid());
    home.open_gate("gate");
    assert_eq!(home.wait(&job).state, JobState::Succeeded);
}

#[test]
fn the_socket_is_for_the_user_alone_and_goes_with_the_service() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &[]);
    let [socket] = &control_sockets(&home)[..] else {
        panic!("one service has one socket");
    };
    let mode = socket.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let stopped = ask(&home, &["stop"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", said(&stopped.stderr));
    assert!(!socket.exists(), "it is gone with its service");
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn a_detached_supervisor_is_no_service() {
    let home = Home::new(FIXTURE);
    let job = home.submit("Act", &wait_for("gate"));
    home.wait_running(&job);
    assert_eq!(control_sockets(&home), [] as [PathBuf; 0]);
    for command in ["workers", "reset", "stop"] {
        let output = ask(&home, &[command]);
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.starts_with("error: no service is running\nbecause: "),
            "{text}"
        );
    }
    assert_eq!(home.stands(&job).0, JobState::Running);
}

#[test]
fn stop_returns_when_what_ran_has_finished() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &["--workers", "1"]);
    let running = home.submit("Act", &wait_for("gate"));
    service.works_on(&home, &running);
    let waiting = home.submit("Act", &wait_for("gate"));
    let mut stop = home.command(["stop"]).spawn().expect("it starts");
    eventually("it drains", PATIENCE, || {
        asked(&home, &["workers", "--json"])["services"][0]["serving"] == false
    });
    assert!(stop.try_wait().expect("a child").is_none(), "it waits");
    home.open_gate("gate");
    let stopped = eventually("stop returns", PATIENCE, || {
        stop.try_wait().expect("a child")
    });
    assert_eq!(stopped.code(), Some(0));
    // Nothing is left to happen once `stop` has returned.
    assert_eq!(home.stands(&running).0, JobState::Succeeded);
    assert_eq!(home.stands(&waiting).0, JobState::Queued);
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn stop_now_does_not_wait_for_what_runs() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &[]);
    let job = home.submit("Act", &wait_for("never"));
    service.works_on(&home, &job);
    let stopped = ask(&home, &["stop", "--now"]);
    assert_eq!(stopped.status.code(), Some(0), "{}", said(&stopped.stderr));
    assert_eq!(home.stands(&job).0, JobState::Queued);
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn of_two_services_one_can_be_ended() {
    let home = Home::new(FIXTURE);
    let first = Serving::start(&home, &[]);
    let second = Serving::start(&home, &[]);
    let seen = asked(&home, &["workers", "--json"]);
    assert_eq!(seen["services"].as_array().map(Vec::len), Some(2));
    let pid = first.pid().to_string();
    let stopped = ask(&home, &["stop", "--service", &pid]);
    assert!(stopped.status.success(), "{}", said(&stopped.stderr));
    assert_eq!(first.end().code(), Some(0));
    let seen = asked(&home, &["workers", "--json"]);
    let services = seen["services"].as_array().expect("a list");
    let pids: Vec<_> = services.iter().map(|it| it["pid"].clone()).collect();
    assert_eq!(pids, [json!(second.pid())]);
}

#[test]
fn a_killed_service_is_not_there() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &[]);
    kill(service.pid().cast_signed());
    assert_eq!(service.end().code(), None);
    let output = ask(&home, &["stop"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(ask(&home, &["status"]).status.success());
}

#[test]
fn what_is_counted_adds_up() {
    let home = Home::new(FIXTURE);
    let _service = Serving::start(&home, &[]);
    let good = home.submit_many("Act", &json!({"deed": "succeed"}), 20);
    let bad = home.submit_many("Act", &json!({"deed": {"exit": 3}}), 5);
    for job in good.iter().chain(&bad) {
        home.wait(job);
    }
    let page = eventually("every end is counted", PATIENCE, || {
        let page = said(&ask(&home, &["status", "--metrics"]).stdout);
        let count = sample(
            &page,
            r#"dispatcher_attempt_run_seconds_count{dispatcher="Act"}"#,
        );
        (count == Some(25.0)).then_some(page)
    });
    for (name, count) in [
        (
            r#"dispatcher_jobs_total{dispatcher="Act",outcome="succeeded"}"#,
            20.0,
        ),
        (
            r#"dispatcher_jobs_total{dispatcher="Act",outcome="exited"}"#,
            5.0,
        ),
        (
            r#"dispatcher_attempts_total{dispatcher="Act",outcome="exited"}"#,
            5.0,
        ),
        (
            r#"dispatcher_attempt_wait_seconds_count{dispatcher="Act"}"#,
            25.0,
        ),
        (r#"dispatcher_jobs_waiting{dispatcher="Act"}"#, 0.0),
        (r#"dispatcher_jobs_running{dispatcher="Act"}"#, 0.0),
        ("dispatcher_serving", 1.0),
        ("dispatcher_oldest_waiting_age_seconds", 0.0),
    ] {
        assert_eq!(sample(&page, name), Some(count), "{name} in\n{page}");
    }
    let batches = sample(&page, "dispatcher_store_batch_seconds_count");
    assert!(batches.is_some_and(|count| count >= 1.0), "{page}");
}

#[test]
fn a_log_line_of_a_service_is_one_line_of_text() {
    let home = Home::new(FIXTURE);
    let service = Serving::start(&home, &[]);
    let job = home.run("Act", &json!({"deed": "succeed"}));
    assert_eq!(job.state, JobState::Succeeded);
    assert!(ask(&home, &["stop"]).status.success());
    assert_eq!(service.end().code(), Some(0));
    let log = home.read("service.log");
    for line in log.lines() {
        let level = line.split_whitespace().nth(1);
        let levels = ["ERROR", "WARN", "INFO", "DEBUG"];
        assert!(level.is_some_and(|it| levels.contains(&it)), "{line}");
    }
}

#[test]
fn a_reset_gives_a_pool_new_workers() {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, "[dispatchers.Act]\nisolation = \"pool\"");
    let pids = || {
        let seen = asked(&home, &["workers", "--json"]);
        let workers = seen["services"][0]["workers"].as_array().cloned();
        let ready = |it: &&Value| it["pool"] == "default" && it["state"] == "ready";
        let pids = workers.iter().flatten().filter(ready);
        let pids = pids.filter_map(|it| it["pid"].as_u64());
        pids.collect::<std::collections::BTreeSet<_>>()
    };
    let before = eventually("workers are ready", PATIENCE, || {
        Some(pids()).filter(|pids| !pids.is_empty())
    });
    let reset = ask(&home, &["reset", "default"]);
    assert!(reset.status.success(), "{}", said(&reset.stderr));
    let told = format!(
        "pool default of service {} has new workers\n",
        service.pid()
    );
    assert_eq!(said(&reset.stdout), told);
    let after = eventually("the new ones are ready", PATIENCE, || {
        Some(pids()).filter(|pids| pids.len() >= before.len() && pids.is_disjoint(&before))
    });
    assert!(!after.is_empty());
    assert_eq!(
        home.run("Act", &json!({"deed": "succeed"})).state,
        JobState::Succeeded
    );
    let unknown = ask(&home, &["reset", "defualt"]);
    assert_eq!(unknown.status.code(), Some(64));
    let text = said(&unknown.stderr);
    assert!(text.contains("did you mean `default`?"), "{text}");
}
