//! Turns the value of one option into a setting, or says why it is none.
//!
//! Every refusal is one message: what is wrong, what was found, what to write.

use std::fmt::Display;

use proc_macro2::TokenStream;
use syn::LitInt;

use crate::cron;
use crate::errors::Errors;
use crate::table::{Choice, Is, Known, Takes, Zero, nearest_of};
use crate::text::{self, Backoff, MILLIS_MAX};
use crate::value::{Value, ValueKind};

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    /// An option that is absent.
    Absent,
    /// An option that is present.
    Present(Box<Setting>),
    Millis(u64),
    Unsigned(u64),
    Signed(i32),
    Text(String),
    Texts(Vec<String>),
    Variables(Vec<String>),
    Variant {
        type_name: &'static str,
        variant: &'static str,
    },
    Backoff(Backoff),
}

/// Longest name and label, in characters.
pub(crate) const NAME_CHARACTERS_MAX: usize = 128;

/// The option that a value belongs to, and where to report.
pub(crate) struct Reader<'a> {
    pub(crate) known: &'a Known,
    pub(crate) errors: &'a mut Errors,
}

impl Reader<'_> {
    /// Reads the value of any option that is no flag and no path.
    pub(crate) fn setting(&mut self, value: &Value) -> Option<Setting> {
        match self.known.takes {
            Takes::Nothing | Takes::Path => None,
            Takes::Duration(zero) => self.duration(value, zero),
            Takes::Count => self
                .unsigned(value, "a whole number", u64::from(u32::MAX))
                .map(Setting::Unsigned),
            Takes::Number { min, max, optional } => {
                let number = Setting::Signed(self.signed(value, min, max)?);
                Some(match optional {
                    Is::Optional => Setting::Present(Box::new(number)),
                    Is::Plain => number,
                })
            }
            Takes::Amount => {
                let amount = self.unsigned(value, "a whole number", i64::MAX as u64)?;
                self.above_zero(value, amount)
            }
            Takes::Size => self.size(value),
            Takes::Name => self.name(value).map(Setting::Text),
            Takes::Label => self.label(value),
            Takes::Zone => self.zone(value),
            Takes::Directory => self.directory(value),
            Takes::Schedule => self.schedule(value),
            Takes::Names => self.names(value).map(Setting::Texts),
            Takes::Variables => self.variables(value),
            Takes::Choice(choice) => self.choice(value, choice),
            Takes::Backoff => self.backoff(value),
        }
    }

    /// A name of the dispatcher.
    pub(crate) fn name(&mut self, value: &Value) -> Option<String> {
        let text = self.text(value, "a text")?;
        match name_mistake(&text) {
            None => Some(text),
            Some(mistake) => self.refuse(&value.tokens, mistake),
        }
    }

    /// Reports a value of the wrong kind.
    pub(crate) fn wrong_kind<T>(&mut self, value: &Value, wanted: &str) -> Option<T> {
        let name = self.known.name;
        let written = self.known.written();
        let message = match &value.kind {
            ValueKind::Absent | ValueKind::Missing => {
                format!("`{name}` needs {wanted}, found nothing; write `{written}`")
            }
            ValueKind::Call => {
                format!("`{name}` takes {wanted} after `=`, found parentheses; write `{written}`")
            }
            ValueKind::Path(_) | ValueKind::Other => {
                format!("`{name}` must be a literal ({wanted}), found {value}; write `{written}`")
            }
            ValueKind::Text(_)
            | ValueKind::Integer { .. }
            | ValueKind::Fraction
            | ValueKind::Bool
            | ValueKind::List(_) => {
                format!("`{name}` takes {wanted}, found {value}; write `{written}`")
            }
        };
        self.errors.over(&value.tokens, message);
        None
    }

    fn refuse<T>(&mut self, place: &TokenStream, mistake: impl Display) -> Option<T> {
        let name = self.known.name;
        let written = self.known.written();
        let message = format!("`{name}`: {mistake}; write for example `{written}`");
        self.errors.over(place, message);
        None
    }

    fn text(&mut self, value: &Value, wanted: &str) -> Option<String> {
        let ValueKind::Text(text) = &value.kind else {
            return self.wrong_kind(value, wanted);
        };
        Some(text.value())
    }

    fn duration(&mut self, value: &Value, zero: Zero) -> Option<Setting> {
        let wanted = "whole seconds or a duration in quotes";
        let millis = match &value.kind {
            ValueKind::Text(text) => match text::duration(&text.value()) {
                Ok(millis) => millis,
                Err(mistake) => {
                    return self
                        .refuse(&value.tokens, format!("{value} is no duration: {mistake}"));
                }
            },
            ValueKind::Integer {
                negative: false,
                digits,
            } if text::duration(&digits.to_string()).is_ok() => {
                let name = self.known.name;
                let message = format!(
                    "`{name}`: a duration with a unit stands in quotes, found `{digits}`; \
                     write `{name} = \"{digits}\"`"
                );
                self.errors.over(&value.tokens, message);
                return None;
            }
            ValueKind::Integer { .. }
            | ValueKind::Absent
            | ValueKind::Missing
            | ValueKind::Call
            | ValueKind::Fraction
            | ValueKind::Bool
            | ValueKind::List(_)
            | ValueKind::Path(_)
            | ValueKind::Other => self.unsigned(value, wanted, MILLIS_MAX / 1_000)? * 1_000,
        };
        match (zero, millis) {
            (Zero::Plain, millis) => Some(Setting::Millis(millis)),
            (Zero::Absent, 0) => Some(Setting::Absent),
            (Zero::Refused, 0) => self.refuse(
                &value.tokens,
                "zero is no limit; leave the option out to have none",
            ),
            (Zero::Absent | Zero::Refused, millis) => {
                Some(Setting::Present(Box::new(Setting::Millis(millis))))
            }
        }
    }

    fn size(&mut self, value: &Value) -> Option<Setting> {
        let bytes = match &value.kind {
            ValueKind::Text(text) => match text::bytes(&text.value()) {
                Ok(bytes) => bytes,
                Err(mistake) => {
                    return self.refuse(&value.tokens, format!("{value} is no size: {mistake}"));
                }
            },
            ValueKind::Integer { .. }
            | ValueKind::Absent
            | ValueKind::Missing
            | ValueKind::Call
            | ValueKind::Fraction
            | ValueKind::Bool
            | ValueKind::List(_)
            | ValueKind::Path(_)
            | ValueKind::Other => {
                self.unsigned(value, "bytes or a size in quotes", i64::MAX as u64)?
            }
        };
        self.above_zero(value, bytes)
    }

    fn above_zero(&mut self, value: &Value, number: u64) -> Option<Setting> {
        if number == 0 {
            return self.refuse(
                &value.tokens,
                "zero is no limit; leave the option out to have none",
            );
        }
        Some(Setting::Present(Box::new(Setting::Unsigned(number))))
    }

    fn unsigned(&mut self, value: &Value, wanted: &str, max: u64) -> Option<u64> {
        let ValueKind::Integer { negative, digits } = &value.kind else {
            return self.wrong_kind(value, wanted);
        };
        self.without_suffix(value, digits)?;
        if *negative {
            return self.refuse(
                &value.tokens,
                format!("it cannot be negative, found {value}"),
            );
        }
        match digits.base10_parse::<u64>() {
            Ok(number) if number <= max => Some(number),
            Ok(_) | Err(_) => {
                self.refuse(&value.tokens, format!("it is at most {max}, found {value}"))
            }
        }
    }

    fn signed(&mut self, value: &Value, min: i32, max: i32) -> Option<i32> {
        let ValueKind::Integer { negative, digits } = &value.kind else {
            return self.wrong_kind(value, "a whole number");
        };
        self.without_suffix(value, digits)?;
        let number = digits.base10_parse::<i64>().ok();
        let number = number.map(|number| if *negative { -number } else { number });
        match number.and_then(|number| i32::try_from(number).ok()) {
            Some(number) if (min..=max).contains(&number) => Some(number),
            Some(_) | None => self.refuse(
                &value.tokens,
                format!("it is from {min} to {max}, found {value}"),
            ),
        }
    }

    fn without_suffix(&mut self, value: &Value, digits: &LitInt) -> Option<()> {
        match digits.suffix() {
            "" => Some(()),
            suffix => self.refuse(
                &value.tokens,
                format!("the number has the suffix `{suffix}`, which does not belong there"),
            ),
        }
    }

    fn label(&mut self, value: &Value) -> Option<Setting> {
        let text = self.text(value, "a text")?;
        match name_mistake(&text) {
            Some(mistake) => self.refuse(&value.tokens, mistake),
            None if text.contains(',') => self.refuse(
                &value.tokens,
                format!("a comma separates labels, so that none can hold one, found {text:?}"),
            ),
            None => Some(Setting::Text(text)),
        }
    }

    fn zone(&mut self, value: &Value) -> Option<Setting> {
        let text = self.text(value, "the name of a time zone")?;
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "/_+-".contains(letter);
        if text.is_empty() || !text.chars().all(allowed) {
            return self.refuse(&value.tokens, format!("{text:?} is no name of a time zone"));
        }
        Some(Setting::Text(text))
    }

    fn directory(&mut self, value: &Value) -> Option<Setting> {
        let text = self.text(value, "an absolute path")?;
        if !text.starts_with('/') || text.contains('\0') {
            return self.refuse(
                &value.tokens,
                format!("the path must be absolute (begin with `/`), found {text:?}"),
            );
        }
        Some(Setting::Present(Box::new(Setting::Text(text))))
    }

    fn schedule(&mut self, value: &Value) -> Option<Setting> {
        let text = self.text(
            value,
            "\"hourly\", \"daily\", \"weekly\" or a cron expression of five fields",
        )?;
        match cron::check(&text) {
            Ok(()) => Some(Setting::Text(text)),
            Err(mistake) => {
                self.refuse(&value.tokens, format!("{text:?} is no schedule: {mistake}"))
            }
        }
    }

    fn names(&mut self, value: &Value) -> Option<Vec<String>> {
        match &value.kind {
            ValueKind::Text(_) => self.item(value).map(|name| vec![name]),
            ValueKind::List(items) => self.items(items),
            ValueKind::Absent
            | ValueKind::Missing
            | ValueKind::Call
            | ValueKind::Integer { .. }
            | ValueKind::Fraction
            | ValueKind::Bool
            | ValueKind::Path(_)
            | ValueKind::Other => self.wrong_kind(value, "a text or a list of texts"),
        }
    }

    fn variables(&mut self, value: &Value) -> Option<Setting> {
        let ValueKind::List(items) = &value.kind else {
            return self.wrong_kind(value, "a list of names");
        };
        self.items(items).map(Setting::Variables)
    }

    fn items(&mut self, items: &[Value]) -> Option<Vec<String>> {
        // All are read before the first refusal counts, so that each is reported.
        let read: Vec<_> = items.iter().map(|item| self.item(item)).collect();
        let mut names: Vec<String> = Vec::new();
        let mut fine = true;
        for (name, item) in read.into_iter().zip(items) {
            match name {
                Some(name) if names.contains(&name) => {
                    fine = false;
                    let list = self.known.name;
                    let message = format!("`{list}` holds {name:?} twice; remove this one");
                    self.errors.over(&item.tokens, message);
                }
                Some(name) => names.push(name),
                None => fine = false,
            }
        }
        fine.then_some(names)
    }

    fn item(&mut self, value: &Value) -> Option<String> {
        let ValueKind::Text(text) = &value.kind else {
            let place = value.span();
            let list = self.known.name;
            let written = self.known.written();
            self.errors.at(
                place,
                format!("`{list}` lists texts, found {value}; write `{written}`"),
            );
            return None;
        };
        let text = text.value();
        if text.trim().is_empty() || text.contains('\0') {
            return self.refuse(&value.tokens, format!("{text:?} is no name"));
        }
        if matches!(self.known.takes, Takes::Variables) && text.contains('=') {
            return self.refuse(
                &value.tokens,
                format!("it lists names of variables, not values, found {text:?}"),
            );
        }
        Some(text)
    }

    fn choice(&mut self, value: &Value, choice: &Choice) -> Option<Setting> {
        let spellings = || choice.variants.iter().map(|(spelling, _)| *spelling);
        let quoted: Vec<_> = spellings().map(|known| format!("{known:?}")).collect();
        let wanted = format!("one of {}", quoted.join(", "));
        if let ValueKind::Path(path) = &value.kind
            && let Some(bare) = path.get_ident()
            && let Some(meant) = nearest_of(&bare.to_string(), spellings())
        {
            let name = self.known.name;
            let message = format!(
                "`{name}` takes a text in quotes, found {value}; write `{name} = {meant:?}`"
            );
            self.errors.over(&value.tokens, message);
            return None;
        }
        let text = self.text(value, &wanted)?;
        let variant = choice.variants.iter().find(|(known, _)| *known == text);
        if let Some((_, variant)) = variant {
            return Some(Setting::Variant {
                type_name: choice.type_name,
                variant,
            });
        }
        let name = self.known.name;
        let meant = nearest_of(&text, spellings()).map_or_else(
            || format!("write for example `{}`", self.known.written()),
            |meant| format!("did you mean `{name} = {meant:?}`?"),
        );
        self.errors.over(
            &value.tokens,
            format!("`{name}` is {wanted}, found {text:?}; {meant}"),
        );
        None
    }

    fn backoff(&mut self, value: &Value) -> Option<Setting> {
        let text = self.text(value, "a back-off in quotes")?;
        match text::backoff(&text) {
            Ok(backoff) => Some(Setting::Backoff(backoff)),
            Err(mistake) => self.refuse(&value.tokens, format!("{text:?}: {mistake}")),
        }
    }
}

/// What is wrong with a name, if anything.
pub(crate) fn name_mistake(name: &str) -> Option<String> {
    let length = name.chars().count();
    if length == 0 {
        return Some("it cannot be empty".to_owned());
    }
    if length > NAME_CHARACTERS_MAX {
        return Some(format!(
            "it has at most {NAME_CHARACTERS_MAX} characters, found {length}"
        ));
    }
    name.chars()
        .find(|letter| letter.is_whitespace() || letter.is_control())
        .map(|letter| format!("it has no spaces and no control characters, found {letter:?}"))
}
