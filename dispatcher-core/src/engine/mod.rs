//! Decides what a supervisor does; performs nothing.
//!
//! The driver feeds events, performs effects, and answers **every effect with exactly one event**:
//!
//! | effect | answered by |
//! |---|---|
//! | [`Effect::Claim`] | [`Event::Claimed`] or [`Event::ClaimFailed`] |
//! | [`Effect::Spawn`] | [`Event::Spawned`] or [`Event::SpawnFailed`] |
//! | [`Effect::Boot`] | [`Event::Spawned`] or [`Event::SpawnFailed`] |
//! | [`Effect::Assign`], [`Effect::Hand`] | [`Event::Handed`] |
//! | [`Effect::Stop`], [`Effect::Kill`], [`Effect::Retire`] | [`Event::Signalled`] |
//! | [`Effect::Bury`] | [`Event::Buried`] |
//! | [`Effect::Drain`] | [`Event::Drained`] |
//! | [`Effect::Record`] | [`Event::Recorded`] or [`Event::RecordFailed`] |
//! | [`Effect::Renew`] | [`Event::Renewed`] |
//! | [`Effect::Reopen`] | [`Event::Reopened`] |
//! | [`Effect::CloseIfIdle`], [`Effect::HandOver`], [`Effect::Close`] | [`Event::CloseAnswered`] |
//! | [`Effect::Answer`], [`Effect::ResetOver`] | nothing: somebody else is told |
//! | [`Effect::Deadline`] | nothing: the keeper is told |
//! | [`Effect::Finish`] | nothing: the driver leaves its loop |
//!
//! Unasked come [`Event::Woken`], [`Event::Said`], [`Event::LinkBroken`], [`Event::Exited`],
//! [`Event::CancelRequested`], [`Event::LimitExceeded`], [`Event::Outgrown`], [`Event::LastWords`],
//! [`Event::Requested`], [`Event::ResetRequested`], [`Event::KeeperLost`] (which also answers
//! every open effect about a worker), [`Event::Superseded`] and [`Event::ShutdownRequested`].
//!
//! Whoever takes nothing new closes its row first and then finishes what it runs: a submitter that
//! sees an open row relies on it.
//!
//! A slot is free again when its worker is proved dead, not when the result is stored: the row of
//! the ended attempt and the row of the next one may name the same slot, which is safe because
//! whoever takes the slot's lock has proved both workers dead.

mod attempt;
mod classify;
mod lane;
mod lease;
mod leave;
mod pool;
mod protocol;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::JobId;
use attempt::{Attempt, Life};
use lane::ClaimState;
use lease::Lease;
use leave::Phase;
use pool::Pool;

pub use classify::{Evidence, LinkKind, StopReason, classify};
pub use lease::{LeaseSpec, Renewal};
pub use protocol::{
    Answer, Assignment, AttemptId, Effect, EngineConfig, Event, Lane, MemoryVerdict, Next, Now,
    PoolId, PoolSpec, RequestId, Shutdown, Strays, Unfit, Verdict, Word, WorkerId,
};
pub use snapshot::{PoolSnapshot, Snapshot, WorkerSnapshot};

/// The pure engine. See the module's documentation for its protocol.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    effects: VecDeque<Effect>,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// Free slots of workers of one job, ordered so that the lowest is used first.
    free: Vec<u32>,
    pools: Vec<Pool>,
    /// `None` where claims do not end by themselves.
    lease: Option<Lease>,
    next_name: u32,
    /// Of workers of one job.
    claim: ClaimState,
    phase: Phase,
    idle_since: Duration,
    random: u64,
}

/// Attempts waiting for the store before claiming stops: bounds memory when the disk is full.
const RECORDING_PER_SLOT_MAX: usize = 4;
/// Attempts in all before claiming stops: in pools some may be on their way out, though others
/// have their places.
const ATTEMPTS_PER_SLOT_MAX: usize = 6;

impl Engine {
    /// An engine that takes work from its first event on.
    ///
    /// # Panics
    /// Without slots, with a pool that may have no workers, or a lease shorter than its margins.
    #[must_use]
    pub fn new(config: EngineConfig, now: Now) -> Self {
        assert!(config.slots > 0, "an engine needs at least one slot");
        let free = (0..config.slots).rev().collect();
        let random = config.seed;
        let pools = (0_u32..).zip(config.pools.iter().cloned());
        let pools = pools.map(|(id, spec)| Pool::new(PoolId(id), spec, now));
        let pools = pools.collect();
        let lease = config.lease.map(|spec| Lease::new(spec, now));
        Self {
            config,
            lease,
            effects: VecDeque::new(),
            attempts: BTreeMap::new(),
            free,
            pools,
            next_name: 0,
            claim: ClaimState::new(now),
            phase: Phase::Serving,
            idle_since: now.monotonic,
            random,
        }
    }

