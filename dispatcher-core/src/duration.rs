//! Lengths of time and amounts of memory as people write them: `1h30m`, `512MiB`.
//!
//! Every whole number of milliseconds survives formatting and parsing; nothing is rounded silently
//! on the way in.

use std::time::Duration;

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The largest first; those of 1024 stand before those of 1000, so that formatting prefers them.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];
/// How many of [`BYTE_UNITS`] are powers of 1024.
const BINARY_UNITS: usize = 4;

/// Longest duration that is read (100 years), so that no sum of a few overflows anywhere.
const MS_MAX: u64 = 36_500 * 24 * 3_600_000;

/// A text is no duration or no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing there.
    #[error("empty; write {example}")]
    Empty {
        /// What would do.
        example: &'static str,
    },
    /// No number where one should be.
    #[error("`{text}` does not start with a whole number; write {example}")]
    Number {
        /// The rest of the text, from where it goes wrong.
        text: String,
        /// What would do.
        example: &'static str,
    },
    /// A number with no unit, or an unknown one.
    #[error("`{unit}` is no unit; there are {units}")]
    Unit {
        /// As written.
        unit: String,
        /// All there are.
        units: &'static str,
    },
    /// Units not from large to small, each once.
    #[error("`{unit}` stands in the wrong place; write the units from large to small, each once")]
    Order {
        /// The unit.
        unit: String,
    },
    /// More than anybody needs: longer than 36,500 days, or 2⁶³ bytes and more.
    #[error("too large")]
    TooLarge,
}

/// Reads `1h30m`, `5m`, `250ms`, `1w 2d`, or a bare number of seconds.
///
/// # Errors
/// When the text is anything else.
///
/// ```
/// use dispatcher_core::duration::parse_duration;
/// use std::time::Duration;
/// assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
/// assert_eq!(parse_duration("300"), Ok(Duration::from_secs(300)));
/// assert!(parse_duration("5 minutes").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    const EXAMPLE: &str = "`300` (seconds), `5m` or `1h30m`";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(QuantityError::Empty { example: EXAMPLE });
    }
    let mut total_ms: u64 = 0;
    let mut units = &UNITS[..];
    while !rest.is_empty() {
        let (number, after) = whole_number(rest, EXAMPLE)?;
        let length = after
            .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        // A bare number is in seconds, if it is the whole text.
        let bare = unit.is_empty() && after.is_empty() && units.len() == UNITS.len();
        let unit = if bare { "s" } else { unit };
        let Some(index) = units.iter().position(|(name, _)| *name == unit) else {
            return Err(if UNITS.iter().any(|(name, _)| *name == unit) {
                QuantityError::Order {
                    unit: bounded(unit),
                }
            } else {
                QuantityError::Unit {
                    unit: bounded(if unit.is_empty() { rest } else { unit }),
                    units: "w, d, h, m, s and ms",
                }
            });
        };
        total_ms = number
            .checked_mul(units[index].1)
            .and_then(|part| total_ms.checked_add(part))
            .filter(|total_ms| *total_ms <= MS_MAX)
            .ok_or(QuantityError::TooLarge)?;
        units = &units[index + 1..];
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// Writes a duration so that [`parse_duration`] reads it back; what is below a millisecond is cut.
///
/// ```
/// use dispatcher_core::duration::format_duration;
/// use std::time::Duration;
/// assert_eq!(format_duration(Duration::from_millis(90_250)), "1m30s250ms");
/// assert_eq!(format_duration(Duration::ZERO), "0s");
/// ```
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, size) in UNITS {
        // `7d` reads better than `1w` unless whole weeks are all there is.
        if name == "w" && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

/// Reads `512MiB`, `1 GB`, or a bare number of bytes.
///
/// # Errors
/// When the text is anything else; `K`, `M` and `G` alone are ambiguous and refused.
///
/// ```
/// use dispatcher_core::duration::parse_bytes;
/// assert_eq!(parse_bytes("512MiB"), Ok(512 * 1024 * 1024));
/// assert!(parse_bytes("512M").is_err());
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, QuantityError> {
    const EXAMPLE: &str = "`512MiB` or `1GB`";
    let text = text.trim();
    if text.is_empty() {
        return Err(QuantityError::Empty { example: EXAMPLE });
    }
    let (number, unit) = whole_number(text, EXAMPLE)?;
    let unit = match unit.trim_start() {
        "" => "B",
        unit => unit,
    };
    let Some((_, size)) = BYTE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(QuantityError::Unit {
            unit: bounded(unit),
            units: "B, KiB, MiB, GiB, TiB (1024) and kB, MB, GB, TB (1000)",
        });
    };
    number
        .checked_mul(*size)
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or(QuantityError::TooLarge)
}

