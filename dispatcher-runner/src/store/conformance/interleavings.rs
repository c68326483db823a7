//! Every order in which the steps of two or three parties can follow each other.
//!
//! A step of a store is atomic, so these orders are all there are. Each is played from the
//! beginning on an empty store, and held against what the parties were told.

use std::collections::BTreeMap;

use dispatcher_core::OnLost;

use super::*;
use crate::store::sqlite::in_memory;

#[test]
fn every_order_is_there_once() {
    let mut orders = orders(&[2, 1]);
    orders.sort();
    assert_eq!(orders, [[0, 0, 1], [0, 1, 0], [1, 0, 0]]);
    // 6! / (2! 2! 2!)
    assert_eq!(self::orders(&[2, 2, 2]).len(), 90);
}

type Kind = fn() -> Fixture;
const STORES: &[Kind] = &[
    Fixture::memory,
    Fixture::sqlite,
    #[cfg(feature = "postgres")]
    Fixture::postgres,
];

/// All orders of steps, each named by its party, that keep the order within every party.
fn orders(steps: &[usize]) -> Vec<Vec<usize>> {
    if steps.iter().all(|left| *left == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (party, left) in steps.iter().enumerate() {
        if *left == 0 {
            continue;
        }
        let mut rest = steps.to_vec();
        rest[party] -= 1;
        for mut order in orders(&rest) {
            order.insert(0, party);
            all.push(order);
        }
    }
    all
}

/// What one party does.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Takes one job.
    Claim,
    /// Takes as many as there are.
    ClaimAll,
    /// Ends what it has taken.
    Record(Next),
    /// Ends what it has taken, and takes one.
    RecordAndClaim(Next),
    Cancel,
    /// Finds this party dead.
    Rescue(usize),
}

/// One party: a supervisor, if it claims, with a store of its own.
struct Party {
    store: Box<dyn Store>,
    supervisor: SupervisorId,
    holds: Vec<Claimed>,
}

/// A story, and what was told in it.
struct Stage {
    /// Where the jobs are, for as long as somebody works on them.
    _fixture: Fixture,
    /// Sees what any other program would see.
    watcher: Box<dyn Store>,
    parties: Vec<Party>,
    jobs: Vec<JobId>,
    concurrency: u32,
    /// States that a job was said to be in for good.
    ended: BTreeMap<JobId, JobState>,
    cancelled: Vec<JobId>,
    /// Attempts that ended on record.
    applied: BTreeMap<JobId, u32>,
}

impl Stage {
    fn new(kind: Kind, parties: usize, jobs: Vec<NewJob>, concurrency: u32) -> Self {
        let fixture = kind();
        let mut watcher = fixture.store();
        let store = &mut *watcher;
        let limited = row("A", |options| options.concurrency = concurrency);
        store.register(&[limited]).unwrap();
        let ids = jobs.iter().map(|job| job.id).collect();
        store.submit(&[group(jobs)]).remove(0).unwrap();
        let party = |_| {
            let mut store = fixture.store();
            let supervisor = open(&mut *store);
            Party {
                store,
                supervisor,
                holds: Vec::new(),
            }
        };
        let parties = (0..parties).map(party).collect();
        Self {
            _fixture: fixture,
            watcher,
            parties,
            jobs: ids,
            concurrency,
            ended: BTreeMap::new(),
            cancelled: Vec::new(),
            applied: BTreeMap::new(),
        }
    }

    fn play(&mut self, party: usize, step: Step) {
        match step {
            Step::Claim => self.claim(party, 1),
            Step::ClaimAll => self.claim(party, 8),
            Step::Record(next) => {
                let records = self.records(party, next);
                let recorded = self.parties[party].store.record(&records).unwrap();
                self.note(&records, &recorded);
            }
            Step::RecordAndClaim(next) => {
                let records = self.records(party, next);
                let actor = &mut self.parties[party];
                let wanted = request(actor.supervisor, &["A"], 1);
                let answer = actor.store.record_and_claim(&records, &wanted);
                let (recorded, claim) = answer.unwrap();
                actor.holds = claim.jobs;
                self.note(&records, &recorded);
            }
            Step::Cancel => self.cancel(party),
            Step::Rescue(dead) => self.rescue(party, dead),
        }
        self.check();
    }

    fn claim(&mut self, party: usize, slots: u32) {
        let actor = &mut self.parties[party];
        let taken = claim(&mut *actor.store, actor.supervisor, &["A"], slots);
        for one in &taken {
            assert!(!self.ended.contains_key(&one.job), "{one:?} had ended");
        }
        actor.holds.extend(taken);
    }

    fn records(&mut self, party: usize, next: Next) -> Vec<Record> {
        let held = std::mem::take(&mut self.parties[party].holds);
        held.iter().map(|one| ending(one, next)).collect()
    }

    fn note(&mut self, records: &[Record], recorded: &[Recorded]) {
        for (record, answer) in records.iter().zip(recorded) {
            let Recorded::Applied(state) = answer else {
                continue;
            };
            *self.applied.entry(record.job).or_default() += 1;
            let is_cancelled = self.cancelled.contains(&record.job);
            assert!(!is_cancelled || *state == JobState::Cancelled, "{record:?}");
            if state.is_terminal() {
                self.end(record.job, *state);
            }
        }
    }

