//! What is understood, what it is called, and what is refused with which words.

use super::*;

#[test]
fn vixie_fields() {
    // Expression, start, first ticks.
    for (expression, expected) in [
        ("0 0 * jan-mar,DEC *", ["01-02", "01-03", "01-04"]),
        ("0 0 1,15 * *", ["01-15", "02-01", "02-15"]),
        ("0 0 1-31/10 * *", ["01-11", "01-21", "01-31"]),
        ("0 0 */10 * *", ["01-11", "01-21", "01-31"]),
        ("0 0 * * 0", ["01-04", "01-11", "01-18"]),
        ("0 0 * * 7", ["01-04", "01-11", "01-18"]),
        ("0 0 * * sat-SUN", ["01-03", "01-04", "01-10"]),
        ("0 0 * * 5-7/2", ["01-02", "01-04", "01-09"]),
        ("0 0 * * MON,Wed", ["01-05", "01-07", "01-12"]),
        // Both days restricted: either will do.
        ("0 0 13 * FRI", ["01-02", "01-09", "01-13"]),
        // A star with a step restricts the other day instead.
        ("0 0 */2 * MON", ["01-05", "01-19", "02-09"]),
        ("0 0 5 * */1", ["01-05", "02-05", "03-05"]),
        ("0 0 31 * *", ["01-31", "03-31", "05-31"]),
        ("0 0 01 02 *", ["02-01", "02-01", "02-01"]),
    ] {
        let days: Vec<_> = ticks(expression, "UTC", "2026-01-01T00:00:00Z", 3)
            .into_iter()
            .map(|tick| tick[..5].to_owned())
            .collect();
        assert_eq!(days, expected, "{expression}");
    }
}

#[test]
fn keywords_are_their_expressions() {
    for (keyword, expression) in parse::KEYWORDS {
        assert_eq!(schedule(keyword).cron, schedule(expression).cron);
        assert_eq!(schedule(keyword).to_string(), keyword);
    }
    assert_eq!(schedule("  0  3\t* * * ").to_string(), "0  3\t* * *");
}

#[test]
fn descriptions() {
    for (expression, words) in [
        ("hourly", "every hour"),
        ("daily", "every day at 00:00"),
        ("weekly", "every Sunday at 00:00"),
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0-59 0-23 * * *", "every minute"),
        ("7 * * * *", "every hour at minute 7"),
        ("0,30 * * * *", "every 30 minutes"),
        ("5,35 * * * *", "every hour at minutes 5 and 35"),
        (
            "*/7 * * * *",
            "every hour at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56",
        ),
        ("0 */2 * * *", "every 2 hours"),
        ("15 */6 * * *", "every 6 hours at minute 15"),
        (
            "0 */5 * * *",
            "at minute 0 in the hours 0, 5, 10, 15 and 20",
        ),
        ("0 3 * * *", "every day at 03:00"),
        ("30 8,20 * * *", "every day at 08:30 and 20:30"),
        ("*/10 9-17 * * *", "every 10 minutes in the hours 9 to 17"),
        ("* 2 * * *", "every minute in the hour 2"),
        ("0 9 * * 1-5", "from Monday to Friday at 09:00"),
        ("0 9 * * 6,0", "every Saturday and Sunday at 09:00"),
        ("0 9 * * 5-7", "from Friday to Sunday at 09:00"),
        ("0 0 1 * *", "on day 1 of the month at 00:00"),
        (
            "0 0 1,15 1,7 *",
            "on days 1 and 15 of January and July at 00:00",
        ),
        ("0 0 1-7 * *", "on days 1 to 7 of the month at 00:00"),
        (
            "0 0 13 * FRI",
            "on day 13 of the month and every Friday at 00:00",
        ),
        (
            "0 0 */2 * MON",
            "on days 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29 and 31 of the month if it is Monday at 00:00",
        ),
        ("0 0 * 6-8 *", "every day of June to August at 00:00"),
        ("0 0 * 12 MON", "every Monday in December at 00:00"),
        ("*/5 * * * MON", "every 5 minutes, every Monday"),
        ("*/60 */99 * * *", "every day at 00:00"),
        ("5-59/65535 * * * *", "every hour at minute 5"),
        ("0 0 29 2 *", "on day 29 of February at 00:00"),
    ] {
        assert_eq!(schedule(expression).describe(), words, "{expression}");
    }
}

