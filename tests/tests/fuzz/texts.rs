//! Texts that people write: durations, sizes, schedules, ids, words.

use std::fmt::Display;
use std::str::FromStr;

use dispatcher_core::duration::{format_bytes, format_duration, parse_bytes, parse_duration};
use dispatcher_core::{
    Isolation, JobId, JobState, Leftovers, Missed, OnDuplicate, OnLost, Overlap, Schedule, suggest,
};
use jiff::tz::TimeZone;

use crate::driver::{Seen, fuzz};

/// Longest message about a text of any length.
const MESSAGE_MAX: usize = 400;

#[test]
fn quantities() {
    fuzz("quantities", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let duration = match parse_duration(text) {
            Ok(duration) => {
                assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
                Seen::of("a duration")
            }
            Err(error) => refused(&error),
        };
        let size = match parse_bytes(text) {
            Ok(size) => {
                assert_eq!(parse_bytes(&format!("{size}B")), Ok(size));
                let shown = format_bytes(size);
                // With a decimal it is for people, who see that it is rounded.
                assert!(
                    shown.contains('.') || parse_bytes(&shown) == Ok(size),
                    "{shown}"
                );
                Seen::of("a size")
            }
            Err(error) => refused(&error),
        };
        Seen::of([duration, size])
    });
}

#[test]
fn schedules() {
    fuzz("schedules", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let schedule = match Schedule::parse(text) {
            Ok(schedule) => schedule,
            Err(error) => return refused(&error),
        };
        let again = Schedule::parse(&schedule.to_string()).expect("what was read is read again");
        assert_eq!(again.to_string(), schedule.to_string());
        assert_eq!(again.describe(), schedule.describe());
        let mut tick = 1_700_000_000_000;
        for _ in 0..5 {
            let next = schedule.next_after(tick, &TimeZone::UTC);
            assert_eq!(again.next_after(tick, &TimeZone::UTC), next);
            let next = next.expect("a schedule that was accepted comes true");
            assert!(next > tick && next % 60_000 == 0, "{next} after {tick}");
            tick = next;
        }
        Seen::message(&schedule.describe())
    });
}

#[test]
fn words() {
    fuzz("words", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let known = ["timeout", "max_queue", "concurrency"];
        if let Some(meant) = suggest(text, known) {
            assert!(known.contains(&meant));
        }
        let id = match text.parse::<JobId>() {
            Ok(id) => {
                // As people copy it: capitals, and letters that look like digits.
                assert_eq!(id.to_string().len(), text.len());
                assert_eq!(id.to_string().parse(), Ok(id));
                Seen::of("an id")
            }
            Err(error) => refused(&error),
        };
        Seen::of([
            id,
            word::<JobState>(text),
            word::<OnDuplicate>(text),
            word::<OnLost>(text),
            word::<Isolation>(text),
            word::<Leftovers>(text),
            word::<Missed>(text),
            word::<Overlap>(text),
        ])
    });
}

/// Whoever takes a word writes it as it was.
fn word<T: FromStr + Display>(text: &str) -> Seen {
    let read = text.parse::<T>();
    let written = read.ok().map(|value| value.to_string());
    assert!(written.iter().all(|written| written == text), "{text:?}");
    Seen::of(written)
}

fn refused(error: &impl Display) -> Seen {
    let said = error.to_string();
    let length = said.chars().count();
    assert!(
        (1..=MESSAGE_MAX).contains(&length),
        "{length} letters: {said}"
    );
    assert!(!said.contains('\n'), "{said}");
    Seen::message(&said)
}
