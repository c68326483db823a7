//! Two at once over what hangs on jobs: receipts, counts of batches, callbacks.
//!
//! However they meet, a message is acted on once, a batch is followed once, and who asked is told.

use dispatcher_core::{OnDuplicate, OnLost};

use super::races::{Round, at_once, some_rounds};
use super::*;

on_every_store! {
    twins_of_a_message,
    twins_for_the_last_place_in_a_queue,
    two_batches_of_one_name,
    the_last_two_ends,
    ends_of_two_batches_in_either_order,
    a_rescue_and_the_last_end,
    an_expiry_and_a_cancellation,
    a_callback_for_a_survivor_that_ends,
    two_who_take_callbacks,
}

/// A round has many steps.
const ROUNDS: usize = 20;

fn message(round: &Round<'_>, jobs: Vec<NewJob>) -> Submission {
    Submission {
        receipt: Some(NewReceipt {
            sender: "sender".to_owned(),
            id: format!("m{}", round.number),
            hash: [1; 32],
            note: "note".to_owned(),
            keep: seconds(3600),
            count_max: 1000,
        }),
        ..group(jobs)
    }
}

fn batch(id: &str, jobs: Vec<NewJob>, on_finished: Option<NewJob>) -> Submission {
    Submission {
        batch: Some(NewBatch {
            id: id.to_owned(),
            on_finished,
        }),
        ..group(jobs)
    }
}

fn with_callback(job: NewJob) -> Submission {
    Submission {
        callbacks: vec![NewCallback {
            job: 0,
            url: "u".to_owned(),
            sender: "s".to_owned(),
        }],
        ..group(vec![job])
    }
}

fn send(store: &mut dyn Store, group: Submission) -> Result<Submitted, SubmitError> {
    store.submit(&[group]).remove(0)
}

/// [total, pending, failed, cancelled]
fn counts(store: &mut dyn Store, id: &str) -> [u32; 4] {
    let counts = store.batch(id).unwrap().unwrap().counts;
    [
        counts.total,
        counts.pending,
        counts.failed,
        counts.cancelled,
    ]
}

/// The job that follows was stored, once.
fn followed_once(round: &mut Round<'_>, last: JobId) {
    assert_eq!(state(round.store, last), JobState::Queued);
    let stored = round.store.jobs(&all()).unwrap();
    let its = stored.iter().filter(|job| job.id == last);
    assert_eq!(its.count(), 1, "round {}", round.number);
    check_counters(round.store);
    round.store.cancel(&[last], "test").unwrap();
}

fn same_answers(round: &mut Round<'_>, answers: [Result<Submitted, SubmitError>; 2]) {
    let [one, other] = answers.map(Result::unwrap);
    assert_eq!(one.jobs, other.jobs, "round {}", round.number);
    let replays = [&one, &other].map(|it| it.replay_of.is_some());
    assert_ne!(replays[0], replays[1], "round {}", round.number);
    let unfinished = round.store.jobs(&all()).unwrap().into_iter();
    let unfinished = unfinished.filter(|job| !job.state.is_terminal());
    assert_eq!(unfinished.count(), 1);
}

fn twins_of_a_message(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let [first, second] = [
            message(round, vec![job("A")]),
            message(round, vec![job("A")]),
        ];
        let (one, other) = at_once(
            stores,
            |store| send(store, first),
            |store| send(store, second),
        );
        same_answers(round, [one, other]);
    });
}

/// Who comes second finds the queue full of the same message: he is answered, and not refused.
fn twins_for_the_last_place_in_a_queue(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let limited = row("Limited", |options| options.max_queue = 1);
        round.store.register(&[limited]).unwrap();
        let [first, second] = [
            message(round, vec![job("Limited")]),
            message(round, vec![job("Limited")]),
        ];
        let (one, other) = at_once(
            stores,
            |store| send(store, first),
            |store| send(store, second),
        );
        same_answers(round, [one, other]);
    });
}

fn two_batches_of_one_name(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let name = format!("b{}", round.number);
        let [first, second] = [
            batch(&name, vec![job("A")], None),
            batch(&name, vec![job("A")], None),
        ];
        let (one, other) = at_once(
            stores,
            |store| send(store, first),
            |store| send(store, second),
        );
        let (accepted, refused) = match (one, other) {
            (Ok(accepted), Err(refused)) | (Err(refused), Ok(accepted)) => (accepted, refused),
            both => panic!("{both:?}"),
        };
        assert!(
            matches!(&refused, SubmitError::BatchExists { id } if *id == name),
            "{refused:?}"
        );
        let known = round.store.batch(&name).unwrap().unwrap();
        assert_eq!(known.jobs, [accepted.jobs[0].id]);
        assert_eq!(counts(round.store, &name), [1, 1, 0, 0]);
    });
}

/// A batch of jobs that run, each for a supervisor of its own.
fn running(
    round: &mut Round<'_>,
    name: &str,
    on_finished: Option<NewJob>,
) -> [(SupervisorId, Claimed); 2] {
    let lost = || job_with("A", |job| job.options.on_lost = OnLost::Fail);
    send(round.store, batch(name, vec![lost(), lost()], on_finished)).unwrap();
    [(), ()].map(|()| {
        let supervisor = open(round.store);
        let claimed = claim(round.store, supervisor, &["A"], 1).remove(0);
        (supervisor, claimed)
    })
}

