//! What is decided about each tick: once, whatever clocks, options and absences there are.

use std::collections::BTreeSet;

use super::*;
use crate::{JobId, ScheduleOptions};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const NONE: [i64; 0] = [];
/// A Tuesday at noon.
const START: i64 = 1_772_539_200_000;

fn options(expression: &str, timezone: &str, missed: Missed) -> ScheduleOptions {
    ScheduleOptions {
        expression: expression.to_owned(),
        timezone: timezone.to_owned(),
        missed,
        ..ScheduleOptions::default()
    }
}

fn zoned(expression: &str, timezone: &str, missed: Missed) -> ZonedSchedule {
    ZonedSchedule::new(&options(expression, timezone, missed), zone(timezone)).unwrap()
}

fn utc(expression: &str, missed: Missed) -> ZonedSchedule {
    zoned(expression, "UTC", missed)
}

/// The record of a runner that looks whenever it is told to.
struct Runner {
    record: ScheduleRecord,
}

impl Runner {
    /// One that has seen the schedule for the first time.
    fn new(schedule: &ZonedSchedule, now: i64) -> Self {
        let mut runner = Self {
            record: ScheduleRecord::default(),
        };
        assert_eq!(runner.look(schedule, now), NONE, "nothing of the past");
        runner
    }

    fn look(&mut self, schedule: &ZonedSchedule, now: i64) -> Vec<i64> {
        let Some(decision) = schedule.decide(&self.record, now) else {
            return Vec::new();
        };
        assert_ne!(decision.record, self.record, "a write that changes nothing");
        self.record = decision.record;
        for tick in &decision.run {
            self.record.decided(*tick, TickFate::Submitted, None);
        }
        assert_eq!(schedule.decide(&self.record, now), None, "it is decided");
        decision.run
    }

    fn fate(&self) -> (i64, &'static str) {
        let last = self.record.last.as_ref().unwrap();
        (last.tick, last.fate.as_str())
    }
}

#[test]
fn first_sight_runs_nothing_of_the_past_and_everything_after() {
    for missed in Missed::ALL.iter().copied() {
        let schedule = utc("hourly", missed);
        for first in [START, START + 1, START + HOUR_MS - 1] {
            let mut runner = Runner::new(&schedule, first);
            assert_eq!(runner.record.last, None);
            let next = START + HOUR_MS;
            assert_eq!(runner.look(&schedule, next - 1), NONE);
            assert_eq!(runner.look(&schedule, next), [next]);
            assert_eq!(runner.fate(), (next, "submitted"));
        }
    }
}

#[test]
fn an_absence_is_made_up_for_as_the_option_says() {
    let hours = |from: i64, to: i64| (from..=to).map(|hour| START + hour * HOUR_MS).collect();
    for (missed, ran) in [
        (Missed::Skip, Vec::new()),
        (Missed::Once, vec![START + 9 * HOUR_MS]),
        (Missed::All, hours(1, 9)),
    ] {
        let schedule = utc("hourly", missed);
        let mut runner = Runner::new(&schedule, START);
        let back = START + 9 * HOUR_MS + 30 * MINUTE_MS;
        assert_eq!(runner.look(&schedule, back), ran, "{missed}");
        let fate = if ran.is_empty() {
            "missed"
        } else {
            "submitted"
        };
        assert_eq!(runner.fate(), (START + 9 * HOUR_MS, fate));
        assert_eq!(
            runner.look(&schedule, back + HOUR_MS),
            match missed {
                // Half an hour late again.
                Missed::Skip => vec![],
                Missed::Once | Missed::All => vec![START + 10 * HOUR_MS],
            }
        );
    }
}

#[test]
fn all_is_bounded_and_the_rest_is_forgotten() {
    let schedule = utc("* * * * *", Missed::All);
    let mut runner = Runner::new(&schedule, START);
    let ran = runner.look(&schedule, START + DAY_MS);
    assert_eq!(ran.len(), MISSED_TICKS_MAX);
    assert_eq!(ran.last(), Some(&(START + DAY_MS)));
    let next = START + DAY_MS + MINUTE_MS;
    assert_eq!(runner.look(&schedule, next), [next]);
}

