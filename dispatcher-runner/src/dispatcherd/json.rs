//! JSON as Python writes it, and JSON that anybody can read.
//!
//! Reading takes what Python's `json` module gives: `NaN`, the infinities, half of a surrogate
//! pair, integers of any size. What is no JSON is kept apart ([`Json::Odd`]), so that nobody takes
//! it for a value; numbers keep their digits. Writing is ASCII only, and strict JSON.

use std::fmt::Write as _;

/// Deepest nesting that is read; `serde_json` reads no more either.
const DEPTH_MAX: usize = 127;

/// A value. Of equal keys in an object the last one counts, in the place of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it was spelled.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    Odd(Odd),
}

/// What Python sends and JSON has no value for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Odd {
    /// `NaN`, `Infinity` or `-Infinity`.
    NotFinite(&'static str),
    /// A text with half of a surrogate pair, which is replaced here by U+FFFD.
    HalfPair(String),
}

/// The text is no JSON, not even as Python has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("no JSON at byte {0}")]
    Syntax(usize),
    #[error("JSON nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
}

impl Json {
    /// Reads a whole text.
    pub(crate) fn read(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH_MAX)?;
        reader.spaces();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(reader.wrong()),
        }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object without members.
    pub(crate) fn empty() -> Self {
        Self::Object(Vec::new())
    }

    /// An object of these members.
    pub(crate) fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        let members = members.into_iter();
        Self::Object(members.map(|(key, value)| (key.into(), value)).collect())
    }

    /// The member with this key, of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        members
            .iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }

    /// Sets a member of an object.
    pub(crate) fn set(&mut self, key: &str, value: Self) {
        if let Self::Object(members) = self {
            set(members, key.to_owned(), value);
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Odd(_) => None,
        }
    }

    /// A number as a float; Python has no other for fractions.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            Self::Null
            | Self::Bool(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Odd(_) => None,
        }
    }

    /// A number without a fraction, if it is small enough.
    pub(crate) fn as_usize(&self) -> Option<usize> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            Self::Null
            | Self::Bool(_)
            | Self::Text(_)
            | Self::List(_)
            | Self::Object(_)
            | Self::Odd(_) => None,
        }
    }

    /// Whether Python would take it for false: a filter with such a value asks for nothing.
    pub(crate) fn is_false(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(is) => !is,
            Self::Number(_) => self.as_f64() == Some(0.0),
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(members) => members.is_empty(),
            Self::Odd(_) => false,
        }
    }

    /// What in it is no JSON, and where; the first that is found.
    pub(crate) fn odd(&self) -> Option<(String, &Odd)> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
            Self::Odd(odd) => Some((String::new(), odd)),
            Self::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                let (path, odd) = item.odd()?;
                Some((format!("[{index}]{path}"), odd))
            }),
            Self::Object(members) => members.iter().find_map(|(key, value)| {
                let (path, odd) = value.odd()?;
                Some((format!(".{key}{path}"), odd))
            }),
        }
    }

    /// The text of it: ASCII, strict JSON. What is odd becomes `null`, or a text with U+FFFD.
    pub(crate) fn to_ascii(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) {
        match self {
            Self::Null | Self::Odd(Odd::NotFinite(_)) => to.push_str("null"),
            Self::Bool(is) => to.push_str(if *is { "true" } else { "false" }),
            Self::Number(digits) => to.push_str(digits),
            Self::Text(text) | Self::Odd(Odd::HalfPair(text)) => quote(text, to),
            Self::List(items) => {
                to.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    item.write(to);
                }
                to.push(']');
            }
            Self::Object(members) => {
                to.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        to.push(',');
                    }
                    quote(key, to);
                    to.push(':');
                    value.write(to);
                }
                to.push('}');
            }
        }
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::from(u64::from(number))
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<f64> for Json {
    fn from(number: f64) -> Self {
        match number.is_finite() {
            true => Self::Number(format!("{number:?}")),
            false => Self::Null,
        }
    }
}

