//! What sources are told of the service and its jobs.
//!
//! Jobs come from the store, workers from the supervisor's own memory; a job that runs elsewhere
//! has no worker here.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use dispatcher_core::{JobId, JobState};

use super::Seen;
use crate::client::{self, SpawnError};
use crate::metrics::Metrics;
use crate::sources::{
    Board, JobWait, ServiceView, SourceStage, TellView, UnfinishedJob, WorkerView,
};
use crate::store::{CancelReply, JobFilter, JobSummary, StoreClient, StoreError};
use crate::supervisor::desk::{Ask, Desk, Look};

/// Jobs of one state that one look tells of, at most.
const JOBS_MAX: usize = 100_000;

/// Everything that can be seen of a service.
pub(super) struct Viewing {
    desk: Desk,
    metrics: Arc<Metrics>,
    admin: Option<SocketAddr>,
    sources: OnceLock<Board>,
}

impl Viewing {
    pub(super) fn new(desk: &Desk, seen: &Seen) -> Self {
        Self {
            desk: desk.clone(),
            metrics: Arc::clone(&seen.metrics),
            admin: seen.admin,
            sources: OnceLock::new(),
        }
    }

    /// Sources are made with a handle on this, so they are known later.
    pub(super) fn set_sources(&self, board: Board) {
        let _ = self.sources.set(board);
    }

    /// Has the supervisor look; its thread tells.
    pub(super) fn look(self: &Arc<Self>, told: TellView) {
        let own = Arc::clone(self);
        let told = move |look| told(own.view(look));
        self.desk.ask(Ask::Look(Box::new(told)));
    }

    fn view(&self, look: Look) -> ServiceView {
        let workers = look.workers.into_iter().map(|worker| WorkerView {
            id: worker.id,
            pid: worker.pid,
            state: worker.state,
            job: worker.job.map(|(id, _)| id),
            served: worker.served,
            age: worker.age,
        });
        let mut sources = self.sources.get().map_or_else(Vec::new, Board::look);
        sources.retain(|source| source.stage != SourceStage::Off);
        let (ended, cancelled) = self.metrics.ended();
        ServiceView {
            workers: workers.collect(),
            ended,
            cancelled,
            retired: look.pools.iter().flat_map(|it| it.restarts.values()).sum(),
            sources,
            metrics: self.admin,
        }
    }
}

/// Jobs that have not ended, those that run first, each the oldest first.
pub(super) fn unfinished(store: &StoreClient) -> Result<Vec<UnfinishedJob>, SpawnError> {
    let states = [JobState::Running, JobState::Queued];
    let (jobs, now) = store.call(move |store| {
        let mut all = Vec::new();
        for state in states {
            let mut jobs = store.jobs(&JobFilter {
                state: Some(state),
                limit: JOBS_MAX,
                ..JobFilter::default()
            })?;
            jobs.reverse();
            all.extend(jobs);
        }
        // The store's own clock says what is due.
        Ok::<_, StoreError>((all, store.schedules()?.now))
    })?;
    let jobs = jobs.into_iter().map(|job| UnfinishedJob {
        wait: wait(&job, now),
        id: job.id,
        dispatcher: job.dispatcher,
        state: job.state,
        payload: job.payload,
        origin: job.origin,
    });
    Ok(jobs.collect())
}

fn wait(job: &JobSummary, now: i64) -> JobWait {
    match job.run_at {
        None => JobWait::Duplicate,
        Some(run_at) if run_at > now => JobWait::Time,
        Some(_) => JobWait::Worker,
    }
}

/// Cancels jobs durably, and tells which of them will not succeed any more.
pub(super) fn cancel(
    store: &StoreClient,
    jobs: Vec<JobId>,
    by: String,
) -> Result<Vec<JobId>, SpawnError> {
    let replies = client::cancel_all(store, jobs.clone(), by)?;
    let acknowledged = jobs
        .into_iter()
        .zip(replies)
        .filter(|(_, reply)| match reply {
            CancelReply::Cancelled | CancelReply::Stopping(_) => true,
            CancelReply::Ended(_) | CancelReply::Unknown => false,
        });
    Ok(acknowledged.map(|(job, _)| job).collect())
}
