//! The life of one attempt: starting → running → terminating → draining → recording.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::SNOOZES_MAX;
use crate::message::WorkResult;
use crate::{Cause, ExitStatus, Leftovers, Outcome, Usage, backoff_delay};

use super::classify::{Evidence, LinkKind, StopReason, classify};
use super::{
    Assignment, Effect, EngineConfig, Event, MemoryVerdict, Next, Now, Strays, Unfit, Verdict,
    Word, WorkerId, store_retry,
};

/// Tries to make a process while resources are short, before the attempt counts as failed.
const SPAWN_TRIES_MAX: u32 = 5;
const SPAWN_RETRY_MIN: Duration = Duration::from_millis(100);
/// Time between two KILLs to a worker that does not end.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// Where effects go, and what an attempt may not own.
pub(super) struct Out<'a> {
    pub(super) worker: WorkerId,
    pub(super) effects: &'a mut VecDeque<Effect>,
    pub(super) random: &'a mut u64,
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) assignment: Assignment,
    pub(super) life: Life,
    hello_timeout: Duration,
    drain_timeout: Duration,
    started: Option<Now>,
    ended: Option<Now>,
    hello: bool,
    result: Option<WorkResult>,
    result_at: Option<Duration>,
    output: Option<String>,
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
    /// A process is being made.
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
    pub(super) fn new(assignment: Assignment, config: &EngineConfig) -> Self {
        Self {
            assignment,
            life: Life::Starting { tries: 0 },
            hello_timeout: config.hello_timeout,
            drain_timeout: config.drain_timeout,
            started: None,
            ended: None,
            hello: false,
            result: None,
            result_at: None,
            output: None,
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

    /// Asks for a process.
    pub(super) fn spawn(&mut self, now: Now, out: &mut Out<'_>) {
        let tries = match self.life {
            Life::Starting { tries } | Life::Waiting { tries, .. } => tries,
            Life::Running
            | Life::Terminating { .. }
            | Life::Draining { .. }
            | Life::Recording { .. } => return,
        };
        self.life = Life::Starting { tries: tries + 1 };
        let deadline_wall_ms = self
            .assignment
            .options
            .timeout
            .map(|time| now.wall_ms.saturating_add(millis(time)));
        out.effects.push_back(Effect::Spawn {
            worker: out.worker,
            assignment: self.assignment.clone(),
            deadline_wall_ms,
        });
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
            Event::Said { word, .. } => self.said(now, word),
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
            Event::Signalled { .. } => {}
            Event::Woken
            | Event::Claimed { .. }
            | Event::ClaimFailed
            | Event::Recorded { .. }
            | Event::CancelRequested { .. }
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
                out.effects.push_back(Effect::Kill { worker: out.worker });
            }
            Life::Starting { .. } => self.hurry = true,
            Life::Waiting { .. } | Life::Draining { .. } | Life::Recording { .. } => {}
        }
    }

    /// The keeper is gone and this worker is proved dead.
    pub(super) fn keeper_lost(&mut self, now: Now, out: &mut Out<'_>) {
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
    fn said(&mut self, now: Now, word: Word) {
        match self.life {
            Life::Starting { .. } | Life::Running | Life::Terminating { .. } => {}
            Life::Waiting { .. } | Life::Draining { .. } | Life::Recording { .. } => return,
        }
        match word {
            Word::Hello => self.hello = true,
            Word::Output(value) => self.output = Some(value),
            Word::Result(result) => {
                // After a reason of ours the result comes too late; the first result counts.
                if self.stop.is_none() && self.result.is_none() {
                    self.result = Some(result);
                    self.result_at = Some(now.monotonic);
                }
            }
        }
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
            let leave = self.assignment.options.leftovers == Leftovers::Leave
                && self.cause() == Cause::Succeeded;
            let strays = if leave { Strays::Leave } else { Strays::Kill };
            out.effects.push_back(Effect::Bury {
                worker: out.worker,
                strays,
            });
        }
        self.life = Life::Draining {
            buried: strays == 0,
            drained: false,
        };
        let until = now.monotonic + self.drain_timeout;
        out.effects.push_back(Effect::Drain {
            worker: out.worker,
            until,
        });
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
        out.effects.push_back(Effect::Stop { worker: out.worker });
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
            worker: out.worker,
            verdict: Box::new(verdict),
        });
    }

    fn judge(&mut self, now: Now, random: &mut u64) -> Verdict {
        let cause = self.cause();
        let ended = self.ended.unwrap_or(now);
        let (exit_status, usage) = match self.exit {
            Some((status, usage, _)) => (Some(status), usage),
            None => (None, Usage::default()),
        };
        let next = self.next(&cause, random);
        let unclean_exit = self.result.is_some()
            && exit_status.is_some_and(|status| status != ExitStatus::Exited(0));
        Verdict {
            job: self.assignment.job,
            token: self.assignment.counters.token,
            attempt: self.assignment.counters.attempt,
            started_wall_ms: self.started.map(|started| started.wall_ms),
            ended_wall_ms: ended.wall_ms,
            run_time: self.started.map_or(Duration::ZERO, |started| {
                ended.monotonic.saturating_sub(started.monotonic)
            }),
            outcome: Outcome {
                cause,
                exit_status,
                unclean_exit,
                leaked_output: self.leaked,
                left_processes: self.left,
                usage,
            },
            output: self.output.take(),
            next,
        }
    }

    fn cause(&self) -> Cause {
        let (exit, usage, memory) = match self.exit {
            Some((status, usage, memory)) => (Some(status), usage, memory),
            None => (None, Usage::default(), MemoryVerdict::Silent),
        };
        let cpu_limit = self.assignment.options.cpu_limit;
        classify(&Evidence {
            link: LinkKind::Framed,
            hello: self.hello,
            result: self.result.as_ref(),
            stop: self.stop.as_ref(),
            spawn_errno: self.spawn_errno,
            exit,
            usage,
            cpu_limit_us: cpu_limit.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            memory,
        })
    }

    fn next(&self, cause: &Cause, random: &mut u64) -> Next {
        match cause {
            Cause::Succeeded => Next::Succeed,
            Cause::Cancelled { .. } => Next::Cancel,
            Cause::Shutdown => Next::Release,
            Cause::WorkerLost => Next::Lost {
                on_lost: self.assignment.options.on_lost,
            },
            Cause::Discarded { .. } | Cause::MissingRequirement { .. } | Cause::Expired => {
                Next::Fail
            }
            Cause::Snoozed => match self.result {
                Some(WorkResult::Snoozed { delay_ms }) if self.assignment.snoozes < SNOOZES_MAX => {
                    Next::Snooze {
                        after: Duration::from_millis(delay_ms),
                    }
                }
                _ => Next::Fail,
            },
            Cause::Failed { .. }
            | Cause::Panicked(_)
            | Cause::Exited { .. }
            | Cause::Signalled { .. }
            | Cause::TimedOut
            | Cause::MemoryLimit
            | Cause::CpuLimit
            | Cause::OutOfMemory
            | Cause::SpawnFailed { .. }
            | Cause::ProtocolError { .. } => self.after_failure(random),
        }
    }

    fn after_failure(&self, random: &mut u64) -> Next {
        let failures = self.assignment.counters.failures.saturating_add(1);
        if failures > self.assignment.options.retries {
            return Next::Fail;
        }
        let asked = match self.result {
            Some(WorkResult::Failed { retry_after_ms, .. }) => retry_after_ms,
            _ => None,
        };
        let after = match asked {
            Some(ms) => Duration::from_millis(ms),
            None => backoff_delay(
                &self.assignment.options.backoff,
                failures,
                next_random(random),
            ),
        };
        Next::Retry { after }
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

/// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, and replayable from its seed.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
