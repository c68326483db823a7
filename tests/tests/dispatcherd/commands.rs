//! `dispatcherctl` with each of its commands.

use std::collections::BTreeSet;

use dispatcher_core::JobState;
use dispatcher_tests::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::python::Wire;

over_every_transport! {
    super::CONFIG;
    every_command_answers_in_its_shape
    jobs_are_listed_where_they_are_and_cancelled_by_filter
    a_backlog_is_cancelled_whole
    a_task_can_be_run_by_command
}

/// Metrics are on, and two workers.
const CONFIG: &str = "[service]\nworkers = 2\nadmin = \"127.0.0.1:0\"\n";

fn keys(value: &Value) -> BTreeSet<&str> {
    let members = value.as_object().unwrap_or_else(|| panic!("{value}"));
    members.keys().map(String::as_str).collect()
}

fn every_command_answers_in_its_shape(wire: &Wire) {
    let busy = json!({
        "how": "submit", "task": "exclusive", "args": ["one", "gate"], "uuid": "the one",
    });
    wire.publish(&[busy]);
    let running = eventually("it runs", PATIENCE, || {
        let running = wire.ctl(&["running"]);
        let is = keys(&running).iter().any(|key| key.starts_with("worker-"));
        is.then_some(running)
    });
    assert_eq!(keys(&running).len(), 1, "{running}");
    assert_eq!(wire.ctl(&["alive"]), json!({}));
    let workers = wire.ctl(&["workers"]);
    let (name, worker) = workers
        .as_object()
        .expect("workers")
        .iter()
        .next()
        .expect("one");
    assert_eq!(*name, format!("worker-{}", worker["worker_id"]));
    assert!(running.get(name).is_some(), "{running}");
    assert!(worker["pid"].is_u64() && worker["age"].is_f64(), "{worker}");
    let fields = [
        "active_cancel",
        "age",
        "current_task",
        "current_task_uuid",
        "finished_count",
        "pid",
        "status",
        "worker_id",
    ];
    assert_eq!(keys(worker), fields.into());
    assert_eq!(worker["current_task"], "jobs.exclusive");
    assert_eq!(worker["current_task_uuid"], "the one");
    let producers = wire.ctl(&["producers"]);
    let (name, producer) = producers
        .as_object()
        .expect("some")
        .iter()
        .next()
        .expect("one");
    assert!(name.ends_with("-producer"), "{producers}");
    assert!(producer["produced_count"].as_u64() > Some(2), "{producer}");
    assert_eq!(producer["recycle_count"], 0);
    assert!(producer["uptime_seconds"].is_f64());
    main_answers(wire);
    the_rest_answers(wire, &running);
    levels_are_set(wire);
    let unknown = wire.control("no_such", &json!({}));
    assert_eq!(unknown, json!({"error": "No control method no_such"}));
    wire.home.open_gate("gate");
}

fn the_rest_answers(wire: &Wire, running: &Value) {
    let metrics = wire.ctl(&["metrics"]);
    assert_eq!(metrics["enabled"], true);
    assert_eq!(metrics["status"]["host"], "127.0.0.1");
    let chunks = wire.ctl(&["chunks"]);
    assert_eq!(keys(&chunks), ["partials", "status"].into());
    let tasks = wire.ctl(&["aio_tasks", "--limit", "3"]);
    for task in tasks.as_object().expect("some").values() {
        assert_eq!(keys(task), ["done", "stack"].into());
    }
    let status = wire.ctl(&["status"]);
    let parts = [
        "aio_tasks",
        "chunks",
        "main",
        "metrics",
        "producers",
        "running",
        "workers",
    ];
    assert_eq!(keys(&status), parts.into());
    assert_eq!(status["running"], *running);
}

fn main_answers(wire: &Wire) {
    let main = wire.ctl(&["main"]);
    let fields = ["control_count", "pid", "pool", "received_count"];
    assert_eq!(keys(&main), fields.into());
    assert_eq!(main["pid"], wire.service.pid());
    assert!(main["control_count"].as_u64() > Some(2), "{main}");
    assert!(main["received_count"].as_u64() > Some(3), "{main}");
    let pool = &main["pool"];
    let fields = [
        "active_task_ct",
        "canceled_count",
        "finished_count",
        "next_worker_id",
        "retirement_count",
        "running_ct",
        "usage",
        "worker_ct",
    ];
    assert_eq!(keys(pool), fields.into());
    assert_eq!(
        (&pool["running_ct"], &pool["active_task_ct"]),
        (&json!(1), &json!(1))
    );
    let usage = ["count", "near_worker_ct", "top5"];
    assert_eq!(keys(&pool["usage"]), usage.into());
}

fn levels_are_set(wire: &Wire) {
    let set = wire.ctl(&["set_log_level", "--level", "DEBUG"]);
    let wanted = json!({"logger": "dispatcher", "level": "DEBUG", "previous_level": "INFO"});
    assert_eq!(set, wanted);
    let set = wire.control("set_log_level", &json!({"level": 30}));
    assert_eq!(
        (&set["level"], &set["previous_level"]),
        (&json!("WARNING"), &json!("DEBUG"))
    );
    let refused = wire.control("set_log_level", &json!({"level": "LOUD"}));
    assert_eq!(refused, json!({"error": "Unknown log level 'LOUD'."}));
    let refused = wire.control("set_log_level", &json!({"other": true}));
    assert!(refused["error"].is_string(), "{refused}");
}

