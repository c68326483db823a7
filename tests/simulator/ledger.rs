//! What everybody was told, and what every row was before the last operation: the client oracle.
//!
//! After each operation the invariants compare the rows before and after it with what was said.

use std::collections::{BTreeMap, BTreeSet};

use dispatcher_core::{JobId, OnDuplicate};

use crate::store::{
    CancelReply, Claim, ClaimRequest, Glance, Record, Recorded, Serves, Submission, SubmitError,
    Submitted, SupervisorId, TickRequest, Ticked, UnixMs,
};

use super::coverage::Coverage;
use super::invariants::{self, losses_are_counted, ticks_once};
use super::truth::Truth;

pub(super) type Rows = BTreeMap<JobId, Glance>;

/// What the store was just asked, and what it answered.
pub(super) enum Operation<'a> {
    Submit(&'a Submission, &'a Result<Submitted, SubmitError>),
    /// With the names of the dispatchers that were paused.
    Claim(&'a ClaimRequest, &'a Claim, &'a [String]),
    Record(&'a Record, Recorded),
    Cancel(&'a [JobId], &'a [CancelReply]),
    CloseIfIdle(&'a Serves, bool),
    Tick(&'a [TickRequest], &'a Ticked),
    Rescue(&'a [SupervisorId]),
    Prune,
    Other,
}

/// How a dispatcher was declared; both builds declare it alike.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) concurrency: u32,
    pub(super) max_queue: u32,
    pub(super) on_duplicate: OnDuplicate,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) rows: Rows,
    /// The latest that the store's clock ever showed: what was due once stays due.
    pub(super) latest: UnixMs,
    pub(super) declared: BTreeMap<String, Declared>,
    /// Slots and build of each supervisor that ever opened a row.
    pub(super) supervisors: BTreeMap<SupervisorId, (u32, i64)>,
    /// Slots of its pools.
    pub(super) pool_slots: BTreeMap<SupervisorId, BTreeSet<u32>>,
    /// Somebody was told that it is stored.
    pub(super) acknowledged: BTreeSet<JobId>,
    /// Somebody was told, or may have been, that it is cancelled.
    pub(super) cancelled: BTreeSet<JobId>,
    /// How often the worker or supervisor of a job was lost, and it was queued again.
    pub(super) losses: BTreeMap<JobId, u32>,
    /// Ticks that submitted a job.
    pub(super) ticks: BTreeSet<(String, UnixMs)>,
    /// How often a supervisor was asked to end.
    pub(super) shutdowns: u32,
    /// What the processes really did.
    pub(super) truth: Truth,
    pub(super) broken: Option<(&'static str, String)>,
}

/// One operation, seen from both sides.
pub(super) struct Moment<'a> {
    pub(super) operation: &'a Operation<'a>,
    pub(super) before: &'a Rows,
    pub(super) after: &'a Rows,
    pub(super) ledger: &'a Ledger,
}

impl Ledger {
    pub(super) fn look(
        &mut self,
        operation: &Operation<'_>,
        after: Rows,
        now: UnixMs,
        coverage: &mut Coverage,
    ) {
        for (id, row) in &after {
            coverage.transition(self.rows.get(id).map(|before| before.state), row.state);
        }
        self.latest = self.latest.max(now);
        losses_are_counted::note(operation, &self.rows, &after, &mut self.losses);
        self.note(operation);
        let moment = Moment {
            operation,
            before: &self.rows,
            after: &after,
            ledger: self,
        };
        let broken = invariants::of_operations(&moment);
        if self.broken.is_none() {
            self.broken = broken;
        }
        if let Operation::Tick(requests, ticked) = operation {
            let ticks = ticks_once::submitted(requests, ticked);
            self.ticks.extend(ticks);
        }
        self.rows = after;
    }

    fn note(&mut self, operation: &Operation<'_>) {
        match operation {
            Operation::Submit(group, Ok(submitted)) => {
                let stored = submitted.jobs.iter().filter(|job| !job.duplicate);
                self.acknowledged.extend(stored.map(|job| job.id));
                debug_assert_eq!(group.jobs.len(), submitted.jobs.len());
            }
            Operation::Cancel(jobs, replies) => {
                let acknowledged = jobs.iter().zip(*replies).filter(|(_, reply)| {
                    matches!(reply, CancelReply::Cancelled | CancelReply::Stopping(_))
                });
                self.cancelled.extend(acknowledged.map(|(job, _)| *job));
            }
            Operation::Submit(_, Err(_))
            | Operation::Claim(..)
            | Operation::Record(..)
            | Operation::CloseIfIdle(..)
            | Operation::Tick(..)
            | Operation::Rescue(_)
            | Operation::Prune
            | Operation::Other => {}
        }
    }

    /// Nobody heard of these: they may be there or not. (They are; nobody relies on it.)
    pub(super) fn forget_acknowledgements(&mut self, groups: &[Submission]) {
        for job in groups.iter().flat_map(|group| &group.jobs) {
            self.acknowledged.remove(&job.id);
        }
    }
}
