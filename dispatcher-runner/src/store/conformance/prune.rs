//! Pruning: by age, by count, bounded, and never the last good output.

use super::*;

on_every_store! {
    by_age,
    by_count_per_dispatcher,
    bounded_by_the_batch,
    keeps_the_newest_output,
    never_takes_unfinished_ones,
    a_pruned_id_is_gone,
}

/// Runs one job to its end.
fn finished(store: &mut dyn Store, name: &str, output: Option<&str>) -> JobId {
    let id = accept(store, job(name));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &[name], 1).remove(0);
    let record = Record {
        output: output.map(str::to_owned),
        ..ending(&claimed, Next::Succeed)
    };
    store.record(&[record]).unwrap();
    store.close_supervisor(supervisor).unwrap();
    id
}

fn retention(age: u64, count: u64) -> Retention {
    Retention {
        age: seconds(age),
        count_per_dispatcher: count,
    }
}

fn by_age(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let old = finished(store, "A", None);
    fixture.advance(seconds(60));
    let young = finished(store, "A", None);
    fixture.advance(seconds(60));
    assert_eq!(store.prune(&retention(120, 10), 100).unwrap(), 0);
    assert_eq!(store.prune(&retention(90, 10), 100).unwrap(), 1);
    assert_eq!(store.state(old).unwrap(), None);
    assert_eq!(state(store, young), JobState::Succeeded);
    check_counters(store);
}

fn by_count_per_dispatcher(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    register(store, "B");
    let a: Vec<_> = (0..4)
        .map(|_| {
            fixture.advance(seconds(1));
            finished(store, "A", None)
        })
        .collect();
    let b = finished(store, "B", None);
    assert_eq!(store.prune(&retention(999, 3), 100).unwrap(), 1);
    assert_eq!(store.prune(&retention(999, 1), 100).unwrap(), 2);
    assert_eq!(store.prune(&retention(999, 1), 100).unwrap(), 0);
    assert_eq!(store.state(a[2]).unwrap(), None);
    assert_eq!(state(store, a[3]), JobState::Succeeded);
    assert_eq!(state(store, b), JobState::Succeeded);
}

fn bounded_by_the_batch(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    for _ in 0..5 {
        finished(store, "A", None);
    }
    let removed: Vec<_> = (0..4)
        .map(|_| store.prune(&retention(999, 0), 2).unwrap())
        .collect();
    assert_eq!(removed, [2, 2, 1, 0]);
    assert_eq!(store.prune(&retention(0, 0), 0).unwrap(), 0);
}

fn keeps_the_newest_output(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    finished(store, "A", Some("1"));
    let good = finished(store, "A", Some("2"));
    finished(store, "A", None);
    fixture.advance(seconds(60));
    assert_eq!(store.prune(&retention(1, 0), 100).unwrap(), 2);
    assert_eq!(store.prune(&retention(1, 0), 100).unwrap(), 0);
    let latest = store.latest_output("A").unwrap();
    assert_eq!(latest, Some((good, "2".to_owned())));
}

fn never_takes_unfinished_ones(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let running = accept(store, job("A"));
    let supervisor = open(store);
    claim(store, supervisor, &["A"], 1);
    let waiting = accept(store, job("A"));
    fixture.advance(seconds(60));
    assert_eq!(store.prune(&retention(0, 0), 100).unwrap(), 0);
    assert_eq!(state(store, running), JobState::Running);
    assert_eq!(state(store, waiting), JobState::Queued);
}

fn a_pruned_id_is_gone(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let id = finished(store, "A", None);
    fixture.advance(seconds(60));
    store.prune(&retention(1, 10), 100).unwrap();
    assert!(store.job(id).unwrap().is_none());
    assert!(store.find(id.as_str(), 5).unwrap().is_empty());
    assert_eq!(store.capture(id, 1).unwrap(), None);
    let replies = store.cancel(&[id], "me").unwrap();
    assert_eq!(replies, [CancelReply::Unknown]);
    accept(store, job_with("A", |job| job.id = id));
}