fn jobs_are_listed_where_they_are_and_cancelled_by_filter(wire: &Wire) {
    let job = |name: &str, more: Value| {
        let mut wish = json!({
            "how": "submit", "task": "exclusive", "args": [name], "kwargs": {"gate": "gate"},
            "uuid": name, "on_duplicate": "serial",
        });
        for (key, value) in more.as_object().expect("members") {
            wish[key] = value.clone();
        }
        wish
    };
    wire.publish(&[
        job("first", json!({})),
        job("other", json!({})),
        job("first", json!({"uuid": "held"})),
        job("late", json!({"delay": 1000})),
    ]);
    let running = eventually("the first runs", PATIENCE, || {
        let running = wire.ctl(&["running"]);
        let names = keys(&running);
        let is = names.iter().any(|key| key.starts_with("worker-"));
        (is && names.len() == 4).then_some(running)
    });
    for (place, uuid) in [
        ("blocked-0", "held"),
        ("queued-0", "other"),
        ("delayed-0", "late"),
    ] {
        assert_eq!(running[place]["uuid"], uuid, "{running}");
    }
    let wanted = filters_find(wire, &running["delayed-0"]);
    let cancelled = wire.ctl(&["cancel", "--uuid", "late"]);
    assert_eq!(cancelled, json!({"delayed-0": wanted}));
    let cancelled = wire.ctl(&["cancel", "--uuid", "first"]);
    assert!(
        keys(&cancelled)
            .iter()
            .all(|key| key.starts_with("worker-")),
        "{cancelled}"
    );
    // What was held by it and behind it goes on.
    wire.home.open_gate("gate");
    let ends = |name: &str, state: JobState| {
        let ids = wire.home.ids();
        let jobs = ids.iter().map(|id| wire.home.wait(id));
        let of = jobs.filter(|job| {
            job.payload.contains(&format!("\"name\":\"{name}\"")) && job.state == state
        });
        of.count()
    };
    assert_eq!(ends("first", JobState::Cancelled), 1);
    assert_eq!(ends("first", JobState::Succeeded), 1);
    assert_eq!(ends("other", JobState::Succeeded), 1);
    assert_eq!(ends("late", JobState::Cancelled), 1);
}

/// The message of the delayed job, as it is listed.
fn filters_find(wire: &Wire, late: &Value) -> Value {
    let time = late["time_pub"].as_f64().expect("a time");
    let wanted = json!({
        "task": "jobs.exclusive", "uuid": "late", "args": ["late"], "kwargs": {"gate": "gate"},
        "delay": 1000, "on_duplicate": "serial", "timeout": 50, "time_pub": time,
        "channel": late["channel"],
    });
    assert_eq!(*late, wanted);
    let found = wire.control(
        "running",
        &json!({"args": ["late"], "kwargs": {"gate": "gate"}}),
    );
    assert_eq!(keys(&found), ["delayed-0"].into());
    let found = wire.ctl(&["running", "--task", "Exclusive", "--uuid", "nobody"]);
    assert_eq!(found, json!({}));
    // Our own name of it will do as well.
    let found = wire.ctl(&["running", "--task", "Exclusive", "--uuid", "other"]);
    assert_eq!(keys(&found), ["queued-0"].into());
    wanted
}

fn a_backlog_is_cancelled_whole(wire: &Wire) {
    const JOBS: usize = 300;
    let wishes = (0..JOBS).map(|number| {
        let name = number.to_string();
        json!({"how": "submit", "task": "exclusive", "args": [name, "gate"],
            "on_duplicate": "parallel"})
    });
    wire.publish(&wishes.collect::<Vec<_>>());
    eventually("all are stored", PATIENCE, || wire.home.ids().len() == JOBS);
    let cancelled = wire.ctl(&["cancel"]);
    assert_eq!(keys(&cancelled).len(), JOBS);
    for id in wire.home.ids() {
        assert_eq!(wire.home.wait(&id).state, JobState::Cancelled);
    }
    assert_eq!(wire.ctl(&["running"]), json!({}));
}

fn a_task_can_be_run_by_command(wire: &Wire) {
    let task = json!({"task": "jobs.note", "args": ["notes", "by command"], "uuid": "7"});
    let acknowledged = wire.control("run", &task);
    assert_eq!(acknowledged, json!({"ack": task}));
    let ids = wire.home.ids();
    assert_eq!(wire.home.wait(&ids[0]).state, JobState::Succeeded);
    assert_eq!(wire.home.read("notes"), "by command\n");
    let refused = wire.control("run", &json!({"task": "no.such"}));
    let error = refused["error"].as_str().expect("an error");
    assert!(
        error.contains("no dispatcher is called `no.such`"),
        "{error}"
    );
    let refused = wire.control("run", &json!({"control": "cancel"}));
    assert!(refused["error"].is_string());
}
