//! Duplicates in company: delays, cancellations, retries, expiry, changes of policy, races.
//!
//! Whatever happens, no more unfinished twins exist than their policy allows, and none of them is
//! held for ever.

use std::sync::atomic::AtomicI32;
use std::thread;

use dispatcher_core::{OnDuplicate, OnLost};

use super::*;

on_every_store! {
    queue_one_with_a_delayed_first_that_is_cancelled,
    queue_one_moves_up_through_every_end,
    queue_one_with_a_delayed_second,
    queue_one_in_one_group,
    a_held_one_that_is_cancelled_makes_room,
    serial_with_a_first_that_fails_and_is_retried,
    serial_keeps_the_order_whatever_the_priority,
    serial_through_snoozes_releases_and_losses,
    held_ones_count_against_the_queue,
    a_held_one_expires_behind_a_running_one,
    a_pause_holds_what_is_let_go,
    a_key_is_free_after_every_end,
    keys_of_any_text_are_exact,
    a_key_is_no_hash,
    keys_and_payloads_do_not_meet,
    keys_follow_the_policy,
    a_retry_by_hand_meets_its_twin,
    a_survivor_that_is_lost_survives,
    held_ones_move_on_after_a_change_of_policy,
    discards_race_the_end_of_the_survivor,
    queue_ones_race_the_end_of_the_first,
    serial_twins_race,
}

const NAMES: &[&str] = &["A"];

fn with_policy(fixture: &Fixture, policy: OnDuplicate) -> Box<dyn Store> {
    let mut store = fixture.store();
    set_policy(&mut *store, policy);
    store
}

fn set_policy(store: &mut dyn Store, policy: OnDuplicate) {
    let row = row("A", |options| options.on_duplicate = policy);
    store.register(&[row]).unwrap();
}

fn same() -> NewJob {
    same_with(|_| {})
}

fn same_with(change: impl FnOnce(&mut Options)) -> NewJob {
    job_with("A", |job| {
        job.identity = "same".to_owned();
        change(&mut job.options);
    })
}

fn keyed(key: &str) -> NewJob {
    job_with("A", |job| job.options.unique_key = Some(key.to_owned()))
}

/// Submits a job that must be dropped, and says for which.
fn dropped(store: &mut dyn Store, job: NewJob) -> JobId {
    let id = job.id;
    let accepted = submit(store, job).unwrap();
    assert!(accepted.duplicate, "{accepted:?}");
    assert_eq!(store.state(id).unwrap(), None);
    accepted.id
}

fn claim_one(store: &mut dyn Store, supervisor: SupervisorId) -> Claimed {
    let mut claimed = claim(store, supervisor, NAMES, 5);
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

fn nothing(store: &mut dyn Store, supervisor: SupervisorId) {
    let claimed = claim(store, supervisor, NAMES, 5);
    assert!(claimed.is_empty(), "{claimed:?}");
    check_counters(store);
}

fn queue_one_with_a_delayed_first_that_is_cancelled(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    let first = accept(store, same_with(|it| it.delay = Some(seconds(60))));
    let second = accept(store, same());
    assert_eq!(show(store, second).summary.run_at, None, "held");
    let third = dropped(store, same());
    assert!([first, second].contains(&third));
    nothing(store, supervisor);
    store.cancel(&[first], "me").unwrap();
    // The second has no delay of its own: it starts now, and not when the first would have.
    let claimed = claim_one(store, supervisor);
    assert_eq!(claimed.job, second);
    let fourth = accept(store, same());
    dropped(store, same());
    fixture.advance(seconds(60));
    nothing(store, supervisor);
    end(store, &claimed, Next::Succeed);
    assert_eq!(claim_one(store, supervisor).job, fourth);
}

fn queue_one_moves_up_through_every_end(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    accept(store, same());
    let mut held = accept(store, same());
    let mut running = claim_one(store, supervisor);
    for next in [
        Next::Succeed,
        Next::Fail,
        Next::Cancel,
        Next::Lost {
            on_lost: OnLost::Fail,
        },
    ] {
        dropped(store, same());
        nothing(store, supervisor);
        end(store, &running, next);
        running = claim_one(store, supervisor);
        assert_eq!(running.job, held, "{next:?}");
        held = accept(store, same());
    }
}

fn queue_one_with_a_delayed_second(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    accept(store, same());
    let late = accept(store, same_with(|it| it.delay = Some(seconds(60))));
    fixture.advance(seconds(20));
    let claimed = claim_one(store, supervisor);
    fixture.advance(seconds(20));
    end(store, &claimed, Next::Succeed);
    let empty = store.claim(&request(supervisor, NAMES, 5)).unwrap();
    assert!(empty.jobs.is_empty());
    assert_eq!(
        empty.next_due,
        Some(seconds(20)),
        "counted from its submission"
    );
    assert_eq!(show(store, late).summary.run_at, Some(START + 60_000));
    fixture.advance(seconds(20));
    assert_eq!(claim_one(store, supervisor).job, late);
}

fn queue_one_in_one_group(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let jobs: Vec<_> = (0..5).map(|_| same()).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let answers = store.submit(&[group(jobs)]).remove(0).unwrap().jobs;
    let duplicates: Vec<_> = answers.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, true, true]);
    assert!(answers[2..].iter().all(|one| ids[..2].contains(&one.id)));
    check_counters(store);
}

