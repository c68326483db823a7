//! Following one job.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dispatcher_core::{Cause, JobId, JobState, Outcome};
use serde::de::DeserializeOwned;

use crate::store::{CancelReply, JobFilter, JobRecord, StoreClient, StoreError, SupervisorRow};
use crate::testing::{self, Until};
use crate::{app, supervisor};

use super::{Sent, StoreFailure};

/// Shortest and longest time between two looks at a job that is waited for.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Time between two looks for somebody who runs the job that is waited for.
pub(crate) const SERVED_EVERY: Duration = Duration::from_secs(2);

/// A job that was sent.
pub struct JobHandle<T> {
    id: JobId,
    duplicate: bool,
    dispatcher: PhantomData<fn() -> T>,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The job.
    pub id: JobId,
    /// Its terminal state.
    pub state: JobState,
    /// How its last attempt ended.
    pub outcome: Outcome,
    /// JSON text that it gave to `Context::output`, if it succeeded.
    pub output: Option<String>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// The job.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// Attempts so far.
    pub attempt: u32,
    /// Last report of a running attempt: fraction and text.
    pub progress: Option<(f64, String)>,
    /// When it was submitted.
    pub submitted_at: SystemTime,
    /// How it ended; `None` before its end.
    pub outcome: Option<Outcome>,
}

impl<T> JobHandle<T> {
    pub(super) fn new(sent: Sent) -> Self {
        Self {
            id: sent.id,
            duplicate: sent.duplicate,
            dispatcher: PhantomData,
        }
    }

    /// The job's id; the surviving job's if this one was a duplicate.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Whether the submission was dropped because an unfinished job has the same identity.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }

    /// The same handle without the dispatcher's type, so that one list can hold many kinds.
    #[must_use]
    pub fn erased(self) -> JobHandle<()> {
        JobHandle {
            id: self.id,
            duplicate: self.duplicate,
            dispatcher: PhantomData,
        }
    }

    /// Waits for the end of the job.
    ///
    /// # Errors
    /// When the store cannot be read, or the job was pruned meanwhile.
    pub fn wait(&self) -> Result<Ended, StoreFailure> {
        self.wait_until(None)?.ok_or_else(|| gone(self.id).into())
    }

    /// Waits for the end of the job, at most this long.
    ///
    /// # Errors
    /// When the store cannot be read, or the job was pruned meanwhile.
    pub fn wait_timeout(&self, time: Duration) -> Result<Option<Ended>, StoreFailure> {
        self.wait_until(Instant::now().checked_add(time))
    }

    /// Where the job stands now.
    ///
    /// # Errors
    /// When the store cannot be read, or the job was pruned meanwhile.
    pub fn status(&self) -> Result<JobStatus, StoreFailure> {
        let summary = self.record()?.summary;
        let submitted_at = u64::try_from(summary.submitted_at).unwrap_or(0);
        Ok(JobStatus {
            id: summary.id,
            state: summary.state,
            attempt: summary.counters.attempt,
            progress: summary.progress,
            submitted_at: UNIX_EPOCH + Duration::from_millis(submitted_at),
            outcome: summary.outcome.filter(|_| summary.state.is_terminal()),
        })
    }

    /// Cancels the job: a waiting one at once, a running one is stopped and will not succeed.
    /// `false` when it had ended before.
    ///
    /// # Errors
    /// When the store cannot be written, or the job was pruned meanwhile.
    pub fn cancel(&self) -> Result<bool, StoreFailure> {
        let by = format!("pid {} ({})", std::process::id(), app::program_name());
        match cancel(&store()?, self.id, by)? {
            CancelReply::Cancelled | CancelReply::Stopping(_) => Ok(true),
            CancelReply::Ended(_) => Ok(false),
            CancelReply::Unknown => Err(gone(self.id).into()),
        }
    }

    /// What the job gave to `Context::output`; `None` before it succeeded, or if it gave nothing.
    ///
    /// # Errors
    /// When the store cannot be read, or the value does not fit `V`.
    pub fn output<V: DeserializeOwned>(&self) -> Result<Option<V>, StoreFailure> {
        decode(self.record()?.output)
    }

