//! Promises 2, 3 and 8: what waits costs nothing, holds nobody up and keeps its place, wherever the
//! jobs come from and wherever they run.

use dispatcher_tests::{Kind, PATIENCE, Postgres, eventually};
use serde_json::json;

use super::super::count;
use super::super::hosts::all_succeed;
use super::{HOSTS, served, starts, submit};

#[test]
fn waiting_is_free_of_the_run_budget() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    // Ahead of all others until they are there.
    let first = json!({ "name": "first", "gate": "gate" });
    submit(&home, HOSTS[0], &url, "Exclusive", &first, 1);
    let options = json!({ "timeout": 2_000 });
    let payload = json!({ "name": "one", "run_ms": 400, "options": options });
    for host in HOSTS.iter().cycle().take(10) {
        submit(&home, host, &url, "Exclusive", &payload, 1);
    }
    home.open_gate("gate");
    all_succeed(&home, &database, 11);
    let waited = "SELECT max(started_at - submitted_at), max(attempt) FROM dispatcher.finished";
    let told = database.psql(waited);
    let (waited, attempts) = told.split_once('|').expect("two columns");
    assert_eq!(attempts, "1", "none was cut short");
    assert!(
        waited.parse::<u32>().expect("a number") > 2_000,
        "the last one waited {waited} ms, less than the timeout: the test proves nothing"
    );
}

#[test]
fn jobs_of_all_hosts_start_in_order() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let first = json!({ "name": "first", "gate": "gate" });
    submit(&home, HOSTS[0], &url, "Exclusive", &first, 1);
    eventually("it runs", PATIENCE, || count(&database, 1) == 1);
    let jobs = [
        ("low", -1),
        ("a", 0),
        ("high a", 5),
        ("b", 0),
        ("high b", 5),
        ("c", 0),
        ("d", 0),
        ("e", 0),
    ];
    for ((name, priority), host) in jobs.iter().zip(HOSTS.iter().cycle()) {
        let payload = json!({ "name": name, "options": { "priority": priority } });
        submit(&home, host, &url, "Exclusive", &payload, 1);
    }
    home.open_gate("gate");
    all_succeed(&home, &database, 9);
    let order = ["first", "high a", "high b", "a", "b", "c", "d", "e", "low"];
    assert_eq!(starts(&home), order);
}

#[test]
fn no_process_sits_waiting_anywhere() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let url = database.url();
    let payload = json!({ "name": "x", "gate": "gate" });
    for host in HOSTS {
        submit(&home, host, &url, "Exclusive", &payload, 33);
    }
    let kinds = || {
        let mut kinds: Vec<Kind> = home.processes().iter().map(|seen| seen.kind).collect();
        kinds.sort();
        kinds
    };
    // A service is none of the kinds that a program starts by itself.
    let expected = [
        Kind::Keeper,
        Kind::Keeper,
        Kind::Keeper,
        Kind::Worker,
        Kind::Other,
        Kind::Other,
        Kind::Other,
    ];
    eventually("one worker beside them", PATIENCE, || kinds() == expected);
    assert_eq!((count(&database, 0), count(&database, 1)), (98, 1));
    assert_eq!(kinds(), expected);
    home.open_gate("gate");
    all_succeed(&home, &database, 99);
}
