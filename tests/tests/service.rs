//! `serve`: a supervisor that stays, follows schedules, and ends when it is told to.

use std::fs;
use std::os::unix::net::UnixDatagram;

use dispatcher_core::JobState;
use dispatcher_tests::{Home, PATIENCE, Serving, configure, eventually, kill, said, terminate};
use rusqlite::Connection;
use serde_json::{Value, json};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

fn start(home: &Home, arguments: &[&str]) -> Serving {
    start_with(home, arguments, &[])
}

/// One for these labels, of those that a configuration declares.
fn start_labelled(home: &Home, labels: &str) -> Serving {
    configure(home, "[service]\nqueues = [\"mail\", \"slow\", \"more\"]");
    start(home, &["--queues", labels, "--config", "dispatcher.toml"])
}

fn start_with(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Serving {
    let service = Serving::start_with(home, arguments, variables);
    eventually("its row is open", PATIENCE, || {
        supervisors(home).contains(&service.pid())
    });
    service
}

/// Process ids of open supervisors.
fn supervisors(home: &Home) -> Vec<u32> {
    let Ok(connection) = Connection::open(home.database()) else {
        return Vec::new();
    };
    connection.busy_timeout(PATIENCE).expect("a time");
    let Ok(mut rows) = connection.prepare("SELECT pid FROM supervisors WHERE open = 1") else {
        return Vec::new();
    };
    let pids = rows.query_map([], |row| row.get(0)).expect("a query");
    pids.collect::<Result<_, _>>().expect("numbers")
}

fn log(home: &Home) -> String {
    fs::read_to_string(home.file("service.log")).expect("there is a log")
}

fn wait_for(gate: &str) -> Value {
    json!({"deed": {"wait_for": gate}})
}

#[test]
fn it_runs_what_others_submit_and_tells_of_every_job() {
    let home = Home::new(FIXTURE);
    let service = start(&home, &[]);
    let good = home.run("Act", &json!({"deed": "succeed"}));
    let bad = home.run("Act", &json!({"deed": {"exit": 3}}));
    assert_eq!(
        (good.state, bad.state),
        (JobState::Succeeded, JobState::Failed)
    );
    assert_eq!(
        supervisors(&home),
        [service.pid()],
        "nobody else was started"
    );
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    let log = log(&home);
    let told = |what: &str, id: &str, more: &str| {
        let mut lines = log
            .lines()
            .filter(|line| line.contains(what) && line.contains(id));
        let line = lines.next().unwrap_or_else(|| panic!("{what} {id}: {log}"));
        assert!(line.contains("INFO") && line.contains("name=Act"), "{line}");
        assert!(line.contains(more) && lines.next().is_none(), "{line}");
    };
    told("job starts", &good.id, "attempt=1");
    told("job ends", &good.id, "outcome=succeeded");
    told("job ends", &bad.id, "outcome=exited");
    assert_eq!(supervisors(&home), [] as [u32; 0], "its row is closed");
}

#[test]
fn told_to_end_it_starts_nothing_and_lets_finish_what_runs() {
    let home = Home::new(FIXTURE);
    let service = start(&home, &["--workers", "1"]);
    let running = home.submit("Act", &wait_for("gate"));
    home.wait_running(&running);
    let waiting = home.submit("Act", &wait_for("gate"));
    terminate(service.pid());
    eventually("it takes nothing new", PATIENCE, || {
        supervisors(&home).is_empty()
    });
    fs::write(home.file("gate"), "").expect("the directory can be written");
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.job(&running).state, JobState::Succeeded);
    assert_eq!(home.stands(&waiting).0, JobState::Queued);
}

#[test]
fn what_does_not_finish_in_time_is_queued_again_without_a_failure() {
    let home = Home::new(FIXTURE);
    let config = home.file("dispatcher.toml");
    let text = "version = 1\n[service]\ndrain_timeout = \"100ms\"\n";
    fs::write(&config, text).expect("the directory can be written");
    let config = config.to_str().expect("a path of this test");
    let service = start(&home, &["--config", config]);
    let job = home.submit("Act", &wait_for("never"));
    home.wait_running(&job);
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    let job = home.job(&job);
    assert_eq!(job.state, JobState::Queued);
    let causes: Vec<_> = job
        .attempts
        .iter()
        .map(|it| it.outcome.cause.name())
        .collect();
    assert_eq!(causes, ["shutdown"]);
    assert_eq!(job.failures, 0);
}

#[test]
fn a_second_signal_does_not_wait() {
    let home = Home::new(FIXTURE);
    let service = start(&home, &[]);
    let job = home.submit("Act", &wait_for("never"));
    home.wait_running(&job);
    terminate(service.pid());
    eventually("it drains", PATIENCE, || log(&home).contains("told to end"));
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    assert_eq!(home.stands(&job).0, JobState::Queued);
}

#[test]
fn schedules_are_followed() {
    let home = Home::new(FIXTURE);
    let first = home.output(["schedule", "tick"], b"");
    assert!(first.status.success(), "{}", said(&first.stderr));
    // As if nobody had looked for more than a year.
    let connection = Connection::open(home.database()).expect("there is a state file");
    connection.busy_timeout(PATIENCE).expect("a time");
    let changed = connection.execute(
        "UPDATE schedules SET record = json_set(record, '$.settled', json('[[1000, 1000]]'))
         WHERE dispatcher = (SELECT id FROM dispatchers WHERE name = 'Yearly')",
        (),
    );
    assert_eq!(changed, Ok(1));
    let service = start(&home, &[]);
    let job = home.wait(&home.stored(0));
    assert_eq!(
        supervisors(&home),
        [service.pid()],
        "nobody else was started"
    );
    assert_eq!(job.state, JobState::Succeeded);
    eventually("the tick is told", PATIENCE, || {
        log(&home)
            .lines()
            .any(|line| line.contains("tick name=Yearly"))
    });
}

