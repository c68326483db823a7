//! Receipts: a message is acted on once, and one that was refused is not on record.

use super::*;

on_every_store! {
    a_message_is_acted_on_once,
    another_message_of_the_same_id_is_refused,
    senders_do_not_share_ids,
    a_refused_group_leaves_no_receipt,
    a_message_without_jobs_has_one_too,
    a_full_store_refuses_and_evicts_nothing,
    receipts_are_kept_for_their_time,
    groups_of_one_commit_see_each_other,
    jobs_that_are_pruned_leave_the_receipt,
}

const DAY: u64 = 24 * 3600;

fn receipt(id: &str) -> NewReceipt {
    NewReceipt {
        sender: "sender".to_owned(),
        id: id.to_owned(),
        hash: [1; 32],
        note: format!("note of {id}"),
        keep: seconds(DAY),
        count_max: 1000,
    }
}

fn with(receipt: NewReceipt, jobs: Vec<NewJob>) -> Submission {
    Submission {
        receipt: Some(receipt),
        ..group(jobs)
    }
}

fn send(store: &mut dyn Store, group: Submission) -> Result<Submitted, SubmitError> {
    store.submit(&[group]).remove(0)
}

fn refusal(answer: Result<Submitted, SubmitError>) -> ReceiptError {
    match answer {
        Err(SubmitError::Receipt(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn a_message_is_acted_on_once(fixture: &Fixture) {
    let mut store = fixture.store();
    let first = job("A");
    let id = first.id;
    let sent = send(store.as_mut(), with(receipt("m1"), vec![first])).unwrap();
    assert_eq!(sent.replay_of, None);
    // Another value of the store, as after a restart; what the jobs are does not matter.
    let mut store = fixture.store();
    let again = send(
        store.as_mut(),
        with(receipt("m1"), vec![job("A"), job("A")]),
    )
    .unwrap();
    assert_eq!(again.replay_of.as_deref(), Some("note of m1"));
    let duplicate = false;
    assert_eq!(again.jobs, [Accepted { id, duplicate }]);
    assert_eq!(store.jobs(&all()).unwrap().len(), 1);
    let known = store.receipt("sender", "m1").unwrap().unwrap();
    assert_eq!(known.jobs, again.jobs);
    assert_eq!((known.hash, known.note.as_str()), ([1; 32], "note of m1"));
    assert_eq!(store.receipt("sender", "m2").unwrap(), None);
    check_counters(store.as_mut());
}

fn another_message_of_the_same_id_is_refused(fixture: &Fixture) {
    let mut store = fixture.store();
    send(store.as_mut(), with(receipt("m1"), vec![job("A")])).unwrap();
    let other = NewReceipt {
        hash: [2; 32],
        ..receipt("m1")
    };
    let answer = send(store.as_mut(), with(other, vec![job("A")]));
    assert_eq!(refusal(answer), ReceiptError::OtherMessage);
    assert_eq!(store.jobs(&all()).unwrap().len(), 1);
}

fn senders_do_not_share_ids(fixture: &Fixture) {
    let mut store = fixture.store();
    for sender in ["one", "two"] {
        let receipt = NewReceipt {
            sender: sender.to_owned(),
            ..receipt("m1")
        };
        let sent = send(store.as_mut(), with(receipt, vec![job("A")])).unwrap();
        assert_eq!(sent.replay_of, None, "{sender}");
    }
    assert_eq!(store.jobs(&all()).unwrap().len(), 2);
}

fn a_refused_group_leaves_no_receipt(fixture: &Fixture) {
    let mut store = fixture.store();
    store
        .register(&[row("A", |options| options.max_queue = 1)])
        .unwrap();
    let kept = accept(store.as_mut(), job("A"));
    let full = send(store.as_mut(), with(receipt("m1"), vec![job("A")]));
    assert!(
        matches!(full, Err(SubmitError::QueueFull { .. })),
        "{full:?}"
    );
    assert_eq!(store.receipt("sender", "m1").unwrap(), None);
    // The same message is accepted once there is room.
    store.cancel(&[kept], "test").unwrap();
    let sent = send(store.as_mut(), with(receipt("m1"), vec![job("A")])).unwrap();
    assert_eq!(sent.replay_of, None);
    check_counters(store.as_mut());
}

fn a_message_without_jobs_has_one_too(fixture: &Fixture) {
    let mut store = fixture.store();
    send(store.as_mut(), with(receipt("cancel"), Vec::new())).unwrap();
    let again = send(store.as_mut(), with(receipt("cancel"), Vec::new())).unwrap();
    assert_eq!(again.replay_of.as_deref(), Some("note of cancel"));
    assert_eq!(again.jobs, []);
}

fn a_full_store_refuses_and_evicts_nothing(fixture: &Fixture) {
    let mut store = fixture.store();
    let limited = |id: &str| NewReceipt {
        count_max: 2,
        ..receipt(id)
    };
    for id in ["m1", "m2"] {
        send(store.as_mut(), with(limited(id), vec![job("A")])).unwrap();
    }
    let answer = send(store.as_mut(), with(limited("m3"), vec![job("A")]));
    assert_eq!(refusal(answer), ReceiptError::Full { count_max: 2 });
    assert_eq!(store.jobs(&all()).unwrap().len(), 2);
    // Those that are there still answer.
    let again = send(store.as_mut(), with(limited("m1"), vec![job("A")])).unwrap();
    assert!(again.replay_of.is_some());
    fixture.advance(seconds(DAY));
    let sent = send(store.as_mut(), with(limited("m3"), vec![job("A")])).unwrap();
    assert_eq!(sent.replay_of, None);
}

fn receipts_are_kept_for_their_time(fixture: &Fixture) {
    let mut store = fixture.store();
    send(store.as_mut(), with(receipt("m1"), vec![job("A")])).unwrap();
    fixture.advance(seconds(DAY) - Duration::from_millis(1));
    send(store.as_mut(), with(receipt("m2"), vec![job("A")])).unwrap();
    assert!(store.receipt("sender", "m1").unwrap().is_some());
    fixture.advance(Duration::from_millis(1));
    send(store.as_mut(), with(receipt("m3"), vec![job("A")])).unwrap();
    assert!(store.receipt("sender", "m1").unwrap().is_none());
    assert!(store.receipt("sender", "m2").unwrap().is_some());
}

fn groups_of_one_commit_see_each_other(fixture: &Fixture) {
    let mut store = fixture.store();
    let same = || with(receipt("m1"), vec![job("A")]);
    let answers = store.submit(&[same(), same()]);
    let replays: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().replay_of.is_some())
        .collect();
    assert_eq!(replays, [false, true]);
    assert_eq!(store.jobs(&all()).unwrap().len(), 1);
}

fn jobs_that_are_pruned_leave_the_receipt(fixture: &Fixture) {
    let mut store = fixture.store();
    let first = job("A");
    let id = first.id;
    send(store.as_mut(), with(receipt("m1"), vec![first])).unwrap();
    store.cancel(&[id], "test").unwrap();
    fixture.advance(seconds(3600));
    let retention = Retention {
        age: seconds(60),
        count_per_dispatcher: 0,
    };
    assert_eq!(store.prune(&retention, 10).unwrap(), 1);
    let again = send(store.as_mut(), with(receipt("m1"), vec![job("A")])).unwrap();
    assert_eq!(again.jobs[0].id, id);
}
