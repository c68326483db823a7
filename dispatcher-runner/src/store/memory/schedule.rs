//! Ticks of schedules: as in the other stores, over maps.
//!
//! A record outlives the jobs of its ticks.

use std::convert::Infallible;

use dispatcher_core::{JobId, JobState, TickFate};

use super::state::State;
use crate::store::schedule::{self, ScheduleRow, Submits, TickRequest, Ticked};
use crate::store::{NewJob, SubmitError, UnixMs};

impl State {
    pub(super) fn tick(&mut self, requests: &[TickRequest], now: UnixMs) -> Ticked {
        let mut decided = Vec::with_capacity(requests.len());
        for request in requests {
            self.upsert(&request.dispatcher);
            let name = &request.dispatcher.name;
            let record = self.schedules.get(name).cloned().unwrap_or_default();
            let mut submitter = Submitter { state: self, now };
            let Ok(outcome) = schedule::decide(request, &record, now, &mut submitter);
            let mut ticks = Vec::new();
            if let Some((record, decided)) = outcome {
                self.schedules.insert(name.clone(), record);
                ticks = decided;
            }
            decided.push(ticks);
        }
        decided
    }

    pub(super) fn schedule_rows(&self) -> Vec<ScheduleRow> {
        let rows = self.schedules.iter();
        rows.map(|(dispatcher, record)| ScheduleRow {
            dispatcher: dispatcher.clone(),
            record: record.clone(),
        })
        .collect()
    }
}

struct Submitter<'s> {
    state: &'s mut State,
    now: UnixMs,
}

impl Submits for Submitter<'_> {
    type Error = Infallible;

    fn state(&mut self, job: JobId) -> Result<Option<JobState>, Infallible> {
        Ok(self.state.of(job).map(|job| job.state))
    }

    fn submit(&mut self, job: &NewJob) -> Result<(TickFate, Option<JobId>), Infallible> {
        Ok(match self.state.submit_one(job, self.now) {
            Ok(accepted) if accepted.duplicate => (TickFate::Duplicate, Some(accepted.id)),
            Ok(accepted) => (TickFate::Submitted, Some(accepted.id)),
            Err(SubmitError::QueueFull { .. }) => (TickFate::QueueFull, None),
            Err(SubmitError::Store(error)) => refused(&error),
            Err(error @ (SubmitError::Receipt(_) | SubmitError::BatchExists { .. })) => {
                refused(&error)
            }
        })
    }
}

/// The only error of this store is an id that was given twice.
fn refused(error: &impl std::fmt::Display) -> (TickFate, Option<JobId>) {
    (TickFate::Refused(error.to_string()), None)
}
