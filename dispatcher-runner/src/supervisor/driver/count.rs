//! What a driver tells the counters of its service; a detached supervisor counts nothing.

use dispatcher_core::OnLost;
use dispatcher_core::engine::{Assignment, AttemptId, Next, Verdict};

use super::super::clerk::Answer;
use super::Driver;
use crate::metrics::{End, JobFate};

impl Driver<'_> {
    /// A worker is to serve this attempt.
    pub(super) fn count_start(&self, attempt: AttemptId, assignment: &Assignment) {
        if let Some(metrics) = &self.metrics {
            metrics.assigned(attempt.0, &assignment.dispatcher);
        }
    }

    /// Its end is about to be recorded.
    pub(super) fn count_end(&self, attempt: AttemptId, verdict: &Verdict) {
        if let Some(metrics) = &self.metrics {
            let end = End {
                outcome: verdict.outcome.cause.name(),
                run_time: verdict.run_time,
                job: fate(&verdict.next),
            };
            metrics.deciding(attempt.0, end);
        }
    }

    /// It is on record.
    pub(super) fn count_recorded(&self, attempt: AttemptId) {
        if let Some(metrics) = &self.metrics {
            metrics.recorded(attempt.0);
        }
    }

    /// What was claimed had waited.
    pub(super) fn count_waits(&self, answer: &Answer) {
        if let Some(metrics) = &self.metrics {
            for (dispatcher, waited) in answer.waits() {
                metrics.claimed(dispatcher, waited);
            }
        }
    }
}

/// What follows for the job.
fn fate(next: &Next) -> JobFate {
    match next {
        Next::Succeed
        | Next::Fail
        | Next::Cancel
        | Next::Lost {
            on_lost: OnLost::Fail,
        } => JobFate::Ended,
        Next::Retry { .. }
        | Next::Snooze { .. }
        | Next::Release
        | Next::Lost {
            on_lost: OnLost::Rerun,
        } => JobFate::GoesOn,
    }
}
