//! Two at once over one job, on two threads with a store each, many times over.
//!
//! Whoever comes first, both answers and what is on record tell the same story. Nothing waits for a
//! disk, so that the two meet more often.

use std::sync::Barrier;
use std::thread;

use dispatcher_core::OnLost;

use super::*;
use crate::store::sqlite::in_memory;

on_every_store! {
    two_claimers_and_one_job,
    a_claimer_and_a_canceller,
    a_result_and_a_canceller,
    a_rescue_and_a_late_result,
    a_rescue_and_a_late_claim,
    a_rescue_and_a_canceller,
    two_rescuers,
    a_submission_and_an_idle_supervisor,
}

const ROUNDS: usize = 50;

/// One after the other on the same store: what a round of a race begins with.
pub(super) struct Round<'s> {
    pub(super) store: &'s mut dyn Store,
    pub(super) number: usize,
}

impl Round<'_> {
    /// A job that a supervisor runs.
    fn started(&mut self, change: impl FnOnce(&mut NewJob)) -> (SupervisorId, Claimed) {
        let id = accept(self.store, job_with("A", change));
        let supervisor = open(self.store);
        let claimed = claim(self.store, supervisor, &["A"], 1).remove(0);
        assert_eq!(claimed.job, id);
        (supervisor, claimed)
    }

    /// Nothing that a later round would meet.
    fn clean_up(&mut self) {
        check_counters(self.store);
        for row in self.store.supervisors().unwrap() {
            self.store.rescue(row.id).unwrap();
        }
        let left = self.store.jobs(&all()).unwrap();
        let left: Vec<_> = left.iter().map(|job| job.id).collect();
        self.store.cancel(&left, "the next round").unwrap();
    }
}

/// Both steps at once, each on a store of its own.
pub(super) fn at_once<X: Send, Y: Send>(
    stores: &mut [Box<dyn Store>; 2],
    one: impl FnOnce(&mut dyn Store) -> X + Send,
    other: impl FnOnce(&mut dyn Store) -> Y + Send,
) -> (X, Y) {
    let [first, second] = stores;
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            start.wait();
            in_memory(|| one(&mut **first))
        });
        start.wait();
        let answer = other(&mut **second);
        (first.join().unwrap(), answer)
    })
}

/// Runs a race over and over on one fixture.
fn rounds(fixture: &Fixture, race: impl Fn(&mut Round<'_>, &mut [Box<dyn Store>; 2])) {
    some_rounds(fixture, ROUNDS, race);
}

/// The same so many times.
pub(super) fn some_rounds(
    fixture: &Fixture,
    many: usize,
    race: impl Fn(&mut Round<'_>, &mut [Box<dyn Store>; 2]),
) {
    in_memory(|| {
        let mut stores = [fixture.store(), fixture.store()];
        let store = &mut *fixture.store();
        register(store, "A");
        for number in 0..many {
            let mut round = Round { store, number };
            race(&mut round, &mut stores);
            round.clean_up();
        }
    });
}

fn two_claimers_and_one_job(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let id = accept(round.store, job("A"));
        let [first, second] = [open(round.store), open(round.store)];
        let (one, other) = at_once(
            stores,
            |store| claim(store, first, &["A"], 1),
            |store| claim(store, second, &["A"], 1),
        );
        let taken: Vec<_> = one.iter().chain(&other).collect();
        assert_eq!(taken.len(), 1, "round {}", round.number);
        let holder = if one.is_empty() { second } else { first };
        let shown = show(round.store, id);
        assert_eq!(shown.supervisor, Some((holder, 0)));
        assert_eq!(shown.summary.counters, taken[0].counters);
        assert_eq!(shown.summary.counters.attempt, 1);
    });
}

fn a_claimer_and_a_canceller(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let id = accept(round.store, job("A"));
        let supervisor = open(round.store);
        let (claimed, reply) = at_once(
            stores,
            |store| claim(store, supervisor, &["A"], 1),
            |store| store.cancel(&[id], "me").unwrap()[0],
        );
        match reply {
            CancelReply::Cancelled => assert_eq!(ids(&claimed), []),
            CancelReply::Stopping(stopping) => {
                assert_eq!((stopping, ids(&claimed)), (supervisor, vec![id]));
                let asked = round.store.cancellations(supervisor).unwrap();
                assert_eq!(asked.len(), 1);
                let recorded = end(round.store, &claimed[0], Next::Succeed);
                assert_eq!(recorded, Recorded::Applied(JobState::Cancelled));
            }
            CancelReply::Ended(_) | CancelReply::Unknown => panic!("{reply:?}"),
        }
        assert_eq!(state(round.store, id), JobState::Cancelled);
    });
}

