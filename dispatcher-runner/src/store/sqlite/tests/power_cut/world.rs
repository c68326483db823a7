//! A few programs at work on one state file, and every cut of the power on the way.
//!
//! One thread takes turns for all of them, so that a seed gives one story. What a step answers is
//! told after the cuts within it were looked at: until it answers, nobody knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dispatcher_core::{
    JobId, JobState, Missed, OnDuplicate, OnLost, ScheduleOptions, TickFate, ZonedSchedule,
};
use jiff::tz::TimeZone;

use super::disk::{Cut, Disk, Image, Lie};
use super::oracle::{Depth, NAMES, Oracle, TICKING, Told};
use super::vfs;
use crate::store::clock::Clock;
use crate::store::conformance::{
    Numbers, START, ending, group, job, job_with, new_supervisor, request, row, seconds,
};
use crate::store::schedule::ScheduledJobs;
use crate::store::sqlite::SqliteStore;
use crate::store::{
    CancelReply, Claimed, DispatcherRow, Next, Pause, Record, Recorded, Retention, Store,
    StoreError, Submission, SupervisorId, TickRequest, Ticked,
};

/// Programs that share the state file: a submitter, a supervisor, somebody who looks.
pub(super) const PROGRAMS: usize = 3;

/// Everything about one run.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) disk: Arc<Disk>,
    stores: Vec<SqliteStore>,
    now: Arc<AtomicI64>,
    seed: u64,
    lie: Lie,
    pub(super) numbers: Numbers,
    pub(super) oracle: Oracle,
    pub(super) supervisors: Vec<SupervisorId>,
    pub(super) claimed: Vec<Claimed>,
    pub(super) cuts: u64,
    pub(super) syncs: u64,
}

impl World {
    /// Seed 0 is a world whose log is written back as often as in any program; in the others it
    /// may be much more often.
    pub(super) fn new(seed: u64, lie: Lie) -> Self {
        vfs::install();
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            disk: Disk::watch(folder.path(), seed),
            folder,
            stores: Vec::new(),
            now: Arc::new(AtomicI64::new(START)),
            seed,
            lie,
            numbers: Numbers::new(seed),
            oracle: Oracle::default(),
            supervisors: Vec::new(),
            claimed: Vec::new(),
            cuts: 0,
            syncs: 0,
        };
        if lie == Lie::Folder {
            world.disk.lie(lie);
        }
        world.open_all();
        world
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn open_all(&mut self) {
        let pages = match self.seed {
            0 => 2000,
            _ => [8, 40, 2000][self.numbers.below(3) as usize],
        };
        for _ in 0..PROGRAMS {
            let store = open(&self.path(), &self.now);
            store
                .connection
                .pragma_update(None, "wal_autocheckpoint", pages)
                .unwrap();
            self.stores.push(store);
        }
    }

    /// One step of one program, with a look at every cut within it and one after it.
    pub(super) fn act<R>(
        &mut self,
        what: &str,
        program: usize,
        step: impl FnOnce(&mut SqliteStore) -> R,
        tell: impl FnOnce(&mut Oracle, &R),
    ) -> Result<R, String> {
        let answer = step(&mut self.stores[program]);
        self.look_at_cuts(&format!("within {what}"))?;
        tell(&mut self.oracle, &answer);
        self.disk.cut("at once");
        self.look_at_cuts(&format!("after {what}"))?;
        Ok(answer)
    }

    fn look_at_cuts(&mut self, what: &str) -> Result<(), String> {
        for cut in self.disk.cuts() {
            self.cuts += 1;
            let depth = match self.numbers.below(16) {
                0 => Depth::Lives,
                _ => Depth::Told,
            };
            // Whoever looks winds a clock of its own.
            let now = Arc::new(AtomicI64::new(self.now.load(Ordering::Relaxed)));
            self.oracle
                .check(&cut, &now, depth)
                .map_err(|wrong| format!("seed {}, {what}, {wrong}", self.seed))?;
        }
        Ok(())
    }

