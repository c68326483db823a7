//! Metrics, health and the log of a service, as whoever watches it sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use dispatcher_core::JobState;
use dispatcher_tests::{
    Home, PATIENCE, Serving, begin, eventually, page, said, sample, terminate, workspace,
};
use serde_json::{Value, json};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
const ADMIN: &str = "[service]\nadmin = \"127.0.0.1:0\"";

fn wait_for(gate: &str) -> Value {
    json!({"deed": {"wait_for": gate}})
}

fn metrics(address: &str) -> String {
    let (status, text) = page(address, "/metrics").expect("it answers");
    assert_eq!(status, 200, "{text}");
    text
}

/// The checker of Prometheus.
fn promtool() -> PathBuf {
    let fetched = workspace().join("target/tools/promtool");
    match fetched.exists() {
        true => fetched,
        false => "promtool".into(),
    }
}

/// What the checker says against an exposition; nothing when all is well.
fn complaints(promtool: &Path, exposition: &str) -> String {
    let mut checker = Command::new(promtool);
    checker.args(["check", "metrics"]);
    let output = begin(&mut checker, exposition.as_bytes())
        .wait_with_output()
        .expect("it ends");
    let mut said_of_it = said(&output.stdout) + &said(&output.stderr);
    if !output.status.success() {
        said_of_it += &format!("{}", output.status);
    }
    said_of_it
}

#[test]
fn numbers_add_up_while_jobs_run() {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, ADMIN);
    let address = service.admin(&home);
    let busy = home.submit("Act", &wait_for("gate"));
    service.works_on(&home, &busy);
    let good = home.submit_many("Act", &json!({"deed": "succeed"}), 30);
    let bad = home.submit_many("Act", &json!({"deed": {"exit": 3}}), 6);
    // Asked while they run: a counter never goes back, and never tells more than there is.
    let counted = r#"dispatcher_attempt_run_seconds_count{dispatcher="Act"}"#;
    let mut last = 0.0;
    eventually("all but one are counted", PATIENCE, || {
        let now = sample(&metrics(&address), counted).unwrap_or(0.0);
        assert!((last..=36.0).contains(&now), "{last}, then {now}");
        last = now;
        now == 36.0
    });
    let text = metrics(&address);
    for (name, value) in [
        (r#"dispatcher_jobs_running{dispatcher="Act"}"#, 1.0),
        (r#"dispatcher_jobs_waiting{dispatcher="Act"}"#, 0.0),
        (
            r#"dispatcher_attempt_wait_seconds_count{dispatcher="Act"}"#,
            37.0,
        ),
        ("dispatcher_serving", 1.0),
    ] {
        assert_eq!(sample(&text, name), Some(value), "{name} in\n{text}");
    }
    let workers = text
        .lines()
        .filter(|line| line.starts_with("dispatcher_workers{"));
    let workers: f64 = workers
        .filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(workers, 1.0, "{text}");
    home.open_gate("gate");
    for job in good.iter().chain(&bad).chain([&busy]) {
        home.wait(job);
    }
    eventually("the last one is counted", PATIENCE, || {
        sample(&metrics(&address), counted) == Some(37.0)
    });
    let text = metrics(&address);
    let jobs = |outcome: &str| {
        let name = format!(r#"dispatcher_jobs_total{{dispatcher="Act",outcome="{outcome}"}}"#);
        sample(&text, &name)
    };
    assert_eq!((jobs("succeeded"), jobs("exited")), (Some(31.0), Some(6.0)));
    assert_eq!(complaints(&promtool(), &text), "");
}

#[test]
fn the_checker_finds_what_is_wrong() {
    assert_ne!(complaints(&promtool(), "dispatcher_odd{ 1\n"), "");
}

#[test]
fn fully_busy_is_ready_and_draining_is_not() {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, &format!("{ADMIN}\nworkers = 1"));
    let address = service.admin(&home);
    let status = |path: &str| page(&address, path).map(|(status, _)| status);
    assert_eq!(
        (status("/healthz"), status("/readyz")),
        (Some(200), Some(200))
    );
    let job = home.submit("Act", &wait_for("gate"));
    service.works_on(&home, &job);
    home.submit("Act", &wait_for("gate"));
    assert_eq!(status("/readyz"), Some(200), "it is fully busy");
    terminate(service.pid());
    eventually("it drains", PATIENCE, || status("/readyz") == Some(503));
    assert_eq!(status("/healthz"), Some(200), "it is alive");
    assert_eq!(sample(&metrics(&address), "dispatcher_serving"), Some(0.0));
    home.open_gate("gate");
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.job(&job).state, JobState::Succeeded);
    assert_eq!(status("/healthz"), None);
}

#[test]
fn an_address_that_cannot_be_had_is_told_and_nothing_begins() {
    let home = Home::new(FIXTURE);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken
        .local_addr()
        .map(|it| (it, taken))
        .expect("an address");
    for (address, what) in [
        (taken.0.to_string(), "in use"),
        ("0.0.0.0:9090".to_owned(), "loopback"),
    ] {
        let config = home.file("dispatcher.toml");
        let text = format!("version = 1\n[service]\nadmin = \"{address}\"\n");
        std::fs::write(&config, text).expect("it can be written");
        let output = home.output(["serve", "--config", config.to_str().expect("UTF-8")], b"");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(text.starts_with("error: ") && text.contains(what), "{text}");
        assert!(text.contains("\ntry: "), "{text}");
    }
}

#[test]
fn a_log_in_json_is_an_object_a_line() {
    let home = Home::new(FIXTURE);
    let config = "[log]\nlevel = \"info\"\nformat = \"json\"";
    let service = Serving::configured(&home, config);
    let job = home.run("Act", &json!({"deed": {"exit": 3}}));
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    let log = home.read("service.log");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let object = line.as_object().expect("an object");
        for member in ["time", "level", "message"] {
            assert!(object[member].is_string(), "{line}");
        }
    }
    let of_the_job = |message: &str| {
        let is = |line: &&Value| line["message"] == message && line["job"] == *job.id;
        let found: Vec<_> = lines.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{message}: {log}");
        found[0].clone()
    };
    let start = of_the_job("job starts");
    assert_eq!(
        (&start["name"], &start["attempt"]),
        (&json!("Act"), &json!(1))
    );
    assert_eq!(of_the_job("job ends")["outcome"], "exited");
}

#[test]
fn a_log_is_as_loud_as_configured() {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, "[log]\nlevel = \"error\"");
    assert_eq!(
        home.run("Act", &json!({"deed": "succeed"})).state,
        JobState::Succeeded
    );
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.read("service.log"), "");
}
