//! Several values at once, each on its own thread, as processes would be.

use std::sync::Barrier;
use std::thread;

use super::*;

on_every_store! {
    the_limit_is_atomic,
    two_claimers_share_without_overlap,
    claimers_keep_to_the_concurrency,
    a_canceller_and_a_claimer_agree,
}

const THREADS: usize = 8;

/// Runs the same work on every thread, all starting together.
fn together<R: Send>(
    fixture: &Fixture,
    work: impl Fn(usize, &mut dyn Store) -> R + Sync,
) -> Vec<R> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (start, work) = (&start, &work);
                scope.spawn(move || {
                    let mut store = fixture.store();
                    start.wait();
                    work(index, &mut *store)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn the_limit_is_atomic(fixture: &Fixture) {
    let limited = row("A", |options| options.max_queue = 10);
    fixture.store().register(&[limited]).unwrap();
    let accepted = together(fixture, |_, store| {
        let answers = (0..5).map(|_| submit(store, job("A")));
        answers
            .filter(|answer| match answer {
                Ok(_) => true,
                Err(SubmitError::QueueFull { .. }) => false,
                Err(error) => panic!("{error}"),
            })
            .count()
    });
    assert_eq!(accepted.iter().sum::<usize>(), 10);
    let store = &mut *fixture.store();
    assert_eq!(store.jobs(&all()).unwrap().len(), 10);
    check_counters(store);
}

fn two_claimers_share_without_overlap(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let jobs = (0..200).map(|_| job("A")).collect();
    store.submit(&[group(jobs)]).remove(0).unwrap();
    let taken = together(fixture, |_, store| {
        let supervisor = open(store);
        let mut taken = Vec::new();
        loop {
            let claimed = claim(store, supervisor, &["A"], 7);
            if claimed.is_empty() {
                return taken;
            }
            for one in claimed {
                end(store, &one, Next::Succeed);
                taken.push(one.job);
            }
        }
    });
    let mut taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 200);
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 200);
    check_counters(store);
}

fn claimers_keep_to_the_concurrency(fixture: &Fixture) {
    let store = &mut *fixture.store();
    let three = row("A", |options| options.concurrency = 3);
    store.register(&[three]).unwrap();
    let jobs = (0..50).map(|_| job("A")).collect();
    store.submit(&[group(jobs)]).remove(0).unwrap();
    let taken = together(fixture, |_, store| {
        let supervisor = open(store);
        claim(store, supervisor, &["A"], 2).len()
    });
    assert_eq!(taken.iter().sum::<usize>(), 3);
}

/// Every job is either cancelled before it started, or started and stopped: never both answers.
fn a_canceller_and_a_claimer_agree(fixture: &Fixture) {
    let store = &mut *fixture.store();
    register(store, "A");
    let jobs: Vec<_> = (0..100).map(|_| job("A")).collect();
    let sent: Vec<_> = jobs.iter().map(|job| job.id).collect();
    store.submit(&[group(jobs)]).remove(0).unwrap();
    let claimed = together(fixture, |index, store| {
        if index % 2 == 0 {
            let supervisor = open(store);
            let rounds = (0..30).map(|_| claim(store, supervisor, &["A"], 1));
            return rounds.flatten().collect::<Vec<_>>();
        }
        for job in sent.iter().skip(index).step_by(THREADS) {
            let reply = store.cancel(&[*job], "me").unwrap()[0];
            assert!(matches!(
                reply,
                CancelReply::Cancelled | CancelReply::Stopping(_)
            ));
        }
        Vec::new()
    });
    for one in claimed.iter().flatten() {
        let stopped = show(store, one.job).cancel_requested_by.is_some();
        let expected = if stopped {
            JobState::Cancelled
        } else {
            JobState::Succeeded
        };
        let recorded = end(store, one, Next::Succeed);
        assert_eq!(recorded, Recorded::Applied(expected));
    }
    let running = JobFilter {
        state: Some(JobState::Running),
        ..all()
    };
    assert!(store.jobs(&running).unwrap().is_empty());
    check_counters(store);
}
