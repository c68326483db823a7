//! Promises 1, 4 and 11: a machine is lost with all that is on it, or a service dies or stands
//! still, and whatever it ran runs elsewhere once it is dead.

use dispatcher_tests::{
    Database, Home, Kind, PATIENCE, Postgres, eventually, freeze, is_alive, kill,
};
use serde_json::{Value, json};

use super::super::hosts::{Service, all_succeed};
use super::super::{FIXTURE, answer, count, lose_machine};
use super::{HOSTS, served, start, starts, submit};

#[test]
fn the_next_job_starts_when_a_machine_is_lost() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let _one = Service::leased(&home, "one", &url, &database);
    let payload = json!({ "name": "first", "gate": "gate" });
    submit(&home, "two", &url, "Exclusive", &payload, 1);
    eventually("it runs", PATIENCE, || starts(&home) == ["first"]);
    let _others = ["two", "three"].map(|host| Service::leased(&home, host, &url, &database));
    lose_machine(&home, "one");
    submit(
        &home,
        "three",
        &url,
        "Exclusive",
        &json!({ "name": "next" }),
        1,
    );
    home.open_gate("gate");
    all_succeed(&home, &database, 2);
    assert_eq!(starts(&home), ["first", "first", "next"]);
    let lost =
        "SELECT string_agg(lost || ' ' || failures, ', ' ORDER BY key) FROM dispatcher.finished";
    assert_eq!(database.psql(lost), "1 0, 0 0");
}

const MEMBERS: [&str; 5] = ["leader", "child", "session", "orphan", "stranger"];

/// The family of the job's attempt, once it is there.
fn family(home: &Home, but: &[i32]) -> Vec<i32> {
    eventually("the family is there", PATIENCE, || {
        let member = |member: &&str| {
            let text = home.read(&format!("tree.{member}.pid"));
            text.strip_suffix('\n')?.parse::<i32>().ok()
        };
        let pids: Option<Vec<i32>> = MEMBERS.iter().map(member).collect();
        pids.filter(|pids| !pids.iter().any(|pid| but.contains(pid)))
    })
}

/// What ran on the first host is dead to the last process when the job runs on the second one; and
/// a cancellation from the third ends all of it there.
fn the_tree_dies<L>(lose: impl FnOnce(&Service) -> L) {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let one = Service::leased(&home, "one", &url, &database);
    let payload = json!({ "name": "tree", "then": "stay", "options": { "grace": 300 } });
    let sent = submit(&home, "three", &url, "Tree", &payload, 1);
    let first = family(&home, &[]);
    let _two = Service::leased(&home, "two", &url, &database);
    let lost = lose(&one);
    let second = family(&home, &first);
    let left: Vec<&str> = living(&first);
    assert_eq!(left, [""; 0], "they live while the job runs elsewhere");
    drop(lost);
    answer(&home, "three", &url, &["cancel", &sent[0]]);
    eventually("it ends", PATIENCE, || count(&database, 4) == 1);
    assert_eq!(living(&second), [""; 0]);
    home.no_tags_left();
}

fn living(family: &[i32]) -> Vec<&'static str> {
    let members = family.iter().zip(MEMBERS);
    let alive = members.filter(|(pid, _)| is_alive(**pid));
    alive.map(|(_, member)| member).collect()
}

#[test]
fn the_whole_tree_of_a_service_that_is_killed_dies() {
    the_tree_dies(|service| kill(service.pid()));
}

#[test]
fn the_whole_tree_of_a_service_that_stands_still_dies() {
    the_tree_dies(|service| freeze(service.pid()));
}

/// The job of somebody who is gone at once.
fn sent_by_the_dead(home: &Home, url: &str, host: &str, payload: &Value) -> String {
    let child = start(home, host, url, &["submit-and-die", "Act"], payload);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), None, "a signal ended it: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_submitter_may_die_at_once() {
    let server = Postgres::shared();
    let (home, database, _services) = served(&server);
    let payload = json!({ "deed": { "run": 20 } });
    for host in HOSTS.iter().cycle().take(12) {
        sent_by_the_dead(&home, &database.url(), host, &payload);
    }
    all_succeed(&home, &database, 12);
    let attempts = "SELECT max(attempt) FROM dispatcher.finished";
    assert_eq!(database.psql(attempts), "1");
}

/// It has started a supervisor there, which dies with it, and so does the job.
#[test]
fn a_submitter_may_die_with_its_machine() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let payload = json!({ "deed": { "wait_for": "gate" } });
    let mut command = super::super::on_host(&home, "one", &url, &["wait-for", "Act"]);
    command.env("DISPATCHER_STORE_LEASE", "5s");
    let mut submitter = super::begin(command, &payload);
    eventually("it runs", PATIENCE, || is_running(&home, &database));
    let _others = ["two", "three"].map(|host| Service::leased(&home, host, &url, &database));
    lose_machine(&home, "one");
    submitter.wait().expect("it ends");
    home.open_gate("gate");
    all_succeed(&home, &database, 1);
    let fates = "SELECT attempt || ' ' || lost || ' ' || failures FROM dispatcher.finished";
    assert_eq!(database.psql(fates), "2 1 0");
    assert_eq!(home.of_kind(Kind::Supervisor), []);
}

/// There is a schema, and in it a job that a process works at.
fn is_running(home: &Home, database: &Database<'_>) -> bool {
    let running = database.try_psql("SELECT count(*) FROM dispatcher.jobs WHERE state = 1");
    running.stdout.starts_with(b"1") && !home.tagged().is_empty()
}