fn a_held_one_that_is_cancelled_makes_room(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    accept(store, same());
    let claimed = claim_one(store, supervisor);
    let held = accept(store, same());
    store.cancel(&[held], "me").unwrap();
    let next = accept(store, same());
    nothing(store, supervisor);
    end(store, &claimed, Next::Fail);
    assert_eq!(claim_one(store, supervisor).job, next);
}

fn serial_with_a_first_that_fails_and_is_retried(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let supervisor = open(store);
    let sent: Vec<_> = (0..3).map(|_| accept(store, same())).collect();
    let after = seconds(10);
    for id in &sent {
        for failure in 0..3 {
            let claimed = claim_one(store, supervisor);
            assert_eq!(claimed.job, *id);
            assert_eq!(claimed.counters.failures, failure);
            end(store, &claimed, Next::Retry { after });
            nothing(store, supervisor);
            fixture.advance(after);
        }
        let claimed = claim_one(store, supervisor);
        assert_eq!(claimed.job, *id);
        end(store, &claimed, Next::Fail);
    }
    nothing(store, supervisor);
}

fn serial_keeps_the_order_whatever_the_priority(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let supervisor = open(store);
    let sent: Vec<_> = [0, -5, i32::MAX]
        .into_iter()
        .map(|priority| accept(store, same_with(|it| it.priority = priority)))
        .collect();
    for id in sent {
        let claimed = claim_one(store, supervisor);
        assert_eq!(claimed.job, id);
        end(store, &claimed, Next::Succeed);
    }
}

fn serial_through_snoozes_releases_and_losses(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let sent = [accept(store, same()), accept(store, same())];
    let supervisor = open(store);
    let after = seconds(5);
    for next in [
        Next::Snooze { after },
        Next::Release,
        Next::Lost {
            on_lost: OnLost::Rerun,
        },
    ] {
        let claimed = claim_one(store, supervisor);
        assert_eq!(claimed.job, sent[0], "{next:?}");
        end(store, &claimed, next);
        fixture.advance(after);
    }
    let dead = open(store);
    assert_eq!(claim_one(store, dead).job, sent[0]);
    store.rescue(dead).unwrap();
    let claimed = claim_one(store, supervisor);
    assert_eq!(claimed.job, sent[0]);
    end(store, &claimed, Next::Succeed);
    assert_eq!(claim_one(store, supervisor).job, sent[1]);
}

fn held_ones_count_against_the_queue(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let serial = row("A", |options| {
        options.max_queue = 3;
        options.on_duplicate = OnDuplicate::Serial;
    });
    store.register(&[serial]).unwrap();
    for _ in 0..3 {
        accept(store, same());
    }
    let refused = submit(store, same());
    assert!(matches!(
        refused,
        Err(SubmitError::QueueFull { unfinished: 3, .. })
    ));
    check_counters(store);
}

fn a_held_one_expires_behind_a_running_one(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Serial);
    let supervisor = open(store);
    accept(store, same());
    let claimed = claim_one(store, supervisor);
    let doomed = accept(store, same_with(|it| it.expires = Some(seconds(10))));
    let patient = accept(store, same());
    let wanted = request(supervisor, NAMES, 5);
    assert_eq!(store.claim(&wanted).unwrap().next_due, Some(seconds(10)));
    fixture.advance(seconds(10));
    nothing(store, supervisor);
    let shown = show(store, doomed);
    assert_eq!(shown.summary.outcome, Some(outcome(Cause::Expired)));
    assert_eq!(state(store, claimed.job), JobState::Running);
    end(store, &claimed, Next::Succeed);
    assert_eq!(claim_one(store, supervisor).job, patient);
}