/// Expression, and part of what is said about it.
const REFUSALS: &[(&str, &str)] = &[
    ("", "empty; write `hourly`"),
    ("   ", "empty; write `hourly`"),
    ("Daily", "`Daily` is no schedule; write `daily`"),
    ("dayly", "write `daily`"),
    ("@daily", "write `daily`"),
    ("@monthly", "write `0 0 1 * *`"),
    (
        "@reboot",
        "write `hourly`, `daily`, `weekly` or five fields",
    ),
    ("monthly", "is no schedule; write"),
    ("* * * *", "4 fields; write five"),
    (
        "0 * * * * *",
        "6 fields: seconds and years are not supported",
    ),
    (
        "0 0 0 * * * 2030",
        "7 fields: seconds and years are not supported",
    ),
    ("* * * * * * * *", "8 fields; write five"),
    ("0 0 L * *", "`L` in the day of month: `L` is an extension"),
    (
        "0 0 LW * *",
        "`LW` in the day of month: `L` is an extension",
    ),
    (
        "0 0 15W * *",
        "`15W` in the day of month: `W` is an extension",
    ),
    ("0 0 ? * *", "`?` in the day of month: `?` is an extension"),
    ("0 0 * * ?", "`?` in the day of week: `?` is an extension"),
    ("0 0 * * 5L", "`5L` in the day of week: `L` is an extension"),
    (
        "0 0 * * FRIL",
        "`FRIL` in the day of week: `L` is an extension",
    ),
    (
        "0 0 * * 1#2",
        "`1#2` in the day of week: `#` is an extension",
    ),
    (
        "0 0 * * MON#1",
        "`MON#1` in the day of week: `#` is an extension",
    ),
    ("0 0 1 * +1", "`+1` in the day of week: `+` is an extension"),
    ("+5 0 * * *", "`+5` in the minute: `+` is an extension"),
    ("60 * * * *", "`60` is no minute; write 0 to 59"),
    ("-1 * * * *", "`` is no minute; write 0 to 59"),
    ("0 24 * * *", "`24` is no hour; write 0 to 23"),
    ("0 0 0 * *", "`0` is no day of month; write 1 to 31"),
    ("0 0 32 * *", "`32` is no day of month"),
    (
        "0 0 * 13 *",
        "`13` is no month; write 1 to 12 or JAN to DEC",
    ),
    ("0 0 * 0 *", "`0` is no month"),
    ("0 0 * JANUARY *", "`JANUARY` is no month"),
    (
        "0 0 * * 8",
        "`8` is no day of week; write 0 to 7 or SUN to SAT",
    ),
    ("MON * * * *", "`MON` is no minute"),
    ("0 0 * MON *", "`MON` is no month"),
    ("0 0 * * JAN", "`JAN` is no day of week"),
    ("0 0 * * SUNMON", "`SUNMON` is no day of week"),
    ("1,,2 * * * *", "`` is no minute"),
    (", * * * *", "`` is no minute"),
    ("1- * * * *", "`` is no minute"),
    ("1-2-3 * * * *", "`2-3` is no minute"),
    ("** * * * *", "`**` is no minute"),
    ("*-5 * * * *", "`*` is no minute"),
    (
        "22-2 * * * *",
        "`22-2` in the minute runs backwards; write `22-59,0-2`",
    ),
    (
        "0 0 * * FRI-MON",
        "`FRI-MON` in the day of week runs backwards",
    ),
    ("0 0 * * 6-0", "runs backwards"),
    ("*/0 * * * *", "a step is a whole number from 1"),
    ("*/ * * * *", "a step is a whole number from 1"),
    ("*/2/2 * * * *", "a step is a whole number from 1"),
    ("*/99999999999 * * * *", "a step is a whole number from 1"),
    ("5/10 * * * *", "a step needs a range; write `5-59/10`"),
    ("*,5 * * * *", "is no cron expression"),
    ("/10 * * * *", "`` is no minute"),
    ("٥ * * * *", "`٥` is no minute"),
    (
        "0 0 30 2 *",
        "no such day: none of these months has a day 30",
    ),
    ("0 0 31 4,6,9,11 *", "none of these months has a day 31"),
    ("0 0 30 2 */2", "none of these months has a day 30"),
];

#[test]
fn refusals() {
    for (expression, said) in REFUSALS {
        match Schedule::parse(expression) {
            Ok(_) => panic!("{expression} was accepted"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains(said), "{expression}: {error}");
            }
        }
    }
}

#[test]
fn an_impossible_date_beside_a_weekday_is_possible() {
    assert_eq!(
        ticks("0 0 30 2 MON", "UTC", "2026-01-01T00:00:00Z", 1)[0][..5],
        *"02-02"
    );
}

#[test]
fn refusals_are_bounded() {
    let error = Schedule::parse(&"x".repeat(1_000_000))
        .unwrap_err()
        .to_string();
    assert!(error.len() < 200);
    let error = Schedule::parse(&format!("{} * * * *", "1/".repeat(1_000_000))).unwrap_err();
    assert!(error.to_string().len() < 300);
}

#[test]
fn no_text_panics() {
    let pieces = [
        "*", "/", "-", ",", "5", "59", "MON", "L", "#", " ", "0", "JAN", "é", "7",
    ];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(state >> 60) + 5 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.push_str(pieces[usize::try_from((state >> 33) % 14).unwrap()]);
        }
        if let Ok(schedule) = Schedule::parse(&text) {
            assert!(!schedule.describe().is_empty());
            assert!(schedule.next_after(0, &TimeZone::UTC).is_some(), "{text}");
        }
    }
}
