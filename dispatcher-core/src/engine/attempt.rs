//! The life of one attempt: starting → running → terminating → draining → recording.

mod judge;

use std::collections::VecDeque;
use std::time::Duration;

use crate::message::WorkResult;
use crate::{Cause, ExitStatus, Leftovers, Usage};

use super::classify::{LinkKind, StopReason};
use super::lane::store_retry;
use super::{
    Assignment, AttemptId, Effect, EngineConfig, Event, Lane, MemoryVerdict, Now, Strays, Unfit,
    Verdict, Word, WorkerId,
};

pub(super) use judge::next_random;

/// Tries to make a process while resources are short, before the attempt counts as failed.
const SPAWN_TRIES_MAX: u32 = 5;
const SPAWN_RETRY_MIN: Duration = Duration::from_millis(100);
/// Time between two KILLs to a worker that does not end.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// Where effects go, and what an attempt may not own.
pub(super) struct Out<'a> {
    pub(super) effects: &'a mut VecDeque<Effect>,
    pub(super) random: &'a mut u64,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    id: AttemptId,
    pub(super) lane: Lane,
    pub(super) assignment: Assignment,
    pub(super) life: Life,
    /// The process that it is in, or was in.
    pub(super) worker: Option<WorkerId>,
    hello_timeout: Duration,
    drain_timeout: Duration,
    started: Option<Now>,
    ended: Option<Now>,
    hello: bool,
    result: Option<WorkResult>,
    result_at: Option<Duration>,
    output: Option<String>,
    /// What it has used, in a worker that lives on.
    used: Usage,
    stop: Option<StopReason>,
    /// It is not given its grace.
    hurry: bool,
    spawn_errno: Option<i32>,
    exit: Option<(ExitStatus, Usage, MemoryVerdict)>,
    left: u32,
    leaked: bool,
    /// Made once, so that a record that is told again says the same.
    verdict: Option<Verdict>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// A process is being made; in a pool, it waits for a worker.
    Starting { tries: u32 },
    /// Resources were short; a process is made at this time.
    Waiting { tries: u32, at: Duration },
    /// The process exists.
    Running,
    /// It was told to stop; KILL follows at this time, again and again.
    Terminating { kill_at: Duration },
    /// It is dead; the open answers are counted.
    Draining { buried: bool, drained: bool },
    /// The store is told. `again` is when it is told again.
    Recording {
        failures: u32,
        again: Option<Duration>,
    },
}

impl Attempt {
    pub(super) fn new(
        id: AttemptId,
        lane: Lane,
        assignment: Assignment,
        config: &EngineConfig,
    ) -> Self {
        Self {
            id,
            lane,
            assignment,
            life: Life::Starting { tries: 0 },
            worker: None,
            hello_timeout: config.hello_timeout,
            drain_timeout: config.drain_timeout,
            started: None,
            ended: None,
            hello: false,
            result: None,
            result_at: None,
            output: None,
            used: Usage::default(),
            stop: None,
            hurry: false,
            spawn_errno: None,
            exit: None,
            left: 0,
            leaked: false,
            verdict: None,
        }
    }

    /// Whether a process of this attempt may be alive.
    pub(super) fn holds_slot(&self) -> bool {
        !matches!(self.life, Life::Recording { .. })
    }

    /// Monotonic time at which something is due.
    pub(super) fn timer(&self) -> Option<Duration> {
        match self.life {
            Life::Starting { .. } | Life::Draining { .. } => None,
            Life::Waiting { at, .. } => Some(at),
            Life::Running => self.limit(),
            Life::Terminating { kill_at } => Some(kill_at),
            Life::Recording { again, .. } => again,
        }
    }

    /// Asks for a process of its own.
    pub(super) fn spawn(&mut self, now: Now, out: &mut Out<'_>) {
        let tries = match self.life {
            Life::Starting { tries } | Life::Waiting { tries, .. } => tries,
            Life::Running
            | Life::Terminating { .. }
            | Life::Draining { .. }
            | Life::Recording { .. } => return,
        };
        self.life = Life::Starting { tries: tries + 1 };
        let worker = WorkerId(self.id.0);
        self.worker = Some(worker);
        out.effects.push_back(Effect::Spawn {
            worker,
            assignment: self.assignment.clone(),
            deadline_wall_ms: self.deadline_wall_ms(now),
        });
    }