fn a_pause_holds_what_is_let_go(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::QueueOne);
    let supervisor = open(store);
    accept(store, same());
    let held = accept(store, same());
    let claimed = claim_one(store, supervisor);
    store.set_paused("A", Pause::Paused).unwrap();
    end(store, &claimed, Next::Succeed);
    nothing(store, supervisor);
    accept(store, same());
    dropped(store, same());
    store.set_paused("A", Pause::Running).unwrap();
    assert_eq!(claim_one(store, supervisor).job, held);
}

fn a_key_is_free_after_every_end(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let supervisor = open(store);
    for next in [
        Next::Succeed,
        Next::Fail,
        Next::Cancel,
        Next::Lost {
            on_lost: OnLost::Fail,
        },
    ] {
        let id = accept(store, keyed("k"));
        assert_eq!(dropped(store, keyed("k")), id);
        let claimed = claim_one(store, supervisor);
        assert_eq!(dropped(store, keyed("k")), id);
        end(store, &claimed, next);
    }
    let waiting = accept(store, keyed("k"));
    store.cancel(&[waiting], "me").unwrap();
    let mut doomed = keyed("k");
    doomed.options.expires = Some(seconds(1));
    accept(store, doomed);
    fixture.advance(seconds(1));
    nothing(store, supervisor);
    accept(store, keyed("k"));
}

fn keys_of_any_text_are_exact(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let long = "x".repeat(100_000);
    let longer = format!("{long}y");
    let keys = [
        "", " ", "k", "K", "k ", "é", "e\u{301}", "'", "\"", "%", "_", "\0", "key:k", &long,
        &longer,
    ];
    let sent = keys.map(|key| accept(store, keyed(key)));
    for (key, id) in keys.iter().zip(sent) {
        assert_eq!(dropped(store, keyed(key)), id, "{:?}", key.get(..8));
    }
    check_counters(store);
}

/// The hash of a payload is text like any other.
fn a_key_is_no_hash(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let hashed = accept(store, same());
    let key = accept(store, keyed("same"));
    assert_eq!(dropped(store, keyed("same")), key);
    assert_eq!(dropped(store, same()), hashed);
}

/// Under `parallel` a key is compared with keys only; who has none is a duplicate of nobody.
fn keys_and_payloads_do_not_meet(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Parallel);
    let key = || same_with(|it| it.unique_key = Some("k".to_owned()));
    let first = accept(store, key());
    accept(store, same());
    accept(store, same());
    assert_eq!(dropped(store, key()), first);
    // Another payload, the same key.
    assert_eq!(dropped(store, keyed("k")), first);
    let supervisor = open(store);
    assert_eq!(claim(store, supervisor, NAMES, 5).len(), 3);
}

fn keys_follow_the_policy(fixture: &Fixture) {
    for (policy, accepted) in [
        (OnDuplicate::Parallel, 1),
        (OnDuplicate::Discard, 1),
        (OnDuplicate::QueueOne, 2),
        (OnDuplicate::Serial, 3),
    ] {
        let store = &mut *fixture.store();
        let name = policy.as_str();
        let row = row(name, |options| options.on_duplicate = policy);
        store.register(&[row]).unwrap();
        let jobs = (0..3).map(|_| {
            let key = |job: &mut NewJob| job.options.unique_key = Some("k".to_owned());
            job_with(name, key)
        });
        let answers: Vec<_> = jobs.map(|job| submit(store, job).unwrap()).collect();
        let new = answers.iter().filter(|answer| !answer.duplicate).count();
        assert_eq!(new, accepted, "{policy}");
        let supervisor = open(store);
        assert_eq!(claim(store, supervisor, &[name], 5).len(), 1, "{policy}");
        check_counters(store);
    }
}

fn a_retry_by_hand_meets_its_twin(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let supervisor = open(store);
    let failed = accept(store, same());
    let claimed = claim_one(store, supervisor);
    end(store, &claimed, Next::Fail);
    let again = || {
        let mut job = same();
        job.retry_of = Some(failed);
        job
    };
    let retried = accept(store, again());
    assert_eq!(dropped(store, again()), retried);
    assert_eq!(dropped(store, same()), retried);
    assert_eq!(show(store, retried).retry_of, Some(failed));
    assert_eq!(state(store, failed), JobState::Failed);
}

fn a_survivor_that_is_lost_survives(fixture: &Fixture) {
    let store = &mut *with_policy(fixture, OnDuplicate::Discard);
    let survivor = accept(store, same());
    let dead = open(store);
    claim_one(store, dead);
    store.rescue(dead).unwrap();
    assert_eq!(dropped(store, same()), survivor);
    let supervisor = open(store);
    let claimed = claim_one(store, supervisor);
    let after = seconds(9);
    end(store, &claimed, Next::Retry { after });
    assert_eq!(dropped(store, same()), survivor, "it waits for its retry");
}

