//! Machines that fail or stand still: others take over when their leases have ended, and not before
//! what they ran is dead.

use dispatcher_tests::{Frozen, HostService, Kind, PATIENCE, eventually, freeze, is_alive, kill};

use super::Site;

/// The process of the job's attempt, once it runs.
fn worker(site: &Site<'_>, attempt: u32) -> i32 {
    eventually(&format!("attempt {attempt} runs"), PATIENCE, || {
        let tagged = site.home.tagged().into_iter();
        let its = format!(".{attempt}");
        let mut its = tagged.filter(|it| it.tag.as_ref().is_some_and(|tag| tag.ends_with(&its)));
        its.next().map(|it| it.pid)
    })
}

/// A service with a lease on the first host, and its worker, which is held by a gate.
fn held(site: &Site<'_>) -> (HostService, i32) {
    let service = site.serve_leased("one");
    site.send("Storm", r#"{"gate": "gate"}"#, 1);
    (service, worker(site, 1))
}

fn causes(site: &Site<'_>) -> String {
    let cause = "SELECT string_agg(attempt || ' ' || (outcome::json->>'cause'), ', ' \
                 ORDER BY attempt) FROM dispatcher.attempts";
    site.psql(cause)
}

#[test]
fn a_service_that_stood_still_past_its_lease_has_no_worker_and_changes_nothing() {
    let site = Site::new();
    let (mut one, first) = held(&site);
    let frozen = freeze(one.pid());
    let mut two = site.serve_leased("two");
    let second = worker(&site, 2);
    assert!(!is_alive(first), "its keeper has killed it before");
    assert_eq!(site.home.read("violations"), "");
    drop(frozen);
    eventually("it begins anew", PATIENCE, || {
        one.log().contains("the supervisor begins anew")
    });
    assert!(is_alive(second));
    assert_eq!(site.count(1), 1, "its late word has changed nothing");
    site.home.open_gate("gate");
    site.all_succeed(1);
    let causes = causes(&site);
    assert!(
        causes.contains("1 worker_lost") && causes.contains("2 succeeded"),
        "{causes}"
    );
    site.send("Storm", r#"{"ms": 5}"#, 40);
    site.all_succeed(41);
    assert!(one.is_alive() && two.is_alive());
    one.end();
    two.end();
}

#[test]
fn what_a_killed_service_held_is_taken_over_when_its_lease_has_ended() {
    let site = Site::new();
    let (one, _) = held(&site);
    let _two = site.serve_leased("two");
    kill(one.pid());
    worker(&site, 2);
    site.home.open_gate("gate");
    site.all_succeed(1);
    let rows = "SELECT count(*) FROM dispatcher.supervisors";
    assert_eq!(site.psql(rows), "1");
}

/// Whoever comes to the same host can kill what was left there, however long ago that was; another
/// host could only trust the lease.
#[test]
fn what_a_service_and_its_keeper_left_together_is_dead_before_it_runs_again_on_the_host() {
    let site = Site::new();
    let (one, left) = held(&site);
    let keepers = site.home.of_kind(Kind::Keeper);
    let frozen: Vec<Frozen> = keepers.iter().map(|it| freeze(it.pid)).collect();
    kill(one.pid());
    keepers.iter().for_each(|it| kill(it.pid));
    drop(frozen);
    eventually("the lease has ended", PATIENCE, || {
        let over = "SELECT lease_until <= dispatcher.clock() FROM dispatcher.supervisors";
        site.psql(over) == "t"
    });
    assert!(is_alive(left), "nobody has killed it so far");
    let _one = site.serve_leased("one");
    worker(&site, 2);
    assert!(!is_alive(left));
    site.home.open_gate("gate");
    site.all_succeed(1);
}
