//! The expressions that are understood, and a helpful word about each that is not.
//!
//! Every field is read strictly here and handed on in numbers, so that no extension of the
//! library that evaluates it can be reached by accident.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::Kind;
use crate::suggest;

/// The words for common schedules, with what they stand for.
pub(super) const KEYWORDS: [(&str, &str); 3] = [
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * 0"),
];

/// What `@…` of other crons is written as.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "hourly"),
    ("@daily", "daily"),
    ("@midnight", "daily"),
    ("@weekly", "weekly"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Why an expression is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Nothing there.
    #[error("empty; write `hourly`, `daily`, `weekly` or a cron expression of five fields")]
    Empty,
    /// A word, but none of the three.
    #[error("`{word}` is no schedule; write {write}")]
    Word {
        /// As written.
        word: String,
        /// What would do.
        write: String,
    },
    /// Six or seven fields.
    #[error(
        "{found} fields: seconds and years are not supported; write five: minute, hour, day of month, month, day of week"
    )]
    SecondsOrYears {
        /// How many.
        found: usize,
    },
    /// Another number of fields.
    #[error("{found} fields; write five: minute, hour, day of month, month, day of week")]
    FieldCount {
        /// How many.
        found: usize,
    },
    /// An extension of other crons.
    #[error("`{text}` in the {field}: `{sign}` is an extension that is not supported")]
    Extension {
        /// Which field.
        field: &'static str,
        /// The piece of it.
        text: String,
        /// The sign.
        sign: char,
    },
    /// Something that the field cannot hold.
    #[error("`{text}` is no {field}; write {allowed}")]
    Value {
        /// Which field.
        field: &'static str,
        /// The piece of it.
        text: String,
        /// What may stand there.
        allowed: String,
    },
    /// A range from large to small.
    #[error("`{text}` in the {field} runs backwards; write {write}")]
    Backwards {
        /// Which field.
        field: &'static str,
        /// The piece of it.
        text: String,
        /// What would do.
        write: String,
    },
    /// A step that makes no sense.
    #[error("`{text}` in the {field}: {why}")]
    Step {
        /// Which field.
        field: &'static str,
        /// The piece of it.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A day that no month has.
    #[error("no such day: none of these months has a day {day}")]
    Never {
        /// The earliest day named.
        day: u16,
    },
}

/// What may stand in a field.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
    /// Value of the first name.
    names_from: u8,
}

const FIELDS: [Field; 5] = [
    Field::numeric("minute", 0, 59),
    Field::numeric("hour", 0, 23),
    Field::numeric("day of month", 1, 31),
    Field {
        names: &MONTHS,
        names_from: 1,
        ..Field::numeric("month", 1, 12)
    },
    Field {
        names: &DAYS,
        ..Field::numeric("day of week", 0, 7)
    },
];

pub(super) fn parse(expression: &str) -> Result<(Cron, Kind), ScheduleError> {
    let expression = expression.trim();
    let expression = match KEYWORDS.iter().find(|(word, _)| *word == expression) {
        Some((_, fields)) => fields,
        None => expression,
    };
    let texts: Vec<&str> = expression.split_ascii_whitespace().collect();
    let texts: [&str; 5] = match texts[..] {
        [] => return Err(ScheduleError::Empty),
        [word] => return Err(unknown_word(word)),
        [a, b, c, d, e] => [a, b, c, d, e],
        _ if matches!(texts.len(), 6 | 7) => {
            return Err(ScheduleError::SecondsOrYears { found: texts.len() });
        }
        _ => return Err(ScheduleError::FieldCount { found: texts.len() }),
    };
    let mut numbers = Vec::with_capacity(5);
    for (field, text) in FIELDS.iter().zip(texts) {
        let items: Result<Vec<_>, _> = text.split(',').map(|item| field.item(item)).collect();
        numbers.push(items?.join(","));
    }
    // As Vixie cron: a day field that begins with a star restricts the other one.
    let both_days = texts[2].starts_with('*') || texts[4].starts_with('*');
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(both_days)
        .build()
        .parse(&numbers.join(" "))
        .map_err(|error| ScheduleError::Value {
            field: "cron expression",
            text: bounded(expression),
            allowed: format!("something else: {error}"),
        })?;
    refuse_never(&cron, both_days)?;
    let hours = cron.pattern.hours.values().len();
    let every_hour = hours == 24 || (texts[1].starts_with('*') && hours > 1);
    let kind = if every_hour {
        Kind::Interval
    } else {
        Kind::Times
    };
    Ok((cron, kind))
}

