//! Values in rows: ids, states, JSON.
//!
//! What cannot be read back is a conversion error, which the edge reports as a damaged file.

use dispatcher_core::{JobId, JobState, Options};
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Build;

/// The number of a state in rows; `sql/` and the migrations use the same numbers.
pub(super) const fn state_number(state: JobState) -> i64 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Succeeded => 2,
        JobState::Failed => 3,
        JobState::Cancelled => 4,
    }
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<JobState> {
    let number: i64 = row.get(column)?;
    JobState::ALL
        .into_iter()
        .find(|state| state_number(*state) == number)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn job_id(row: &Row<'_>, column: usize) -> rusqlite::Result<JobId> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| conversion(column, error))
}

pub(super) fn build(row: &Row<'_>, column: usize) -> rusqlite::Result<Build> {
    Ok(Build {
        modified_ns: row.get(column)?,
        id: row.get(column + 1)?,
    })
}

/// JSON of a column.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parse(column, row.get_ref(column)?.as_str()?)
}

/// JSON of a column that may be NULL.
pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null()? {
        Some(text) => parse(column, text).map(Some),
        None => Ok(None),
    }
}

fn parse<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| conversion(column, error))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A count that cannot be negative, as the seam spells it.
pub(super) fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX })
}

fn conversion(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// Options as text: only what differs from the defaults, since a row of the usual job would
/// otherwise be mostly defaults. Consecutive jobs mostly share their options, so the last
/// conversion in each direction is kept.
#[derive(Default)]
pub(super) struct OptionTexts {
    written: Option<(Options, String)>,
    read: Option<(String, Options)>,
}

impl OptionTexts {
    pub(super) fn text(&mut self, options: &Options) -> rusqlite::Result<&str> {
        let known = matches!(&self.written, Some((known, _)) if known == options);
        if !known {
            self.written = Some((options.clone(), differences(options)?));
        }
        Ok(self.written.as_ref().map_or("{}", |(_, text)| text))
    }

    pub(super) fn options(&mut self, row: &Row<'_>, column: usize) -> rusqlite::Result<Options> {
        let text = row.get_ref(column)?.as_str()?;
        match &self.read {
            Some((known, options)) if known == text => Ok(options.clone()),
            Some(_) | None => {
                let options: Options = parse(column, text)?;
                self.read = Some((text.to_owned(), options.clone()));
                Ok(options)
            }
        }
    }
}

fn differences(options: &Options) -> rusqlite::Result<String> {
    let failed = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let mut value = serde_json::to_value(options).map_err(failed)?;
    let default = serde_json::to_value(Options::default()).map_err(failed)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, field| default.get(name) != Some(field));
    }
    to_json(&value)
}
