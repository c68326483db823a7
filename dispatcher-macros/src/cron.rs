//! Schedules, judged while the program is compiled.
//!
//! Stricter than the library that evaluates them: five fields, names only where they belong, and
//! none of the extensions that other cron implementations read differently.

use croner::parser::{CronParser, Seconds, Year};

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The five fields with what each may hold.
const FIELDS: [Field; 5] = [
    Field::of("minute", 0, 59, &[]),
    Field::of("hour", 0, 23, &[]),
    Field::of("day of month", 1, 31, &[]),
    Field::of("month", 1, 12, &MONTHS),
    Field::of("day of week", 0, 7, &DAYS),
];

struct Field {
    meaning: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

/// Checks the value of `schedule`; a refusal says what is wrong and how to mend it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let words = ["hourly", "daily", "weekly"];
    if words.contains(&text) {
        return Ok(());
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if let [word] = fields.as_slice() {
        let bare = word.trim_start_matches('@').to_ascii_lowercase();
        let known = words.iter().find(|known| **known == bare);
        return Err(known.map_or_else(
            || "it is neither a word nor five fields".to_owned(),
            |known| format!("that word is spelled {known:?}"),
        ));
    }
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "a cron expression has five fields ({}), not {}; seconds and years are not taken",
            FIELDS.map(|field| field.meaning).join(", "),
            fields.len()
        ));
    }
    for (text, field) in fields.iter().zip(FIELDS) {
        field.check(text)?;
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    match parser.parse(text) {
        Ok(_) if never(&fields) => Err("no such day is in any year".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => {
            let said = error.to_string();
            let said = said.trim_start_matches("Component error: ");
            Err(said.trim_end_matches('.').to_lowercase())
        }
    }
}

impl Field {
    const fn of(meaning: &'static str, min: u32, max: u32, names: &'static [&'static str]) -> Self {
        Self {
            meaning,
            min,
            max,
            names,
        }
    }

    fn check(&self, text: &str) -> Result<(), String> {
        for part in text.split(',') {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            for atom in range.split('-') {
                self.check_atom(atom, text)?;
            }
            if let Some((first, last)) = range.split_once('-')
                && !last.eq_ignore_ascii_case("SUN")
                && self.number(first) > self.number(last)
            {
                return Err(format!(
                    "the range {range:?} runs backwards in the {}",
                    self.meaning
                ));
            }
            if !step.parse().is_ok_and(|step: u32| step > 0) {
                return Err(format!(
                    "{step:?} is no step (a whole number from 1) in the {} {text:?}",
                    self.meaning
                ));
            }
        }
        Ok(())
    }

    /// A number or name as a number, for comparisons.
    fn number(&self, atom: &str) -> Option<u32> {
        let upper = atom.to_ascii_uppercase();
        let mut named = (self.min..).zip(self.names);
        let named = named.find_map(|(number, name)| (*name == upper).then_some(number));
        named.or_else(|| atom.parse().ok())
    }

    fn check_atom(&self, atom: &str, text: &str) -> Result<(), String> {
        let Self {
            meaning, min, max, ..
        } = self;
        let upper = atom.to_ascii_uppercase();
        if atom == "*" || self.names.contains(&upper.as_str()) {
            return Ok(());
        }
        if atom.is_empty() {
            return Err(format!(
                "something is missing beside a `,`, `-` or `/` in the {meaning} {text:?}"
            ));
        }
        if atom.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = atom.parse::<u32>();
            return if number.is_ok_and(|number| (*min..=*max).contains(&number)) {
                Ok(())
            } else {
                Err(format!("{atom} is no {meaning} ({min} to {max})"))
            };
        }
        let word = upper.len() > 2 && upper.bytes().all(|byte| byte.is_ascii_alphabetic());
        match upper.chars().find(|mark| "LW#+?".contains(*mark)) {
            Some(mark) if !word => Err(format!(
                "`{mark}` in the {meaning} {text:?} is an extension that is not taken \
                 (neither are L, W, #, + and ?)"
            )),
            Some(_) | None => Err(format!("{atom:?} is no {meaning}")),
        }
    }
}

/// Whether days of month and months never meet (30 February), with every day of week allowed.
fn never(fields: &[&str]) -> bool {
    let [_, _, days, months, "*"] = fields else {
        return false;
    };
    let first_days: Option<Vec<usize>> = days
        .split(',')
        .map(|part| part.split(['-', '/']).next()?.parse().ok())
        .collect();
    let months: Option<Vec<usize>> = months.split(',').map(month).collect();
    let (Some(first_days), Some(months)) = (first_days, months) else {
        return false;
    };
    let longest = |month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    months
        .into_iter()
        .all(|month| first_days.iter().all(|day| *day > longest(month)))
}

/// A month by number or name; `None` for ranges, which are not looked into.
fn month(text: &str) -> Option<usize> {
    let upper = text.to_ascii_uppercase();
    let named = MONTHS.iter().position(|name| *name == upper);
    named.map(|index| index + 1).or_else(|| text.parse().ok())
}
