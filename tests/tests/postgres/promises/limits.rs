//! Promises 6, 7, 10 and 12: what a dispatcher allows holds for all hosts together, whichever way a
//! job comes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dispatcher_tests::{Database, Home, PATIENCE, Postgres, eventually, said};
use serde_json::{Value, json};

use super::super::hosts::all_succeed;
use super::super::{answer, count, on_host};
use super::{HOSTS, ids, served, start, submit};

/// The ways in which a job can be started.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// `spawn_process()`.
    Spawn,
    /// `run_process()`.
    Run,
    /// `notifydispatcher`.
    Notify,
    /// `notifydispatcher --detach`.
    Detach,
}

const WAYS: [Way; 4] = [Way::Spawn, Way::Run, Way::Notify, Way::Detach];

fn send(home: &Home, host: &str, url: &str, way: Way, payload: &Value) -> std::process::Child {
    let json = payload.to_string();
    let arguments: &[&str] = match way {
        Way::Spawn => &["submit", "Three"],
        Way::Run => &["wait-for", "Three"],
        Way::Notify => &["notifydispatcher", "Three", &json],
        Way::Detach => &["notifydispatcher", "Three", &json, "--detach"],
    };
    start(home, host, url, arguments, payload)
}

#[test]
fn every_run_of_any_host_counts() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let stored = || count(&database, 0) + count(&database, 1);
    let long = json!({ "gate": "gate", "options": { "timeout": 60_000 } });
    let mut waiting = Vec::new();
    for (at, way) in (1..).zip([Way::Run, Way::Notify, Way::Detach]) {
        waiting.push(send(&home, HOSTS[at as usize - 1], &url, way, &long));
        eventually("it is stored", PATIENCE, || stored() == at);
    }
    for (way, host) in WAYS.iter().flat_map(|way| HOSTS.map(|host| (*way, host))) {
        let output = send(&home, host, &url, way, &long).wait_with_output();
        let output = output.expect("it ends");
        let text = said(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{way:?}, {host}: {text}");
        assert!(text.contains("the queue of Three is full"), "{text}");
    }
    let by_sql = database.try_psql("SELECT dispatcher.enqueue('Three', '{}')");
    assert!(said(&by_sql.stderr).contains("the queue of Three is full"));
    assert_eq!(stored(), 3, "what was refused is not stored");
    home.open_gate("gate");
    for child in waiting {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    all_succeed(&home, &database, 3);
    // A second each, one after the other.
    let never = json!({ "gate": "never" });
    let ways = [Way::Spawn, Way::Notify, Way::Detach].into_iter();
    let children = ways.zip(HOSTS);
    let children: Vec<_> = children
        .map(|(way, host)| send(&home, host, &url, way, &never))
        .collect();
    for child in children {
        let code = child.wait_with_output().expect("it ends").status.code();
        assert!(matches!(code, Some(0 | 124)), "{code:?}");
    }
    eventually("they end", PATIENCE, || count(&database, 3) == 3);
    assert_eq!(home.read("violations"), "");
    let timed_out = "SELECT count(*) FROM dispatcher.attempts
        WHERE outcome::json->>'cause' = 'timed_out'";
    assert_eq!(database.psql(timed_out), "3");
}

/// Three services follow the schedule, and so does a timer on each of the hosts.
#[test]
fn a_tick_is_run_once_over_all_hosts() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    answer(&home, "one", &url, &["schedule", "tick"]);
    for round in 1..=2_u32 {
        // As if nobody had looked for more than a year.
        let settled = "UPDATE dispatcher.schedules
            SET record = jsonb_set(record::jsonb, '{settled}', jsonb_build_array(
                jsonb_build_array(at.then, at.then)))::text
            FROM (SELECT dispatcher.clock() - 400::bigint * 24 * 3600000 AS then) AS at
            WHERE dispatcher = (SELECT id FROM dispatcher.dispatchers WHERE name = 'Yearly')
            RETURNING 1";
        assert_eq!(database.psql(settled), "1");
        let tick = &["schedule", "tick", "--json"];
        let timers = HOSTS.iter().cycle().take(12);
        let timers: Vec<_> = timers
            .map(|host| start(&home, host, &url, tick, &Value::Null))
            .collect();
        for timer in timers {
            let output = timer.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", said(&output.stderr));
        }
        all_succeed(&home, &database, round);
        assert_eq!(home.read("yearly").lines().count(), round as usize);
    }
}

