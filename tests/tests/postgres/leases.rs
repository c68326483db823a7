//! Machines that fail or stand still: others take over when their leases have ended, and not before
//! what they ran is dead.

use dispatcher_tests::{
    Database, Frozen, Home, Kind, PATIENCE, Postgres, eventually, freeze, is_alive, kill,
};

use super::hosts::{Service, all_succeed, send};
use super::{FIXTURE, count};

/// The process of the job's attempt, once it runs.
fn worker(home: &Home, attempt: u32) -> i32 {
    eventually(&format!("attempt {attempt} runs"), PATIENCE, || {
        let tagged = home.tagged().into_iter();
        let its = format!(".{attempt}");
        let mut its = tagged.filter(|it| it.tag.as_ref().is_some_and(|tag| tag.ends_with(&its)));
        its.next().map(|it| it.pid)
    })
}

fn causes(database: &Database<'_>) -> String {
    let cause = "SELECT string_agg(attempt || ' ' || (outcome::json->>'cause'), ', ' \
                 ORDER BY attempt) FROM dispatcher.attempts";
    database.psql(cause)
}

#[test]
fn a_service_that_stood_still_past_its_lease_has_no_worker_and_changes_nothing() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let mut one = Service::leased(&home, "one", &url, &database);
    send(&database, "Storm", r#"{"gate": "gate"}"#, 1);
    let first = worker(&home, 1);
    let frozen = freeze(one.pid());
    let mut two = Service::leased(&home, "two", &url, &database);
    let second = worker(&home, 2);
    assert!(!is_alive(first), "its keeper has killed it before");
    assert_eq!(home.read("violations"), "");
    drop(frozen);
    eventually("it begins anew", PATIENCE, || {
        one.log().contains("the supervisor begins anew")
    });
    assert!(is_alive(second));
    assert_eq!(count(&database, 1), 1, "its late word has changed nothing");
    home.open_gate("gate");
    all_succeed(&home, &database, 1);
    let causes = causes(&database);
    assert!(
        causes.contains("1 worker_lost") && causes.contains("2 succeeded"),
        "{causes}"
    );
    send(&database, "Storm", r#"{"ms": 5}"#, 40);
    all_succeed(&home, &database, 41);
    assert!(one.is_alive() && two.is_alive());
    one.end();
    two.end();
}

#[test]
fn what_a_killed_service_held_is_taken_over_when_its_lease_has_ended() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let one = Service::leased(&home, "one", &url, &database);
    send(&database, "Storm", r#"{"gate": "gate"}"#, 1);
    worker(&home, 1);
    let _two = Service::leased(&home, "two", &url, &database);
    kill(one.pid());
    worker(&home, 2);
    home.open_gate("gate");
    all_succeed(&home, &database, 1);
    let rows = "SELECT count(*) FROM dispatcher.supervisors";
    assert_eq!(database.psql(rows), "1");
}

/// Whoever comes to the same host can kill what was left there, however long ago that was; another
/// host could only trust the lease.
#[test]
fn what_a_service_and_its_keeper_left_together_is_dead_before_it_runs_again_on_the_host() {
    let server = Postgres::shared();
    let database = server.database();
    let home = Home::new(FIXTURE);
    let url = database.url();
    let one = Service::leased(&home, "one", &url, &database);
    send(&database, "Storm", r#"{"gate": "gate"}"#, 1);
    let left = worker(&home, 1);
    let keepers = home.of_kind(Kind::Keeper);
    let frozen: Vec<Frozen> = keepers.iter().map(|it| freeze(it.pid)).collect();
    kill(one.pid());
    keepers.iter().for_each(|it| kill(it.pid));
    drop(frozen);
    eventually("the lease has ended", PATIENCE, || {
        let over = "SELECT lease_until <= dispatcher.clock() FROM dispatcher.supervisors";
        database.psql(over) == "t"
    });
    assert!(is_alive(left), "nobody has killed it so far");
    let _one = Service::leased(&home, "one", &url, &database);
    worker(&home, 2);
    assert!(!is_alive(left));
    home.open_gate("gate");
    all_succeed(&home, &database, 1);
}