/// The clock is set back by each span after each kind of absence.
#[test]
fn a_clock_set_back_runs_nothing_twice() {
    for missed in Missed::ALL.iter().copied() {
        for back in [1, 59_999, MINUTE_MS, HOUR_MS, 7 * HOUR_MS, 400 * DAY_MS] {
            let schedule = utc("*/10 * * * *", missed);
            let mut runner = Runner::new(&schedule, START);
            let mut ran = BTreeSet::new();
            let mut now = START;
            for step in 0..200 {
                now += MINUTE_MS;
                if step == 100 {
                    now -= back;
                }
                for tick in runner.look(&schedule, now) {
                    assert!(tick <= now);
                    assert!(ran.insert(tick), "{missed} {back}: {tick} ran twice");
                }
            }
        }
    }
}

#[test]
fn a_far_time_shown_once_does_not_silence_a_schedule() {
    for missed in Missed::ALL.iter().copied() {
        let schedule = utc("hourly", missed);
        let mut runner = Runner::new(&schedule, START);
        let _ = runner.look(&schedule, START + HOUR_MS);
        let far = START + 14 * 365 * DAY_MS;
        let _ = runner.look(&schedule, far);
        for hour in 2..50 {
            let tick = START + hour * HOUR_MS;
            assert_eq!(runner.look(&schedule, tick), [tick], "{missed}");
        }
        // What ran in the far future does not run when that comes.
        assert_eq!(runner.look(&schedule, far), NONE, "{missed}");
        assert_eq!(runner.look(&schedule, far + HOUR_MS), [far + HOUR_MS]);
    }
}

#[test]
fn first_seen_by_a_clock_that_was_ahead() {
    let schedule = utc("hourly", Missed::All);
    let mut runner = Runner::new(&schedule, START + 1_000 * DAY_MS);
    assert_eq!(runner.look(&schedule, START), NONE, "seen anew");
    let next = START + HOUR_MS;
    assert_eq!(runner.look(&schedule, next), [next]);
}

#[test]
fn a_change_makes_up_for_nothing_older_than_two_minutes() {
    let before = utc("weekly", Missed::All);
    let after = utc("*/5 * * * *", Missed::All);
    let mut runner = Runner::new(&before, START);
    let now = START + DAY_MS + 90_000;
    assert_eq!(runner.look(&after, now), [START + DAY_MS]);
    assert_eq!(
        runner.look(&after, now + 10 * MINUTE_MS),
        [START + DAY_MS + 300_000, START + DAY_MS + 600_000]
    );
    // Another zone is another schedule.
    let elsewhere = zoned("*/5 * * * *", "Asia/Tokyo", Missed::All);
    let later = now + DAY_MS;
    let ran = runner.look(&elsewhere, later);
    assert_eq!(ran, [START + 2 * DAY_MS]);
}

#[test]
fn two_programs_that_disagree_do_not_starve_each_other() {
    let (one, other) = (
        utc("*/10 * * * *", Missed::Once),
        utc("5 * * * *", Missed::Once),
    );
    let mut runner = Runner::new(&one, START);
    let mut ran = Vec::new();
    for minute in 1..=60 {
        let now = START + minute * MINUTE_MS;
        ran.extend(runner.look(&one, now + 1_000));
        ran.extend(runner.look(&other, now + 2_000));
    }
    let minutes: Vec<i64> = ran.iter().map(|tick| (tick - START) / MINUTE_MS).collect();
    assert_eq!(minutes, [5, 10, 20, 30, 40, 50, 60]);
}