    /// Takes in one event.
    ///
    /// # Errors
    /// When the driver breaks the protocol (an answer without its effect): that is a bug of its,
    /// but none that running jobs should pay for, so the engine stays as it was.
    pub fn handle(&mut self, now: Now, event: Event) -> Result<(), Unfit> {
        let mut fits = Ok(());
        self.expire_lease(now);
        match event {
            Event::Woken => self.want_work(),
            Event::Claimed {
                lane,
                jobs,
                next_due,
            } => fits = self.claimed(now, lane, jobs, next_due),
            Event::ClaimFailed { lane } => fits = self.claim_failed(now, lane),
            Event::CancelRequested { job, token, by } => self.cancel(now, job, token, by),
            Event::KeeperLost => self.keeper_lost(now),
            Event::Superseded => self.superseded(),
            Event::ShutdownRequested(request) => self.shutdown(now, request),
            Event::CloseAnswered { closed: true } => fits = self.closed(now),
            Event::CloseAnswered { closed: false } => fits = self.not_closed(now),
            Event::Recorded { attempt } => fits = self.recorded(now, attempt),
            Event::RecordFailed { attempt } => fits = self.about_attempt(now, attempt, event),
            Event::Renewed(renewal) => fits = self.renewed(now, renewal),
            Event::Reopened { opened: true } => fits = self.reopened(now),
            Event::Reopened { opened: false } => fits = self.not_reopened(now),
            Event::Requested { request, pool } => self.requested(now, request, pool),
            Event::ResetRequested { pool } => self.reset(now, pool),
            Event::Spawned { worker }
            | Event::SpawnFailed { worker, .. }
            | Event::Said { worker, .. }
            | Event::LinkBroken { worker, .. }
            | Event::Exited { worker, .. }
            | Event::Buried { worker, .. }
            | Event::Signalled { worker }
            | Event::Drained { worker, .. }
            | Event::Outgrown { worker }
            | Event::LastWords { worker, .. }
            | Event::Handed { worker }
            | Event::LimitExceeded { worker } => fits = self.about_worker(now, worker, event),
        }
        self.advance(now);
        fits
    }