fn a_result_and_a_canceller(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let (supervisor, claimed) = round.started(|_| {});
        let (recorded, reply) = at_once(
            stores,
            |store| end(store, &claimed, Next::Succeed),
            |store| store.cancel(&[claimed.job], "me").unwrap()[0],
        );
        let ended = match reply {
            CancelReply::Stopping(stopping) => {
                assert_eq!(stopping, supervisor);
                JobState::Cancelled
            }
            CancelReply::Ended(state) => {
                assert_eq!(state, JobState::Succeeded);
                state
            }
            CancelReply::Cancelled | CancelReply::Unknown => panic!("{reply:?}"),
        };
        assert_eq!(recorded, Recorded::Applied(ended));
        assert_eq!(state(round.store, claimed.job), ended);
        assert_eq!(show(round.store, claimed.job).attempts.len(), 1);
    });
}

fn a_rescue_and_a_late_result(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let on_lost = [OnLost::Rerun, OnLost::Fail][round.number % 2];
        let (dead, claimed) = round.started(|job| job.options.on_lost = on_lost);
        let id = claimed.job;
        let (recorded, rescued) = at_once(
            stores,
            |store| end(store, &claimed, Next::Succeed),
            |store| store.rescue(dead).unwrap(),
        );
        let [attempt] = &show(round.store, id).attempts[..] else {
            panic!("round {}: not one attempt", round.number);
        };
        let ended = state(round.store, id);
        match recorded {
            Recorded::Applied(applied) => {
                assert_eq!((applied, ended), (JobState::Succeeded, applied));
                assert_eq!(rescued, Rescued::default());
                assert_eq!(attempt.outcome, outcome(Cause::Succeeded));
            }
            Recorded::Fenced => {
                let (state, list) = match on_lost {
                    OnLost::Rerun => (JobState::Queued, &rescued.requeued),
                    OnLost::Fail => (JobState::Failed, &rescued.failed),
                };
                assert_eq!((ended, &list[..]), (state, &[id][..]));
                assert_eq!(attempt.outcome, outcome(Cause::WorkerLost));
            }
        }
        assert_eq!(round.store.supervisors().unwrap().len(), 0);
        // However it went, the late one has nothing to say any more.
        let late = end(round.store, &claimed, Next::Fail);
        assert_eq!(late, Recorded::Fenced);
        assert_eq!(state(round.store, id), ended);
    });
}

/// What a dead supervisor takes must never stay with it.
fn a_rescue_and_a_late_claim(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let id = accept(round.store, job("A"));
        let dead = open(round.store);
        let (claimed, rescued) = at_once(
            stores,
            |store| claim(store, dead, &["A"], 1),
            |store| store.rescue(dead).unwrap(),
        );
        let taken = ids(&claimed);
        assert_eq!(rescued.requeued, taken, "round {}", round.number);
        assert_eq!(state(round.store, id), JobState::Queued);
        let next = open(round.store);
        assert_eq!(ids(&claim(round.store, next, &["A"], 1)), [id]);
    });
}

fn a_rescue_and_a_canceller(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let (dead, claimed) = round.started(|_| {});
        let id = claimed.job;
        let (rescued, reply) = at_once(
            stores,
            |store| store.rescue(dead).unwrap(),
            |store| store.cancel(&[id], "me").unwrap()[0],
        );
        match reply {
            CancelReply::Stopping(_) => assert_eq!(rescued.cancelled, [id]),
            CancelReply::Cancelled => assert_eq!(rescued.requeued, [id]),
            CancelReply::Ended(_) | CancelReply::Unknown => panic!("{reply:?}"),
        }
        assert_eq!(state(round.store, id), JobState::Cancelled);
    });
}

fn two_rescuers(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let (dead, claimed) = round.started(|_| {});
        let (one, other) = at_once(
            stores,
            |store| store.rescue(dead).unwrap(),
            |store| store.rescue(dead).unwrap(),
        );
        let both = [one.requeued, other.requeued].concat();
        assert_eq!(both, [claimed.job], "round {}", round.number);
        assert_eq!(show(round.store, claimed.job).lost, 1);
    });
}

/// Either the submitter sees an open row, or the supervisor sees the job and stays.
fn a_submission_and_an_idle_supervisor(fixture: &Fixture) {
    rounds(fixture, |round, stores| {
        let supervisor = open(round.store);
        let (submitted, closed) = at_once(
            stores,
            |store| store.submit(&[group(vec![job("A")])]).remove(0).unwrap(),
            |store| {
                let serves = serves(&["A"]);
                store.close_supervisor_if_idle(supervisor, &serves).unwrap()
            },
        );
        let seen = submitted.supervisors.iter().any(|row| row.id == supervisor);
        assert_eq!(seen, !closed, "round {}", round.number);
    });
}