impl From<bool> for Json {
    fn from(is: bool) -> Self {
        Self::Bool(is)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// Writes one character of a text.
pub(super) fn push_escaped(letter: char, to: &mut String) {
    match letter {
        '"' => to.push_str("\\\""),
        '\\' => to.push_str("\\\\"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        ' '..='~' => to.push(letter),
        _ => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(to, "\\u{unit:04x}");
            }
        }
    }
}

fn set(members: &mut Vec<(String, Json)>, key: String, value: Json) {
    match members.iter_mut().find(|(name, _)| *name == key) {
        Some((_, held)) => *held = value,
        None => members.push((key, value)),
    }
}

/// Writes a text in quotes, in ASCII.
fn quote(text: &str, to: &mut String) {
    to.push('"');
    for letter in text.chars() {
        push_escaped(letter, to);
    }
    to.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.spaces();
        match self.peek() {
            Some(b'{') => self.members(depth),
            Some(b'[') => self.items(depth),
            Some(b'"') => Ok(match self.string()? {
                (text, true) => Json::Odd(Odd::HalfPair(text)),
                (text, false) => Json::Text(text),
            }),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-I") => self.number(),
            Some(_) | None => self.word(),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Json, JsonError> {
        let depth = depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
        let mut members = Members::default();
        self.at += 1;
        self.spaces();
        if self.take(b'}') {
            return Ok(Json::empty());
        }
        loop {
            self.spaces();
            if self.peek() != Some(b'"') {
                return Err(self.wrong());
            }
            let (key, half) = self.string()?;
            self.spaces();
            self.expect(b':')?;
            let value = self.value(depth)?;
            // Nobody shall take it for a key that happens to look alike.
            let value = match half {
                true => Json::Odd(Odd::HalfPair(key.clone())),
                false => value,
            };
            members.set(key, value);
            self.spaces();
            if self.take(b'}') {
                return Ok(Json::Object(members.list));
            }
            self.expect(b',')?;
        }
    }

    fn items(&mut self, depth: usize) -> Result<Json, JsonError> {
        let depth = depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
        let mut items = Vec::new();
        self.at += 1;
        self.spaces();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.spaces();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            self.expect(b',')?;
        }
    }

    /// The text that begins here, and whether half of a surrogate pair stands in it.
    fn string(&mut self) -> Result<(String, bool), JsonError> {
        self.at += 1;
        let mut text = String::new();
        let mut half = false;
        loop {
            let rest = self.rest();
            let plain = rest.find(|it: char| it == '"' || it == '\\' || it < ' ');
            let Some(plain) = plain else {
                return Err(self.wrong());
            };
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((text, half));
                }
                Some(b'\\') => half |= self.escape(&mut text)?,
                Some(_) | None => return Err(self.wrong()),
            }
        }
    }

    /// Reads an escape; whether it is half of a surrogate pair.
    fn escape(&mut self, to: &mut String) -> Result<bool, JsonError> {
        let letter = self.text.as_bytes().get(self.at + 1);
        let letter = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(to),
            Some(_) | None => return Err(self.wrong()),
        };
        to.push(letter);
        self.at += 2;
        Ok(false)
    }

    fn unicode(&mut self, to: &mut String) -> Result<bool, JsonError> {
        let first = self.unit().ok_or_else(|| self.wrong())?;
        self.at += 6;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first)
            && let Some(second) = self.unit()
            && (0xdc00..0xe000).contains(&second)
        {
            self.at += 6;
            units.push(second);
        }
        let mut half = false;
        for letter in char::decode_utf16(units) {
            half |= letter.is_err();
            to.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(half)
    }

    /// The code unit of an escape that begins here.
    fn unit(&self) -> Option<u16> {
        let digits = self.rest().strip_prefix("\\u")?.get(..4)?;
        let hexadecimal = digits.bytes().all(|it| it.is_ascii_hexdigit());
        hexadecimal.then(|| u16::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Json::Number(self.text[start..self.at].to_owned()))
    }

    /// At least one.
    fn digits(&mut self) -> Result<(), JsonError> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        match digits {
            0 => Err(self.wrong()),
            _ => Ok(()),
        }
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        let words = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Odd(Odd::NotFinite("NaN"))),
            ("Infinity", Json::Odd(Odd::NotFinite("Infinity"))),
            ("-Infinity", Json::Odd(Odd::NotFinite("-Infinity"))),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong())
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    fn spaces(&mut self) {
        let is_space = |it: &u8| matches!(it, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().bytes().take_while(is_space).count();
    }

    fn wrong(&self) -> JsonError {
        JsonError::Syntax(self.at)
    }
}

/// Members of an object that is being read, with the place of each key.
#[derive(Default)]
struct Members {
    list: Vec<(String, Json)>,
    places: std::collections::BTreeMap<String, usize>,
}

impl Members {
    fn set(&mut self, key: String, value: Json) {
        match self.places.get(&key) {
            Some(&place) => self.list[place].1 = value,
            None => {
                self.places.insert(key.clone(), self.list.len());
                self.list.push((key, value));
            }
        }
    }
}