    /// All programs end, the last one last, and begin again.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.stores.clear();
        self.look_at_cuts("within the end of all")?;
        self.open_all();
        self.look_at_cuts("within a new start")
    }

    /// The power fails for real: everybody begins again with what one cut has left.
    pub(super) fn fail(&mut self) -> Result<(), String> {
        self.disk.cut("for good");
        let mut cuts = self.disk.cuts();
        let chosen = self.numbers.below(cuts.len() as u64) as usize;
        let Cut { image, .. } = cuts.swap_remove(chosen);
        self.syncs += self.disk.syncs();
        self.stores.clear();
        self.settle(&image);
        self.open_all();
        self.claimed.clear();
        // Nobody who ran is alive.
        for dead in std::mem::take(&mut self.supervisors) {
            self.rescue(dead)?;
        }
        self.look_at_cuts("within the first start after the power came back")
    }

    fn settle(&mut self, image: &Image) {
        self.folder = tempfile::tempdir().unwrap();
        for (name, bytes) in image {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }
        self.disk = Disk::watch(self.folder.path(), self.numbers.below(u64::MAX));
        self.disk.lie(self.lie);
    }

    pub(super) fn advance(&self, time: Duration) {
        self.now
            .fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }

    pub(super) fn register(&mut self) -> Result<(), String> {
        let rows = rows();
        self.act(
            "a registration",
            0,
            |store| store.register(&rows),
            |_, _| {},
        )?
        .map_err(|error| error.to_string())?;
        // A disk that has lied from the beginning would have no state file at all.
        if self.lie != Lie::Folder {
            self.disk.lie(self.lie);
        }
        Ok(())
    }

    pub(super) fn submit(&mut self, groups: &[Submission]) -> Result<(), String> {
        let tell = |oracle: &mut Oracle, answers: &Vec<_>| {
            for submitted in answers.iter().flatten() {
                let submitted: &crate::store::Submitted = submitted;
                for accepted in &submitted.jobs {
                    oracle.jobs.entry(accepted.id).or_default();
                }
            }
        };
        self.act("a submission", 0, |store| store.submit(groups), tell)?;
        Ok(())
    }

    /// A minute passes, and with it a tick.
    pub(super) fn tick(&mut self) -> Result<(), String> {
        self.advance(seconds(60));
        let wanted = [minutely()];
        let tell = |oracle: &mut Oracle, ticked: &Result<Ticked, StoreError>| {
            for one in ticked.iter().flat_map(|it| it.iter().flatten()) {
                oracle.ticks.insert(one.tick);
                if let (TickFate::Submitted, Some(job)) = (&one.fate, one.job) {
                    oracle.jobs.entry(job).or_default();
                }
            }
        };
        self.act("a tick", 0, |store| store.tick(&wanted), tell)?
            .map(drop)
            .map_err(|error| error.to_string())
    }

    pub(super) fn open_supervisor(&mut self) -> Result<SupervisorId, String> {
        let tell = |oracle: &mut Oracle, opened: &Result<SupervisorId, _>| {
            let _: &Result<_, StoreError> = opened;
            oracle.supervisors.extend(opened.as_ref().ok());
        };
        let new = new_supervisor("test");
        let opened = self.act("an opening", 1, |store| store.open_supervisor(&new), tell)?;
        let id = opened.map_err(|error| error.to_string())?;
        self.supervisors.push(id);
        Ok(id)
    }

    pub(super) fn claim(&mut self, supervisor: SupervisorId, slots: u32) -> Result<(), String> {
        let wanted = request(supervisor, &NAMES, slots);
        let claim = self
            .act("a claim", 1, |store| store.claim(&wanted), |_, _| {})?
            .map_err(|error| error.to_string())?;
        self.claimed.extend(claim.jobs);
        Ok(())
    }

    pub(super) fn record(&mut self, records: &[Record]) -> Result<(), String> {
        self.act("a record", 1, |store| store.record(records), |_, _| {})?
            .map(|_: Vec<Recorded>| ())
            .map_err(|error| error.to_string())
    }

    pub(super) fn record_and_claim(
        &mut self,
        records: &[Record],
        supervisor: SupervisorId,
    ) -> Result<(), String> {
        let wanted = request(supervisor, &NAMES, 2);
        let step = |store: &mut SqliteStore| store.record_and_claim(records, &wanted);
        let (_, claim) = self
            .act("a record with a claim", 1, step, |_, _| {})?
            .map_err(|error| error.to_string())?;
        self.claimed.extend(claim.jobs);
        Ok(())
    }

    /// What an acknowledged cancellation says, its answer about an end included.
    pub(super) fn cancel(&mut self, job: JobId, program: usize) -> Result<(), String> {
        let tell = |oracle: &mut Oracle, replies: &Result<Vec<CancelReply>, _>| {
            let _: &Result<_, StoreError> = replies;
            let Some(told) = oracle.jobs.get_mut(&job) else {
                return;
            };
            match replies.as_ref().map(|replies| replies[0]) {
                Ok(CancelReply::Cancelled | CancelReply::Stopping(_)) => told.is_cancelled = true,
                Ok(CancelReply::Ended(state)) => told.ended(state, None),
                Ok(CancelReply::Unknown) | Err(_) => {}
            }
        };
        let step = |store: &mut SqliteStore| store.cancel(&[job], "me");
        self.act("a cancellation", program, step, tell)?
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// As whoever waits for an end does it: look, sync, tell.
    pub(super) fn observe(&mut self, job: JobId, program: usize) -> Result<(), String> {
        let look = |store: &mut SqliteStore| {
            let record = store.job(job).unwrap()?;
            let summary = &record.summary;
            summary.state.is_terminal().then(|| {
                store.sync().unwrap();
                (summary.state, summary.outcome.clone(), record.output)
            })
        };
        let tell = |oracle: &mut Oracle, seen: &Option<_>| {
            let told: &mut Told = oracle.jobs.entry(job).or_default();
            if let Some((state, outcome, output)) = seen.clone() {
                told.ended(state, outcome);
                told.output = output;
            }
        };
        self.act("a look", program, look, tell)?;
        Ok(())
    }

    pub(super) fn rescue(&mut self, dead: SupervisorId) -> Result<(), String> {
        self.oracle.supervisors.remove(&dead);
        self.claimed.clear();
        let tell = |oracle: &mut Oracle, rescued: &Result<crate::store::Rescued, _>| {
            let _: &Result<_, StoreError> = rescued;
            let Ok(rescued) = rescued else { return };
            for (ids, state) in [
                (&rescued.failed, JobState::Failed),
                (&rescued.cancelled, JobState::Cancelled),
            ] {
                for id in ids {
                    oracle.jobs.entry(*id).or_default().ended(state, None);
                }
            }
        };
        self.act("a rescue", 2, |store| store.rescue(dead), tell)?
            .map(drop)
            .map_err(|error| error.to_string())
    }

    pub(super) fn close(&mut self, supervisor: SupervisorId) -> Result<(), String> {
        self.oracle.supervisors.remove(&supervisor);
        let step = |store: &mut SqliteStore| store.close_supervisor(supervisor);
        self.act("a close", 1, step, |_, _| {})?
            .map_err(|error| error.to_string())
    }

    pub(super) fn pause(&mut self, name: &str, pause: Pause) -> Result<(), String> {
        self.oracle.paused.remove(name);
        let tell = |oracle: &mut Oracle, _: &_| {
            oracle.paused.insert(name.to_owned(), pause);
        };
        let step = |store: &mut SqliteStore| store.set_paused(name, pause).map(drop);
        self.act("a pause", 2, step, tell)?
            .map_err(|error| error.to_string())
    }

    /// What has ended may go, and what was seen after it stays.
    pub(super) fn prune(&mut self, keep: u64) -> Result<(), String> {
        let retention = Retention {
            age: seconds(60),
            count_per_dispatcher: keep,
        };
        for told in self.oracle.jobs.values_mut() {
            told.may_be_gone = true;
        }
        let step = |store: &mut SqliteStore| {
            store.prune(&retention, 50).unwrap();
            let left = store.jobs(&crate::store::conformance::all()).unwrap();
            left.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        let tell = |oracle: &mut Oracle, left: &Vec<JobId>| {
            for id in left {
                oracle.jobs.entry(*id).or_default().may_be_gone = false;
            }
        };
        self.act("a prune", 2, step, tell)?;
        Ok(())
    }

    /// The log is written back by somebody.
    pub(super) fn checkpoint(&mut self, kind: &str) -> Result<(), String> {
        let statement = format!("PRAGMA wal_checkpoint({kind})");
        let step = |store: &mut SqliteStore| {
            let connection = &store.connection;
            connection.query_row(&statement, [], |row| row.get::<_, i64>(0))
        };
        self.act("a checkpoint", 2, step, |_, _| {})?
            .map(drop)
            .map_err(|error| error.to_string())
    }

    pub(super) fn jobs(&self) -> Vec<JobId> {
        self.oracle.jobs.keys().copied().collect()
    }
}

fn open(path: &Path, now: &Arc<AtomicI64>) -> SqliteStore {
    SqliteStore::open_with_clock(path, Clock::Given(Arc::clone(now))).unwrap()
}

/// The dispatchers, each with something of its own.
pub(super) fn rows() -> Vec<DispatcherRow> {
    let [plain, serial, limited, _] = NAMES;
    vec![
        row(plain, |_| {}),
        row(serial, |options| options.on_duplicate = OnDuplicate::Serial),
        row(limited, |options| {
            options.max_queue = 6;
            options.concurrency = 2;
            options.on_duplicate = OnDuplicate::Discard;
        }),
    ]
}

/// A schedule of every minute; its dispatcher is registered by the first look.
pub(super) fn minutely() -> TickRequest {
    let options = ScheduleOptions {
        expression: "* * * * *".to_owned(),
        missed: Missed::All,
        ..ScheduleOptions::default()
    };
    let when = ZonedSchedule::new(&options, TimeZone::UTC).unwrap();
    let jobs = (0..when.runs_max()).map(|_| job(TICKING)).collect();
    TickRequest {
        dispatcher: row(TICKING, |it| it.schedule = Some(options.clone())),
        schedule: Some(ScheduledJobs {
            when,
            overlap: options.overlap,
            jobs: Ok(jobs),
        }),
    }
}

/// Some groups of jobs.
pub(super) fn random_groups(numbers: &mut Numbers) -> Vec<Submission> {
    let groups = 1 + numbers.below(2);
    let group_of = |numbers: &mut Numbers| {
        let jobs = (0..=numbers.below(3)).map(|_| random_job(numbers));
        group(jobs.collect())
    };
    (0..groups).map(|_| group_of(numbers)).collect()
}

fn random_job(numbers: &mut Numbers) -> crate::store::NewJob {
    let name = NAMES[numbers.below(3) as usize];
    job_with(name, |job| {
        if numbers.below(2) == 0 {
            job.identity = format!("identity {}", numbers.below(3));
        }
        match numbers.below(6) {
            0 => job.options.delay = Some(seconds(numbers.below(20))),
            1 => job.options.expires = Some(seconds(1 + numbers.below(30))),
            2 => job.options.on_lost = OnLost::Fail,
            // Some pages that only one transaction touches.
            3 => job.payload = format!("\"{}\"", "x".repeat(numbers.below(30_000) as usize)),
            _ => {}
        }
        job.options.priority = numbers.below(3) as i32;
    })
}

/// Some end of an attempt.
pub(super) fn random_end(numbers: &mut Numbers, claimed: &Claimed) -> Record {
    let after = seconds(numbers.below(4));
    let next = match numbers.below(8) {
        0 => Next::Fail,
        1 => Next::Retry { after },
        2 => Next::Release,
        3 => Next::Cancel,
        _ => Next::Succeed,
    };
    let mut record = ending(claimed, next);
    record.output = (numbers.below(2) == 0).then(|| format!("{}", numbers.below(1000)));
    if numbers.below(4) == 0 {
        record.capture.stdout.head = vec![b'o'; numbers.below(9_000) as usize];
    }
    record
}
