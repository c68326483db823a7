//! `Schedule::next_after` against an oracle that walks minute by minute, over zones and years.
//!
//! Walked through is every change of every clock in thirty years, and days in between by chance:
//! many of them with `DISPATCHER_TEST_SIZE=long`, which walks every minute for some expressions.

mod oracle;

use dispatcher_core::Schedule;
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use oracle::{MINUTE_MS, Meaning};

const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const YEARS: std::ops::Range<i16> = 2005..2035;

/// By hour and half hour, at midnight and elsewhere, by law and by moon, and not at all.
const ZONES: [&str; 32] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Lagos",
    "America/Asuncion",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "UTC",
];

/// Those that meet changes of the clock; random ones join them.
const EXPRESSIONS: [&str; 10] = [
    "* * * * *",
    "0 * * * *",
    "*/7 * * * *",
    "0 */2 * * *",
    "0 0 * * *",
    "30 0,1,2,3 * * *",
    "*/20 0-4 * * *",
    "15 2 1-7 * 0",
    "59 23 31 12 *",
    "0 2 */3 3,10 6-7",
];

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn field(&mut self, min: u64, max: u64) -> String {
        let size = max - min + 1;
        let any = min + self.below(size);
        let end = any + self.below(max - any + 1);
        let step = 1 + self.below(size);
        match self.below(6) {
            0 | 1 => "*".to_owned(),
            2 => format!("*/{step}"),
            3 => format!("{any}-{end}/{step}"),
            4 => format!("{any},{end}"),
            _ => any.to_string(),
        }
    }

    /// An expression that some date fits.
    fn expression(&mut self) -> String {
        loop {
            let fields = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
            let fields = fields.map(|(min, max)| self.field(min, max));
            let expression = fields.join(" ");
            if Schedule::parse(&expression).is_ok() {
                return expression;
            }
        }
    }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn year(year: i16) -> i64 {
    let midnight = date(year, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC);
    midnight.unwrap().timestamp().as_millisecond()
}

/// How much is looked at: days by chance in each zone; on each, known and random expressions.
fn size() -> (u32, u32) {
    match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
        Ok("long") => (100, 8),
        _ => (12, 3),
    }
}

/// Stretches of time to be walked through: what is around each change of the clock, and chance.
fn stretches(zone: &TimeZone, dice: &mut Dice) -> Vec<(i64, i64)> {
    let (begin, end) = (year(YEARS.start), year(YEARS.end));
    let first = Timestamp::from_millisecond(begin).unwrap();
    let changes = zone.following(first).map(|it| it.timestamp());
    let changes = changes.map(Timestamp::as_millisecond);
    let around = |at: i64| (at - DAY_MS / 4 - 17 * MINUTE_MS, at + DAY_MS);
    let mut stretches: Vec<_> = changes.take_while(|at| *at < end).map(around).collect();
    for _ in 0..size().0 {
        let minutes = u64::try_from((end - begin) / MINUTE_MS).unwrap();
        let at = begin + i64::try_from(dice.below(minutes)).unwrap() * MINUTE_MS;
        stretches.push(around(at));
    }
    stretches
}

/// Exactly the ticks of the oracle, each later than the one before.
fn agrees(name: &str, seed: u64) {
    let mut dice = Dice(seed);
    let zone = zone(name);
    for stretch in stretches(&zone, &mut dice) {
        let known = (0..size().1).map(|_| dice.below(EXPRESSIONS.len() as u64) as usize);
        let mut texts: Vec<_> = known.map(|index| EXPRESSIONS[index].to_owned()).collect();
        texts.extend((0..size().1).map(|_| dice.expression()));
        agrees_on(&texts, &zone, stretch, name);
    }
}

fn agrees_on(texts: &[String], zone: &TimeZone, (from, to): (i64, i64), name: &str) {
    let meanings: Vec<_> = texts.iter().map(|text| Meaning::of(text)).collect();
    let expected = oracle::ticks(&meanings, zone, from, to);
    for (text, expected) in texts.iter().zip(expected) {
        let schedule = Schedule::parse(text).unwrap();
        let mut at = from;
        for tick in expected {
            let next = schedule.next_after(at, zone);
            assert_eq!(next, Some(tick), "{text} in {name} after {at}");
            at = tick;
        }
        let more = schedule.next_after(at, zone).filter(|next| *next <= to);
        assert_eq!(more, None, "{text} in {name}: no tick of the oracle's");
    }
}

fn agree(zones: &[&str]) {
    for (index, name) in zones.iter().enumerate() {
        agrees(name, 0x5eed + index as u64);
    }
}

// Four tests, so that they run side by side.

#[test]
fn next_is_the_oracles_next_in_africa_and_america() {
    agree(&ZONES[..8]);
}

#[test]
fn next_is_the_oracles_next_from_santiago_to_gaza() {
    agree(&ZONES[8..16]);
}

#[test]
fn next_is_the_oracles_next_from_kolkata_to_berlin() {
    agree(&ZONES[16..24]);
}

#[test]
fn next_is_the_oracles_next_from_dublin_to_the_pacific() {
    agree(&ZONES[24..]);
}

/// Every minute of thirty years, in the long size; of one year in the usual one.
#[test]
fn next_is_the_oracles_next_without_a_gap() {
    let years = match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
        Ok("long") => YEARS,
        _ => 2011..2012,
    };
    let stretch = (year(years.start), year(years.end));
    let texts = ["0 0 * * *", "30 1,2 * * *", "15 2 1-7 * 0", "0 */6 * * *"];
    for name in ZONES {
        agrees_on(&texts.map(str::to_owned), &zone(name), stretch, name);
    }
}

/// Thirty years, tick after tick: later each time, and shown on the wall (or just passed there).
#[test]
fn every_tick_of_thirty_years_satisfies_its_expression() {
    let (begin, end) = (year(YEARS.start), year(YEARS.end));
    for name in ZONES {
        let zone = zone(name);
        for text in ["30 2 */9 * *", "0 0 1 * *", "45 1 13 * 5", "0 12 29 2 *"] {
            let schedule = Schedule::parse(text).unwrap();
            let meaning = Meaning::of(text);
            assert!(!meaning.is_rhythm());
            let (mut at, mut count, mut passed) = (begin, 0, 0);
            while let Some(next) = schedule.next_after(at, &zone).filter(|next| *next < end) {
                assert!(next > at, "{name} {text}");
                let instant = Timestamp::from_millisecond(next).unwrap();
                if !meaning.shows(zone.to_datetime(instant)) {
                    let found =
                        oracle::ticks(std::slice::from_ref(&meaning), &zone, next - 1, next);
                    assert_eq!(found, [[next]], "{name} {text}: {instant}");
                    passed += 1;
                }
                at = next;
                count += 1;
            }
            assert!(count >= 7, "{name} {text}: {count} ticks");
            assert!(passed <= 2 * 30, "{name} {text}: {passed} in gaps");
        }
    }
}
