//! The little languages inside of values: durations, sizes, back-offs; and types as text.
//!
//! A refusal says what is wrong and how to mend it; the caller names the option and what was found.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Longest duration taken, so that no sum of a few of them can overflow anywhere: 100 years.
const DAYS_MAX: u64 = 36_500;
/// The same in milliseconds.
pub(crate) const MILLIS_MAX: u64 = DAYS_MAX * 86_400_000;

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// A back-off, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backoff {
    Constant { delay: u64 },
    Linear { step: u64, max: u64 },
    Exponential { base: u64, max: u64 },
}

/// `90s`, `5m`, `1h30m`, `2d`, `250ms`: milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64, String> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut units = TIME_UNITS.iter();
    while !rest.is_empty() || text.is_empty() {
        let (number, unit, after) = quantity(rest);
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if number.is_empty() => {
                return Err(format!("a number is missing before {}", quoted(rest)));
            }
            Err(_) => return Err(format!("{number} is too large")),
        };
        if unit.is_empty() {
            return Err(format!("{number} has no unit (d, h, m, s, ms)"));
        }
        let Some((_, millis)) = units.by_ref().find(|(known, _)| *known == unit) else {
            return Err(if TIME_UNITS.iter().any(|(known, _)| *known == unit) {
                "each unit may stand once, the larger before the smaller".to_owned()
            } else {
                format!("there is no unit {unit:?} of time (d, h, m, s, ms)")
            });
        };
        total = number
            .checked_mul(*millis)
            .and_then(|millis| total.checked_add(millis))
            .filter(|total| *total <= MILLIS_MAX)
            .ok_or_else(|| format!("more than {DAYS_MAX} days are not taken"))?;
        rest = after;
    }
    Ok(total)
}

/// `512MiB`, `1GiB`, `500MB`: bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit, rest) = quantity(text);
    if number.is_empty() || !rest.is_empty() {
        return Err("a size is one whole number and a unit".to_owned());
    }
    let known = || SIZE_UNITS.map(|(known, _)| known).join(", ");
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(known, _)| *known == unit) else {
        return Err(if unit.is_empty() {
            format!("{number} has no unit ({})", known())
        } else {
            format!("there is no unit {unit:?} of size ({})", known())
        });
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{number} is too large"))?;
    number
        .checked_mul(*factor)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| "no machine has that much memory".to_owned())
}

/// `exponential(1s, 1h)`, `linear(5s, 10m)`, `constant(5s)`.
pub(crate) fn backoff(text: &str) -> Result<Backoff, String> {
    let Some((kind, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('('))
    else {
        return Err("a back-off is a kind and durations in parentheses".to_owned());
    };
    let durations = arguments
        .split(',')
        .map(|argument| duration(argument.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    let backoff = match (kind.trim(), durations.as_slice()) {
        ("constant", [delay]) => Backoff::Constant { delay: *delay },
        ("constant", _) => return Err("`constant` takes one duration".to_owned()),
        ("linear", [step, max]) => Backoff::Linear {
            step: *step,
            max: *max,
        },
        ("exponential", [base, max]) => Backoff::Exponential {
            base: *base,
            max: *max,
        },
        (kind @ ("linear" | "exponential"), _) => {
            return Err(format!(
                "`{kind}` takes two durations, the first delay and the longest"
            ));
        }
        (kind, _) => {
            return Err(format!(
                "there is no back-off {kind:?} (constant, linear, exponential)"
            ));
        }
    };
    match backoff {
        Backoff::Linear { step: 0, .. } | Backoff::Exponential { base: 0, .. } => {
            Err("a first delay of nothing never grows".to_owned())
        }
        Backoff::Linear { step: first, max } | Backoff::Exponential { base: first, max }
            if first > max =>
        {
            Err("the first delay is longer than the longest".to_owned())
        }
        Backoff::Constant { .. } | Backoff::Linear { .. } | Backoff::Exponential { .. } => {
            Ok(backoff)
        }
    }
}

/// Source text with one spelling whatever the user's spacing was: `Vec<(u8, &'a str)>`.
pub(crate) fn source(tokens: TokenStream) -> String {
    let mut out = String::new();
    append(tokens, &mut out);
    out
}

fn append(tokens: TokenStream, out: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::None => ("", ""),
                };
                out.push_str(open);
                append(group.stream(), out);
                out.push_str(close);
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                // `for<'a> Fn`, `&'a str`, `dyn Any`: words that would otherwise run together.
                if out.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '>')) {
                    out.push(' ');
                }
                out.push_str(&token.to_string());
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                mark @ (',' | ';') => {
                    out.push(mark);
                    if tokens.peek().is_some() {
                        out.push(' ');
                    }
                }
                mark @ ('=' | '+') => {
                    out.push(' ');
                    out.push(mark);
                    out.push(' ');
                }
                '-' => out.push_str(" -"),
                '>' if out.ends_with(" -") => out.push_str("> "),
                mark => out.push(mark),
            },
        }
    }
}

/// Leading digits, the letters after them, and what follows.
fn quantity(text: &str) -> (&str, &str, &str) {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let letters = rest
        .find(|letter: char| letter.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    (number, unit, rest)
}

fn quoted(text: &str) -> String {
    if text.is_empty() {
        "the end".to_owned()
    } else {
        format!("{text:?}")
    }
}
