//! Batches: counted with every end, followed by exactly one job, all or nothing.

use super::*;

on_every_store! {
    ends_are_counted,
    the_last_end_stores_what_follows,
    a_batch_of_duplicates_has_finished,
    what_follows_is_never_refused,
    a_retry_is_no_end,
    a_rescue_counts,
    an_expiry_counts,
    a_refused_batch_is_not_there,
    ids_are_used_once,
    old_batches_are_pruned,
    a_job_knows_its_batch,
}

fn batch(id: &str, on_finished: Option<NewJob>) -> NewBatch {
    NewBatch {
        id: id.to_owned(),
        on_finished,
    }
}

fn with(batch: NewBatch, jobs: Vec<NewJob>) -> Submission {
    Submission {
        batch: Some(batch),
        ..group(jobs)
    }
}

fn send(store: &mut dyn Store, group: Submission) -> Result<Submitted, SubmitError> {
    store.submit(&[group]).remove(0)
}

fn look(store: &mut dyn Store, id: &str) -> BatchRecord {
    store.batch(id).unwrap().unwrap()
}

fn counts(store: &mut dyn Store, id: &str) -> [u32; 4] {
    let BatchCounts {
        total,
        pending,
        failed,
        cancelled,
    } = look(store, id).counts;
    [total, pending, failed, cancelled]
}

fn ends_are_counted(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let jobs: Vec<NewJob> = (0..4).map(|_| job("A")).collect();
    register(store, "A");
    let own: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    send(store, with(batch("b", None), jobs)).unwrap();
    assert_eq!(counts(store, "b"), [4, 4, 0, 0]);
    assert_eq!(look(store, "b").jobs, own);
    assert_eq!(store.batch("c").unwrap(), None);
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 3);
    end(store, &claimed[0], Next::Succeed);
    end(store, &claimed[1], Next::Fail);
    assert_eq!(counts(store, "b"), [4, 2, 1, 0]);
    store.cancel(&own[2..], "test").unwrap();
    assert_eq!(
        counts(store, "b"),
        [4, 1, 1, 1],
        "a running one has not ended"
    );
    assert_eq!(look(store, "b").finished_at, None);
    fixture.advance(seconds(1));
    end(store, &claimed[2], Next::Succeed);
    assert_eq!(counts(store, "b"), [4, 0, 1, 2]);
    assert_eq!(look(store, "b").finished_at, Some(START + 1000));
    check_counters(store);
}

fn the_last_end_stores_what_follows(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let last = job_with("B", |job| job.options.delay = Some(seconds(5)));
    let id = last.id;
    register(store, "A");
    send(
        store,
        with(batch("b", Some(last)), vec![job("A"), job("A")]),
    )
    .unwrap();
    assert_eq!(look(store, "b").on_finished, Some(id));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A", "B"], 4);
    assert_eq!(claimed.len(), 2);
    end(store, &claimed[0], Next::Fail);
    assert_eq!(store.state(id).unwrap(), None);
    end(store, &claimed[1], Next::Succeed);
    assert_eq!(end(store, &claimed[1], Next::Succeed), Recorded::Fenced);
    assert_eq!(state(store, id), JobState::Queued);
    let unfinished = store.unfinished().unwrap();
    assert_eq!(unfinished, [("B".to_owned(), "default".to_owned())]);
    check_counters(store);
    assert_eq!(
        claim(store, supervisor, &["A", "B"], 4).len(),
        0,
        "it has a delay"
    );
    fixture.advance(seconds(5));
    assert_eq!(ids(&claim(store, supervisor, &["A", "B"], 4)), [id]);
    assert_eq!(show(store, id).batch, None, "it is none of the batch's own");
}

fn a_batch_of_duplicates_has_finished(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store
        .register(&[row("A", |options| {
            options.on_duplicate = dispatcher_core::OnDuplicate::Discard;
        })])
        .unwrap();
    let first = job("A");
    let again = NewJob {
        id: new_id(),
        ..first.clone()
    };
    accept(store, first);
    let last = job("B");
    let id = last.id;
    let sent = send(store, with(batch("b", Some(last)), vec![again])).unwrap();
    assert!(sent.jobs[0].duplicate);
    assert_eq!(counts(store, "b"), [0, 0, 0, 0]);
    assert_eq!(look(store, "b").finished_at, Some(START));
    assert_eq!(state(store, id), JobState::Queued);
    check_counters(store);
}