    /// Lets time pass: whatever is due at `now` is decided.
    pub fn handle_timeout(&mut self, now: Now) {
        self.expire_lease(now);
        self.claim.pass(now);
        for pool in &mut self.pools {
            pool.claim.pass(now);
        }
        let due = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.timer().is_some_and(|at| at <= now.monotonic));
        let due: Vec<AttemptId> = due.map(|(attempt, _)| *attempt).collect();
        for attempt in due {
            self.with_attempt(now, attempt, |attempt, out| attempt.timeout(now, out));
        }
        for pool in 0..self.pools.len() {
            self.pool_timeout(now, pool);
        }
        if let Phase::Stopping {
            stop_at: Some(at), ..
        } = self.phase
            && at <= now.monotonic
        {
            self.stop_all(now);
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Monotonic time at which [`Engine::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let may_claim = self.may_claim();
        let claim = (may_claim && self.has_free_slot()).then_some(self.claim.at);
        let pools = self.pools.iter();
        let claims = pools
            .clone()
            .filter(|pool| may_claim && pool.may_have_room());
        let attempts = self.attempts.values().filter_map(Attempt::timer);
        [claim, self.phase_timer(), self.lease_timer()]
            .into_iter()
            .flatten()
            .chain(claims.map(|pool| pool.claim.at))
            .chain(pools.filter_map(Pool::timer))
            .chain(attempts)
            .min()
    }

    /// Whether a worker is not over: its link may still be needed.
    #[must_use]
    pub fn knows(&self, worker: WorkerId) -> bool {
        let its = |attempt: &Attempt| attempt.worker == Some(worker);
        self.pool_of(worker).is_some() || self.attempts.values().any(its)
    }

    /// Something in the store may have changed.
    fn want_work(&mut self) {
        self.claim.wanted = true;
        for pool in &mut self.pools {
            pool.claim.wanted = true;
        }
    }

    fn claim_of(&mut self, lane: Lane) -> Option<&mut ClaimState> {
        match lane {
            Lane::Process => Some(&mut self.claim),
            Lane::Pool(pool) => {
                let pool = self.pools.get_mut(pool.0 as usize);
                pool.map(|pool| &mut pool.claim)
            }
        }
    }

    fn claimed(
        &mut self,
        now: Now,
        lane: Lane,
        jobs: Vec<Assignment>,
        next_due: Option<Duration>,
    ) -> Result<(), Unfit> {
        let mut fits = Ok(());
        let poll = self.config.poll_interval;
        let wait = next_due.unwrap_or(poll).min(poll);
        match self.claim_of(lane) {
            Some(claim) => {
                if !claim.in_flight {
                    fits = Err(Unfit("claimed, without a claim"));
                }
                claim.answered(now, jobs.len(), wait);
            }
            None => fits = Err(Unfit("claimed, for no lane")),
        }
        for assignment in jobs {
            let id = AttemptId(self.name_worker().0);
            let taken = self.take_slot(lane, assignment.slot);
            let mut attempt = Attempt::new(id, lane, assignment, &self.config);
            if !taken {
                // Nobody would ever run it: it goes back to its place.
                let mut out = attempt::Out {
                    effects: &mut self.effects,
                    random: &mut self.random,
                };
                attempt.stop(now, StopReason::Shutdown, &mut out);
                self.attempts.insert(id, attempt);
                fits = Err(Unfit("claimed, for a slot that is not free"));
                continue;
            }
            self.attempts.insert(id, attempt);
            self.begin(now, id, lane);
        }
        fits
    }

    fn take_slot(&mut self, lane: Lane, slot: u32) -> bool {
        match lane {
            Lane::Process => {
                let position = self.free.iter().position(|free| *free == slot);
                position.map(|at| self.free.remove(at)).is_some()
            }
            Lane::Pool(pool) => {
                let pool = self.pools.get(pool.0 as usize);
                pool.is_some_and(|pool| pool.spec.slot == slot)
            }
        }
    }

    fn begin(&mut self, now: Now, id: AttemptId, lane: Lane) {
        let serving =
            self.holds_lease() && matches!(self.phase, Phase::Serving | Phase::Offering(_));
        let pool = match lane {
            Lane::Process => None,
            Lane::Pool(pool) => self.pools.get_mut(pool.0 as usize),
        };
        match pool {
            Some(pool) if serving => {
                let attempt = self.attempts.get(&id);
                let payload = attempt.map_or(0, |attempt| attempt.assignment.payload.len());
                pool.push_attempt(now, id, payload);
            }
            None if serving => {
                self.with_attempt(now, id, |attempt, out| attempt.spawn(now, out));
            }
            Some(_) | None => {
                self.with_attempt(now, id, |attempt, out| {
                    attempt.stop(now, StopReason::Shutdown, out);
                });
            }
        }
    }

    fn claim_failed(&mut self, now: Now, lane: Lane) -> Result<(), Unfit> {
        match self.claim_of(lane).map(|claim| claim.failed(now)) {
            Some(true) => Ok(()),
            Some(false) | None => Err(Unfit("a claim failed, without a claim")),
        }
    }

    fn recorded(&mut self, now: Now, id: AttemptId) -> Result<(), Unfit> {
        let recording = |attempt: &Attempt| matches!(attempt.life, Life::Recording { .. });
        if !self.attempts.get(&id).is_some_and(recording) {
            return Err(Unfit("recorded, before its end"));
        }
        self.attempts.remove(&id);
        self.idle_since = now.monotonic;
        Ok(())
    }

    fn cancel(&mut self, now: Now, job: JobId, token: u64, by: String) {
        let attempt = self.attempts.iter().find(|(_, attempt)| {
            attempt.assignment.job == job && attempt.assignment.counters.token == token
        });
        let Some((&attempt, _)) = attempt else { return };
        self.with_attempt(now, attempt, |attempt, out| {
            attempt.stop(now, StopReason::Cancelled { by }, out);
        });
    }

    fn about_worker(&mut self, now: Now, worker: WorkerId, event: Event) -> Result<(), Unfit> {
        if let Some(pool) = self.pool_of(worker) {
            return self.about_pooled(now, (pool, worker), event);
        }
        // What nobody asked for may come late.
        let unasked = matches!(
            event,
            Event::Said { .. }
                | Event::LinkBroken { .. }
                | Event::LimitExceeded { .. }
                | Event::Signalled { .. }
                | Event::Handed { .. }
                | Event::Outgrown { .. }
                | Event::LastWords { .. }
        );
        let attempt = AttemptId(worker.0);
        let its = |attempt: &Attempt| attempt.lane == Lane::Process;
        let known = self.attempts.get(&attempt).is_some_and(its);
        match (known, unasked) {
            (true, _) => self.about_attempt(now, attempt, event),
            (false, true) => Ok(()),
            (false, false) => Err(Unfit("about a worker that is over")),
        }
    }

    fn about_attempt(&mut self, now: Now, id: AttemptId, event: Event) -> Result<(), Unfit> {
        self.with_attempt(now, id, |attempt, out| attempt.handle(now, event, out))
            .unwrap_or(Err(Unfit("about an attempt that is over")))
    }

    /// What was not performed yet goes to the next keeper or, about a dead worker, to nobody.
    fn keeper_lost(&mut self, now: Now) {
        let making = |effect: &Effect| {
            let (Effect::Spawn { worker, .. } | Effect::Boot { worker, .. }) = effect else {
                return None;
            };
            Some(*worker)
        };
        let unmade: Vec<WorkerId> = self.effects.iter().filter_map(making).collect();
        let giving = |effect: &Effect| {
            let (Effect::Assign { worker, .. } | Effect::Hand { worker, .. }) = effect else {
                return None;
            };
            Some(*worker)
        };
        let ungiven: Vec<WorkerId> = self.effects.iter().filter_map(giving).collect();
        self.take_back(&ungiven);
        self.pools_lost(now, &unmade);
        self.effects.retain(|effect| {
            !matches!(
                effect,
                Effect::Stop { .. }
                    | Effect::Kill { .. }
                    | Effect::Bury { .. }
                    | Effect::Drain { .. }
                    | Effect::Retire { .. }
                    | Effect::Assign { .. }
                    | Effect::Hand { .. }
            )
        });
        let attempts: Vec<AttemptId> = self.attempts.keys().copied().collect();
        for attempt in attempts {
            let its = self.attempts.get(&attempt).and_then(|it| it.worker);
            if its.is_some_and(|worker| unmade.contains(&worker)) {
                continue;
            }
            self.with_attempt(now, attempt, |attempt, out| attempt.keeper_lost(now, out));
        }
    }

    /// Decides what follows from the state as a whole: claim, offer to leave, close.
    fn advance(&mut self, now: Now) {
        self.advance_lease(now);
        if self.may_claim() && self.has_free_slot() && self.claim.is_due(now) {
            self.claim.sent();
            let lane = Lane::Process;
            let slots = self.free.iter().rev().copied().collect();
            self.effects.push_back(Effect::Claim { lane, slots });
        }
        for pool in 0..self.pools.len() {
            self.advance_pool(now, pool);
        }
        if self.pools.iter().any(Pool::has_tasks) {
            self.idle_since = now.monotonic;
        }
        self.advance_phase(now);
    }

    fn has_free_slot(&self) -> bool {
        !self.claim.in_flight && !self.free.is_empty()
    }

    fn may_claim(&self) -> bool {
        let ended = |attempt: &&Attempt| !attempt.holds_slot();
        let recording = self.attempts.values().filter(ended).count();
        let pools = self.pools.iter().map(|pool| &pool.spec);
        let places = pools.clone().map(|spec| spec.max_workers as usize);
        let slots = self.config.slots as usize + places.sum::<usize>();
        let ahead: usize = pools.map(PoolSpec::ahead_max).sum();
        self.phase == Phase::Serving
            && self.holds_lease()
            && recording <= RECORDING_PER_SLOT_MAX * slots + ahead
            && self.attempts.len() <= ATTEMPTS_PER_SLOT_MAX * slots + 2 * ahead
    }

    /// Runs one step of an attempt, then looks whether it let go of its slot or its worker.
    fn with_attempt<R>(
        &mut self,
        now: Now,
        id: AttemptId,
        step: impl FnOnce(&mut Attempt, &mut attempt::Out<'_>) -> R,
    ) -> Option<R> {
        let attempt = self.attempts.get_mut(&id)?;
        let held = attempt.holds_slot();
        let mut out = attempt::Out {
            effects: &mut self.effects,
            random: &mut self.random,
        };
        let answer = step(attempt, &mut out);
        let let_go = held && !attempt.holds_slot();
        if let_go {
            self.idle_since = now.monotonic;
        }
        match attempt.lane {
            Lane::Process if let_go => {
                self.free.push(attempt.assignment.slot);
                self.free.sort_unstable_by(|a, b| b.cmp(a));
                self.claim.wanted = true;
            }
            Lane::Process => {}
            Lane::Pool(pool) => {
                if let Some(pool) = self.pools.get_mut(pool.0 as usize) {
                    match let_go {
                        true => pool.let_go(now, id, attempt.worker),
                        false => pool.look_at(attempt),
                    }
                }
            }
        }
        Some(answer)
    }

    fn name_worker(&mut self) -> WorkerId {
        loop {
            let name = self.next_name;
            self.next_name = self.next_name.wrapping_add(1);
            let taken = self.attempts.contains_key(&AttemptId(name))
                || self.pool_of(WorkerId(name)).is_some();
            if !taken {
                return WorkerId(name);
            }
        }
    }
}