    /// Goes to a worker of its pool.
    pub(super) fn assign(&mut self, now: Now, worker: WorkerId, out: &mut Out<'_>) {
        self.worker = Some(worker);
        self.started = Some(now);
        self.hello = true;
        self.life = Life::Running;
        out.effects.push_back(Effect::Assign {
            worker,
            attempt: self.id,
            assignment: self.assignment.clone(),
            deadline_wall_ms: self.deadline_wall_ms(now),
        });
    }

    /// Its worker does not want it; `false` when it was to end there anyway.
    pub(super) fn come_back(&mut self) -> bool {
        if self.life != Life::Running {
            return false;
        }
        self.worker = None;
        self.started = None;
        self.output = None;
        self.used = Usage::default();
        self.life = Life::Starting { tries: 0 };
        true
    }

    /// Whether its worker was told to end because of it.
    pub(super) fn ends_its_worker(&self) -> bool {
        matches!(self.life, Life::Terminating { .. })
    }

    fn deadline_wall_ms(&self, now: Now) -> Option<i64> {
        let timeout = self.assignment.options.timeout;
        timeout.map(|time| now.wall_ms.saturating_add(millis(time)))
    }

    /// Takes in an event about this worker.
    pub(super) fn handle(
        &mut self,
        now: Now,
        event: Event,
        out: &mut Out<'_>,
    ) -> Result<(), Unfit> {
        match event {
            Event::Spawned { .. } => return self.spawned(now, out),
            Event::SpawnFailed {
                errno, transient, ..
            } => return self.spawn_failed(now, errno, transient, out),
            Event::Said { word, .. } => self.said(now, word, out),
            Event::LinkBroken { what, .. } => {
                if self.result.is_none() {
                    self.stop(now, StopReason::Protocol { what }, out);
                    self.kill_now(now, out);
                }
            }
            Event::LimitExceeded { .. } => {
                self.stop(now, StopReason::MemoryLimit, out);
                self.kill_now(now, out);
            }
            Event::Exited {
                status,
                usage,
                strays,
                memory,
                ..
            } => return self.exited(now, (status, usage, memory), strays, out),
            Event::Buried { left, .. } => return self.buried(now, left, out),
            Event::Drained { leaked, .. } => return self.drained(now, leaked, out),
            Event::RecordFailed { .. } => return self.record_failed(now),
            Event::Signalled { .. } | Event::Handed { .. } => {}
            Event::Woken
            | Event::Claimed { .. }
            | Event::ClaimFailed { .. }
            | Event::Recorded { .. }
            | Event::Outgrown { .. }
            | Event::LastWords { .. }
            | Event::Requested { .. }
            | Event::ResetRequested { .. }
            | Event::CancelRequested { .. }
            | Event::Renewed(_)
            | Event::Reopened { .. }
            | Event::KeeperLost
            | Event::Superseded
            | Event::ShutdownRequested(_)
            | Event::CloseAnswered { .. } => return Err(Unfit("about no worker")),
        }
        Ok(())
    }

    /// Something is due.
    pub(super) fn timeout(&mut self, now: Now, out: &mut Out<'_>) {
        match self.life {
            Life::Waiting { .. } => self.spawn(now, out),
            // It has given its result and does not end: that changes nothing about the result.
            Life::Running if self.result.is_some() => self.kill_now(now, out),
            Life::Running if self.run_time_is_over(now) => {
                self.stop(now, StopReason::TimedOut, out);
            }
            Life::Running => {
                let what = format!("no hello within {:?}", self.hello_timeout);
                self.stop(now, StopReason::Protocol { what }, out);
                self.kill_now(now, out);
            }
            Life::Terminating { .. } => self.kill_now(now, out),
            Life::Recording { failures, .. } => self.record(now, failures, out),
            Life::Starting { .. } | Life::Draining { .. } => {}
        }
    }

    /// Starts the ladder. The first reason stays, and a result that came before it counts more.
    pub(super) fn stop(&mut self, now: Now, reason: StopReason, out: &mut Out<'_>) {
        match self.life {
            Life::Starting { tries: 0 } | Life::Waiting { .. } => {
                self.stop.get_or_insert(reason);
                self.ended = Some(now);
                self.record(now, 0, out);
            }
            // The answer to the spawn comes first; then the reason is found.
            Life::Starting { .. } if self.result.is_none() => {
                self.stop.get_or_insert(reason);
            }
            Life::Running if self.result.is_none() => {
                self.stop.get_or_insert(reason);
                self.terminate(now, out);
            }
            Life::Starting { .. }
            | Life::Running
            | Life::Terminating { .. }
            | Life::Draining { .. }
            | Life::Recording { .. } => {}
        }
    }

