//! Ticks of schedules: what a store is asked, what it remembers, and the one order of steps.
//!
//! Both stores run [`decide`] inside their write transaction, with what they have read there; so a
//! tick is decided once over all runners.

use dispatcher_core::{
    DecidedTick, JobId, JobState, Overlap, ScheduleRecord, TickFate, ZonedSchedule,
};
use jiff::Timestamp;

use super::{DispatcherRow, NewJob, UnixMs};

/// A dispatcher whose ticks are to be decided.
#[derive(Debug, Clone)]
pub(crate) struct TickRequest {
    /// Refreshed in the same transaction when newer.
    pub(crate) dispatcher: DispatcherRow,
    /// Its schedule; without one, that is what will be on record.
    pub(crate) schedule: Option<ScheduledJobs>,
}

/// A schedule, and what its ticks submit.
#[derive(Debug, Clone)]
pub(crate) struct ScheduledJobs {
    pub(crate) when: ZonedSchedule,
    pub(crate) overlap: Overlap,
    /// A job for each tick that one decision may run, jitter in its delay; or why there is none.
    pub(crate) jobs: Result<Vec<NewJob>, String>,
}

/// For each request, in order, what became of which ticks, oldest first.
pub(crate) type Ticked = Vec<Vec<DecidedTick>>;

/// What is on record about schedules.
#[derive(Debug, Clone)]
pub(crate) struct KnownSchedules {
    /// The store's time.
    pub(crate) now: UnixMs,
    pub(crate) rows: Vec<ScheduleRow>,
}

/// What is on record about the schedule of a dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScheduleRow {
    pub(crate) dispatcher: String,
    pub(crate) record: ScheduleRecord,
}

/// What a store can do for a decision, inside its transaction.
pub(super) trait Submits {
    type Error;

    /// The state of a job; `None` when it is gone.
    fn state(&mut self, job: JobId) -> Result<Option<JobState>, Self::Error>;

    /// Stores a job, if the queue has room for it.
    fn submit(&mut self, job: &NewJob) -> Result<(TickFate, Option<JobId>), Self::Error>;
}

/// The record as it is to be written, and what was decided; `None` when nothing is to be written.
pub(super) fn decide<S: Submits>(
    request: &TickRequest,
    record: &ScheduleRecord,
    now: UnixMs,
    store: &mut S,
) -> Result<Option<(ScheduleRecord, Vec<DecidedTick>)>, S::Error> {
    let Some(scheduled) = &request.schedule else {
        return Ok(record.without_schedule().map(|record| (record, Vec::new())));
    };
    let Some(decision) = scheduled.when.decide(record, now) else {
        return Ok(None);
    };
    let mut next = decision.record;
    let mut decided = Vec::new();
    if decision.run.is_empty() && next.last != record.last {
        decided.extend(next.last.clone());
    }
    // Ticks that are made up for together do not overlap one another.
    let overlaps = overlaps(scheduled.overlap, record, store)?;
    for (index, tick) in decision.run.into_iter().enumerate() {
        let (fate, job) = match &scheduled.jobs {
            Err(reason) => (TickFate::Refused(reason.clone()), None),
            Ok(_) if overlaps => (TickFate::Overlapped, None),
            Ok(jobs) => {
                let job = jobs
                    .get(index)
                    .expect("invariant: there is a job for each tick of a decision");
                let origin = origin(tick);
                store.submit(&NewJob {
                    origin,
                    ..job.clone()
                })?
            }
        };
        next.decided(tick, fate, job);
        decided.extend(next.last.clone());
    }
    Ok(Some((next, decided)))
}

fn overlaps<S: Submits>(
    overlap: Overlap,
    record: &ScheduleRecord,
    store: &mut S,
) -> Result<bool, S::Error> {
    let last = record.last.as_ref().and_then(|last| last.job);
    match (overlap, last) {
        (Overlap::Queue, _) | (Overlap::Skip, None) => Ok(false),
        (Overlap::Skip, Some(job)) => {
            let state = store.state(job)?;
            Ok(state.is_some_and(|state| !state.is_terminal()))
        }
    }
}

fn origin(tick: UnixMs) -> String {
    match Timestamp::from_millisecond(tick) {
        Ok(tick) => format!("schedule, tick {tick}"),
        Err(_) => "schedule".to_owned(),
    }
}