/// Writes a number of bytes for people: exactly when a unit divides it, else with one decimal.
///
/// ```
/// use dispatcher_core::duration::format_bytes;
/// assert_eq!(format_bytes(512 * 1024 * 1024), "512MiB");
/// assert_eq!(format_bytes(1_600_000), "1.5MiB");
/// assert_eq!(format_bytes(1000), "1000B");
/// ```
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let fitting = BYTE_UNITS[..BINARY_UNITS]
        .iter()
        .find(|(_, size)| bytes >= *size);
    match fitting {
        None => format!("{bytes}B"),
        Some((name, size)) if bytes.is_multiple_of(*size) => format!("{}{name}", bytes / size),
        Some((name, size)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
    }
}

fn whole_number<'a>(text: &'a str, example: &'static str) -> Result<(u64, &'a str), QuantityError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    if digits.is_empty() || after.starts_with('.') {
        return Err(QuantityError::Number {
            text: bounded(text),
            example,
        });
    }
    let number = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    Ok((number, after))
}

/// What a message quotes: on one line, whatever was written.
fn bounded(text: &str) -> String {
    let mut quoted = String::new();
    for letter in text.chars().take(40) {
        if letter.is_control() {
            quoted.extend(letter.escape_default());
        } else {
            quoted.push(letter);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_are_read() {
        for (text, ms) in [
            ("0", 0),
            ("300", 300_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            (" 1h 30m ", 5_400_000),
            ("250ms", 250),
            ("1s250ms", 1_250),
            ("90m", 5_400_000),
            ("1w", 604_800_000),
            ("1w1d1h1m1s1ms", 694_861_001),
            ("0s", 0),
            ("007s", 7_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_that_are_refused() {
        for (text, said) in [
            ("", "empty"),
            ("  ", "empty"),
            ("m", "does not start with a whole number"),
            ("-5m", "does not start with a whole number"),
            ("1.5h", "does not start with a whole number"),
            ("5 minutes", "`5 minutes` is no unit"),
            ("5minutes", "`minutes` is no unit"),
            ("5M", "`M` is no unit"),
            ("5m5", "`5` is no unit"),
            ("5 5", "`5 5` is no unit"),
            ("5m1h", "`h` stands in the wrong place"),
            ("5m5m", "`m` stands in the wrong place"),
            ("99999999999999999999", "too large"),
            ("18446744073709551615s", "too large"),
            ("5mé", "`mé` is no unit"),
            ("5\n6", "`5\\n6` is no unit"),
            ("٥m", "does not start with a whole number"),
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn durations_survive_formatting() {
        let mut ms = 1_u64;
        while ms < MS_MAX {
            for ms in [ms - 1, ms, ms + 1, ms / 1000 * 1000] {
                let duration = Duration::from_millis(ms);
                assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            }
            ms *= 3;
        }
        assert_eq!(format_duration(Duration::from_secs(7 * 86_400)), "1w");
        assert_eq!(format_duration(Duration::from_secs(8 * 86_400)), "8d");
        assert_eq!(format_duration(Duration::from_nanos(999_999)), "0s");
        assert!(parse_duration("36500d").is_ok());
        for text in ["36501d", "36500d1ms", &format_duration(Duration::MAX)] {
            assert_eq!(parse_duration(text), Err(QuantityError::TooLarge));
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("7B", 7),
            ("1KiB", 1024),
            ("1kB", 1000),
            ("512MiB", 536_870_912),
            ("512 MiB", 536_870_912),
            ("2GiB", 2_147_483_648),
            ("1TB", 1_000_000_000_000),
            ("1TiB", 1_099_511_627_776),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "1M",
            "1mib",
            "1.5GiB",
            "-1",
            "1MiB1",
            "9000000TiB",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (1025, "1.0KiB"),
            (u64::MAX, "16777215.9TiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }
}
