//! Whoever uses the system: submits, waits, cancels, pauses, prunes, and installs newer builds.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher_core::{
    Backoff, DispatcherOptions, JobId, Leftovers, Missed, OnDuplicate, OnLost, Options, Overlap,
    ScheduleOptions, TickFate, ZonedSchedule,
};
use jiff::tz::TimeZone;

use crate::store::{
    CancelReply, DispatcherRow, NewJob, Pause, Retention, ScheduledJobs, Store, Submission,
    SupervisorRow, TickRequest,
};

use super::dice::Dice;
use super::faults::Fault;
use super::leases::MACHINES;
use super::ledger::Declared;
use super::runner::{RunnerId, build_of};
use super::world::{Happening, Phase, World};

const SECOND: Duration = Duration::from_secs(1);
/// Known to every build.
const EVERYWHERE: &[&str] = &["apply", "fetch", "push", "renew"];
/// Known to the first build only, and to the later ones only.
const OLD: &str = "old";
const NEW: &str = "new";
/// Has a schedule, too.
const SCHEDULED: &str = "fetch";
const FIRST_BUILD: i64 = 1;

pub(super) struct Client {
    declared: BTreeMap<String, Declared>,
    /// The newest build that is installed.
    build: i64,
    missed: Missed,
    overlap: Overlap,
    numbers: u32,
    submitted: Vec<JobId>,
}

impl Client {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let names = EVERYWHERE.iter().chain([&OLD, &NEW]);
        let declared = names.map(|name| ((*name).to_owned(), declare(dice)));
        Self {
            declared: declared.collect(),
            build: FIRST_BUILD,
            missed: Missed::ALL[dice.index(Missed::ALL.len())],
            overlap: Overlap::ALL[dice.index(Overlap::ALL.len())],
            numbers: 0,
            submitted: Vec::new(),
        }
    }

    pub(super) fn declared(&self) -> BTreeMap<String, Declared> {
        self.declared.clone()
    }

    /// What a program of this build knows.
    pub(super) fn served_by(&self, build: i64) -> Vec<String> {
        let own = if build == FIRST_BUILD { OLD } else { NEW };
        let names = EVERYWHERE.iter().chain([&own]);
        names.map(|name| (*name).to_owned()).collect()
    }

    fn row(&self, name: &str, build: i64) -> DispatcherRow {
        let declared = &self.declared[name];
        DispatcherRow {
            name: name.to_owned(),
            build: build_of(build),
            options: DispatcherOptions {
                max_queue: declared.max_queue,
                concurrency: declared.concurrency,
                on_duplicate: declared.on_duplicate,
                schedule: None,
            },
            about: String::new(),
        }
    }

    pub(super) fn next_number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }
}

fn declare(dice: &mut Dice) -> Declared {
    let policies = OnDuplicate::ALL;
    let watched = dice.one_in(2);
    Declared {
        concurrency: dice.small(4),
        max_queue: if dice.one_in(3) {
            0
        } else {
            2 + dice.small(10)
        },
        on_duplicate: match watched {
            true => policies[dice.index(policies.len())],
            false => OnDuplicate::Parallel,
        },
    }
}

fn some_options(dice: &mut Dice) -> Options {
    let seconds = |dice: &mut Dice, max| SECOND + dice.millis(max);
    Options {
        timeout: match dice.below(3) {
            0 => None,
            _ => Some(seconds(dice, 8_000)),
        },
        grace: dice.millis(2_000),
        expires: dice.one_in(6).then(|| seconds(dice, 20_000)),
        unique_key: dice.one_in(8).then(|| dice.below(3).to_string()),
        retries: dice.small(4),
        backoff: match dice.below(3) {
            0 => Backoff::Constant { delay: SECOND },
            1 => Backoff::Linear {
                step: SECOND,
                max: 5 * SECOND,
            },
            _ => Backoff::Exponential {
                base: SECOND / 2,
                max: 10 * SECOND,
            },
        },
        on_lost: match dice.one_in(4) {
            true => OnLost::Fail,
            false => OnLost::Rerun,
        },
        priority: i32::try_from(dice.below(3)).unwrap_or(0) - 1,
        delay: dice.one_in(5).then(|| dice.millis(10_000)),
        memory_limit: dice.one_in(4).then_some(1 << 20),
        leftovers: match dice.one_in(3) {
            true => Leftovers::Kill,
            false => Leftovers::Leave,
        },
        ..Options::default()
    }
}