    /// Skips what is left of the grace.
    pub(super) fn kill_now(&mut self, now: Now, out: &mut Out<'_>) {
        match self.life {
            Life::Running | Life::Terminating { .. } => {
                self.life = Life::Terminating {
                    kill_at: now.monotonic + KILL_AGAIN,
                };
                let worker = self.process();
                out.effects.push_back(Effect::Kill { worker });
            }
            Life::Starting { .. } => self.hurry = true,
            Life::Waiting { .. } | Life::Draining { .. } | Life::Recording { .. } => {}
        }
    }

    /// It may not run any more; whatever has begun may be elsewhere soon.
    pub(super) fn lose_lease(&mut self, now: Now, out: &mut Out<'_>) {
        match self.life {
            Life::Starting { tries: 0 } | Life::Waiting { .. } => {
                self.stop(now, StopReason::Shutdown, out);
            }
            Life::Starting { .. } | Life::Running | Life::Terminating { .. } => {
                self.stop(now, StopReason::LeaseOver, out);
                self.kill_now(now, out);
            }
            Life::Draining { .. } | Life::Recording { .. } => {}
        }
    }

    /// The keeper is gone and its worker is proved dead.
    pub(super) fn keeper_lost(&mut self, now: Now, out: &mut Out<'_>) {
        if self.worker.is_none() {
            return;
        }
        match self.life {
            // It was not the keeper's.
            Life::Waiting { .. } | Life::Recording { .. } => {}
            Life::Starting { .. }
            | Life::Running
            | Life::Terminating { .. }
            | Life::Draining { .. } => {
                self.ended.get_or_insert(now);
                self.record(now, 0, out);
            }
        }
    }

    fn spawned(&mut self, now: Now, out: &mut Out<'_>) -> Result<(), Unfit> {
        let Life::Starting { .. } = self.life else {
            return Err(Unfit("spawned, without being asked for"));
        };
        self.started = Some(now);
        self.life = Life::Running;
        // A plain command says nothing.
        self.hello |= self.assignment.link == LinkKind::ExitStatus;
        if self.stop.is_some() {
            self.terminate(now, out);
        }
        if self.hurry {
            self.kill_now(now, out);
        }
        Ok(())
    }

    fn spawn_failed(
        &mut self,
        now: Now,
        errno: i32,
        transient: bool,
        out: &mut Out<'_>,
    ) -> Result<(), Unfit> {
        let Life::Starting { tries } = self.life else {
            return Err(Unfit("a spawn failed, without being asked for"));
        };
        if transient && self.stop.is_none() && tries < SPAWN_TRIES_MAX {
            let at = now.monotonic + SPAWN_RETRY_MIN * (1 << tries);
            self.life = Life::Waiting { tries, at };
            return Ok(());
        }
        self.spawn_errno = Some(errno);
        self.ended = Some(now);
        self.record(now, 0, out);
        Ok(())
    }

    /// What it says counts as long as its end was not reported; it may be heard before its start.
    fn said(&mut self, now: Now, word: Word, out: &mut Out<'_>) {
        match self.life {
            Life::Starting { .. } | Life::Running | Life::Terminating { .. } => {}
            Life::Waiting { .. } | Life::Draining { .. } | Life::Recording { .. } => return,
        }
        match word {
            Word::Hello => self.hello = true,
            Word::Output(value) => self.output = Some(value),
            Word::Used(usage) => self.used = usage,
            Word::Result(result) => {
                // After a reason of ours the result comes too late; the first result counts.
                if self.stop.is_none() && self.result.is_none() {
                    self.result = Some(result);
                    self.result_at = Some(now.monotonic);
                    self.leave_worker(now, out);
                }
            }
            Word::Replied | Word::Refused(_) | Word::Unwanted | Word::Ready { .. } => {}
        }
    }

    /// A worker of a pool lives on after the result.
    fn leave_worker(&mut self, now: Now, out: &mut Out<'_>) {
        if matches!(self.lane, Lane::Pool(_)) && self.life == Life::Running {
            self.ended = Some(now);
            self.record(now, 0, out);
        }
    }

