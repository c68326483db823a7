//! Promises 1, 4 and 11: a machine is lost with all that is on it, or a service dies or stands
//! still, and whatever it ran runs elsewhere once it is dead.

use dispatcher_tests::{HostService, Kind, PATIENCE, begin, eventually, freeze, is_alive, kill};
use serde_json::json;

use super::super::{HOSTS, Site};

#[test]
fn the_next_job_starts_when_a_machine_is_lost() {
    let site = Site::new();
    let _one = site.serve_leased("one");
    let payload = json!({ "name": "first", "gate": "gate" });
    site.submit("two", "Exclusive", &payload, 1);
    eventually("it runs", PATIENCE, || site.home.starts() == ["first"]);
    let _others = ["two", "three"].map(|host| site.serve_leased(host));
    site.lose("one");
    site.submit("three", "Exclusive", &json!({ "name": "next" }), 1);
    site.home.open_gate("gate");
    site.all_succeed(2);
    assert_eq!(site.home.starts(), ["first", "first", "next"]);
    let lost =
        "SELECT string_agg(lost || ' ' || failures, ', ' ORDER BY key) FROM dispatcher.finished";
    assert_eq!(site.psql(lost), "1 0, 0 0");
}

const MEMBERS: [&str; 5] = ["leader", "child", "session", "orphan", "stranger"];

/// The family of the job's attempt, once it is there.
fn family(site: &Site<'_>, but: &[i32]) -> Vec<i32> {
    eventually("the family is there", PATIENCE, || {
        let member = |member: &&str| {
            let text = site.home.read(&format!("tree.{member}.pid"));
            text.strip_suffix('\n')?.parse::<i32>().ok()
        };
        let pids: Option<Vec<i32>> = MEMBERS.iter().map(member).collect();
        pids.filter(|pids| !pids.iter().any(|pid| but.contains(pid)))
    })
}

/// What ran on the first host is dead to the last process when the job runs on the second one; and
/// a cancellation from the third ends all of it there.
fn the_tree_dies<L>(lose: impl FnOnce(&HostService) -> L) {
    let site = Site::new();
    let one = site.serve_leased("one");
    let payload = json!({ "name": "tree", "then": "stay", "options": { "grace": 300 } });
    let sent = site.submit("three", "Tree", &payload, 1);
    let first = family(&site, &[]);
    let _two = site.serve_leased("two");
    let lost = lose(&one);
    let second = family(&site, &first);
    let left: Vec<&str> = living(&first);
    assert_eq!(left, [""; 0], "they live while the job runs elsewhere");
    drop(lost);
    site.answer("three", &["cancel", &sent[0]]);
    eventually("it ends", PATIENCE, || site.count(4) == 1);
    assert_eq!(living(&second), [""; 0]);
    site.home.no_tags_left();
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

#[test]
fn a_submitter_may_die_at_once() {
    let site = Site::new();
    let _services = site.serve_everywhere();
    let payload = json!({ "deed": { "run": 20 } });
    for host in HOSTS.iter().cycle().take(12) {
        let child = site.start(host, &["submit-and-die", "Act"], &payload);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), None, "a signal ended it: {output:?}");
    }
    site.all_succeed(12);
    let attempts = "SELECT max(attempt) FROM dispatcher.finished";
    assert_eq!(site.psql(attempts), "1");
}

/// It has started a supervisor there, which dies with it, and so does the job.
#[test]
fn a_submitter_may_die_with_its_machine() {
    let site = Site::new();
    let payload = json!({ "deed": { "wait_for": "gate" } });
    let mut command = site.command("one", &["wait-for", "Act"]);
    command.env("DISPATCHER_STORE_LEASE", "5s");
    let mut submitter = begin(&mut command, payload.to_string().as_bytes());
    eventually("it runs", PATIENCE, || is_running(&site));
    let _others = ["two", "three"].map(|host| site.serve_leased(host));
    site.lose("one");
    submitter.wait().expect("it ends");
    site.home.open_gate("gate");
    site.all_succeed(1);
    let fates = "SELECT attempt || ' ' || lost || ' ' || failures FROM dispatcher.finished";
    assert_eq!(site.psql(fates), "2 1 0");
    assert_eq!(site.home.of_kind(Kind::Supervisor), []);
}

/// There is a schema, and in it a job that a process works at.
fn is_running(site: &Site<'_>) -> bool {
    let running = site.try_psql("SELECT count(*) FROM dispatcher.jobs WHERE state = 1");
    running.stdout.starts_with(b"1") && !site.home.tagged().is_empty()
}