impl Field {
    const fn numeric(name: &'static str, min: u8, max: u8) -> Self {
        Self {
            name,
            min,
            max,
            names: &[],
            names_from: 0,
        }
    }

    /// One part of a list, in numbers.
    fn item(&self, item: &str) -> Result<String, ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let numbers = if range == "*" {
            "*".to_owned()
        } else if let Some((from, to)) = range.split_once('-') {
            let (start, mut end) = (self.value(from, item)?, self.value(to, item)?);
            // `SAT-SUN` means what it says.
            if end == 0 && start > 0 && self.max == 7 && !is_number(to) {
                end = 7;
            }
            if start > end {
                return Err(ScheduleError::Backwards {
                    field: self.name,
                    text: bounded(item),
                    write: format!("`{from}-{},{}-{to}`", self.max, self.min),
                });
            }
            format!("{start}-{end}")
        } else {
            let value = self.value(range, item)?;
            if let Some(step) = step {
                return Err(ScheduleError::Step {
                    field: self.name,
                    text: bounded(item),
                    why: format!(
                        "a step needs a range; write `{value}-{}/{}`",
                        self.max,
                        bounded(step)
                    ),
                });
            }
            value.to_string()
        };
        match step {
            Some(step) => Ok(format!("{numbers}/{}", self.step(step, item)?)),
            None => Ok(numbers),
        }
    }

    /// A step; one that leaves the field at once is as good as any other that does.
    fn step(&self, step: &str, item: &str) -> Result<u32, ScheduleError> {
        let number = is_number(step).then(|| step.parse().ok()).flatten();
        match number {
            Some(number) if number > 0 => Ok(u32::min(number, u32::from(self.max) + 1)),
            Some(_) | None => Err(ScheduleError::Step {
                field: self.name,
                text: bounded(item),
                why: "a step is a whole number from 1".to_owned(),
            }),
        }
    }

    fn value(&self, text: &str, item: &str) -> Result<u8, ScheduleError> {
        if is_number(text)
            && let Ok(number) = text.parse()
            && (self.min..=self.max).contains(&number)
        {
            return Ok(number);
        }
        let upper = text.to_ascii_uppercase();
        if let Some(index) = self.names.iter().position(|name| *name == upper) {
            return Ok(self.names_from + u8::try_from(index).unwrap_or(0));
        }
        Err(match extension(&upper) {
            Some(sign) => ScheduleError::Extension {
                field: self.name,
                text: bounded(item),
                sign,
            },
            None => ScheduleError::Value {
                field: self.name,
                text: bounded(text),
                allowed: self.allowed(),
            },
        })
    }

    fn allowed(&self) -> String {
        match self.names {
            [] => format!("{} to {}", self.min, self.max),
            [first, .., last] => {
                format!("{} to {} or {first} to {last}", self.min, self.max)
            }
            [one] => format!("{} to {} or {one}", self.min, self.max),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The sign that makes a piece an extension of other crons.
fn extension(upper: &str) -> Option<char> {
    if let Some(sign) = upper.chars().find(|c| matches!(c, '?' | '#' | '+')) {
        return Some(sign);
    }
    let rest = upper.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = DAYS
        .iter()
        .find_map(|day| rest.strip_prefix(day))
        .unwrap_or(rest);
    matches!(rest, "L" | "W" | "LW")
        .then(|| rest.chars().next())
        .flatten()
}

fn unknown_word(word: &str) -> ScheduleError {
    let lower = word.to_lowercase();
    let write = match NICKNAMES.iter().find(|(name, _)| *name == lower) {
        Some((_, meant)) => format!("`{meant}`"),
        None => match suggest(word, KEYWORDS.map(|(keyword, _)| keyword)) {
            Some(keyword) => format!("`{keyword}`"),
            None => "`hourly`, `daily`, `weekly` or five fields".to_owned(),
        },
    };
    ScheduleError::Word {
        word: bounded(word),
        write,
    }
}

/// Refuses a 30th of February; the calendar would be searched in vain.
fn refuse_never(cron: &Cron, both_days: bool) -> Result<(), ScheduleError> {
    let pattern = &cron.pattern;
    if !both_days {
        return Ok(());
    }
    let longest = |month: &u16| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = pattern.days.values();
    let months = pattern.months.values();
    match (days.first(), months.iter().map(longest).max()) {
        (Some(&day), Some(last)) if day > last => Err(ScheduleError::Never { day }),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(60).collect()
}