impl World {
    /// One thing that somebody does.
    pub(super) fn use_it(&mut self) {
        if self.phase == Phase::Liveness {
            return;
        }
        let next = self.dice.millis(600);
        self.after(next, Happening::Client);
        match self.dice.below(16) {
            0..9 => self.submit(),
            9..12 => self.cancel_one(),
            12 => self.pause_or_resume(),
            13 => self.prune(),
            14 => self.upgrade(),
            _ if self.dice.one_in(3) => self.tick(),
            _ => self.keep_served(),
        }
    }

    fn submit(&mut self) {
        // A program that runs still may be of an older build than the newest.
        let newest = self.client.build;
        let build = match self.dice.one_in(4) {
            true => newest - i64::from(newest > FIRST_BUILD),
            false => newest,
        };
        let names = self.client.served_by(build);
        let Some(name) = self.dice.pick(&names).cloned() else {
            return;
        };
        let count = if self.dice.one_in(6) { 3 } else { 1 };
        let jobs: Vec<NewJob> = (0..count).map(|_| self.new_job(&name, build)).collect();
        let group = Submission {
            dispatchers: vec![self.client.row(&name, build)],
            jobs,
            ..Submission::default()
        };
        let answers = self.store().submit(std::slice::from_ref(&group));
        self.client
            .submitted
            .extend(group.jobs.iter().map(|job| job.id));
        let rows = match answers.into_iter().next() {
            Some(Ok(submitted)) => submitted.supervisors,
            Some(Err(error)) => {
                return self
                    .trace
                    .line(self.now, format_args!("{name} refused: {error}"));
            }
            None => return,
        };
        self.trace
            .line(self.now, format_args!("{name} x {count} stored"));
        if !self.strikes(Fault::SubmitterDies) {
            self.find_somebody(&rows, build, &name);
        }
    }

    fn new_job(&mut self, name: &str, build: i64) -> NewJob {
        let mut bytes = [0; 10];
        for byte in &mut bytes {
            *byte = self.dice.next().to_le_bytes()[0];
        }
        let payload = format!("{{\"n\":{}}}", self.dice.below(4));
        let options = some_options(&mut self.dice);
        NewJob {
            id: JobId::from_bytes(bytes),
            dispatcher: name.to_owned(),
            identity: payload.clone(),
            payload,
            options,
            retry_of: None,
            origin: "simulated".into(),
            build: build_of(build),
        }
    }

    /// Wakes whoever is open and knows the dispatcher, or starts a supervisor.
    fn find_somebody(&mut self, rows: &[SupervisorRow], build: i64, name: &str) {
        let fit = |row: &&SupervisorRow| {
            row.open
                && row.build.modified_ns >= build
                && row.serves.iter().any(|it| it == name)
                && self.lives(row)
        };
        let open: Vec<RunnerId> = rows
            .iter()
            .filter(fit)
            .map(|row| RunnerId(row.pid))
            .collect();
        let machines = self.serving().count();
        if self.has_leases
            && self.phase == Phase::Safety
            && machines < MACHINES
            && self.dice.one_in(3)
        {
            self.launch(build);
        }
        if !open.is_empty() {
            // In the end nobody wakes anybody: timers must do.
            let woken = open.into_iter().filter(|_| self.phase == Phase::Safety);
            let woken: Vec<RunnerId> = woken.collect();
            return woken.into_iter().for_each(|runner| self.wake(runner));
        }
        if self.elections.contains_key(&build) {
            // Somebody of this build is just coming or going.
            let again = Happening::Ensure {
                build,
                dispatcher: name.to_owned(),
            };
            // Or is opening another row, when what it ran is over.
            let wait = if self.has_leases { 100 } else { 1 };
            return self.after(Duration::from_millis(wait), again);
        }
        self.launch(build);
    }

