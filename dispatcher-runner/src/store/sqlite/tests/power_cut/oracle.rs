//! What somebody was told, and whether a state file still says so.
//!
//! Only what was told counts: a claim or an end that nobody has seen may be undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dispatcher_core::{Cause, JobId, JobState, Outcome};

use super::disk::{Cut, Image};
use super::vfs;
use super::world::minutely;
use crate::store::clock::Clock;
use crate::store::conformance::{all, ending, new_supervisor, request};
use crate::store::sqlite::SqliteStore;
use crate::store::{JobSummary, Next, Pause, Store, SupervisorId};

/// Dispatchers of the jobs here.
pub(super) const NAMES: [&str; 4] = ["Plain", "Serial", "Limited", TICKING];
/// The one with a schedule.
pub(super) const TICKING: &str = "Ticking";

/// Everything that was told so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    pub(super) jobs: BTreeMap<JobId, Told>,
    pub(super) paused: BTreeMap<String, Pause>,
    pub(super) supervisors: BTreeSet<SupervisorId>,
    /// Ticks that were decided.
    pub(super) ticks: BTreeSet<i64>,
}

/// What was told of a job; that it was accepted, at least.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// It may have been pruned.
    pub(super) may_be_gone: bool,
    /// It will not succeed.
    pub(super) is_cancelled: bool,
    pub(super) state: Option<JobState>,
    pub(super) outcome: Option<Outcome>,
    pub(super) output: Option<String>,
}

/// How much is looked at after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What was told.
    Told,
    /// Whatever is unfinished runs to its end, too.
    Lives,
}

impl Oracle {
    /// Opens what a cut has left as any program would.
    pub(super) fn check(
        &self,
        cut: &Cut,
        now: &Arc<AtomicI64>,
        depth: Depth,
    ) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        lay_out(&cut.image, folder.path());
        vfs::in_memory(|| self.check_file(&path, now, depth))
            .map_err(|wrong| format!("{}: {wrong}", cut.moment))
    }

    fn check_file(&self, path: &Path, now: &Arc<AtomicI64>, depth: Depth) -> Result<(), String> {
        let clock = Clock::Given(Arc::clone(now));
        let said = |error: &dyn std::error::Error| error.to_string();
        let mut store = SqliteStore::open_with_clock(path, clock).map_err(|error| said(&error))?;
        is_sound(&store)
            .map_err(|error| said(&error))?
            .map_or(Ok(()), Err)?;
        let listed = store.jobs(&all()).map_err(|error| said(&error))?;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|job| (job.id, job)).collect();
        for (id, told) in &self.jobs {
            check_job(&mut store, *id, told, listed.get(id))?;
        }
        self.check_rows(&mut store)?;
        if depth == Depth::Lives {
            self.check_ticks(&mut store)?;
            self.finish(&mut store, now)?;
        }
        Ok(())
    }

    fn check_rows(&self, store: &mut SqliteStore) -> Result<(), String> {
        let dispatchers = store.dispatchers().map_err(|error| error.to_string())?;
        for (name, pause) in &self.paused {
            let found = dispatchers.iter().find(|one| one.row.name == *name);
            let is_paused = found.map(|one| one.paused);
            if is_paused != Some(*pause == Pause::Paused) {
                return Err(format!("{name} was told to be {pause:?}: {is_paused:?}"));
            }
        }
        let rows = store.supervisors().map_err(|error| error.to_string())?;
        for id in &self.supervisors {
            if !rows.iter().any(|row| row.id == *id && row.open) {
                return Err(format!("the row of {id:?} is not open"));
            }
        }
        Ok(())
    }

    /// Whoever asks again is not told again.
    fn check_ticks(&self, store: &mut SqliteStore) -> Result<(), String> {
        let ticked = store.tick(&[minutely()]);
        let ticked = ticked.map_err(|error| error.to_string())?;
        let mut decided = ticked.iter().flatten();
        match decided.find(|one| self.ticks.contains(&one.tick)) {
            Some(twice) => Err(format!("decided twice: {twice:?}")),
            None => Ok(()),
        }
    }

    /// Everything was lost with the power, and is made good by the next supervisor.
    fn finish(&self, store: &mut SqliteStore, now: &AtomicI64) -> Result<(), String> {
        const ROUNDS_MAX: usize = 400;
        let rows = store.supervisors().unwrap();
        for row in rows {
            store.rescue(row.id).unwrap();
        }
        for name in NAMES {
            store.set_paused(name, Pause::Running).unwrap();
        }
        let supervisor = store.open_supervisor(&new_supervisor("after")).unwrap();
        for _ in 0..ROUNDS_MAX {
            let claim = store.claim(&request(supervisor, &NAMES, 8)).unwrap();
            let jobs = claim.jobs.iter();
            let ends: Vec<_> = jobs.map(|one| ending(one, Next::Succeed)).collect();
            store.record(&ends).unwrap();
            if ends.is_empty() {
                match claim.next_due {
                    Some(due) => {
                        let due = due.as_millis().max(1) as i64;
                        now.fetch_add(due, Ordering::Relaxed);
                    }
                    None => break,
                }
            }
        }
        for (id, told) in &self.jobs {
            let state = store.state(*id).unwrap();
            if !told.may_be_gone && !state.is_some_and(JobState::is_terminal) {
                return Err(format!("{id} never ends: {state:?}"));
            }
        }
        is_sound(store).unwrap().map_or(Ok(()), Err)
    }
}

