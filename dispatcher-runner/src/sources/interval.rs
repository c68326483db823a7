//! A length of time in a section of the configuration.
//!
//! It is never zero: a source that does something every so often would do nothing else.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::config::OptionValue;

/// A time between two of a kind, as sections write it: `"1s"`, `"10s"`, `"1m"`, or whole seconds.
///
/// ```
/// use dispatcher_runner::Interval;
/// #[derive(serde::Deserialize)]
/// struct Section { every: Interval }
/// let section: Section = serde_json::from_str(r#"{"every": "1m"}"#)?;
/// assert_eq!(section.every.duration().as_secs(), 60);
/// assert!(serde_json::from_str::<Section>(r#"{"every": "soon"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval(Duration);

impl Interval {
    /// From whole seconds, at least one.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(if seconds == 0 { 1 } else { seconds }))
    }

    /// The time.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }

    /// Waits for as long; for sources, whose runtime knows the time.
    pub async fn sleep(self) {
        tokio::time::sleep(self.0).await;
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl Visitor<'_> for Written {
    type Value = Interval;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whole seconds or a duration such as \"5m\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Interval, E> {
        longer_than_none(&OptionValue::Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Interval, E> {
        longer_than_none(&OptionValue::Integer(seconds))
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Interval, E> {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.visit_i64(seconds)
    }
}

fn longer_than_none<E: Error>(value: &OptionValue) -> Result<Interval, E> {
    match value.duration() {
        Ok(Duration::ZERO) => Err(E::custom("takes a time longer than 0")),
        Ok(time) => Ok(Interval(time)),
        Err(why) => Err(E::custom(why)),
    }
}
