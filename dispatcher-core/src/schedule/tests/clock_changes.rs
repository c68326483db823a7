//! What a clock that is set forward or back does to times and to intervals.

use super::*;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";
const LORD_HOWE: &str = "Australia/Lord_Howe";

#[test]
fn utc_has_no_changes() {
    assert_eq!(
        ticks("daily", "UTC", "2026-02-27T23:59:59.999Z", 3),
        [
            "02-28 00:00 +00:00",
            "03-01 00:00 +00:00",
            "03-02 00:00 +00:00"
        ]
    );
    assert_eq!(
        ticks("daily", "UTC", "2026-02-28T00:00:00Z", 1),
        ["03-01 00:00 +00:00"]
    );
    assert_eq!(
        ticks("hourly", "UTC", "2026-12-31T22:00:00.001Z", 2),
        ["12-31 23:00 +00:00", "01-01 00:00 +00:00"]
    );
    assert_eq!(
        ticks("weekly", "UTC", "2026-01-01T00:00:00Z", 2),
        ["01-04 00:00 +00:00", "01-11 00:00 +00:00"]
    );
}

/// Berlin, 2026-03-29: 02:00 +01:00 becomes 03:00 +02:00.
#[test]
fn a_skipped_time_runs_right_after_the_gap_in_berlin() {
    for expression in [
        "30 2 * * *",
        "0 2 * * *",
        "59 2 * * *",
        "*/10 2 * * *",
        "0-59 2 * * *",
    ] {
        let first = ticks(expression, BERLIN, "2026-03-28T02:59:00Z", 2);
        assert_eq!(first[0], "03-29 03:00 +02:00", "{expression}");
        assert!(first[1].starts_with("03-30 02:"), "{expression}: {first:?}");
    }
    assert_eq!(
        ticks("0 2,3 * * *", BERLIN, "2026-03-28T12:00:00Z", 3),
        [
            "03-29 03:00 +02:00",
            "03-30 02:00 +02:00",
            "03-30 03:00 +02:00"
        ]
    );
    assert_eq!(
        ticks("30 2,3 29 3 *", BERLIN, "2026-03-01T12:00:00Z", 3),
        [
            "03-29 03:00 +02:00",
            "03-29 03:30 +02:00",
            "03-29 02:30 +02:00"
        ]
    );
}

#[test]
fn an_interval_loses_the_skipped_hour_in_berlin() {
    assert_eq!(
        ticks("*/30 * * * *", BERLIN, "2026-03-29T00:15:00Z", 3),
        [
            "03-29 01:30 +01:00",
            "03-29 03:00 +02:00",
            "03-29 03:30 +02:00"
        ]
    );
    assert_eq!(
        ticks("7 * * * *", BERLIN, "2026-03-29T00:00:00Z", 3),
        [
            "03-29 01:07 +01:00",
            "03-29 03:07 +02:00",
            "03-29 04:07 +02:00"
        ]
    );
    assert_eq!(
        ticks("0 */2 * * *", BERLIN, "2026-03-28T22:30:00Z", 3),
        [
            "03-29 00:00 +01:00",
            "03-29 04:00 +02:00",
            "03-29 06:00 +02:00"
        ]
    );
}

/// Berlin, 2026-10-25: 03:00 +02:00 becomes 02:00 +01:00.
#[test]
fn a_repeated_time_runs_once_in_berlin() {
    assert_eq!(
        ticks("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
        ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]
    );
    assert_eq!(
        ticks("0,30 2,3 * * *", BERLIN, "2026-10-24T12:00:00Z", 5),
        [
            "10-25 02:00 +02:00",
            "10-25 02:30 +02:00",
            "10-25 03:00 +01:00",
            "10-25 03:30 +01:00",
            "10-26 02:00 +01:00"
        ]
    );
    // Asked in the middle of the repetition.
    for after in [
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:15:00Z",
        "2026-10-25T01:59:59.999Z",
    ] {
        assert_eq!(
            ticks("*/5 2 * * *", BERLIN, after, 1),
            ["10-26 02:00 +01:00"],
            "{after}"
        );
        assert_eq!(
            ticks("30 2 * * *", BERLIN, after, 1),
            ["10-26 02:30 +01:00"],
            "{after}"
        );
    }
}

