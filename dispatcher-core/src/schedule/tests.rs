//! Ticks across changes of the clock in three zones, and everything that is refused.

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn schedule(expression: &str) -> Schedule {
    Schedule::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The ticks after an instant, as that zone's clock shows them with its offset.
fn ticks(expression: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (schedule(expression), zone(zone_name));
    let mut at = ms(after);
    let mut shown = Vec::new();
    for _ in 0..count {
        let next = schedule.next_after(at, &zone).unwrap();
        assert!(next > at);
        at = next;
        let time = Timestamp::from_millisecond(at).unwrap();
        shown.push(
            time.to_zoned(zone.clone())
                .strftime("%m-%d %H:%M %:z")
                .to_string(),
        );
    }
    shown
}

mod clock_changes;
mod due;
mod record;
mod texts;
