//! Leases: what a supervisor elsewhere holds is given to others when its time is over, not before.

use super::*;

on_every_store! {
    renewed_while_the_row_is_there,
    rescued_only_when_the_lease_has_run_out,
    without_a_lease_nobody_elsewhere_rescues,
}

const LEASE: Duration = Duration::from_secs(30);

fn seat(store: &mut dyn Store, supervisor: SupervisorId) -> Option<Seat> {
    let rows = store.supervisors().unwrap();
    rows.iter()
        .find(|row| row.id == supervisor)
        .map(|row| row.seat)
}

fn renewed_while_the_row_is_there(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let supervisor = open(store);
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Lease::Renewed);
    assert_eq!(seat(store, supervisor), Some(Seat::Here));
    let Some(mut elsewhere) = fixture.elsewhere() else {
        return;
    };
    store.rescue(supervisor).unwrap();
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Lease::Lost);
    assert_eq!(elsewhere.renew(supervisor, LEASE).unwrap(), Lease::Lost);
}

fn rescued_only_when_the_lease_has_run_out(fixture: &Fixture) {
    let Some(mut elsewhere) = fixture.elsewhere() else {
        return;
    };
    let store = &mut *fixture.store();
    register(store, "A");
    let id = accept(store, job("A"));
    let supervisor = open(store);
    store.renew(supervisor, LEASE).unwrap();
    let claimed = claim(store, supervisor, &["A"], 1).remove(0);
    let lapsed = |lapsed| Some(Seat::Elsewhere { lapsed });
    fixture.advance(LEASE - Duration::from_millis(1));
    assert_eq!(seat(&mut *elsewhere, supervisor), lapsed(false));
    assert_eq!(elsewhere.rescue_lapsed(supervisor).unwrap(), None);
    store.renew(supervisor, LEASE).unwrap();
    fixture.advance(LEASE - Duration::from_millis(1));
    assert_eq!(elsewhere.rescue_lapsed(supervisor).unwrap(), None);
    fixture.advance(Duration::from_millis(1));
    assert_eq!(seat(&mut *elsewhere, supervisor), lapsed(true));
    let rescued = elsewhere.rescue_lapsed(supervisor).unwrap();
    assert_eq!(rescued.map(|it| it.requeued), Some(vec![id]));
    assert_eq!(elsewhere.rescue_lapsed(supervisor).unwrap(), None);
    assert_eq!(store.renew(supervisor, LEASE).unwrap(), Lease::Lost);
    assert!(claim(store, supervisor, &["A"], 1).is_empty());
    assert_eq!(end(store, &claimed, Next::Succeed), Recorded::Fenced);
    let next = open(&mut *elsewhere);
    assert_eq!(ids(&claim(&mut *elsewhere, next, &["A"], 1)), [id]);
}

fn without_a_lease_nobody_elsewhere_rescues(fixture: &Fixture) {
    let Some(mut elsewhere) = fixture.elsewhere() else {
        return;
    };
    let store = &mut *fixture.store();
    let supervisor = open(store);
    fixture.advance(LEASE * 1_000);
    let lapsed = Some(Seat::Elsewhere { lapsed: false });
    assert_eq!(seat(&mut *elsewhere, supervisor), lapsed);
    assert_eq!(elsewhere.rescue_lapsed(supervisor).unwrap(), None);
}