    pub(super) fn ensure(&mut self, build: i64, dispatcher: &str) {
        if let Ok(rows) = self.store().supervisors() {
            self.find_somebody(&rows, build, dispatcher);
        }
    }

    fn wake(&mut self, runner: RunnerId) {
        if self.strikes(Fault::WakeLost) {
            return;
        }
        let late = self.strikes(Fault::WakeLate);
        let wait = if late {
            self.dice.millis(3_000)
        } else {
            self.moment()
        };
        self.after(wait, Happening::Wake(runner));
        if self.strikes(Fault::WakeTwice) {
            self.after(wait, Happening::Wake(runner));
        }
    }

    fn cancel_one(&mut self) {
        let Some(job) = self.dice.pick(&self.client.submitted).copied() else {
            return;
        };
        let replies = self.store().cancel(&[job], "somebody").unwrap_or_default();
        self.trace
            .line(self.now, format_args!("cancel {job}: {replies:?}"));
        let Some(CancelReply::Stopping(holder)) = replies.first() else {
            return;
        };
        let holder = self
            .runners
            .values()
            .find(|runner| runner.row == Some(*holder));
        if let Some(runner) = holder.map(|runner| runner.id) {
            self.wake(runner);
        }
    }

    fn pause_or_resume(&mut self) {
        let Some(name) = self.dice.pick(EVERYWHERE).copied() else {
            return;
        };
        let pause = if self.dice.one_in(3) {
            Pause::Paused
        } else {
            Pause::Running
        };
        let _ = self.store().set_paused(name, pause);
        self.trace.line(self.now, format_args!("{name}: {pause:?}"));
    }

    fn prune(&mut self) {
        let retention = Retention {
            age: self.dice.millis(60_000),
            count_per_dispatcher: 3 + self.dice.below(10),
        };
        let _ = self.store().prune(&retention, 5);
    }

    /// `schedule tick`, as a timer of the host runs it.
    fn tick(&mut self) {
        let build = self.client.build;
        let (name, missed) = (SCHEDULED, self.client.missed);
        let options = ScheduleOptions {
            expression: "* * * * *".into(),
            missed,
            ..ScheduleOptions::default()
        };
        let when = ZonedSchedule::new(&options, TimeZone::UTC);
        let when = when.expect("invariant: it is a schedule");
        let jobs: Vec<NewJob> = (0..when.runs_max())
            .map(|_| self.new_job(name, build))
            .collect();
        let request = TickRequest {
            dispatcher: self.client.row(name, build),
            schedule: Some(ScheduledJobs {
                when,
                overlap: self.client.overlap,
                jobs: Ok(jobs),
            }),
        };
        let Ok(ticked) = self.store().tick(&[request]) else {
            return;
        };
        self.trace.line(self.now, format_args!("tick: {ticked:?}"));
        if ticked
            .iter()
            .flatten()
            .any(|tick| tick.fate == TickFate::Submitted)
        {
            self.ensure(build, name);
        }
    }

    fn upgrade(&mut self) {
        if self.client.build < 4 && self.strikes(Fault::NewBuild) {
            self.client.build += 1;
        }
    }

    /// Whoever waits for a job makes sure that somebody runs it; so does the next submission.
    pub(super) fn keep_served(&mut self) {
        let unfinished = self
            .ledger
            .rows
            .values()
            .filter(|row| !row.state.is_terminal());
        let mut wanted: Vec<(i64, String)> = unfinished
            .map(|row| (row.build, row.dispatcher.clone()))
            .collect();
        wanted.sort();
        wanted.dedup();
        for (build, dispatcher) in wanted {
            self.ensure(build, &dispatcher);
        }
        if self.phase == Phase::Liveness {
            self.end_services();
            self.after(SECOND, Happening::Waiters);
        }
    }
}
