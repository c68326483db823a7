//! Supervisors on machines of their own: claims end by themselves, and nobody sees who lives.
//!
//! Some stand still for a while, some are cut off from the store, and some machines fail with all
//! that is on them. Here clocks run apart by a fiftieth at most, and the store's does not jump: a
//! lease is no proof where they do more.

use std::time::Duration;

use dispatcher_core::Cause;
use dispatcher_core::engine::{Event, LeaseSpec, Verdict};

use crate::store::Store;

use super::faults::Fault;
use super::keeper::{KeeperId, Request};
use super::runner::{Runner, RunnerId, row_of};
use super::world::{Happening, World};

pub(super) const LEASE: LeaseSpec = LeaseSpec {
    length: Duration::from_secs(15),
    margin: Duration::from_millis(1_500),
};
/// Supervisors of one build at once, each on its machine.
pub(super) const MACHINES: usize = 3;
/// Time to make up for what was missed.
const EXCUSE: Duration = Duration::from_secs(5);

/// What a supervisor and its machine know of its lease, by the true clock.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// When its keeper ends everything.
    deadline: Option<Duration>,
    /// When its engine gives up.
    until: Option<Duration>,
    /// It was told that it has lost it.
    lost: bool,
    /// It does nothing before.
    pub(super) stands_until: Duration,
    /// The store cannot be reached before.
    pub(super) cut_until: Duration,
}

impl Holding {
    /// Whether it has stood still not long ago.
    pub(super) fn is_excused(&self, now: Duration) -> bool {
        !self.stands_until.is_zero() && now < self.stands_until + EXCUSE
    }

    /// Whether nothing may begin any more.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }
}

impl World {
    pub(super) fn set_deadline(&mut self, id: RunnerId, at: Option<Duration>) {
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        let deadline = at.map(|at| runner.truly(at));
        runner.holding.deadline = deadline;
        if let Some(at) = at {
            runner.holding.until = Some(runner.truly(at.saturating_sub(LEASE.margin)));
        }
        self.ask(id, Request::Deadline(deadline));
    }

    /// A new keeper has not heard of it, and has nobody whom it could end.
    pub(super) fn tell_new_keeper(&mut self, id: RunnerId) {
        let holding = self.runners.get(&id).map(|runner| &runner.holding);
        if let Some(at) = holding
            .and_then(|it| it.deadline)
            .filter(|at| *at > self.now)
        {
            self.ask(id, Request::Deadline(Some(at)));
        }
    }

    pub(super) fn keeper_hears_deadline(&mut self, id: KeeperId, at: Option<Duration>) {
        let Some(keeper) = self.keepers.get_mut(&id) else {
            return;
        };
        keeper.deadline = at;
        if let Some(at) = at {
            self.at(at, Happening::KeeperDeadline(id));
        }
    }

    /// Nobody has told it another one.
    pub(super) fn keeper_ends_all(&mut self, id: KeeperId) {
        let Some(keeper) = self.keepers.get(&id) else {
            return;
        };
        if keeper.deadline.is_none_or(|at| at > self.now) {
            return;
        }
        self.trace
            .line(self.now, format_args!("{id:?} ends everything in time"));
        self.coverage.count("a keeper ends everything in time");
        let children: Vec<_> = keeper.children.values().copied().collect();
        for pid in children {
            self.kill_child(pid);
        }
        self.keeper_dies(id);
    }

    pub(super) fn reopen(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get(&id) else {
            return;
        };
        let (build, slots) = (runner.build, runner.slots);
        let serves = self.client.served_by(build);
        let row = row_of(id, build, slots, &serves, Some(LEASE.length));
        self.with_clerk(id, |clerk| clerk.reopen(row));
    }

    /// What an answer of the store says about the row and its lease.
    pub(super) fn note_lease(&mut self, id: RunnerId, events: &[Event]) {
        use dispatcher_core::engine::Renewal;
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        for event in events {
            match event {
                Event::Renewed(Renewal::Lost) => runner.holding.lost = true,
                Event::Reopened { opened: true } => runner.holding.lost = false,
                _ => {}
            }
        }
        let Some(desk) = runner.desk.as_ref() else {
            return;
        };
        let (row, pools) = (desk.clerk.supervisor(), desk.pools.list.iter());
        if runner.row != Some(row) {
            runner.row = Some(row);
            let slots = pools.map(|pool| pool.spec.slot).collect();
            self.ledger
                .supervisors
                .insert(row, (runner.slots, runner.build));
            self.ledger.pool_slots.insert(row, slots);
        }
    }

    /// Whatever has run until its lease was over was lost with it.
    pub(super) fn note_loss(&mut self, id: RunnerId, verdict: &Verdict) {
        if verdict.outcome.cause == Cause::WorkerLost && self.lease_is_over(id) {
            self.deeds(verdict.job, verdict.attempt).lost = true;
        }
    }

    pub(super) fn lease_is_over(&self, id: RunnerId) -> bool {
        let Some(runner) = self.runners.get(&id) else {
            return false;
        };
        let holding = &runner.holding;
        self.has_leases && (holding.lost || holding.until.is_some_and(|at| at <= self.now))
    }

    /// Everything on a machine ends at once.
    pub(super) fn machine_fails(&mut self, id: RunnerId) {
        self.coverage.count("a machine fails");
        let held = self.held_by(id);
        let keeper = self.runners.get(&id).and_then(|it| it.keeper);
        self.end_of_runner(id);
        if let Some(keeper) = keeper {
            self.keepers.remove(&keeper);
        }
        for (job, attempt) in held {
            self.kill_tagged(job, attempt);
            self.deeds(job, attempt).lost = true;
        }
        self.kill_crew(id);
    }

    pub(super) fn mishap_of_machines(&mut self, id: RunnerId) {
        if self.strikes(Fault::StandsStill) {
            self.stand_still(id);
        }
        if self.strikes(Fault::CutOff) {
            self.cut_off(id);
        }
    }

    /// It is stopped for a while, with all of its threads; its keeper is not.
    fn stand_still(&mut self, id: RunnerId) {
        let time = Duration::from_secs(12) + self.dice.millis(30_000);
        let now = self.now;
        let may = |runner: &&mut Runner| {
            // One time is over before the next: what waits keeps its order.
            !runner.keeper_is_lost && runner.holding.stands_until <= now
        };
        if let Some(runner) = self.runners.get_mut(&id).filter(may) {
            runner.holding.stands_until = now + time;
            self.trace
                .line(now, format_args!("{id:?} stands still for {time:?}"));
        }
    }

    fn cut_off(&mut self, id: RunnerId) {
        let time = Duration::from_secs(12) + self.dice.millis(30_000);
        let now = self.now;
        if let Some(runner) = self.runners.get_mut(&id) {
            runner.holding.cut_until = now + time;
            self.trace
                .line(now, format_args!("{id:?} is cut off for {time:?}"));
        }
    }

    /// Whether this has to wait, because whom it concerns stands still; until when.
    pub(super) fn waits(&self, what: &Happening) -> Option<Duration> {
        let runner = self.runners.get(&what.runner()?)?;
        Some(runner.holding.stands_until).filter(|until| *until > self.now)
    }

    pub(super) fn rescue_expired(&mut self, id: RunnerId) {
        let rescued = self.store_of(id).rescue_expired().unwrap_or_default();
        if !rescued.is_empty() {
            self.after(Duration::ZERO, Happening::Wake(id));
        }
    }
}
