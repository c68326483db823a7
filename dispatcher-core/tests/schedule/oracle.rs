//! What a schedule means, told minute by minute: slow, and knowing nothing of the product's code.
//!
//! It walks through the minutes of real time and looks at the clock on the wall. A rhythm ticks
//! whenever that shows a time of its own. Times tick when the clock first reaches or passes them:
//! a wall clock that is set back shows times that it has shown before, and one that is set forward
//! passes several at once.

use jiff::civil::{Date, DateTime, date};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

pub(crate) const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1_440;

/// An expression as sets of numbers, one bit each.
#[derive(Debug, Clone)]
pub(crate) struct Meaning {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A day field that begins with a star restricts the other one; else either will do.
    both_days: bool,
    rhythm: bool,
}

impl Meaning {
    /// Reads five numeric fields.
    pub(crate) fn of(expression: &str) -> Self {
        let fields: Vec<&str> = expression.split(' ').collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            panic!("five fields: {expression}");
        };
        let hours = set(hour, 0, 23);
        let sunday_twice = set(weekday, 0, 7);
        Self {
            minutes: set(minute, 0, 59),
            hours,
            days: set(day, 1, 31),
            months: set(month, 1, 12),
            weekdays: sunday_twice | (sunday_twice >> 7 & 1),
            both_days: day.starts_with('*') || weekday.starts_with('*'),
            rhythm: hours.count_ones() == 24 || (hour.starts_with('*') && hours.count_ones() > 1),
        }
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let days = match self.both_days {
            true => day && weekday,
            false => day || weekday,
        };
        days && has(self.months, date.month())
    }

    fn has_time(&self, wall: i64) -> bool {
        let minute_of_day = wall.rem_euclid(DAY_MINUTES);
        let (hour, minute) = (minute_of_day / 60, minute_of_day % 60);
        self.minutes >> minute & self.hours >> hour & 1 == 1
    }

    /// Whether the wall shows a time of this schedule.
    pub(crate) fn shows(&self, civil: DateTime) -> bool {
        civil.second() == 0 && self.has_time(wall_of(civil)) && self.has_day(civil.date())
    }

    pub(crate) fn is_rhythm(&self) -> bool {
        self.rhythm
    }
}

fn has(set: u64, value: i8) -> bool {
    set >> value & 1 == 1
}

fn set(field: &str, min: u32, max: u32) -> u64 {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (min, max),
            None => (number(range), number(range)),
        };
        for value in (from..=to).step_by(number(step) as usize) {
            bits |= 1 << value;
        }
    }
    bits
}

/// The ticks in `from < tick <= to` of each schedule.
///
/// The walk begins a good day earlier, to know which times the wall has shown before.
pub(crate) fn ticks(meanings: &[Meaning], zone: &TimeZone, from: i64, to: i64) -> Vec<Vec<i64>> {
    let mut found = vec![Vec::new(); meanings.len()];
    let mut at = from.div_euclid(MINUTE_MS) * MINUTE_MS - 26 * 60 * MINUTE_MS;
    let mut walls = Walls::new(zone, at);
    let mut wall = walls.at(at);
    // The furthest that the wall has got.
    let mut furthest = wall;
    let mut days = has_days(meanings, wall);
    while at < to {
        at += MINUTE_MS;
        let before = wall;
        wall = walls.at(at);
        if wall.div_euclid(DAY_MINUTES) != before.div_euclid(DAY_MINUTES) {
            days = has_days(meanings, wall);
        }
        let usual = wall == furthest + 1;
        for (index, meaning) in meanings.iter().enumerate() {
            let ticks = if meaning.rhythm || usual {
                days[index] && meaning.has_time(wall)
            } else {
                passes(meaning, furthest, wall)
            };
            if ticks && at > from && at <= to {
                found[index].push(at);
            }
        }
        furthest = furthest.max(wall);
    }
    found
}

/// Whether a wall that had got to `furthest` reaches or passes a time of the schedule.
fn passes(meaning: &Meaning, furthest: i64, wall: i64) -> bool {
    let mut passed = furthest + 1..=wall;
    passed.any(|wall| meaning.has_time(wall) && meaning.has_day(date_of(wall)))
}

fn has_days(meanings: &[Meaning], wall: i64) -> Vec<bool> {
    let date = date_of(wall);
    meanings.iter().map(|it| it.has_day(date)).collect()
}

fn date_of(wall: i64) -> Date {
    let days = wall.div_euclid(DAY_MINUTES);
    date(1970, 1, 1).checked_add(days.days()).unwrap()
}

fn wall_of(civil: DateTime) -> i64 {
    let days = (civil.date() - date(1970, 1, 1)).get_days();
    let minute = i64::from(civil.hour()) * 60 + i64::from(civil.minute());
    i64::from(days) * DAY_MINUTES + minute
}

/// The wall of a zone, looked at in the order of time: minutes since 1970 as it shows them.
struct Walls<'z> {
    changes: Box<dyn Iterator<Item = (i64, i64)> + 'z>,
    /// Minutes ahead of UTC.
    ahead: i64,
    /// The next change: when, and minutes ahead from then on.
    next: Option<(i64, i64)>,
}

impl<'z> Walls<'z> {
    fn new(zone: &'z TimeZone, at: i64) -> Self {
        let at = Timestamp::from_millisecond(at).unwrap();
        let minutes = |offset: Offset| {
            assert_eq!(offset.seconds() % 60, 0, "whole minutes, in these years");
            i64::from(offset.seconds() / 60)
        };
        let changes = zone.following(at);
        let changes =
            changes.map(move |it| (it.timestamp().as_millisecond(), minutes(it.offset())));
        let mut changes = Box::new(changes);
        Self {
            ahead: minutes(zone.to_offset(at)),
            next: changes.next(),
            changes,
        }
    }

    fn at(&mut self, at: i64) -> i64 {
        while let Some((_, ahead)) = self.next.filter(|(when, _)| *when <= at) {
            self.ahead = ahead;
            self.next = self.changes.next();
        }
        at.div_euclid(MINUTE_MS) + self.ahead
    }
}
