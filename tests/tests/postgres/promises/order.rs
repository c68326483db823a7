//! Promises 2, 3 and 8: what waits costs nothing, holds nobody up and keeps its place, wherever the
//! jobs come from and wherever they run.

use dispatcher_tests::{Kind, PATIENCE, eventually};
use serde_json::json;

use super::super::{HOSTS, Site};

#[test]
fn waiting_is_free_of_the_run_budget() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    // Ahead of all others until they are there.
    let first = json!({ "name": "first", "gate": "gate" });
    site.submit(HOSTS[0], "Exclusive", &first, 1);
    let options = json!({ "timeout": 2_000 });
    let payload = json!({ "name": "one", "run_ms": 400, "options": options });
    for host in HOSTS.iter().cycle().take(10) {
        site.submit(host, "Exclusive", &payload, 1);
    }
    site.home.open_gate("gate");
    site.all_succeed(11);
    let waited = "SELECT max(started_at - submitted_at), max(attempt) FROM dispatcher.finished";
    let told = site.psql(waited);
    let (waited, attempts) = told.split_once('|').expect("two columns");
    assert_eq!(attempts, "1", "none was cut short");
    assert!(
        waited.parse::<u32>().expect("a number") > 2_000,
        "the last one waited {waited} ms, less than the timeout: the test proves nothing"
    );
}

#[test]
fn jobs_of_all_hosts_start_in_order() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let first = json!({ "name": "first", "gate": "gate" });
    site.submit(HOSTS[0], "Exclusive", &first, 1);
    eventually("it runs", PATIENCE, || site.count(1) == 1);
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
        site.submit(host, "Exclusive", &payload, 1);
    }
    site.home.open_gate("gate");
    site.all_succeed(9);
    let order = ["first", "high a", "high b", "a", "b", "c", "d", "e", "low"];
    assert_eq!(site.home.starts(), order);
}

#[test]
fn no_process_sits_waiting_anywhere() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let payload = json!({ "name": "x", "gate": "gate" });
    for host in HOSTS {
        site.submit(host, "Exclusive", &payload, 33);
    }
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
    eventually("one worker beside them", PATIENCE, || {
        site.home.kinds() == expected
    });
    assert_eq!((site.count(0), site.count(1)), (98, 1));
    assert_eq!(site.home.kinds(), expected);
    site.home.open_gate("gate");
    site.all_succeed(99);
}
