//! One text for every payload that means the same, and a short name for it.
//!
//! Two payloads share a canonical text exactly when they are equal as JSON values: keys in any
//! order (the last of equal ones counts), any spacing, any spelling of a string, any spelling of a
//! number. Numbers are compared as the decimals they are, never through a float, so that two large
//! ids are never taken for one.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::de::IgnoredAny;
use siphasher::sip128::SipHasher24;

/// Deepest nesting of arrays and objects; `serde_json` reads no more either.
const DEPTH_MAX: usize = 127;
/// Numbers with more zeros than this around them are written with an exponent.
const ZEROS_MAX: i64 = 20;
/// Part of what is stored: changing it makes jobs that wait forget their duplicates.
const KEYS: (u64, u64) = (0x6469_7370_6174_6368, 0x6964_656e_7469_7479);

/// A payload has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// It is no JSON.
    #[error("no JSON: {reason}")]
    Syntax {
        /// What the reader says, with line and column.
        reason: String,
    },
    /// Arrays and objects are nested too deeply.
    #[error("JSON nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
}

/// The canonical text of a JSON payload.
///
/// # Errors
/// When the payload is no JSON, or nested too deeply.
///
/// ```
/// use dispatcher_core::canonical;
/// let text = canonical(r#"{ "b": 1.50, "a": ["\u0041", 1e2] }"#)?;
/// assert_eq!(text, r#"{"a":["A",100],"b":1.5}"#);
/// # Ok::<(), dispatcher_core::CanonicalError>(())
/// ```
pub fn canonical(payload: &str) -> Result<String, CanonicalError> {
    // Refuses everything that is no JSON without building it, and without recursion.
    serde_json::from_str::<IgnoredAny>(payload).map_err(|error| syntax(&error))?;
    let mut reader = Reader { rest: payload };
    let mut text = String::with_capacity(payload.len());
    reader.value(DEPTH_MAX, &mut text)?;
    Ok(text)
}

/// What makes two payloads duplicates: 128 bits of the canonical text, as 32 hexadecimal digits.
///
/// The hash is SipHash-2-4-128 under fixed keys: two different payloads of one dispatcher meet
/// with a chance of 2⁻¹²⁸, that is never by accident. It is no defence against someone who may
/// submit jobs and looks for a collision; all they could gain is that their own job is dropped as
/// a duplicate.
///
/// # Errors
/// When the payload has no canonical form.
///
/// ```
/// use dispatcher_core::identity;
/// assert_eq!(identity(r#"{"a":1,"b":2}"#)?, identity(r#"{"b":2.0, "a":1}"#)?);
/// assert_ne!(identity("1")?, identity(r#""1""#)?);
/// # Ok::<(), dispatcher_core::CanonicalError>(())
/// ```
pub fn identity(payload: &str) -> Result<String, CanonicalError> {
    let text = canonical(payload)?;
    let hash = SipHasher24::new_with_keys(KEYS.0, KEYS.1).hash(text.as_bytes());
    Ok(format!("{:016x}{:016x}", hash.h1, hash.h2))
}

/// Walks text that is known to be JSON.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize, to: &mut String) -> Result<(), CanonicalError> {
        match self.peek() {
            Some(b'{') => self.object(depth, to),
            Some(b'[') => self.array(depth, to),
            Some(b'"') => {
                let text = self.string()?;
                quote(&text, to);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => {
                number(
                    self.take_while(|c| !matches!(c, ',' | ']' | '}') && !c.is_ascii_whitespace()),
                    to,
                );
                Ok(())
            }
            Some(_) | None => {
                to.push_str(self.take_while(|c| c.is_ascii_lowercase()));
                Ok(())
            }
        }
    }

    fn object(&mut self, depth: usize, to: &mut String) -> Result<(), CanonicalError> {
        let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
        let mut entries = BTreeMap::new();
        self.skip(1);
        while self.peek() != Some(b'}') {
            let key = self.string()?;
            self.peek();
            self.skip(1);
            let mut value = String::new();
            self.value(depth, &mut value)?;
            entries.insert(key, value);
            if self.peek() == Some(b',') {
                self.skip(1);
            }
        }
        self.skip(1);
        to.push('{');
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                to.push(',');
            }
            quote(key, to);
            to.push(':');
            to.push_str(value);
        }
        to.push('}');
        Ok(())
    }

    fn array(&mut self, depth: usize, to: &mut String) -> Result<(), CanonicalError> {
        let depth = depth.checked_sub(1).ok_or(CanonicalError::TooDeep)?;
        self.skip(1);
        to.push('[');
        while self.peek() != Some(b']') {
            self.value(depth, to)?;
            if self.peek() == Some(b',') {
                self.skip(1);
                to.push(',');
            }
        }
        self.skip(1);
        to.push(']');
        Ok(())
    }

    /// The string that begins here, decoded.
    fn string(&mut self) -> Result<String, CanonicalError> {
        self.peek();
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let (literal, rest) = self.rest.split_at((end + 1).min(bytes.len()));
        self.rest = rest;
        // Half of a surrogate pair passed the first reading; it is no text.
        serde_json::from_str(literal).map_err(|error| syntax(&error))
    }

    /// The next byte that is no space, which stays where it is.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.bytes().next()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn take_while(&mut self, is_part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at(end);
        self.rest = rest;
        part
    }
}

fn syntax(error: &serde_json::Error) -> CanonicalError {
    CanonicalError::Syntax {
        reason: error.to_string(),
    }
}

fn quote(text: &str, to: &mut String) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\u{0}'..='\u{1f}' => {
                write!(to, "\\u{:04x}", u32::from(c)).expect("invariant: a string takes any text");
            }
            c => to.push(c),
        }
    }
    to.push('"');
}

/// Writes a number so that equal decimals look the same.
fn number(text: &str, to: &mut String) {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, decimals].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        to.push('0');
        return;
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // The value is `significant × 10^exponent`.
    let exponent = exponent.parse::<i64>().ok().and_then(|exponent| {
        exponent
            .checked_sub(i64::try_from(decimals.len()).ok()?)?
            .checked_add(i64::try_from(trailing).ok()?)
    });
    let Some(exponent) = exponent else {
        // Absurd, but still different from every other number.
        to.push_str(text);
        return;
    };
    if negative {
        to.push('-');
    }
    decimal(significant, exponent, to);
}

/// Writes `significant × 10^exponent`, without an exponent if that is short.
fn decimal(significant: &str, exponent: i64, to: &mut String) {
    let length = i64::try_from(significant.len()).unwrap_or(i64::MAX);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let point = length.saturating_add(exponent);
    if (0..=ZEROS_MAX).contains(&exponent) {
        to.push_str(significant);
        to.push_str(&zeros(exponent));
    } else if exponent < 0 && point > 0 {
        let (whole, decimals) = significant.split_at(usize::try_from(point).unwrap_or(0));
        to.push_str(whole);
        to.push('.');
        to.push_str(decimals);
    } else if exponent < 0 && point >= -ZEROS_MAX {
        to.push_str("0.");
        to.push_str(&zeros(-point));
        to.push_str(significant);
    } else {
        to.push_str(significant);
        write!(to, "e{exponent}").expect("invariant: a string takes any text");
    }
}

#[cfg(test)]
mod tests;