fn lay_out(image: &Image, folder: &Path) {
    for (name, bytes) in image {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// What SQLite itself and a recount find wrong.
fn is_sound(store: &SqliteStore) -> rusqlite::Result<Option<String>> {
    let connection = &store.connection;
    let answer: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if answer != "ok" {
        return Ok(Some(answer));
    }
    for (what, statement) in [
        ("lanes", super::super::LANES),
        ("tallies", super::super::TALLIES),
    ] {
        let wrong: i64 = connection.query_row(statement, [], |row| row.get(0))?;
        if wrong > 0 {
            return Ok(Some(format!("{wrong} {what} differ from a recount")));
        }
    }
    Ok(None)
}

fn check_job(
    store: &mut SqliteStore,
    id: JobId,
    told: &Told,
    found: Option<&JobSummary>,
) -> Result<(), String> {
    let Some(found) = found else {
        let answer = told.may_be_gone.then_some(());
        return answer.ok_or_else(|| format!("{id} is missing; told: {told:?}"));
    };
    if told.state.is_some_and(|state| state != found.state) {
        return Err(format!("{id} is {} again; told: {told:?}", found.state));
    }
    if told.outcome.is_some() && told.outcome != found.outcome {
        return Err(format!("{id} ended by {:?}; told: {told:?}", found.outcome));
    }
    if told.output.is_none() && !told.is_cancelled {
        return Ok(());
    }
    let record = store.job(id).map_err(|error| error.to_string())?;
    let record = record.ok_or_else(|| format!("{id} is listed and not shown"))?;
    if told.output.is_some() && told.output != record.output {
        return Err(format!("{id} put out {:?}; told: {told:?}", record.output));
    }
    let stays_cancelled = match found.state {
        JobState::Cancelled => true,
        JobState::Running => record.cancel_requested_by.is_some(),
        JobState::Queued | JobState::Succeeded | JobState::Failed => false,
    };
    if told.is_cancelled && !stays_cancelled {
        return Err(format!("{id} was cancelled and is {}", found.state));
    }
    Ok(())
}

impl Told {
    /// It was seen to have ended.
    pub(super) fn ended(&mut self, state: JobState, outcome: Option<Outcome>) {
        self.state = Some(state);
        if let Some(Outcome {
            cause: Cause::Cancelled { .. },
            ..
        }) = outcome
        {
            self.is_cancelled = true;
        }
        self.outcome = outcome.or(self.outcome.take());
    }
}
