//! A schedule in words, for people who do not read cron.

use super::{Kind, Schedule};

/// More times of day than this are described by their parts.
const TIMES_LISTED_MAX: usize = 6;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Schedule {
    /// The schedule in words, without its zone.
    ///
    /// ```
    /// use dispatcher_core::Schedule;
    /// let words = |text| Schedule::parse(text).unwrap().describe();
    /// assert_eq!(words("daily"), "every day at 00:00");
    /// assert_eq!(words("*/5 * * * *"), "every 5 minutes");
    /// assert_eq!(words("30 8,20 1 * *"), "on day 1 of the month at 08:30 and 20:30");
    /// ```
    #[must_use]
    pub fn describe(&self) -> String {
        let minutes = self.cron.pattern.minutes.values();
        let hours = self.cron.pattern.hours.values();
        let day = self.day();
        let times = minutes.len() * hours.len();
        if self.kind == Kind::Times && times <= TIMES_LISTED_MAX {
            let times: Vec<_> = hours
                .iter()
                .flat_map(|hour| {
                    minutes
                        .iter()
                        .map(move |minute| format!("{hour:02}:{minute:02}"))
                })
                .collect();
            let day = day.unwrap_or_else(|| "every day".to_owned());
            return format!("{day} at {}", list(&times));
        }
        let rhythm = rhythm(&minutes, &hours);
        match day {
            Some(day) => format!("{rhythm}, {day}"),
            None => rhythm,
        }
    }

    /// The restriction to days and months; `None` for every day.
    fn day(&self) -> Option<String> {
        let pattern = &self.cron.pattern;
        let months = pattern.months.values();
        let month = match months.len() {
            12 => None,
            _ => Some(spans(&months, " to ", |month| named(&MONTHS, month - 1))),
        };
        let date = (pattern.days.values().len() < 31).then(|| {
            let days = pattern.days.values();
            let noun = if days.len() == 1 { "day" } else { "days" };
            format!("{noun} {} of", spans(&days, " to ", |day| day.to_string()))
        });
        let weekdays = pattern.days_of_week.values();
        let weekday = (weekdays.len() < 7).then(|| weekdays_named(&weekdays));
        let every = |weekday: &str| {
            if weekday.contains(" to ") {
                format!("from {weekday}")
            } else {
                format!("every {weekday}")
            }
        };
        let of_month = month.as_deref().unwrap_or("the month");
        let join = if pattern.matches_dom_and_dow() {
            "if it is"
        } else {
            "and every"
        };
        match (date, weekday, &month) {
            (None, None, None) => None,
            (None, None, Some(month)) => Some(format!("every day of {month}")),
            (None, Some(weekday), None) => Some(every(&weekday)),
            (None, Some(weekday), Some(month)) => Some(format!("{} in {month}", every(&weekday))),
            (Some(date), None, _) => Some(format!("on {date} {of_month}")),
            (Some(date), Some(weekday), _) => {
                Some(format!("on {date} {of_month} {join} {weekday}"))
            }
        }
    }
}

/// How often, for schedules that are more than a few times of day.
fn rhythm(minutes: &[u16], hours: &[u16]) -> String {
    let all_hours = hours.len() == 24;
    let hour_step = step(hours, 24);
    let every_minute = match step(minutes, 60) {
        Some(1) => Some("every minute".to_owned()),
        Some(step) if step < 60 => Some(format!("every {step} minutes")),
        Some(_) | None => None,
    };
    if let (Some(text), true) = (&every_minute, all_hours) {
        return text.clone();
    }
    if let (None, Some(step)) = (&every_minute, hour_step) {
        let hours = match step {
            1 => "every hour".to_owned(),
            step => format!("every {step} hours"),
        };
        return match minutes {
            [0] => hours,
            minutes => format!("{hours} at {}", minutes_named(minutes)),
        };
    }
    let text = every_minute.unwrap_or_else(|| format!("at {}", minutes_named(minutes)));
    let noun = if hours.len() == 1 { "hour" } else { "hours" };
    let hours = spans(hours, " to ", |hour| hour.to_string());
    format!("{text} in the {noun} {hours}")
}

fn minutes_named(minutes: &[u16]) -> String {
    let noun = if minutes.len() == 1 {
        "minute"
    } else {
        "minutes"
    };
    format!(
        "{noun} {}",
        spans(minutes, " to ", |minute| minute.to_string())
    )
}

fn weekdays_named(weekdays: &[u16]) -> String {
    // A week reads from Monday on.
    let mut days: Vec<u16> = weekdays
        .iter()
        .map(|day| if *day == 0 { 7 } else { *day })
        .collect();
    days.sort_unstable();
    spans(&days, " to ", |day| named(&DAYS, day % 7))
}

fn named(names: &[&str], index: u16) -> String {
    names
        .get(usize::from(index))
        .copied()
        .unwrap_or("?")
        .to_owned()
}

/// The step of values that start at 0 and divide `whole` evenly.
fn step(values: &[u16], whole: u16) -> Option<u16> {
    let step = match values {
        [0] => whole,
        [0, second, ..] => *second,
        _ => return None,
    };
    let even = whole.is_multiple_of(step) && values.len() == usize::from(whole / step);
    let regular = values.windows(2).all(|pair| pair[1] - pair[0] == step);
    (even && regular && step < whole).then_some(step)
}

/// A list in which three or more neighbours are a range.
fn spans(values: &[u16], to: &str, name: impl Fn(u16) -> String) -> String {
    let mut parts = Vec::new();
    let mut rest = values;
    while let [first, ..] = rest {
        let length = rest
            .iter()
            .zip(*first..)
            .take_while(|(value, expected)| *value == expected)
            .count();
        let (span, after) = rest.split_at(if length >= 3 { length } else { 1 });
        match span {
            [only] => parts.push(name(*only)),
            [first, .., last] => parts.push(format!("{}{to}{}", name(*first), name(*last))),
            [] => {}
        }
        rest = after;
    }
    list(&parts)
}

fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}