    pub(super) fn record(&self) -> Result<JobRecord, StoreFailure> {
        let id = self.id;
        let record = store()?.call(move |store| -> Result<_, StoreError> {
            let record = store.job(id)?;
            if record
                .as_ref()
                .is_some_and(|record| record.summary.state.is_terminal())
            {
                store.sync()?;
            }
            Ok(record)
        })?;
        record.ok_or_else(|| gone(id).into())
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<Option<Ended>, StoreFailure> {
        let (store, id) = (store()?, self.id);
        let mut pause = LOOK_AGAIN.0;
        let mut served = Instant::now();
        let recording = testing::current();
        if let Some(recording) = &recording {
            recording.drain(Until::EndOf(id));
        }
        loop {
            match store.call(move |store| store.state(id))? {
                Some(state) if state.is_terminal() => return self.ended().map(Some),
                Some(_) => {}
                None => return Err(gone(id).into()),
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if recording.is_some() {
                return Err(database(format!("job {id} waits for one that waits for it")).into());
            }
            if served.elapsed() >= SERVED_EVERY {
                let job = self.record()?.summary;
                super::keep_served(&job.dispatcher, &job.queue);
                served = Instant::now();
            }
            std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 3 / 2).min(LOOK_AGAIN.1);
        }
    }

    fn ended(&self) -> Result<Ended, StoreFailure> {
        let record = self.record()?;
        let (id, state) = (record.summary.id, record.summary.state);
        let outcome = record.summary.outcome.ok_or_else(|| gone(id))?;
        Ok(Ended {
            id,
            state,
            outcome,
            output: record.output,
        })
    }
}

impl Ended {
    /// Whether the job succeeded.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.state == JobState::Succeeded
    }

    /// Why it ended.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.outcome.cause
    }

    /// What it gave to `Context::output`.
    ///
    /// # Errors
    /// When the value does not fit `V`.
    pub fn output<V: DeserializeOwned>(&self) -> Result<Option<V>, StoreFailure> {
        decode(self.output.clone())
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id)
            .field("duplicate", &self.duplicate)
            .finish_non_exhaustive()
    }
}

/// Cancels all of them in one durable step, and wakes whoever runs some of them.
#[cfg(feature = "service")]
pub(crate) fn cancel_all(
    store: &StoreClient,
    jobs: Vec<JobId>,
    by: String,
) -> Result<Vec<CancelReply>, StoreError> {
    let replies = store.call(move |store| store.cancel(&jobs, &by))?;
    let concerned = |row: &SupervisorRow| {
        let is = |reply: &CancelReply| match reply {
            CancelReply::Stopping(runner) => row.id == *runner,
            CancelReply::Cancelled => row.open,
            CancelReply::Ended(_) | CancelReply::Unknown => false,
        };
        replies.iter().any(is)
    };
    wake(store, concerned)?;
    Ok(replies)
}

/// Cancels durably, and wakes whoever runs the job.
pub(crate) fn cancel(
    store: &StoreClient,
    job: JobId,
    by: String,
) -> Result<CancelReply, StoreError> {
    let replies = store.call(move |store| store.cancel(&[job], &by))?;
    let reply = replies.first().copied().unwrap_or(CancelReply::Unknown);
    match reply {
        CancelReply::Stopping(runner) => wake(store, |row| row.id == runner)?,
        // A twin that was held by it may start now.
        CancelReply::Cancelled => wake(store, |row| row.open)?,
        CancelReply::Ended(_) | CancelReply::Unknown => {}
    }
    Ok(reply)
}

fn wake(store: &StoreClient, concerned: impl Fn(&SupervisorRow) -> bool) -> Result<(), StoreError> {
    for row in store.call(|store| store.supervisors())? {
        if concerned(&row) {
            supervisor::wake(&row.directory);
        }
    }
    Ok(())
}

/// The newest output of a succeeded job of `T`: the last good copy of a scheduled dispatcher.
///
/// # Errors
/// When the store cannot be read, or the value does not fit `V`.
pub fn latest_output<T: dispatcher_core::Dispatcher, V: DeserializeOwned>()
-> Result<Option<V>, StoreFailure> {
    let found = store()?.call(|store| -> Result<_, StoreError> {
        let found = store.latest_output(T::NAME)?;
        store.sync()?;
        Ok(found)
    })?;
    decode(found.map(|(_, output)| output))
}

/// The job of `T` that was submitted last; `None` when none is on record.
///
/// # Errors
/// When the store cannot be read.
pub fn latest_job<T: dispatcher_core::Dispatcher>() -> Result<Option<JobHandle<T>>, StoreFailure> {
    let filter = JobFilter {
        dispatcher: Some(T::NAME.to_owned()),
        limit: 1,
        ..JobFilter::default()
    };
    let found = store()?.call(move |store| store.jobs(&filter))?;
    Ok(found.first().map(|job| {
        JobHandle::new(Sent {
            id: job.id,
            duplicate: false,
        })
    }))
}

pub(super) fn store() -> Result<StoreClient, StoreFailure> {
    app::store().map_err(|error| match error {
        super::SpawnError::Store(failure) => failure,
        other => database(other.to_string()).into(),
    })
}

fn decode<V: DeserializeOwned>(output: Option<String>) -> Result<Option<V>, StoreFailure> {
    let Some(text) = output else { return Ok(None) };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| database(format!("the stored output does not fit: {error}")).into())
}

fn gone(id: JobId) -> StoreError {
    database(format!("job {id} is not on record any more"))
}

fn database(detail: String) -> StoreError {
    let path = app::location()
        .map(|location| location.place())
        .unwrap_or_default();
    StoreError::Database { path, detail }
}