#[test]
fn fifty_processes_of_three_hosts_keep_to_the_limit() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let payload = json!({ "gate": "gate" });
    let children = HOSTS.iter().cycle().take(50);
    let children: Vec<_> = children
        .map(|host| start(&home, host, &url, &["submit", "Ten"], &payload))
        .collect();
    let (mut accepted, mut refused) = (0, 0);
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let text = said(&output.stderr);
        match output.status.code() {
            Some(0) => accepted += ids(&output).len(),
            Some(69) if text.contains("queue of Ten is full") => refused += 1,
            other => panic!("a submitter ended with {other:?}: {text}"),
        }
    }
    assert_eq!((accepted, refused), (10, 40));
    home.open_gate("gate");
    all_succeed(&home, &database, 10);
}

#[test]
fn spellings_of_all_hosts_are_one_dispatcher() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let spellings = ["Exclusive", "tests.exclusive", "App\\Exclusive"];
    let payload = json!({ "name": "x", "run_ms": 5 }).to_string();
    let mut children = Vec::new();
    for (host, name) in HOSTS.iter().flat_map(|host| spellings.map(|it| (host, it))) {
        let arguments = ["notifydispatcher", name, &payload];
        children.push(start(&home, host, &url, &arguments, &Value::Null));
        database.psql(&format!("SELECT dispatcher.enqueue('{name}', '{payload}')"));
    }
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:#?}");
    }
    all_succeed(&home, &database, 18);
    let names = "SELECT string_agg(DISTINCT d.name, ' ') FROM dispatcher.finished AS f
        JOIN dispatcher.dispatchers AS d ON d.id = f.dispatcher";
    assert_eq!(database.psql(names), "Exclusive");
    for name in [
        "exclusive",
        "Exclusive ",
        "TESTS.exclusive",
        "App/Exclusive",
        "",
    ] {
        for host in HOSTS {
            let output = on_host(&home, host, &url, &["notifydispatcher", name, &payload]).output();
            let output = output.expect("the program starts");
            assert_eq!(output.status.code(), Some(64), "{name:?}: {output:#?}");
        }
        let sent = format!("SELECT dispatcher.enqueue('{name}', '{payload}')");
        let output = database.try_psql(&sent);
        let text = said(&output.stderr);
        assert!(text.contains("no dispatcher is called"), "{name:?}: {text}");
    }
    assert_eq!(count(&database, 2), 18);
}

#[test]
fn refused_means_unchanged() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let payload = json!({ "gate": "gate" });
    submit(&home, "one", &url, "Ten", &payload, 10);
    eventually("one runs", PATIENCE, || count(&database, 1) == 1);
    home.wait_for("alone.lock");
    // Whoever sends for the first time on a host makes its files.
    for host in HOSTS {
        let json = r#"{"line": "true"}"#;
        answer(&home, host, &url, &["notifydispatcher", "Shell", json]);
    }
    let state = || -> BTreeSet<String> {
        let rows = rows(&database).into_iter();
        rows.chain(files(home.path())).collect()
    };
    let before = state();
    for host in HOSTS.iter().cycle().take(6) {
        let child = start(&home, host, &url, &["submit", "Ten"], &payload);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(69), "{output:#?}");
        let by_sql = database.try_psql("SELECT dispatcher.enqueue('Ten', '{}')");
        assert!(!by_sql.status.success());
    }
    let after = state();
    let changed: Vec<&String> = before.symmetric_difference(&after).collect();
    assert_eq!(changed, [""; 0]);
    home.open_gate("gate");
    all_succeed(&home, &database, 13);
}

/// All that a job is made of, as text: supervisors renew their leases, and counters are added up.
fn rows(database: &Database<'_>) -> Vec<String> {
    let tables =
        "dispatchers lanes jobs requests finished outputs attempts captures unsettled schedules";
    let mut rows = Vec::new();
    for table in tables.split(' ') {
        let all = database.psql(&format!("SELECT t::text FROM dispatcher.{table} AS t"));
        rows.extend(all.lines().map(|row| format!("{table}: {row}")));
    }
    rows.push(database.psql(
        "SELECT string_agg(name || ' ' || waiting || ' ' || running || ' ' || finished, ', ' ORDER BY name)
         FROM dispatcher.dispatchers, dispatcher.tally(id)",
    ));
    rows
}

/// Names of all files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(directory).expect("it can be read");
        for path in entries.flatten().map(|entry| entry.path()) {
            names.push(path.display().to_string());
            if path.is_dir() {
                pending.push(path);
            }
        }
    }
    names.sort();
    names
}
