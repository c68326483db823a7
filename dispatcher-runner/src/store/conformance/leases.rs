//! Claims that end by themselves, in the stores that serve more than one kernel.

use super::*;

/// Makes one test of each function per store that has leases.
macro_rules! where_claims_end {
    ($($test:ident,)+) => {
        mod memory {
            $(#[test]
            fn $test() {
                super::$test(&crate::store::conformance::Fixture::memory());
            })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test]
            fn $test() {
                super::$test(&crate::store::conformance::Fixture::postgres());
            })+
        }
    };
}

where_claims_end! {
    a_lease_lasts_as_long_as_it_is_renewed,
    what_was_held_when_a_lease_ended_is_queued_again,
    a_renewal_that_comes_too_late_finds_nothing,
    whoever_takes_nothing_new_may_renew,
    only_proof_ends_claims_without_a_lease,
}

const LEASE: Duration = Duration::from_secs(30);

fn open_leased(store: &mut dyn Store) -> SupervisorId {
    let new = NewSupervisor {
        lease: Some(LEASE),
        ..new_supervisor("shop")
    };
    store.open_supervisor(&new).unwrap()
}

/// One running job.
fn running(store: &mut dyn Store, supervisor: SupervisorId) -> Claimed {
    register(store, "A");
    accept(store, job("A"));
    let claim = store.claim(&request(supervisor, &["A"], 1)).unwrap();
    claim.jobs[0].clone()
}

fn a_lease_lasts_as_long_as_it_is_renewed(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open_leased(store);
    let job = running(store, supervisor).job;
    for _ in 0..5 {
        fixture.advance(LEASE - Duration::from_millis(1));
        assert_eq!(store.rescue_expired().unwrap(), []);
        assert_eq!(store.renew(supervisor, LEASE).unwrap(), Renewal::Renewed);
    }
    assert_eq!(store.state(job).unwrap(), Some(JobState::Running));
    fixture.advance(LEASE);
    assert_eq!(store.rescue_expired().unwrap()[0].0, supervisor);
}

fn what_was_held_when_a_lease_ended_is_queued_again(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open_leased(store);
    let other = open_leased(store);
    let held = running(store, supervisor);
    fixture.advance(LEASE / 2);
    store.renew(other, LEASE).unwrap();
    fixture.advance(LEASE / 2);
    let rescued = Rescued {
        requeued: vec![held.job],
        ..Rescued::default()
    };
    assert_eq!(store.rescue_expired().unwrap(), [(supervisor, rescued)]);
    let record = store.job(held.job).unwrap().unwrap();
    assert_eq!(record.summary.state, JobState::Queued);
    assert_eq!((record.lost, record.summary.counters.failures), (1, 0));
    assert_eq!(record.attempts[0].outcome.cause, Cause::WorkerLost);
    let rows = store.supervisors().unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [other]);
    assert_eq!(store.rescue_expired().unwrap(), [], "once");
}

fn a_renewal_that_comes_too_late_finds_nothing(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open_leased(store);
    let held = running(store, supervisor);
    fixture.advance(LEASE);
    // Nobody has taken over yet: it is as good as in time.
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Renewal::Renewed);
    fixture.advance(LEASE);
    store.rescue_expired().unwrap();
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Renewal::Lost);
    let late = ending(&held, Next::Succeed);
    assert_eq!(store.record(&[late]).unwrap(), [Recorded::Fenced]);
    let claim = store.claim(&request(supervisor, &["A"], 1)).unwrap();
    assert_eq!(claim.jobs, [], "a row that is gone gets nothing");
}

fn whoever_takes_nothing_new_may_renew(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open_leased(store);
    let held = running(store, supervisor);
    store.close_supervisor(supervisor).unwrap();
    fixture.advance(LEASE / 2);
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Renewal::Renewed);
    fixture.advance(LEASE / 2);
    assert_eq!(store.rescue_expired().unwrap(), []);
    let end = ending(&held, Next::Succeed);
    let recorded = store.record(&[end]).unwrap();
    assert_eq!(recorded, [Recorded::Applied(JobState::Succeeded)]);
}

fn only_proof_ends_claims_without_a_lease(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open(store);
    let held = running(store, supervisor);
    fixture.advance(1000 * LEASE);
    assert_eq!(store.rescue_expired().unwrap(), []);
    assert_eq!(store.state(held.job).unwrap(), Some(JobState::Running));
}
