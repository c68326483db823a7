//! Made-up sources: they ask pools, give up on it, fail, and are started again.

use std::time::Duration;

use dispatcher_core::Cause;
use dispatcher_core::engine::{Answer, Event, PoolId, RequestId, WorkerId};

use crate::simulator::faults::Fault;
use crate::simulator::invariants::SETTLES;
use crate::simulator::runner::{RunnerId, SECOND};
use crate::simulator::world::{Happening, Phase, World};

/// Failures of a source after which its pause grows no more.
const FAILURES_MAX: u32 = 4;

/// A direct request, until it is answered.
#[derive(Debug)]
pub(in crate::simulator) struct Request {
    pub(in crate::simulator) pool: PoolId,
    pub(in crate::simulator) asked: Duration,
    /// By the clock of its supervisor.
    asked_own: Duration,
    /// The worker that has it, and since when.
    pub(in crate::simulator) handed: Option<(WorkerId, Duration)>,
    pub(super) unwanted: u32,
    /// What workers have truly said about it.
    said: Vec<Said>,
}

/// What a worker says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum Said {
    Replied,
    Refused,
    Unwanted,
    Nonsense,
}

impl World {
    /// A supervisor with pools has sources that use them.
    pub(in crate::simulator) fn start_sources(&mut self, id: RunnerId) {
        if self.pools(id).is_some_and(|pools| !pools.list.is_empty()) {
            for _ in 0..=self.dice.index(2) {
                let later = self.dice.millis(500);
                self.after(later, Happening::Source(id, 0));
            }
        }
    }

    /// One thing that a source does.
    pub(in crate::simulator) fn source(&mut self, id: RunnerId, failures: u32) {
        let calm = self.phase == Phase::Liveness;
        let Some(runner) = self.runners.get(&id).filter(|it| it.is_alive()) else {
            return;
        };
        // It has been told to stop; something may be on its way.
        if runner.told_to_end && !self.dice.one_in(4) {
            return;
        }
        if self.strikes(Fault::SourceFails) {
            // What it had asked is answered to nobody.
            let failures = (failures + 1).min(FAILURES_MAX);
            return self.after(
                SECOND * (1 << failures) / 4,
                Happening::Source(id, failures),
            );
        }
        let Some(pools) = self.pools(id) else { return };
        let unproved = (0_u32..).zip(&pools.list);
        let unproved = unproved.filter(|(_, pool)| !(calm && pool.proved));
        let wanted: Vec<PoolId> = unproved.map(|(id, _)| PoolId(id)).collect();
        if let Some(pool) = self.dice.pick(&wanted).copied() {
            let burst = if self.dice.one_in(6) { 4 } else { 1 };
            for _ in 0..burst {
                self.request(id, pool);
            }
            if !calm && self.dice.one_in(16) {
                self.reset_pool(id, pool);
            }
            self.pump(id);
        }
        let next = match calm {
            true => SECOND / 2,
            false => self.dice.millis(500),
        };
        self.after(next, Happening::Source(id, 0));
    }

    fn request(&mut self, id: RunnerId, pool: PoolId) {
        let asked = self.now;
        let own = self.now_of(id).map(|now| now.monotonic).unwrap_or_default();
        let Some(pools) = self.pools(id) else { return };
        let request = RequestId(pools.next_request);
        pools.next_request += 1;
        pools.requests.insert(
            request,
            Request {
                pool,
                asked,
                asked_own: own,
                handed: None,
                unwanted: 0,
                said: Vec::new(),
            },
        );
        self.tell(id, Event::Requested { request, pool });
    }

    fn reset_pool(&mut self, id: RunnerId, pool: PoolId) {
        let now = self.now;
        let broken = self.strikes(Fault::BrokenProgram);
        let until = now + SECOND + self.dice.millis(10_000);
        let Some(pools) = self.pools(id) else { return };
        let pool_of = pools.get_mut(pool);
        if broken {
            pool_of.broken_until = until;
        }
        if pool_of.resets_since.is_none() {
            pool_of.resets_since = Some(now);
            let own = pools.seats.values_mut().filter(|seat| seat.pool == pool);
            own.for_each(|seat| seat.before_reset = true);
        }
        self.tell(id, Event::ResetRequested { pool });
    }

    /// What a worker truly said about a request.
    pub(super) fn note_said(&mut self, id: RunnerId, request: RequestId, said: Said) {
        let pools = self.pools(id);
        if let Some(asked) = pools.and_then(|pools| pools.requests.get_mut(&request)) {
            asked.said.push(said);
        }
    }

    /// A request is answered: once, and truly.
    pub(super) fn answer(&mut self, id: RunnerId, request: RequestId, answer: &Answer) {
        self.count_answer(answer);
        let calm = self.calm_since().is_some_and(|at| self.now > at + SETTLES);
        let told_to_end = self.runners.get(&id).is_some_and(|it| it.told_to_end);
        let own = self.now_of(id).map(|now| now.monotonic).unwrap_or_default();
        let Some(pools) = self.pools(id) else { return };
        let Some(asked) = pools.requests.remove(&request) else {
            let what = format!("{request:?} of {id:?} is answered again: {answer:?}");
            return self.broken("requests are answered once", what);
        };
        let reply = match asked.handed {
            Some((worker, _)) => {
                let seat = pools.seats.get_mut(&worker);
                seat.and_then(|seat| {
                    seat.request = None;
                    seat.reply.take()
                })
            }
            None => None,
        };
        let pool = pools.get_mut(asked.pool);
        let said = |what: Said| asked.said.contains(&what);
        let is_true = match answer {
            Answer::Replied => {
                pool.proved |= calm;
                let its = |body: &[u8]| body == request.0.to_string().as_bytes();
                said(Said::Replied) && reply.is_some_and(|reply| its(&reply.body))
            }
            Answer::Refused(_) => said(Said::Refused),
            Answer::QueueTimeout => {
                let limit = pool.spec.queue_timeout;
                asked.handed.is_none() && limit.is_some_and(|it| asked.asked_own + it <= own)
            }
            Answer::ExecTimeout => asked.handed.is_some() && pool.spec.exec_timeout.is_some(),
            Answer::Died(Cause::ProtocolError { .. }) => said(Said::Nonsense) || pool.had_failures,
            Answer::Died(Cause::WorkerLost) => asked.handed.is_some(),
            Answer::Died(_) => asked.handed.is_some() && pool.had_failures,
            Answer::Unwanted(count) => *count == asked.unwanted && *count == 4,
            Answer::Degraded(_) => asked.handed.is_none() && pool.had_failures,
            Answer::Stopping => told_to_end,
        };
        if !is_true {
            let what = format!("{request:?}: {answer:?} to {asked:?}");
            self.broken("answers are true", what);
        }
    }
}
