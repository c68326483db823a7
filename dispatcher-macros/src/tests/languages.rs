//! Durations, sizes, back-offs, schedules, types as text.

use quote::quote;

use crate::text::{Backoff, backoff, bytes, duration, source};
use crate::{cron, table};

#[test]
fn durations() {
    for (text, millis) in [
        ("0s", 0),
        ("250ms", 250),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("36500d", 3_153_600_000_000),
    ] {
        assert_eq!(duration(text), Ok(millis), "{text}");
    }
    for (text, mistake) in [
        ("", "a number is missing before the end"),
        ("s", "a number is missing before \"s\""),
        ("-5s", "a number is missing before \"-5s\""),
        ("90", "90 has no unit (d, h, m, s, ms)"),
        ("1h30", "30 has no unit (d, h, m, s, ms)"),
        ("5 m", "there is no unit \" m\" of time (d, h, m, s, ms)"),
        ("5M", "there is no unit \"M\" of time (d, h, m, s, ms)"),
        ("1.5h", "there is no unit \".\" of time (d, h, m, s, ms)"),
        (
            "30m1h",
            "each unit may stand once, the larger before the smaller",
        ),
        (
            "1m1m",
            "each unit may stand once, the larger before the smaller",
        ),
        ("36501d", "more than 36500 days are not taken"),
        (
            "18446744073709551615d",
            "more than 36500 days are not taken",
        ),
        ("99999999999999999999s", "99999999999999999999 is too large"),
    ] {
        assert_eq!(duration(text), Err(mistake.to_owned()), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, size) in [
        ("0B", 0),
        ("512MiB", 536_870_912),
        ("1GiB", 1_073_741_824),
        ("500MB", 500_000_000),
        ("64kB", 64_000),
        ("4TiB", 4_398_046_511_104),
    ] {
        assert_eq!(bytes(text), Ok(size), "{text}");
    }
    for text in [
        "",
        "MiB",
        "512",
        "512M",
        "512 MiB",
        "1.5GiB",
        "-1B",
        "1GiB1MiB",
        "9999999TiB",
    ] {
        assert!(bytes(text).is_err(), "{text}");
    }
}

#[test]
fn backoffs() {
    assert_eq!(
        backoff("exponential(1s, 1h)"),
        Ok(Backoff::Exponential {
            base: 1_000,
            max: 3_600_000
        })
    );
    assert_eq!(
        backoff("linear( 5s,10m )"),
        Ok(Backoff::Linear {
            step: 5_000,
            max: 600_000
        })
    );
    assert_eq!(backoff("constant(0s)"), Ok(Backoff::Constant { delay: 0 }));
    for text in [
        "",
        "constant",
        "constant()",
        "constant(5)",
        "constant(1s, 2s)",
        "exponential(1s)",
        "exponential(1h, 1s)",
        "exponential(0s, 1s)",
        "linear(0s, 1s)",
        "fibonacci(1s, 1h)",
        "constant(5s))",
    ] {
        assert!(backoff(text).is_err(), "{text}");
    }
}

#[test]
fn schedules() {
    for text in [
        "hourly",
        "daily",
        "weekly",
        "* * * * *",
        "*/5 * * * *",
        "30 4 * * MON-FRI",
        "0 0 1,15 jan-jun/2 *",
        "0 12 * JUL WED",
        "0 0 29 2 *",
        "0 0 30 2 1",
        "0 0 * * 7",
        "0 0 * * FRI-SUN",
        "10-50/10 0-23 * * *",
    ] {
        assert_eq!(cron::check(text), Ok(()), "{text}");
    }
    for (text, part) in [
        ("", "five fields"),
        ("Hourly", "spelled \"hourly\""),
        ("@daily", "spelled \"daily\""),
        ("monthly", "neither a word nor five fields"),
        ("* * * *", "not 4"),
        ("0 * * * * *", "not 6; seconds and years are not taken"),
        ("0 0 L * *", "`L` in the day of month"),
        ("0 0 15W * *", "`W` in the day of month"),
        ("0 0 * * MON#2", "`#` in the day of week"),
        ("0 0 1 * +MON", "`+` in the day of week"),
        ("0 0 ? * *", "`?` in the day of month"),
        ("MON * * * *", "\"MON\" is no minute"),
        ("0 0 * JULY *", "\"JULY\" is no month"),
        ("0 0 1, * *", "something is missing"),
        ("60 * * * *", "60 is no minute (0 to 59)"),
        ("0 24 * * *", "24 is no hour (0 to 23)"),
        ("0 0 0 * *", "0 is no day of month (1 to 31)"),
        ("*/0 * * * *", "\"0\" is no step"),
        ("0 0 30 2 *", "no such day"),
        ("0 0 31 feb,4 *", "no such day"),
        (
            "50-10 * * * *",
            "the range \"50-10\" runs backwards in the minute",
        ),
        ("5/10 * * * *", "single number steps"),
        ("0 0 * * SAT-MON", "runs backwards"),
    ] {
        let mistake = cron::check(text).expect_err(text);
        assert!(mistake.contains(part), "{text}: {mistake}");
    }
}

#[test]
fn types_have_one_spelling() {
    for (tokens, text) in [
        (quote!(Vec<(u8, String)>), "Vec<(u8, String)>"),
        (
            quote!(std::collections::HashMap<String, [u8; 4]>),
            "std::collections::HashMap<String, [u8; 4]>",
        ),
        (quote!(Option<&'static str>), "Option<&'static str>"),
        (
            quote!(Box<dyn for<'a> Fn(&'a mut u8) -> u8 + Send>),
            "Box<dyn for<'a> Fn(&'a mut u8) -> u8 + Send>",
        ),
        (quote!(<T as Iterator>::Item), "<T as Iterator>::Item"),
        (quote!(fn(*const u8) -> ()), "fn(*const u8) -> ()"),
        (
            quote!(Box<dyn Iterator<Item = u8>>),
            "Box<dyn Iterator<Item = u8>>",
        ),
        (quote!((u8,)), "(u8,)"),
    ] {
        assert_eq!(source(tokens), text);
    }
}

#[test]
fn near_names_are_suggested() {
    for (written, meant) in [
        ("timout", Some("timeout")),
        ("time_out", Some("timeout")),
        ("max-queue", Some("max_queue")),
        ("maxqueue", Some("max_queue")),
        ("cron", Some("schedule")),
        ("max_retries", Some("retries")),
        ("cwd", Some("working_directory")),
        ("colour", None),
        ("x", None),
    ] {
        assert_eq!(table::nearest(written), meant, "{written}");
    }
}

#[test]
fn every_example_is_taken() {
    for known in table::TABLE {
        let option: proc_macro2::TokenStream =
            known.written().parse().expect("an example is source text");
        let schedule = (known.home == table::Home::Schedule && known.name != "schedule")
            .then(|| quote!(schedule = "daily",));
        let output = crate::derive(quote!(
            #[dispatcher(#schedule #option)]
            struct S;
        ))
        .to_string();
        assert!(
            !output.contains("compile_error"),
            "{}: {output}",
            known.name
        );
    }
}