#[test]
fn the_manager_that_started_it_is_told() {
    let home = Home::new(FIXTURE);
    let path = home.file("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    let path = path.to_str().expect("a path of this test");
    let told = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a word in time");
        said(&bytes[..length])
    };
    let variables = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "100000")];
    let service = start_with(&home, &[], &variables);
    let until = |what: &str| {
        for _ in 0..1_000 {
            if told().contains(what) {
                return;
            }
        }
        panic!("{what} was not said");
    };
    until(&format!("READY=1\nMAINPID={}\n", service.pid()));
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    let report = home.run("Act", &json!({"deed": "report"}));
    let report = report.output.expect("a report");
    assert!(
        !report.contains("NOTIFY_SOCKET"),
        "no job speaks for the service: {report}"
    );
    terminate(service.pid());
    until("STOPPING=1");
    assert_eq!(service.end().code(), Some(0));
}

#[test]
fn a_label_that_it_does_not_serve_is_served_by_somebody() {
    let home = Home::new(FIXTURE);
    let service = start_labelled(&home, "mail,slow");
    let mail = json!({"deed": "succeed", "options": {"queue": "mail"}});
    assert_eq!(home.run("Act", &mail).state, JobState::Succeeded);
    assert_eq!(
        supervisors(&home),
        [service.pid()],
        "nobody else was started"
    );
    let other = home.run("Act", &json!({"deed": "succeed"}));
    assert_eq!(other.state, JobState::Succeeded);
    let log = log(&home);
    assert!(!log.contains(&other.id), "the service left it alone: {log}");
}

#[test]
fn services_with_labels_of_their_own_serve_together() {
    let home = Home::new(FIXTURE);
    let mail = start_labelled(&home, "mail");
    let rest = start_labelled(&home, "default,slow");
    let labelled = json!({"deed": "succeed", "options": {"queue": "mail"}});
    let first = home.submit("Act", &labelled);
    let second = home.submit("Act", &json!({"deed": "succeed"}));
    // Asks for somebody for both.
    let tick = home.output(["schedule", "tick"], b"");
    assert!(tick.status.success(), "{}", said(&tick.stderr));
    for job in [first, second] {
        assert_eq!(home.wait(&job).state, JobState::Succeeded);
    }
    assert_eq!(
        supervisors(&home),
        [mail.pid(), rest.pid()],
        "nobody else was started"
    );
}

#[test]
fn killed_under_load_it_loses_nothing() {
    let home = Home::new(FIXTURE);
    let service = start(&home, &[]);
    let jobs = home.submit_many("Act", &json!({"deed": {"run": 30}}), 40);
    eventually("work has begun", PATIENCE, || {
        home.stands(&jobs[0]).0 != JobState::Queued
    });
    kill(service.pid().cast_signed());
    // Whoever submits while it dies may still take it for alive (ADR 12).
    assert_eq!(service.end().code(), None);
    let last = home.run("Act", &json!({"deed": "succeed"}));
    assert_eq!(last.state, JobState::Succeeded);
    for job in &jobs {
        assert_eq!(home.wait(job).state, JobState::Succeeded);
    }
}

/// As many are kept as the configuration says, whatever the number that ends in a minute.
#[test]
fn finished_jobs_over_the_limit_go_however_many_there_are() {
    let home = Home::new(FIXTURE);
    let config = home.file("keeps_few.toml");
    fs::write(&config, "version = 1\n[store.retention]\ncount = 10\n").unwrap();
    assert!(home.output(["pause", "Act"], b"").status.success());
    let ids = home.submit_many("Act", &json!({"deed": "succeed"}), 2_500);
    let cancelled = home.output(
        ["cancel"].into_iter().chain(ids.iter().map(String::as_str)),
        b"",
    );
    assert!(cancelled.status.success(), "{}", said(&cancelled.stderr));
    let service = start(&home, &["--config", config.to_str().unwrap()]);
    let kept = || {
        let database = Connection::open(home.database()).unwrap();
        let count = database.query_one("SELECT count(*) FROM jobs", [], |row| row.get(0));
        count.unwrap_or(i64::MAX)
    };
    eventually("the others are removed", PATIENCE, || kept() <= 10);
    terminate(service.pid());
    assert!(service.end().success());
}

#[test]
fn what_cannot_be_served_is_told() {
    let home = Home::new(FIXTURE);
    for (arguments, what) in [
        (["serve", "--workers", "0"], "--workers cannot be `0`"),
        (["serve", "--workers", "many"], "--workers cannot be `many`"),
        (["serve", "--queues", "a,,b"], "--queues cannot be `a,,b`"),
        (["serve", "--queues", "a b"], "--queues cannot be `a b`"),
        (
            ["serve", "--queues", "default,atribute"],
            "there is no queue `atribute`; nothing was started",
        ),
    ] {
        let output = home.output(arguments, b"");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(
            text.starts_with(&format!("error: {what}\nbecause: ")),
            "{text}"
        );
    }
    assert!(!home.database().exists(), "nothing was made");
}