#[test]
fn a_schedule_that_was_away_is_seen_anew() {
    let schedule = utc("hourly", Missed::All);
    let mut runner = Runner::new(&schedule, START);
    let gone = runner.record.without_schedule().unwrap();
    assert_eq!(gone.without_schedule(), None, "nothing to write");
    assert_eq!(ScheduleRecord::default().without_schedule(), None);
    runner.record = gone;
    assert_eq!(runner.look(&schedule, START + 30 * DAY_MS), NONE);
    let next = START + 30 * DAY_MS + HOUR_MS;
    assert_eq!(runner.look(&schedule, next), [next]);
}

#[test]
fn the_next_times_are_those_that_will_run() {
    let schedule = utc("hourly", Missed::Once);
    let mut runner = Runner::new(&schedule, START);
    let hours = |from: i64| (from..from + 5).map(|hour| START + hour * HOUR_MS);
    let first: Vec<_> = hours(1).collect();
    assert_eq!(schedule.upcoming(&runner.record, START, 5), first);
    let _ = runner.look(&schedule, START + HOUR_MS);
    let _ = runner.look(&schedule, START + 2 * HOUR_MS);
    // The clock was set back: two of the hours to come are decided.
    let after: Vec<_> = hours(3).collect();
    assert_eq!(schedule.upcoming(&runner.record, START + 1, 5), after);
    assert_eq!(schedule.upcoming(&runner.record, i64::MAX, 5), NONE);
}

#[test]
fn records_keep_the_job_of_the_last_run() {
    let mut record = ScheduleRecord::default();
    let job = JobId::from_bytes([7; 10]);
    record.decided(1, TickFate::Submitted, Some(job));
    record.decided(2, TickFate::Overlapped, None);
    let last = record.last.clone().unwrap();
    assert_eq!((last.tick, last.job), (2, Some(job)));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(
        text,
        r#"{"rule":null,"settled":[],"last":{"tick":2,"fate":"overlapped","job":"0w3ge1r70w3ge1r7"}}"#
    );
    assert_eq!(
        serde_json::from_str::<ScheduleRecord>(&text).unwrap(),
        record
    );
    assert_eq!(
        serde_json::from_str::<ScheduleRecord>("{}").unwrap(),
        ScheduleRecord::default()
    );
}

/// Clocks that run, stand, and jump both ways; a schedule across changes of its zone's clock.
#[test]
fn no_tick_runs_twice_and_none_in_time_is_lost_whatever_the_clock_does() {
    for seed in 0..48_u64 {
        let missed = Missed::ALL[seed as usize % 3];
        let expression = ["*/7 * * * *", "30 2 * * *", "0 * * * *", "15 1-3 * * *"];
        let schedule = zoned(expression[seed as usize % 4], "Europe/Berlin", missed);
        // Two days before the clock is set back.
        let mut now = ms("2026-10-23T00:00:00Z");
        let mut runner = Runner::new(&schedule, now);
        let (mut dice, mut ran) = (seed, BTreeSet::new());
        for _ in 0..600 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let far = i64::try_from(dice >> 40).unwrap() * 100;
            let before = now;
            now += match dice >> 33 & 63 {
                0 => far,
                1 => -far,
                2 => 1_000 * far,
                3 => -1_000 * far,
                _ => MINUTE_MS,
            };
            let usual = now == before + MINUTE_MS;
            let expected = schedule.schedule().next_after(before, schedule.zone());
            let expected = expected.filter(|tick| *tick <= now && usual);
            let expected = expected.filter(|tick| !runner.record.settled.contains(*tick));
            let found = runner.look(&schedule, now);
            if let Some(tick) = expected {
                assert!(found.contains(&tick), "{seed}: {tick} is lost");
            }
            assert!(found.len() <= MISSED_TICKS_MAX);
            for tick in found {
                let next = schedule.schedule().next_after(tick - 1, schedule.zone());
                assert_eq!(next, Some(tick), "{seed}: no tick");
                assert!(tick <= now, "{seed}: before its time");
                assert!(ran.insert(tick), "{seed}: {tick} ran twice");
            }
        }
    }
}