fn held_ones_move_on_after_a_change_of_policy(fixture: &Fixture) {
    for (before, held) in [(OnDuplicate::Serial, 2), (OnDuplicate::QueueOne, 1)] {
        for after in OnDuplicate::ALL {
            let name = format!("{before}-{after}");
            let store = &mut *fixture.store();
            let with = |policy| row(&name, |options| options.on_duplicate = policy);
            store.register(&[with(before)]).unwrap();
            let same = || job_with(&name, |job| job.identity = "same".to_owned());
            let sent: Vec<_> = (0..=held).map(|_| accept(store, same())).collect();
            store.register(&[with(*after)]).unwrap();
            let supervisor = open(store);
            for id in sent {
                let claimed = claim(store, supervisor, &[&name], 5);
                assert_eq!(ids(&claimed), [id], "{name}");
                end(store, &claimed[0], Next::Succeed);
            }
            assert!(claim(store, supervisor, &[&name], 5).is_empty());
            check_counters(store);
        }
    }
}

/// What a race of submitters and claimers came to.
struct Race {
    accepted: Vec<JobId>,
    ran: Vec<JobId>,
}

/// Four threads send twins while four others run whatever there is; only one may run at a time.
fn race(fixture: &Fixture, policy: OnDuplicate) -> Race {
    const ROUNDS: usize = 40;
    set_policy(&mut *fixture.store(), policy);
    let running = AtomicI32::new(0);
    let senders = AtomicI32::new(4);
    let send = || {
        let store = &mut *fixture.store();
        let answers: Vec<_> = (0..ROUNDS)
            .map(|_| submit(store, same()).unwrap())
            .collect();
        senders.fetch_sub(1, Ordering::SeqCst);
        let new = answers.iter().filter(|answer| !answer.duplicate);
        for answer in &answers {
            assert!(store.state(answer.id).unwrap().is_some(), "it exists");
        }
        new.map(|answer| answer.id).collect::<Vec<_>>()
    };
    let run = || {
        let store = &mut *fixture.store();
        let supervisor = open(store);
        let mut ran = Vec::new();
        loop {
            let nobody_sends = senders.load(Ordering::SeqCst) == 0;
            let claimed = claim(store, supervisor, NAMES, 4);
            assert!(claimed.len() <= 1, "twins run side by side");
            let Some(one) = claimed.first() else {
                if nobody_sends && running.load(Ordering::SeqCst) == 0 {
                    return ran;
                }
                thread::yield_now();
                continue;
            };
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "alone");
            ran.push(one.job);
            running.fetch_sub(1, Ordering::SeqCst);
            end(store, one, Next::Succeed);
        }
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        let runners: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        Race {
            accepted: senders
                .into_iter()
                .flat_map(|it| it.join().unwrap())
                .collect(),
            ran: runners
                .into_iter()
                .flat_map(|it| it.join().unwrap())
                .collect(),
        }
    })
}

/// Whatever was accepted ran once; a submission that was dropped had a survivor that was there.
fn everything_accepted_ran(fixture: &Fixture, mut race: Race) -> usize {
    let store = &mut *fixture.store();
    let supervisor = open(store);
    // A claimer may have left before the end that let the last held one go.
    loop {
        let claimed = claim(store, supervisor, NAMES, 4);
        let Some(one) = claimed.first() else { break };
        race.ran.push(one.job);
        end(store, one, Next::Succeed);
    }
    race.accepted.sort_unstable();
    race.ran.sort_unstable();
    assert_eq!(race.accepted, race.ran);
    let all = store.jobs(&all()).unwrap();
    assert_eq!(
        all.len(),
        race.accepted.len(),
        "a dropped one leaves nothing"
    );
    check_counters(store);
    race.accepted.len()
}

fn discards_race_the_end_of_the_survivor(fixture: &Fixture) {
    let race = race(fixture, OnDuplicate::Discard);
    assert!(everything_accepted_ran(fixture, race) >= 1);
}

fn queue_ones_race_the_end_of_the_first(fixture: &Fixture) {
    let race = race(fixture, OnDuplicate::QueueOne);
    assert!(everything_accepted_ran(fixture, race) >= 2);
}

fn serial_twins_race(fixture: &Fixture) {
    let race = race(fixture, OnDuplicate::Serial);
    assert_eq!(everything_accepted_ran(fixture, race), 160);
}
