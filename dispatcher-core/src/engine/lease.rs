//! The right to run jobs, where it ends by itself unless it is renewed in time.
//!
//! Once a lease has ended somebody else may take over whatever was claimed under it, so nothing
//! that runs a job may live that long. The engine ends it first; should the supervisor stand
//! still, its keeper does, at a deadline that is later and still early enough.

use std::time::Duration;

use super::lane::store_retry;
use super::leave::Phase;
use super::{AttemptId, Effect, Engine, Now, Unfit};

/// Renewals that fit into a lease, so that one or two may fail.
const RENEWALS_PER_LEASE: u32 = 4;
const UNASKED: Unfit = Unfit("an answer about the lease, without a question");

/// How long a lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSpec {
    /// From when the store was asked.
    pub length: Duration,
    /// What ends a job needs so long at most. The keeper begins so long before the end of the
    /// lease, the engine so long before its keeper.
    pub margin: Duration,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease lasts from when it was asked for.
    Renewed,
    /// It had ended, and somebody has taken over: every claim is void, and so is the row.
    Lost,
    /// The store could not be asked.
    Failed,
}

#[derive(Debug)]
pub(super) struct Lease {
    spec: LeaseSpec,
    /// When the renewal under way was asked for.
    asked: Option<Duration>,
    /// When the next one is.
    next: Duration,
    /// What failed in a row: renewals, or openings of another row.
    failures: u32,
    /// Jobs may run before; `None` while none may.
    until: Option<Duration>,
    /// The keeper has a deadline.
    armed: bool,
    row: Row,
}

/// The supervisor's row in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Ours,
    /// Somebody has removed it. Another one is opened when nothing is left of the claims.
    Lost,
    /// Another one is being opened.
    Opening,
    /// It could not be opened; it is tried again at this time.
    Missing {
        at: Duration,
    },
}

impl Lease {
    pub(super) fn new(spec: LeaseSpec, now: Now) -> Self {
        assert!(
            !spec.margin.is_zero() && spec.margin * 2 < spec.length,
            "a lease lasts longer than its margins"
        );
        Self {
            spec,
            asked: None,
            next: now.monotonic,
            failures: 0,
            until: None,
            armed: false,
            row: Row::Ours,
        }
    }

    /// `false` when it came too late to be of use.
    fn renew(&mut self, asked: Duration, now: Now) -> bool {
        let deadline = (asked + self.spec.length).saturating_sub(self.spec.margin);
        let until = deadline.saturating_sub(self.spec.margin);
        self.failures = 0;
        self.next = asked + self.spec.length / RENEWALS_PER_LEASE;
        let in_time = now.monotonic < until;
        if in_time {
            self.until = Some(until);
            self.armed = true;
        }
        in_time
    }
}

impl Engine {
    /// Whether jobs may run.
    pub(super) fn holds_lease(&self) -> bool {
        self.lease.as_ref().is_none_or(|it| it.until.is_some())
    }

    /// Whether there is a row that could be closed or handed over.
    pub(super) fn has_row(&self) -> bool {
        self.lease.as_ref().is_none_or(|it| it.row == Row::Ours)
    }

    /// Whether another row is being opened.
    pub(super) fn opens_row(&self) -> bool {
        self.lease.as_ref().is_some_and(|it| it.row == Row::Opening)
    }

    pub(super) fn lease_timer(&self) -> Option<Duration> {
        let lease = self.lease.as_ref()?;
        let next = match lease.row {
            Row::Ours if lease.asked.is_none() && self.needs_lease() => Some(lease.next),
            Row::Missing { at } if self.phase == Phase::Serving => Some(at),
            Row::Ours | Row::Lost | Row::Opening | Row::Missing { .. } => None,
        };
        lease.until.into_iter().chain(next).min()
    }

    /// Whoever leaves and has nothing needs none.
    fn needs_lease(&self) -> bool {
        match self.phase {
            Phase::Serving | Phase::Offering(_) => true,
            Phase::Stopping { .. } => !self.has_no_claims(),
            Phase::Finished => false,
        }
    }

