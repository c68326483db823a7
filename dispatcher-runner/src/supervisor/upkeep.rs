//! Rescue and upkeep, in a thread of their own: what takes long must not hold up running jobs.
//!
//! A supervisor is dead when its kernel lock is free; its workers are dead when their slot locks
//! can be taken. Only then is anything re-queued.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::{self, Carriers, Tag};
use crate::store::{
    Build, Claimed, Record, Rescued, Retention, Seat, StoreClient, StoreError, SupervisorId,
    SupervisorRow, serves_all,
};

use super::begun::begun;
use super::open::OwnRow;
use super::{LIFE_LOCK, Stay, wake, wall_ms};

/// Time between two looks at the other supervisors.
const INTERVAL: Duration = Duration::from_secs(2);
/// Time for a killed worker to let go of its slot lock.
const DEATH_TIME_MAX: Duration = Duration::from_secs(30);
/// Rounds between two prunings.
const ROUNDS_PER_PRUNE: u32 = 5;
/// Jobs that are pruned at once: whoever else wants the store waits for that long.
const PRUNE_BATCH: usize = 250;
/// Rounds between two words about a newer build: an hour.
const ROUNDS_PER_REMINDER: u32 = 1_800;

/// What the thread needs.
pub(super) struct Upkeep {
    pub(super) store: StoreClient,
    pub(super) row: OwnRow,
    pub(super) program: String,
    pub(super) stay: Stay,
    pub(super) build: Build,
    pub(super) home: PathBuf,
    pub(super) newer: Newer,
    pub(super) retention: Retention,
}

/// Ends the thread when dropped.
pub(super) struct Guard {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the thread leaves word for the driver: the supervisor of a newer build that is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Newer(Arc<AtomicI64>);

impl Newer {
    /// Takes the word, if there is one.
    pub(super) fn take(&self) -> Option<SupervisorId> {
        let id = self.0.swap(0, Ordering::AcqRel);
        (id != 0).then_some(SupervisorId(id))
    }

