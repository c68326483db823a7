//! When a dispatcher runs by itself: cron expressions, zones and missed ticks, as arithmetic.
//!
//! Nothing here reads a clock; zone and time are arguments. [`Schedule::next_after`] always
//! answers with a later instant than it was given, so that following it visits each tick once.
//!
//! What a change of the clock (DST) does depends on the hour field. A schedule whose hours start
//! with `*` (or name all 24) is an *interval*: it follows elapsed time, so a repeated hour is run
//! through twice and a skipped one not at all. Every other schedule names *times*: one that the
//! clock skips runs at the first instant after the gap, one that occurs twice runs the first time.

use std::collections::VecDeque;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Unit};

use crate::Missed;
use crate::limits::{MISSED_TICKS_MAX, TICK_LATE_MAX};

mod parse;
mod record;
mod spans;
mod words;

#[cfg(test)]
mod tests;

pub use parse::ScheduleError;
pub use record::{DecidedTick, Decision, ScheduleRecord, TickFate, ZonedSchedule};
pub use spans::Spans;

/// Periods of one offset that a search for an interval's next tick looks through: the rarest
/// schedules tick once in forty years, and some zones change four times a year.
const PERIODS_MAX: u32 = 400;
/// Ticks of one repeated stretch of the clock: a day of minutes, twice.
const REPEATED_TICKS_MAX: u32 = 2 * 24 * 60;
const HOUR_MS: i64 = 3_600_000;

/// A parsed schedule.
///
/// ```
/// use dispatcher_core::Schedule;
/// let schedule = Schedule::parse("0 3 * * MON-FRI")?;
/// assert_eq!(schedule.to_string(), "0 3 * * MON-FRI");
/// assert_eq!(schedule.describe(), "from Monday to Friday at 03:00");
/// # Ok::<(), dispatcher_core::ScheduleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    kind: Kind,
}

/// What the expression names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Times of the clock.
    Times,
    /// A rhythm that goes through every hour.
    Interval,
}

impl Schedule {
    /// Reads `hourly`, `daily`, `weekly` or a cron expression of five fields, as Vixie cron does.
    ///
    /// Fields are minute, hour, day of month, month, day of week (0 and 7 are Sunday); each holds
    /// lists, ranges, steps and names. When both day fields are restricted, a day that fits either
    /// will do; a day field that starts with `*` does not count as a restriction of this kind.
    ///
    /// # Errors
    /// When the expression is anything else, or can never come true.
    pub fn parse(expression: &str) -> Result<Self, ScheduleError> {
        let (cron, kind) = parse::parse(expression)?;
        Ok(Self {
            expression: expression.trim().to_owned(),
            cron,
            kind,
        })
    }

    /// The first tick after an instant, both in milliseconds since 1970 (UTC).
    ///
    /// `None` at the end of the calendar only.
    ///
    /// ```
    /// use dispatcher_core::Schedule;
    /// use jiff::tz::TimeZone;
    /// let daily = Schedule::parse("daily")?;
    /// assert_eq!(daily.next_after(0, &TimeZone::UTC), Some(86_400_000));
    /// # Ok::<(), dispatcher_core::ScheduleError>(())
    /// ```
    #[must_use]
    pub fn next_after(&self, after_unix_ms: i64, zone: &TimeZone) -> Option<i64> {
        let after = Timestamp::from_millisecond(after_unix_ms).ok()?;
        let next = match self.kind {
            Kind::Times => self.next_time(after, zone),
            Kind::Interval => self.next_in_interval(after, zone),
        }?;
        let next = next.as_millisecond();
        assert!(
            next > after_unix_ms,
            "invariant: the next tick is later than {after_unix_ms}"
        );
        Some(next)
    }

    /// The ticks in `last_tick < tick <= now` to be run at `now`, oldest first.
    ///
    /// * [`Missed::Skip`]: the newest, if it is less than two minutes old, else none;
    /// * [`Missed::Once`]: the newest;
    /// * [`Missed::All`]: the newest hundred.
    ///
    /// Ticks that are not among them are forgotten; [`ZonedSchedule::decide`] keeps the record of
    /// that. A `now` that jumped back to before `last_tick` gives none.
    #[must_use]
    pub fn due(&self, last_tick: i64, now: i64, missed: Missed, zone: &TimeZone) -> Vec<i64> {
        match missed {
            Missed::Skip => {
                let late = i64::try_from(TICK_LATE_MAX.as_millis()).unwrap_or(i64::MAX);
                self.newest(last_tick.max(now.saturating_sub(late)), now, 1, zone)
            }
            Missed::Once => self.newest(last_tick, now, 1, zone),
            Missed::All => self.newest(last_tick, now, MISSED_TICKS_MAX, zone),
        }
    }

    /// The newest ticks in `since < tick <= now`, oldest first.
    fn newest(&self, since: i64, now: i64, count: usize, zone: &TimeZone) -> Vec<i64> {
        if Timestamp::from_millisecond(now).is_err() {
            return Vec::new();
        }
        let mut span = HOUR_MS;
        loop {
            // Looks back twice as far each time, so that a long absence costs little.
            let from = now.saturating_sub(span).max(since);
            let mut ticks = VecDeque::with_capacity(count + 1);
            let mut at = from;
            while let Some(tick) = self.next_after(at, zone).filter(|tick| *tick <= now) {
                ticks.push_back(tick);
                if ticks.len() > count {
                    ticks.pop_front();
                }
                at = tick;
            }
            if ticks.len() == count || from <= since || span == i64::MAX {
                return ticks.into();
            }
            span = span.saturating_mul(2);
        }
    }

    fn next_time(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut civil = minute_of(zone.to_datetime(after))?;
        for _ in 0..REPEATED_TICKS_MAX {
            civil = self.next_civil(civil, Start::After)?;
            let instant = instant_of(civil, zone)?;
            if instant > after {
                return Some(instant);
            }
            // It stands in a gap that has ended, or in a stretch that is just repeated.
        }
        None
    }

    fn next_in_interval(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut begin = after;
        let mut start = Start::After;
        for _ in 0..PERIODS_MAX {
            let offset = zone.to_offset(begin);
            let civil = offset.to_datetime(begin);
            let minute = minute_of(civil)?;
            if minute != civil {
                start = Start::After;
            }
            let found = offset.to_timestamp(self.next_civil(minute, start)?).ok()?;
            match zone.following(begin).next() {
                Some(end) if end.timestamp() <= found => begin = end.timestamp(),
                Some(_) | None => return Some(found),
            }
            start = Start::Here;
        }
        None
    }

    /// The next matching minute of the calendar, as if clocks never changed.
    fn next_civil(&self, from: DateTime, start: Start) -> Option<DateTime> {
        let from = from.to_zoned(TimeZone::UTC).ok()?;
        let found = self
            .cron
            .find_next_occurrence(&from, start == Start::Here)
            .ok()?;
        Some(found.datetime())
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.expression)
    }
}

/// Where a search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With the given minute.
    Here,
    /// With the one after it.
    After,
}

fn minute_of(civil: DateTime) -> Option<DateTime> {
    let cut = jiff::civil::DateTimeRound::new()
        .smallest(Unit::Minute)
        .mode(jiff::RoundMode::Floor);
    civil.round(cut).ok()
}

/// When the clock of a zone first shows a time, or would have, had it not been set forward.
fn instant_of(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            // Read with the later offset, a skipped time lies before the change.
            let before = after.to_timestamp(civil).ok()?;
            Some(zone.following(before).next()?.timestamp())
        }
    }
}
