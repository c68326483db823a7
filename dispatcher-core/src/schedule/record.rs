//! What is on record about the schedule of one dispatcher, and what follows from it now.
//!
//! Each tick is decided once: what was decided is settled, and a settled tick never runs, whatever
//! the clock does. A schedule that is seen for the first time runs nothing of the past, and one
//! that was changed counts from two minutes before: so a change makes up for nothing, and two
//! programs that disagree about a schedule do not starve each other.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Schedule, ScheduleError, Spans};
use crate::limits::{MISSED_TICKS_MAX, TICK_LATE_MAX};
use crate::{JobId, Missed, ScheduleOptions};

/// A schedule with everything that its ticks depend on.
#[derive(Debug, Clone)]
pub struct ZonedSchedule {
    schedule: Schedule,
    zone: TimeZone,
    missed: Missed,
    /// Expression and name of the zone: what makes another schedule of it.
    rule: String,
}

/// What is on record about the schedule of a dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleRecord {
    /// Expression and zone as last seen; `None` while it has no schedule.
    pub rule: Option<String>,
    /// Time whose ticks were decided.
    pub settled: Spans,
    /// The tick that was decided last.
    pub last: Option<DecidedTick>,
}

/// A tick, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedTick {
    /// Its nominal instant, without jitter.
    pub tick: i64,
    /// What became of it.
    pub fate: TickFate,
    /// The newest job that the schedule has submitted, or found in its place.
    pub job: Option<JobId>,
}

/// What becomes of a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickFate {
    /// Its job was stored.
    Submitted,
    /// An unfinished job with the same payload stands for its own (`on_duplicate`).
    Duplicate,
    /// The last scheduled run was unfinished (`overlap = "skip"`).
    Overlapped,
    /// Nobody ran when it passed (`missed`).
    Missed,
    /// The queue was full (`max_queue`).
    QueueFull,
    /// Its job could not be submitted; why.
    Refused(String),
}

impl TickFate {
    /// One word for listings.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Duplicate => "duplicate",
            Self::Overlapped => "overlapped",
            Self::Missed => "missed",
            Self::QueueFull => "queue_full",
            Self::Refused(_) => "refused",
        }
    }
}

/// What has to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The record as it will be, but for the fates of `run`.
    pub record: ScheduleRecord,
    /// Ticks to be run, oldest first.
    pub run: Vec<i64>,
}

impl ZonedSchedule {
    /// Options, with the zone that their name stands for on this machine.
    ///
    /// # Errors
    /// When the expression is no schedule.
    pub fn new(options: &ScheduleOptions, zone: TimeZone) -> Result<Self, ScheduleError> {
        Ok(Self {
            schedule: Schedule::parse(&options.expression)?,
            zone,
            missed: options.missed,
            rule: format!("{} {}", options.expression.trim(), options.timezone),
        })
    }

    /// The expression.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How many ticks one decision runs at most.
    #[must_use]
    pub fn runs_max(&self) -> usize {
        match self.missed {
            Missed::Skip | Missed::Once => 1,
            Missed::All => MISSED_TICKS_MAX,
        }
    }

    /// What to run at `now`; `None` when nothing is to be written either.
    ///
    /// Whoever runs it writes the answer's record in the same step, or two would run one tick.
    #[must_use]
    pub fn decide(&self, record: &ScheduleRecord, now: i64) -> Option<Decision> {
        let mut next = record.clone();
        let known = record.rule.as_deref() == Some(&self.rule);
        if !known {
            let begin = match record.rule {
                Some(_) => now.saturating_sub(late_max()),
                None => now,
            };
            next.settle_before(begin);
            next.rule = Some(self.rule.clone());
        }
        let Some(since) = next.settled.last_until(now) else {
            // The clock was set back to before everything that is known.
            next.settled.settle(now, now);
            let run = Vec::new();
            return Some(Decision { record: next, run });
        };
        let Some(newest) = self.schedule.newest(since, now, 1, &self.zone).pop() else {
            let run = Vec::new();
            return (!known).then_some(Decision { record: next, run });
        };
        let run = self.schedule.due(since, now, self.missed, &self.zone);
        let first = run.first().copied().unwrap_or(newest);
        // Ticks that are forgotten stay open, in case the clock comes back to them.
        let gapless = self.schedule.next_after(since, &self.zone) == Some(first);
        let begin = if gapless { since } else { first };
        next.settled.settle(begin, newest);
        if run.is_empty() {
            next.decided(newest, TickFate::Missed, None);
        }
        Some(Decision { record: next, run })
    }

    /// The ticks to come, as far as is known at `now`.
    #[must_use]
    pub fn upcoming(&self, record: &ScheduleRecord, now: i64, count: usize) -> Vec<i64> {
        let mut ticks = Vec::with_capacity(count);
        let mut at = now;
        while ticks.len() < count {
            let Some(next) = self.schedule.next_after(at, &self.zone) else {
                break;
            };
            at = match record.settled.end_of(next) {
                Some(end) => end,
                None => {
                    ticks.push(next);
                    next
                }
            };
        }
        ticks
    }
}

impl ScheduleRecord {
    /// The record of a dispatcher that has no schedule any more; `None` if it says that already.
    #[must_use]
    pub fn without_schedule(&self) -> Option<Self> {
        self.rule.as_ref()?;
        let mut next = self.clone();
        next.rule = None;
        Some(next)
    }

    /// Notes what became of a tick.
    pub fn decided(&mut self, tick: i64, fate: TickFate, job: Option<JobId>) {
        let job = job.or_else(|| self.last.as_ref()?.job);
        self.last = Some(DecidedTick { tick, fate, job });
    }

    fn settle_before(&mut self, begin: i64) {
        if !self.settled.contains(begin) {
            self.settled.settle(begin, begin);
        }
    }
}

fn late_max() -> i64 {
    i64::try_from(TICK_LATE_MAX.as_millis()).unwrap_or(i64::MAX)
}