fn the_last_two_ends(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let name = format!("b{}", round.number);
        let last = job("B");
        let id = last.id;
        let [(_, first), (_, second)] = running(round, &name, Some(last));
        let (one, other) = at_once(
            stores,
            |store| end(store, &first, Next::Succeed),
            |store| end(store, &second, Next::Fail),
        );
        assert_eq!(one, Recorded::Applied(JobState::Succeeded));
        assert_eq!(other, Recorded::Applied(JobState::Failed));
        assert_eq!(counts(round.store, &name), [2, 0, 1, 0]);
        followed_once(round, id);
    });
}

fn ends_of_two_batches_in_either_order(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let names = ["a", "b"].map(|it| format!("{it}{}", round.number));
        let last = [job("B"), job("B")];
        let ids = [last[0].id, last[1].id];
        let [first, second] = last;
        let [(_, a1), (_, a2)] = running(round, &names[0], Some(first));
        let [(_, b1), (_, b2)] = running(round, &names[1], Some(second));
        let [one, other] =
            [[&a1, &b1], [&b2, &a2]].map(|both| both.map(|claimed| ending(claimed, Next::Succeed)));
        at_once(
            stores,
            |store| store.record(&one).unwrap(),
            |store| store.record(&other).unwrap(),
        );
        for (name, id) in names.iter().zip(ids) {
            assert_eq!(counts(round.store, name), [2, 0, 0, 0]);
            followed_once(round, id);
        }
    });
}

fn a_rescue_and_the_last_end(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let name = format!("b{}", round.number);
        let last = job("B");
        let id = last.id;
        let [(dead, _), (_, second)] = running(round, &name, Some(last));
        at_once(
            stores,
            |store| store.rescue(dead).unwrap(),
            |store| end(store, &second, Next::Succeed),
        );
        assert_eq!(counts(round.store, &name), [2, 0, 1, 0]);
        followed_once(round, id);
    });
}

fn an_expiry_and_a_cancellation(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let name = format!("b{}", round.number);
        let last = job("B");
        let id = last.id;
        let expiring = || job_with("A", |job| job.options.expires = Some(seconds(1)));
        let jobs = vec![expiring(), expiring()];
        let own = jobs[1].id;
        send(round.store, batch(&name, jobs, Some(last))).unwrap();
        fixture.advance(seconds(2));
        let supervisor = open(round.store);
        at_once(
            stores,
            |store| claim(store, supervisor, &["A"], 1),
            |store| store.cancel(&[own], "test").unwrap(),
        );
        // What somebody was just cancelling is left to the next claim.
        assert_eq!(claim(round.store, supervisor, &["A"], 1).len(), 0);
        let [total, pending, failed, cancelled] = counts(round.store, &name);
        assert_eq!((total, pending, failed + cancelled), (2, 0, 2));
        followed_once(round, id);
    });
}

/// Either the sender finds the survivor, and is told of its end, or he is told of his own job's.
fn a_callback_for_a_survivor_that_ends(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let watched = row("Twin", |options| {
            options.on_duplicate = OnDuplicate::Discard
        });
        round.store.register(&[watched]).unwrap();
        let twin = || job_with("Twin", |job| job.identity = "same".to_owned());
        let survivor = accept(round.store, twin());
        let supervisor = open(round.store);
        let claimed = claim(round.store, supervisor, &["Twin"], 1).remove(0);
        let asked = with_callback(twin());
        let (_, sent) = at_once(
            stores,
            |store| end(store, &claimed, Next::Succeed),
            |store| send(store, asked).unwrap().jobs[0],
        );
        if sent.duplicate {
            assert_eq!(sent.id, survivor);
        } else {
            assert_eq!(round.store.take_callbacks(9, seconds(1)).unwrap(), []);
            round.store.cancel(&[sent.id], "test").unwrap();
        }
        let due = round.store.take_callbacks(9, seconds(1)).unwrap();
        let told: Vec<JobId> = due.iter().map(|it| it.job).collect();
        assert_eq!(told, [sent.id], "round {}", round.number);
        round
            .store
            .settle_callback(due[0].key, Settled::Done)
            .unwrap();
    });
}

fn two_who_take_callbacks(fixture: &Fixture) {
    some_rounds(fixture, ROUNDS, |round, stores| {
        let mut sent: Vec<JobId> = Vec::new();
        for _ in 0..5 {
            let answer = send(round.store, with_callback(job("A"))).unwrap();
            sent.push(answer.jobs[0].id);
        }
        round.store.cancel(&sent, "test").unwrap();
        let take = |store: &mut dyn Store| store.take_callbacks(3, seconds(60)).unwrap();
        let (one, other) = at_once(stores, take, take);
        let rest = round.store.take_callbacks(9, seconds(60)).unwrap();
        let taken = [one, other, rest].concat();
        assert!(taken.iter().all(|it| it.tries == 1), "{taken:?}");
        let mut told: Vec<JobId> = taken.iter().map(|it| it.job).collect();
        told.sort_unstable();
        sent.sort_unstable();
        assert_eq!(told, sent, "round {}", round.number);
        for callback in taken {
            round
                .store
                .settle_callback(callback.key, Settled::Done)
                .unwrap();
        }
    });
}