    fn end(&mut self, job: JobId, state: JobState) {
        let before = self.ended.insert(job, state);
        assert_eq!(before, None, "{job} ended twice");
    }

    fn cancel(&mut self, party: usize) {
        let job = self.jobs[0];
        let reply = self.parties[party].store.cancel(&[job], "me").unwrap()[0];
        match reply {
            CancelReply::Cancelled => {
                self.cancelled.push(job);
                self.end(job, JobState::Cancelled);
            }
            CancelReply::Stopping(_) => self.cancelled.push(job),
            CancelReply::Ended(state) => assert_eq!(self.ended.get(&job), Some(&state)),
            CancelReply::Unknown => panic!("{job} is gone"),
        }
    }

    fn rescue(&mut self, party: usize, dead: usize) {
        let dead = self.parties[dead].supervisor;
        let rescued = self.parties[party].store.rescue(dead).unwrap();
        for job in rescued.failed.iter().chain(&rescued.requeued) {
            assert!(!self.cancelled.contains(job), "{rescued:?}");
        }
        for job in &rescued.failed {
            self.end(*job, JobState::Failed);
        }
        for job in &rescued.cancelled {
            self.end(*job, JobState::Cancelled);
        }
        let lost = rescued.failed.iter().chain(&rescued.cancelled);
        for job in lost.chain(&rescued.requeued) {
            *self.applied.entry(*job).or_default() += 1;
        }
    }

    /// After every step: what was told holds, and nothing runs that should not.
    fn check(&mut self) {
        let store = &mut *self.watcher;
        check_counters(store);
        let mut running = 0;
        for job in &self.jobs {
            let shown = show(store, *job);
            let now = shown.summary.state;
            running += u32::from(now == JobState::Running);
            let told = self.ended.get(job).copied();
            assert_eq!(told, now.is_terminal().then_some(now), "{job}");
            let attempts = shown.attempts.len() as u32;
            assert_eq!(attempts, self.applied.get(job).copied().unwrap_or(0));
            let is_running = u32::from(now == JobState::Running);
            assert_eq!(shown.summary.counters.attempt, attempts + is_running);
            if self.cancelled.contains(job) {
                assert!(matches!(now, JobState::Cancelled | JobState::Running));
            }
        }
        let limit = self.concurrency;
        assert!(limit == 0 || running <= limit, "{running} run");
    }
}

/// Plays every order of these parties, on every store.
fn every_order(parties: &[&[Step]], concurrency: u32, jobs: impl Fn() -> Vec<NewJob>) {
    let lengths: Vec<usize> = parties.iter().map(|steps| steps.len()).collect();
    for kind in STORES {
        for order in orders(&lengths) {
            in_memory(|| {
                let mut stage = Stage::new(*kind, parties.len(), jobs(), concurrency);
                let mut done = vec![0; parties.len()];
                for party in order {
                    stage.play(party, parties[party][done[party]]);
                    done[party] += 1;
                }
            });
        }
    }
}

const SUCCEED: Step = Step::Record(Next::Succeed);

fn one_job(on_lost: OnLost) -> Vec<NewJob> {
    vec![job_with("A", |job| job.options.on_lost = on_lost)]
}

#[test]
fn two_claimers() {
    use Step::{Claim, ClaimAll, RecordAndClaim};
    let three = || (0..3).map(|_| job("A")).collect();
    let one: &[Step] = &[Claim, RecordAndClaim(Next::Succeed), SUCCEED];
    let other: &[Step] = &[ClaimAll, Step::Record(Next::Release), ClaimAll];
    for concurrency in [0, 1, 2] {
        every_order(&[one, other], concurrency, three);
    }
}

#[test]
fn a_claimer_and_a_canceller() {
    let after = Duration::ZERO;
    for next in [
        Next::Succeed,
        Next::Fail,
        Next::Retry { after },
        Next::Release,
    ] {
        let claimer: &[Step] = &[Step::Claim, Step::Record(next), Step::Claim, SUCCEED];
        let canceller: &[Step] = &[Step::Cancel, Step::Cancel];
        every_order(&[claimer, canceller], 1, || one_job(OnLost::Rerun));
    }
}

#[test]
fn a_rescue_and_a_late_result() {
    let late: &[Step] = &[Step::Claim, SUCCEED];
    let rescuer: &[Step] = &[Step::Rescue(0), Step::Claim, SUCCEED];
    for on_lost in [OnLost::Rerun, OnLost::Fail] {
        every_order(&[late, rescuer], 1, || one_job(on_lost));
    }
}

#[test]
fn a_rescue_a_late_result_and_a_canceller() {
    let late: &[Step] = &[Step::Claim, SUCCEED];
    let rescuer: &[Step] = &[Step::Rescue(0), Step::Claim, SUCCEED];
    let canceller: &[Step] = &[Step::Cancel];
    for on_lost in [OnLost::Rerun, OnLost::Fail] {
        every_order(&[late, rescuer, canceller], 1, || one_job(on_lost));
    }
}

#[test]
fn two_rescuers_and_a_late_result() {
    let late: &[Step] = &[Step::Claim, SUCCEED];
    let rescuer: &[Step] = &[Step::Rescue(0), Step::Claim];
    every_order(&[late, rescuer, rescuer], 1, || one_job(OnLost::Rerun));
}