#[test]
fn an_interval_goes_through_the_repeated_hour_twice_in_berlin() {
    assert_eq!(
        ticks("*/30 * * * *", BERLIN, "2026-10-24T23:45:00Z", 5),
        [
            "10-25 02:00 +02:00",
            "10-25 02:30 +02:00",
            "10-25 02:00 +01:00",
            "10-25 02:30 +01:00",
            "10-25 03:00 +01:00"
        ]
    );
    assert_eq!(
        ticks("hourly", BERLIN, "2026-10-24T23:00:00Z", 4),
        [
            "10-25 02:00 +02:00",
            "10-25 02:00 +01:00",
            "10-25 03:00 +01:00",
            "10-25 04:00 +01:00"
        ]
    );
    // All hours by name are an interval too.
    assert_eq!(
        ticks("0 0-23 * * *", BERLIN, "2026-10-24T23:00:00Z", 2),
        ["10-25 02:00 +02:00", "10-25 02:00 +01:00"]
    );
}

/// New York, 2026-03-08: 02:00 -05:00 becomes 03:00 -04:00; 2026-11-01: 02:00 -04:00 becomes 01:00.
#[test]
fn new_york() {
    assert_eq!(
        ticks("15 2 * * *", NEW_YORK, "2026-03-07T12:00:00Z", 2),
        ["03-08 03:00 -04:00", "03-09 02:15 -04:00"]
    );
    assert_eq!(
        ticks("15 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", 2),
        ["11-01 01:15 -04:00", "11-02 01:15 -05:00"]
    );
    assert_eq!(
        ticks("45 * * * *", NEW_YORK, "2026-11-01T05:00:00Z", 3),
        [
            "11-01 01:45 -04:00",
            "11-01 01:45 -05:00",
            "11-01 02:45 -05:00"
        ]
    );
    assert_eq!(
        ticks("*/20 * * * *", NEW_YORK, "2026-03-08T06:30:00Z", 2),
        ["03-08 01:40 -05:00", "03-08 03:00 -04:00"]
    );
    assert_eq!(
        ticks("daily", NEW_YORK, "2026-03-07T12:00:00Z", 2),
        ["03-08 00:00 -05:00", "03-09 00:00 -04:00"]
    );
}

/// Lord Howe, 2026-10-04: 02:00 +10:30 becomes 02:30 +11:00; 2026-04-05: 02:00 +11:00 becomes 01:30.
#[test]
fn lord_howe_changes_by_half_an_hour() {
    for expression in [
        "0 2 * * *",
        "15 2 * * *",
        "29 2 * * *",
        "*/5 2 4 10 *",
        "30 2 * * *",
    ] {
        let first = ticks(expression, LORD_HOWE, "2026-10-03T12:00:00Z", 1);
        assert_eq!(first, ["10-04 02:30 +11:00"], "{expression}");
    }
    assert_eq!(
        ticks("15,45 2 * * *", LORD_HOWE, "2026-10-03T12:00:00Z", 3),
        [
            "10-04 02:30 +11:00",
            "10-04 02:45 +11:00",
            "10-05 02:15 +11:00"
        ]
    );
    assert_eq!(
        ticks("*/15 * * * *", LORD_HOWE, "2026-10-03T15:10:00Z", 3),
        [
            "10-04 01:45 +10:30",
            "10-04 02:30 +11:00",
            "10-04 02:45 +11:00"
        ]
    );
    assert_eq!(
        ticks("45 1 * * *", LORD_HOWE, "2026-04-04T12:00:00Z", 2),
        ["04-05 01:45 +11:00", "04-06 01:45 +10:30"]
    );
    assert_eq!(
        ticks("*/15 * * * *", LORD_HOWE, "2026-04-04T14:35:00Z", 4),
        [
            "04-05 01:45 +11:00",
            "04-05 01:30 +10:30",
            "04-05 01:45 +10:30",
            "04-05 02:00 +10:30"
        ]
    );
}