    fn process(&self) -> WorkerId {
        let worker = self.worker;
        worker.expect("invariant: what runs or has run is in a process")
    }

    fn exited(
        &mut self,
        now: Now,
        exit: (ExitStatus, Usage, MemoryVerdict),
        strays: u32,
        out: &mut Out<'_>,
    ) -> Result<(), Unfit> {
        match self.life {
            // Whoever ends has started, though nobody said so.
            Life::Starting { .. } | Life::Running | Life::Terminating { .. } => {}
            Life::Waiting { .. } | Life::Draining { .. } | Life::Recording { .. } => {
                return Err(Unfit("an end of what did not run"));
            }
        }
        self.started.get_or_insert(now);
        self.ended = Some(now);
        self.exit = Some(exit);
        if strays > 0 {
            let leave = self.lane == Lane::Process
                && self.assignment.options.leftovers == Leftovers::Leave
                && self.cause() == Cause::Succeeded;
            let strays = if leave { Strays::Leave } else { Strays::Kill };
            let worker = self.process();
            out.effects.push_back(Effect::Bury { worker, strays });
        }
        self.life = Life::Draining {
            buried: strays == 0,
            drained: false,
        };
        let until = now.monotonic + self.drain_timeout;
        let worker = self.process();
        out.effects.push_back(Effect::Drain { worker, until });
        Ok(())
    }

    fn buried(&mut self, now: Now, left: u32, out: &mut Out<'_>) -> Result<(), Unfit> {
        let Life::Draining {
            buried: false,
            drained,
        } = self.life
        else {
            return Err(Unfit("buried, without being asked for"));
        };
        self.left = left;
        self.life = Life::Draining {
            buried: true,
            drained,
        };
        self.record_when_over(now, out);
        Ok(())
    }

    fn drained(&mut self, now: Now, leaked: bool, out: &mut Out<'_>) -> Result<(), Unfit> {
        let Life::Draining {
            buried,
            drained: false,
        } = self.life
        else {
            return Err(Unfit("drained, without being asked for"));
        };
        self.leaked = leaked;
        self.life = Life::Draining {
            buried,
            drained: true,
        };
        self.record_when_over(now, out);
        Ok(())
    }

    fn record_when_over(&mut self, now: Now, out: &mut Out<'_>) {
        if let Life::Draining {
            buried: true,
            drained: true,
        } = self.life
        {
            self.record(now, 0, out);
        }
    }

    fn record_failed(&mut self, now: Now) -> Result<(), Unfit> {
        let Life::Recording {
            failures,
            again: None,
        } = self.life
        else {
            return Err(Unfit("a record failed, without being asked for"));
        };
        self.life = Life::Recording {
            failures: failures.saturating_add(1),
            again: Some(now.monotonic + store_retry(failures)),
        };
        Ok(())
    }

    fn terminate(&mut self, now: Now, out: &mut Out<'_>) {
        self.life = Life::Terminating {
            kill_at: now.monotonic.saturating_add(self.assignment.options.grace),
        };
        let worker = self.process();
        out.effects.push_back(Effect::Stop { worker });
    }

    fn record(&mut self, now: Now, failures: u32, out: &mut Out<'_>) {
        self.life = Life::Recording {
            failures,
            again: None,
        };
        let verdict = match self.verdict.take() {
            Some(verdict) => verdict,
            None => self.judge(now, out.random),
        };
        self.verdict = Some(verdict.clone());
        out.effects.push_back(Effect::Record {
            attempt: self.id,
            verdict: Box::new(verdict),
        });
    }

    fn run_limit(&self, started: Now) -> Option<Duration> {
        self.assignment
            .options
            .timeout
            .map(|time| started.monotonic.saturating_add(time))
    }

    /// When a running worker is stopped: for taking too long, for not saying hello, or for not
    /// ending after its result.
    fn limit(&self) -> Option<Duration> {
        let started = self.started?;
        if let Some(at) = self.result_at {
            return Some(at.saturating_add(self.assignment.options.grace));
        }
        let run = self.run_limit(started);
        if self.hello {
            return run;
        }
        let hello = started.monotonic.saturating_add(self.hello_timeout);
        Some(run.map_or(hello, |run| run.min(hello)))
    }

    fn run_time_is_over(&self, now: Now) -> bool {
        self.started
            .and_then(|started| self.run_limit(started))
            .is_some_and(|limit| limit <= now.monotonic)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
