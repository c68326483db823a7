//! Which ticks are run after nobody ran for a while.

use super::*;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const YEAR_MS: i64 = 365 * DAY_MS;

fn due(expression: &str, last: i64, now: i64, missed: Missed) -> Vec<i64> {
    schedule(expression).due(last, now, missed, &TimeZone::UTC)
}

#[test]
fn a_tick_on_time_runs_whatever_is_done_with_missed_ones() {
    for missed in Missed::ALL.iter().copied() {
        for late in [0, 1, 59_999] {
            assert_eq!(
                due("hourly", 0, HOUR_MS + late, missed),
                [HOUR_MS],
                "{missed} {late}"
            );
        }
        assert!(due("hourly", 0, HOUR_MS - 1, missed).is_empty());
        assert!(due("hourly", HOUR_MS, HOUR_MS, missed).is_empty());
    }
}

#[test]
fn missed_ticks() {
    let now = 5 * HOUR_MS + 30 * MINUTE_MS;
    assert!(due("hourly", 0, now, Missed::Skip).is_empty());
    assert_eq!(due("hourly", 0, now, Missed::Once), [5 * HOUR_MS]);
    let all: Vec<_> = (1..=5).map(|hour| hour * HOUR_MS).collect();
    assert_eq!(due("hourly", 0, now, Missed::All), all);
}

#[test]
fn skip_takes_ticks_up_to_two_minutes_late() {
    let late = 2 * MINUTE_MS;
    assert_eq!(
        due("hourly", 0, HOUR_MS + late - 1, Missed::Skip),
        [HOUR_MS]
    );
    assert!(due("hourly", 0, HOUR_MS + late, Missed::Skip).is_empty());
    // A minute's schedule that fell behind runs once, not for each minute.
    assert_eq!(due("* * * * *", 0, HOUR_MS, Missed::Skip), [HOUR_MS]);
}

#[test]
fn all_is_the_newest_hundred() {
    for missed in [99, 100, 101, 1_000, 400_000] {
        let now = missed * MINUTE_MS;
        let ticks = due("* * * * *", 0, now, Missed::All);
        let first = (missed - 99).max(1);
        let expected: Vec<_> = (first..=missed).map(|minute| minute * MINUTE_MS).collect();
        assert_eq!(ticks, expected, "{missed}");
    }
}

#[test]
fn a_long_absence_from_a_rare_schedule() {
    let new_year = ms("2026-01-01T00:00:00Z");
    let now = new_year + 300 * DAY_MS;
    assert_eq!(due("0 0 1 1 *", 0, now, Missed::Once), [new_year]);
    assert_eq!(due("0 0 1 1 *", 0, now, Missed::All).len(), 56);
    assert!(due("0 0 1 1 *", new_year, now, Missed::All).is_empty());
    assert_eq!(
        due("0 0 29 2 *", now - 100 * YEAR_MS, now, Missed::All).len(),
        25
    );
}

#[test]
fn a_clock_that_jumps_back_runs_nothing() {
    for missed in Missed::ALL.iter().copied() {
        assert!(due("* * * * *", DAY_MS, HOUR_MS, missed).is_empty());
        assert!(due("* * * * *", i64::MAX, i64::MIN, missed).is_empty());
    }
}

#[test]
fn absurd_spans_end() {
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let ticks = due("* * * * *", i64::MIN, DAY_MS, missed);
        assert_eq!(ticks.last(), Some(&DAY_MS), "{missed}");
        assert!(ticks.len() <= MISSED_TICKS_MAX);
        assert!(due("daily", i64::MIN, i64::MAX, missed).is_empty());
    }
}

#[test]
fn each_tick_is_due_once_across_a_change_of_the_clock() {
    let zone = zone("Europe/Berlin");
    for (expression, count) in [("30 2 * * *", 3), ("*/10 * * * *", 3 * 144 + 6)] {
        let schedule = schedule(expression);
        let (mut last, end) = (ms("2026-10-23T22:00:00Z"), ms("2026-10-26T23:00:00Z"));
        let mut seen = Vec::new();
        for now in (last..=end).step_by(5 * 60_000) {
            let ticks = schedule.due(last, now, Missed::All, &zone);
            seen.extend(ticks.iter().copied());
            last = now;
        }
        assert_eq!(seen.len(), count, "{expression}");
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