    fn leave(&self, id: SupervisorId) {
        self.0.store(id.0, Ordering::Release);
    }
}

pub(super) fn start(upkeep: Upkeep) -> Guard {
    let (stop, stopped) = channel();
    let thread = std::thread::Builder::new()
        .name("upkeep".into())
        .spawn(move || upkeep.run(&stopped))
        .map_err(|error| tracing::error!(%error, "no thread for rescue and upkeep"))
        .ok();
    Guard {
        stop: Some(stop),
        thread,
    }
}

impl Upkeep {
    fn run(&self, stopped: &Receiver<()>) {
        for round in 0_u32.. {
            if let Err(error) = self.round(round, stopped) {
                tracing::error!(error = %error, advice = error.advice(), "upkeep failed");
            }
            match stopped.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn round(&self, round: u32, stopped: &Receiver<()>) -> Result<(), StoreError> {
        let rows = self.store.call(|store| store.supervisors())?;
        // First those of this machine: what they left can be killed, whatever became of their lease.
        for row in &rows {
            let others = row.id != self.row.id() && row.directory != self.home;
            if others && row.seat == Seat::Here {
                self.rescue_if_dead(row)?;
            }
        }
        self.rescue_expired()?;
        let newer = rows.iter().find(|row| {
            row.open
                // One that serves some labels only could not take over.
                && serves_all(&row.queues)
                && row.program == self.program
                && row.build.modified_ns > self.build.modified_ns
                && super::is_alive(row)
        });
        match (newer, self.stay) {
            (None, _) => {}
            (Some(row), Stay::WhileBusy { .. }) => {
                self.newer.leave(row.id);
                wake(&self.home);
            }
            (Some(_), Stay::UntilTold { .. }) if round.is_multiple_of(ROUNDS_PER_REMINDER) => {
                tracing::warn!(
                    "a newer build of this program is there; restart the service to use it"
                );
            }
            (Some(_), Stay::UntilTold { .. }) => {}
        }
        if round.is_multiple_of(ROUNDS_PER_PRUNE) {
            self.prune(stopped)?;
        }
        Ok(())
    }

    /// Until nothing is over the limits, however fast jobs end.
    fn prune(&self, stopped: &Receiver<()>) -> Result<(), StoreError> {
        let retention = self.retention;
        loop {
            let pruned = self
                .store
                .call(move |store| store.prune(&retention, PRUNE_BATCH))?;
            if pruned == 0 || stopped.try_recv() != Err(TryRecvError::Empty) {
                return Ok(());
            }
        }
    }

    /// Those of other machines: whoever is late with its lease has ended what it ran.
    fn rescue_expired(&self) -> Result<(), StoreError> {
        for (supervisor, rescued) in self.store.call(|store| store.rescue_expired())? {
            tell_rescue(
                supervisor,
                &rescued,
                "a lease has ended; its jobs were taken over",
            );
            wake(&self.home);
        }
        Ok(())
    }

    fn rescue_if_dead(&self, row: &SupervisorRow) -> Result<(), StoreError> {
        match File::open(row.directory.join(LIFE_LOCK)) {
            // Let go of at once: whoever holds it passes for the living supervisor.
            Ok(life) if life.try_lock().is_err() => return Ok(()),
            Ok(_) => {}
            // It removes its directory as its last act, or somebody cleaned up by hand: then it
            // leaves by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if process::runs(row.pid, &row.build) {
                    return Ok(());
                }
            }
            Err(error) => {
                tracing::error!(%error, supervisor = row.id.0, "it cannot be told whether it is dead");
                return Ok(());
            }
        }
        // Held to the end, so that two rescuers exclude each other.
        let _rescue = match File::open(&row.directory) {
            Ok(directory) if directory.try_lock().is_err() => return Ok(()),
            Ok(directory) => Some(directory),
            Err(_) => None,
        };
        let id = row.id;
        let claims = self.store.call(move |store| store.claims_of(id))?;
        let begun = begun(&row.directory);
        let has_begun = |job: &Claimed| {
            let claim = (job.job, job.counters.token);
            begun.as_ref().is_none_or(|begun| begun.contains(&claim))
        };
        let (claims, others): (Vec<Claimed>, Vec<Claimed>) =
            claims.into_iter().partition(has_begun);
        let tags = claims.iter().map(|claim| Tag {
            job: claim.job,
            attempt: claim.counters.attempt,
        });
        let tags: Vec<Tag> = tags.collect();
        if !prove_dead(&row.directory, &tags) {
            tracing::error!(
                supervisor = id.0,
                "its workers do not die; their jobs stay with them until they do"
            );
            return Ok(());
        }
        let (build, now) = (&self.build.id, wall_ms());
        let released = others.iter().map(|job| Record::released(job, build, now));
        let released: Vec<Record> = released.collect();
        let rescued = self.store.call(move |store| {
            // They have run nowhere, and lose nothing.
            store.record(&released)?;
            store.rescue(id)
        })?;
        tell_rescue(
            id,
            &rescued,
            "a supervisor was lost; its jobs were taken over",
        );
        let _ = std::fs::remove_dir_all(&row.directory);
        wake(&self.home);
        Ok(())
    }
}

fn tell_rescue(supervisor: SupervisorId, rescued: &Rescued, what: &str) {
    tracing::warn!(
        supervisor = supervisor.0,
        requeued = rescued.requeued.len(),
        failed = rescued.failed.len(),
        cancelled = rescued.cancelled.len(),
        "{what}"
    );
}

/// Kills what carries these tags, and those of pools, then looks whether every slot lock is
/// free. `false` when somebody lives.
pub(super) fn prove_dead(directory: &Path, tags: &[Tag]) -> bool {
    let deadline = Instant::now() + DEATH_TIME_MAX;
    loop {
        let slots = match process::slots(directory) {
            Ok(slots) => slots,
            Err(error) => {
                tracing::error!(%error, "its slots cannot be looked at");
                return false;
            }
        };
        let pools = slots.iter().filter_map(|slot| slot.pool);
        let pools = pools.map(Carriers::OfPool);
        let carriers: Vec<Carriers> = tags
            .iter()
            .copied()
            .map(Carriers::Of)
            .chain(pools)
            .collect();
        for carriers in &carriers {
            process::kill_tagged(*carriers);
        }
        if slots.iter().all(|slot| slot.is_free().unwrap_or(false)) {
            return true;
        }
        if Instant::now() >= deadline {
            let alive = carriers.iter().map(|it| process::count_tagged(*it));
            let alive: u32 = alive.sum();
            tracing::error!(alive, "killed processes do not end");
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