/// Midnight itself is skipped in Beirut on 2026-03-29, and a whole day was in Apia on 2011-12-30.
#[test]
fn a_skipped_midnight_and_a_skipped_day() {
    assert_eq!(
        ticks("daily", "Asia/Beirut", "2026-03-28T12:00:00Z", 2),
        ["03-29 01:00 +03:00", "03-30 00:00 +03:00"]
    );
    assert_eq!(
        ticks("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        [
            "12-29 12:00 -10:00",
            "12-31 00:00 +14:00",
            "12-31 12:00 +14:00"
        ]
    );
    assert_eq!(
        ticks("0 */12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3),
        [
            "12-29 12:00 -10:00",
            "12-31 00:00 +14:00",
            "12-31 12:00 +14:00"
        ]
    );
}

/// Every minute of the days around each change, checked against the plain definition.
#[test]
fn intervals_agree_with_the_definition_minute_by_minute() {
    let changes = [
        (BERLIN, "2026-03-28T12:00:00Z"),
        (BERLIN, "2026-10-24T12:00:00Z"),
        (NEW_YORK, "2026-03-07T12:00:00Z"),
        (NEW_YORK, "2026-10-31T12:00:00Z"),
        (LORD_HOWE, "2026-10-03T06:00:00Z"),
        (LORD_HOWE, "2026-04-04T06:00:00Z"),
    ];
    for (name, start) in changes {
        let zone = zone(name);
        for expression in ["*/7 * * * *", "13 * * * *", "0,30 */2 * * *", "* * * * *"] {
            let schedule = schedule(expression);
            let matches = |at: i64| {
                let civil = zone.to_datetime(Timestamp::from_millisecond(at).unwrap());
                let pattern = &schedule.cron.pattern;
                let minute = u16::try_from(civil.minute()).unwrap();
                let hour = u16::try_from(civil.hour()).unwrap();
                pattern.minutes.values().contains(&minute) && pattern.hours.values().contains(&hour)
            };
            let start = ms(start);
            let end = start + 24 * HOUR_MS;
            let expected: Vec<_> = (start + 60_000..=end)
                .step_by(60_000)
                .filter(|at| matches(*at))
                .collect();
            let mut at = start;
            let found: Vec<_> = std::iter::from_fn(|| {
                at = schedule.next_after(at, &zone)?;
                (at <= end).then_some(at)
            })
            .collect();
            assert_eq!(found, expected, "{name} {expression}");
        }
    }
}

/// Times visit each matching time of each date once, wherever the search starts.
#[test]
fn times_agree_with_the_definition_from_every_minute() {
    for (name, start) in [
        (BERLIN, "2026-03-28T20:00:00Z"),
        (BERLIN, "2026-10-24T20:00:00Z"),
        (LORD_HOWE, "2026-10-03T10:00:00Z"),
        (LORD_HOWE, "2026-04-04T10:00:00Z"),
    ] {
        let zone = zone(name);
        let schedule = schedule("*/25 1-3 * * *");
        let start = ms(start);
        let date = zone
            .to_datetime(Timestamp::from_millisecond(start).unwrap())
            .date();
        let mut expected = Vec::new();
        for date in [date, date.tomorrow().unwrap()] {
            for hour in [1, 2, 3] {
                for minute in [0, 25, 50] {
                    let civil = date.at(hour, minute, 0, 0);
                    expected.push(instant_of(civil, &zone).unwrap().as_millisecond());
                }
            }
        }
        for at in (start..start + 12 * HOUR_MS).step_by(60_000) {
            let next = expected.iter().copied().filter(|tick| *tick > at).min();
            let Some(next) = next else { continue };
            assert_eq!(schedule.next_after(at, &zone), Some(next), "{name} {at}");
        }
    }
}

#[test]
fn rare_days_are_found() {
    assert_eq!(
        ticks("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1),
        ["02-29 00:00 +00:00"]
    );
    let zone = zone(BERLIN);
    for expression in ["0 12 29 2 *", "* * 29 2 *", "0 0 29 2 */6", "* * 29 2 */6"] {
        let next = schedule(expression)
            .next_after(ms("2096-03-01T00:00:00Z"), &zone)
            .unwrap();
        assert!(next > ms("2104-02-28T00:00:00Z"), "{expression}");
    }
}

#[test]
fn the_ends_of_time_are_no_panic() {
    for expression in ["hourly", "daily", "0 0 29 2 *", "* * * * *"] {
        let schedule = schedule(expression);
        for name in ["UTC", BERLIN, LORD_HOWE] {
            let zone = zone(name);
            for at in [
                i64::MIN,
                -377_705_023_201_000,
                -377_705_000_000_000,
                -62_135_596_800_000,
                -1,
                253_402_000_000_000,
                253_402_207_200_999,
                i64::MAX,
            ] {
                assert!(schedule.next_after(at, &zone).is_none_or(|next| next > at));
            }
        }
    }
}