    fn has_no_claims(&self) -> bool {
        self.attempts.is_empty() && !self.is_asking()
    }

    /// Whether the store owes an answer about the lease.
    pub(super) fn awaits_lease(&self) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|it| it.asked.is_some() || it.row == Row::Opening)
    }

    pub(super) fn renewed(&mut self, now: Now, renewal: Renewal) -> Result<(), Unfit> {
        let held = self.holds_lease();
        let Some(lease) = &mut self.lease else {
            return Err(UNASKED);
        };
        let asked = lease.asked.take().ok_or(UNASKED)?;
        match renewal {
            Renewal::Renewed => {
                if lease.renew(asked, now) {
                    let at = (asked + lease.spec.length).saturating_sub(lease.spec.margin);
                    self.effects.push_back(Effect::Deadline { at: Some(at) });
                    if !held {
                        self.want_work();
                    }
                }
            }
            Renewal::Failed => {
                let most = lease.spec.length / (2 * RENEWALS_PER_LEASE);
                lease.next = now.monotonic + store_retry(lease.failures).min(most);
                lease.failures = lease.failures.saturating_add(1);
            }
            Renewal::Lost => {
                lease.row = Row::Lost;
                self.end_lease(now);
            }
        }
        Ok(())
    }

    pub(super) fn reopened(&mut self, now: Now) -> Result<(), Unfit> {
        let lease = self.opening().ok_or(UNASKED)?;
        lease.next = now.monotonic;
        lease.row = Row::Ours;
        self.close_late_row();
        Ok(())
    }

    pub(super) fn not_reopened(&mut self, now: Now) -> Result<(), Unfit> {
        let lease = self.opening().ok_or(UNASKED)?;
        let failures = lease.failures;
        lease.failures = failures.saturating_add(1);
        let at = now.monotonic + store_retry(failures);
        lease.row = Row::Missing { at };
        self.close_no_row();
        Ok(())
    }

    fn opening(&mut self) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|it| it.row == Row::Opening)
    }

    /// What happens from now on happens without it, if its time is over.
    pub(super) fn expire_lease(&mut self, now: Now) {
        let until = self.lease.as_ref().and_then(|lease| lease.until);
        if until.is_some_and(|until| until <= now.monotonic) {
            self.end_lease(now);
        }
    }

    /// Asks for what the lease needs.
    pub(super) fn advance_lease(&mut self, now: Now) {
        let runs = self.attempts.values().any(|it| it.holds_slot());
        let (over, needed) = (self.has_no_claims(), self.needs_lease());
        let serving = self.phase == Phase::Serving;
        let Some(lease) = &mut self.lease else { return };
        if lease.until.is_none() && lease.armed && !runs {
            // Its keeper has nothing to end, and others than jobs may be with it.
            lease.armed = false;
            self.effects.push_back(Effect::Deadline { at: None });
        }
        match lease.row {
            Row::Ours if needed && lease.asked.is_none() && lease.next <= now.monotonic => {
                lease.asked = Some(now.monotonic);
                self.effects.push_back(Effect::Renew);
            }
            Row::Lost if serving && over => {
                lease.failures = 0;
                lease.row = Row::Opening;
                self.effects.push_back(Effect::Reopen);
            }
            Row::Missing { at } if serving && at <= now.monotonic => {
                lease.row = Row::Opening;
                self.effects.push_back(Effect::Reopen);
            }
            Row::Ours | Row::Lost | Row::Opening | Row::Missing { .. } => {}
        }
    }

    /// Nothing may run any more; what has not begun goes back.
    fn end_lease(&mut self, now: Now) {
        if let Some(lease) = &mut self.lease {
            lease.until = None;
        }
        for pool in 0..self.pools.len() {
            self.send_back(now, pool);
        }
        let attempts: Vec<AttemptId> = self.attempts.keys().copied().collect();
        for attempt in attempts {
            self.with_attempt(now, attempt, |attempt, out| attempt.lose_lease(now, out));
        }
    }
}
