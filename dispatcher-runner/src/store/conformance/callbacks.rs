//! Callbacks: due with the end of their job, told by one at a time, until they are settled.

use super::*;

on_every_store! {
    a_callback_is_due_when_its_job_has_ended,
    who_takes_one_holds_it,
    what_failed_is_due_again,
    a_duplicate_asks_for_the_survivor,
    a_refused_group_has_none,
}

fn with(jobs: Vec<NewJob>, url: &str) -> Submission {
    Submission {
        callbacks: vec![NewCallback {
            job: 0,
            url: url.to_owned(),
            sender: "s".to_owned(),
        }],
        ..group(jobs)
    }
}

fn send(store: &mut dyn Store, group: Submission) -> Result<Submitted, SubmitError> {
    store.submit(&[group]).remove(0)
}

fn take(store: &mut dyn Store) -> Vec<DueCallback> {
    store.take_callbacks(10, seconds(60)).unwrap()
}

fn a_callback_is_due_when_its_job_has_ended(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let first = job("A");
    let id = first.id;
    send(store, with(vec![first, job("A")], "u")).unwrap();
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1);
    assert_eq!(take(store), []);
    end(store, &claimed[0], Next::Retry { after: seconds(0) });
    assert_eq!(take(store), [], "a retry is no end");
    store.cancel(&[id], "test").unwrap();
    let taken = take(store);
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].job, taken[0].tries), (id, 1));
    assert_eq!(
        (taken[0].url.as_str(), taken[0].sender.as_str()),
        ("u", "s")
    );
}

fn who_takes_one_holds_it(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let first = job("A");
    let id = first.id;
    send(store, with(vec![first], "u")).unwrap();
    store.cancel(&[id], "test").unwrap();
    let taken = take(store);
    assert_eq!(take(store), [], "somebody holds it");
    fixture.advance(seconds(60));
    let again = take(store);
    assert_eq!(
        (again[0].key, again[0].tries),
        (taken[0].key, 2),
        "he did not come back"
    );
    store.settle_callback(again[0].key, Settled::Done).unwrap();
    fixture.advance(seconds(600));
    assert_eq!(take(store), []);
}

fn what_failed_is_due_again(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let first = job("A");
    let id = first.id;
    send(store, with(vec![first], "u")).unwrap();
    store.cancel(&[id], "test").unwrap();
    let key = take(store)[0].key;
    store
        .settle_callback(key, Settled::Again(seconds(5)))
        .unwrap();
    assert_eq!(take(store), []);
    fixture.advance(seconds(5));
    assert_eq!(take(store)[0].key, key);
}

fn a_duplicate_asks_for_the_survivor(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store
        .register(&[row("A", |options| {
            options.on_duplicate = dispatcher_core::OnDuplicate::Discard;
        })])
        .unwrap();
    let first = job("A");
    let id = first.id;
    let again = NewJob {
        id: new_id(),
        ..first.clone()
    };
    send(store, with(vec![first], "one")).unwrap();
    send(store, with(vec![again], "two")).unwrap();
    store.cancel(&[id], "test").unwrap();
    let taken = take(store);
    let urls: Vec<_> = taken.iter().map(|it| (it.job, it.url.as_str())).collect();
    assert_eq!(urls, [(id, "one"), (id, "two")]);
}

fn a_refused_group_has_none(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store
        .register(&[row("A", |options| options.max_queue = 1)])
        .unwrap();
    let first = job("A");
    let id = first.id;
    assert!(send(store, with(vec![first, job("A")], "u")).is_err());
    assert_eq!(store.state(id).unwrap(), None);
    accept(store, job("A"));
    assert_eq!(take(store), []);
    check_counters(store);
}