fn what_follows_is_never_refused(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store
        .register(&[row("B", |options| options.max_queue = 1)])
        .unwrap();
    accept(store, job("B"));
    let last = job("B");
    let id = last.id;
    let first = job("A");
    let own = first.id;
    send(store, with(batch("b", Some(last)), vec![first])).unwrap();
    store.cancel(&[own], "test").unwrap();
    assert_eq!(state(store, id), JobState::Queued);
    assert_eq!(counts(store, "b"), [1, 0, 0, 1]);
    check_counters(store);
}

fn a_retry_is_no_end(fixture: &Fixture) {
    let store = &mut *fixture.store();
    send(store, with(batch("b", None), vec![job("A")])).unwrap();
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A"], 1);
    end(store, &claimed[0], Next::Retry { after: seconds(0) });
    assert_eq!(counts(store, "b"), [1, 1, 0, 0]);
    let claimed = claim(store, supervisor, &["A"], 1);
    end(store, &claimed[0], Next::Release);
    assert_eq!(counts(store, "b"), [1, 1, 0, 0]);
}

fn a_rescue_counts(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let lost = job_with("A", |job| {
        job.options.on_lost = OnLost::Fail;
    });
    send(store, with(batch("b", None), vec![lost])).unwrap();
    let supervisor = open(store);
    claim(store, supervisor, &["A"], 1);
    store.rescue(supervisor).unwrap();
    assert_eq!(counts(store, "b"), [1, 0, 1, 0]);
}

fn an_expiry_counts(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let expiring = || job_with("A", |job| job.options.expires = Some(seconds(1)));
    let last = job("B");
    let id = last.id;
    let jobs = vec![expiring(), expiring()];
    send(store, with(batch("b", Some(last)), jobs)).unwrap();
    fixture.advance(seconds(2));
    let supervisor = open(store);
    let claimed = claim(store, supervisor, &["A", "B"], 1);
    assert_eq!(counts(store, "b"), [2, 0, 2, 0]);
    assert!(!state(store, id).is_terminal(), "{claimed:?}");
    check_counters(store);
}

fn a_refused_batch_is_not_there(fixture: &Fixture) {
    let store = &mut *fixture.store();
    store
        .register(&[row("A", |options| options.max_queue = 1)])
        .unwrap();
    let full = send(store, with(batch("b", None), vec![job("A"), job("A")]));
    assert!(
        matches!(full, Err(SubmitError::QueueFull { .. })),
        "{full:?}"
    );
    assert_eq!(store.batch("b").unwrap(), None);
    send(store, with(batch("b", None), vec![job("A")])).unwrap();
    assert_eq!(counts(store, "b"), [1, 1, 0, 0]);
}

fn ids_are_used_once(fixture: &Fixture) {
    let store = &mut *fixture.store();
    send(store, with(batch("b", None), vec![job("A")])).unwrap();
    let again = send(store, with(batch("b", None), vec![job("A")]));
    assert!(
        matches!(&again, Err(SubmitError::BatchExists { id }) if id == "b"),
        "{again:?}"
    );
    assert_eq!(store.jobs(&all()).unwrap().len(), 1);
    check_counters(store);
}

fn old_batches_are_pruned(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let first = job("A");
    let id = first.id;
    send(store, with(batch("old", None), vec![first])).unwrap();
    send(store, with(batch("open", None), vec![job("A")])).unwrap();
    store.cancel(&[id], "test").unwrap();
    let retention = Retention {
        age: seconds(60),
        count_per_dispatcher: 100,
    };
    store.prune(&retention, 10).unwrap();
    assert!(store.batch("old").unwrap().is_some());
    fixture.advance(seconds(61));
    store.prune(&retention, 10).unwrap();
    assert!(store.batch("old").unwrap().is_none());
    assert!(store.batch("open").unwrap().is_some());
}

fn a_job_knows_its_batch(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let first = job("A");
    let id = first.id;
    send(store, with(batch("b", None), vec![first])).unwrap();
    assert_eq!(show(store, id).batch.as_deref(), Some("b"));
    let other = accept(store, job("A"));
    assert_eq!(show(store, other).batch, None);
}
