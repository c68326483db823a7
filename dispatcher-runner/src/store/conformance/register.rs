//! Registration: one row per name, and the newest build wins.

use super::*;

on_every_store! {
    newest_build_wins,
    the_same_build_may_change_its_mind,
    submission_refreshes_in_the_same_step,
    counters_survive_a_refresh,
}

fn of_build(modified_ns: i64, max_queue: u32) -> DispatcherRow {
    DispatcherRow {
        build: build(modified_ns),
        about: format!("about {modified_ns}"),
        ..row("A", |options| options.max_queue = max_queue)
    }
}

fn stored(store: &mut dyn Store) -> DispatcherRow {
    store.dispatchers().unwrap().remove(0).row
}

fn newest_build_wins(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store.register(&[of_build(5, 1)]).unwrap();
    store.register(&[of_build(4, 9)]).unwrap();
    assert_eq!(stored(store), of_build(5, 1));
    store.register(&[of_build(6, 2)]).unwrap();
    assert_eq!(stored(store), of_build(6, 2));
}

fn the_same_build_may_change_its_mind(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store.register(&[of_build(5, 1)]).unwrap();
    store.register(&[of_build(5, 7)]).unwrap();
    assert_eq!(stored(store), of_build(5, 7));
}

fn submission_refreshes_in_the_same_step(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let submit = |store: &mut dyn Store, row: DispatcherRow| {
        let submission = Submission {
            jobs: vec![job("A")],
            dispatchers: vec![row],
            ..Submission::default()
        };
        store.submit(&[submission]).remove(0)
    };
    assert!(submit(store, of_build(5, 1)).is_ok());
    assert!(submit(store, of_build(5, 1)).is_err());
    assert!(submit(store, of_build(4, 9)).is_err(), "older: ignored");
    assert!(submit(store, of_build(6, 2)).is_ok());
    assert_eq!(stored(store), of_build(6, 2));
}

fn counters_survive_a_refresh(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store.register(&[of_build(5, 0)]).unwrap();
    store.set_paused("A", Pause::Paused).unwrap();
    accept(store, job("A"));
    store.register(&[of_build(6, 0)]).unwrap();
    let status = store.dispatchers().unwrap().remove(0);
    assert_eq!((status.waiting, status.paused), (1, true));
}
