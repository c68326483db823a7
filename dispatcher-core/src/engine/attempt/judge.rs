//! What an attempt's end means for its job.

use std::time::Duration;

use crate::limits::SNOOZES_MAX;
use crate::message::WorkResult;
use crate::{Cause, ExitStatus, Outcome, Usage, backoff_delay};

use super::super::classify::{Evidence, classify};
use super::super::{Lane, MemoryVerdict, Next, Now, Verdict};
use super::Attempt;

impl Attempt {
    pub(super) fn judge(&mut self, now: Now, random: &mut u64) -> Verdict {
        let cause = self.cause();
        let ended = self.ended.unwrap_or(now);
        let (exit_status, usage) = match (self.exit, self.lane) {
            (Some((status, usage, _)), Lane::Process) => (Some(status), usage),
            // What its worker has used is not what it has used.
            (Some((status, ..)), Lane::Pool(_)) => (Some(status), self.used),
            (None, _) => (None, self.used),
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

    pub(super) fn cause(&self) -> Cause {
        let (exit, usage, memory) = match self.exit {
            Some((status, usage, memory)) => (Some(status), usage, memory),
            None => (None, Usage::default(), MemoryVerdict::Silent),
        };
        let cpu_limit = match self.lane {
            Lane::Process => self.assignment.options.cpu_limit,
            // What its worker has used is not what it has used.
            Lane::Pool(_) => None,
        };
        classify(&Evidence {
            link: self.assignment.link,
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
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, and replayable from its seed.
pub(in super::super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
