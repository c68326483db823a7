//! Values in rows: ids, states, JSON.
//!
//! What cannot be read back is reported as a damaged store.

use dispatcher_core::{JobId, JobState, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::errors::Failure;
use crate::store::Build;

/// The number of a state in rows; `sql/` and the migrations use the same numbers.
pub(super) const fn state_number(state: JobState) -> i16 {
    match state {
        JobState::Queued => 0,
        JobState::Running => 1,
        JobState::Succeeded => 2,
        JobState::Failed => 3,
        JobState::Cancelled => 4,
    }
}

pub(super) fn state(row: &Row, column: usize) -> Result<JobState, Failure> {
    let number: i16 = row.try_get(column)?;
    JobState::ALL
        .into_iter()
        .find(|state| state_number(*state) == number)
        .ok_or_else(|| Failure::Corrupt(format!("a job has the state {number}")))
}

pub(super) fn job_id(row: &Row, column: usize) -> Result<JobId, Failure> {
    id_of(row.try_get(column)?)
}

/// Ids of a column that is an array.
pub(super) fn job_ids(row: &Row, column: usize) -> Result<Vec<JobId>, Failure> {
    let texts: Vec<&str> = row.try_get(column)?;
    texts.into_iter().map(id_of).collect()
}

fn id_of(text: &str) -> Result<JobId, Failure> {
    text.parse()
        .map_err(|_| Failure::Corrupt(format!("{text:?} is no id of a job")))
}

pub(super) fn build(row: &Row, column: usize) -> Result<Build, Failure> {
    Ok(Build {
        modified_ns: row.try_get(column)?,
        id: row.try_get(column + 1)?,
    })
}

/// JSON of a column.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Failure> {
    parse(row.try_get(column)?)
}

/// JSON of a column that may be NULL.
pub(super) fn json_or_none<T: DeserializeOwned>(
    row: &Row,
    column: usize,
) -> Result<Option<T>, Failure> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(parse).transpose()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Corrupt(error.to_string()))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Corrupt(error.to_string()))
}

/// Prose, without the one character that PostgreSQL has no place for.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A number that cannot be negative.
pub(super) fn unsigned(number: i64) -> u64 {
    number.unsigned_abs()
}

pub(super) fn number_u32(row: &Row, column: usize) -> Result<u32, Failure> {
    let number: i64 = row.try_get(column)?;
    Ok(super::count(number))
}

pub(super) fn small_u32(row: &Row, column: usize) -> Result<u32, Failure> {
    let number: i32 = row.try_get(column)?;
    Ok(number.unsigned_abs())
}

/// Options as text: only what differs from the defaults. Consecutive jobs mostly share theirs, so
/// the last conversion is kept.
#[derive(Default)]
pub(super) struct OptionTexts(Option<(Options, String)>);

impl OptionTexts {
    pub(super) fn text(&mut self, options: &Options) -> Result<String, Failure> {
        match &self.0 {
            Some((known, text)) if known == options => Ok(text.clone()),
            Some(_) | None => {
                let text = differences(options)?;
                self.0 = Some((options.clone(), text.clone()));
                Ok(text)
            }
        }
    }
}

fn differences(options: &Options) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Corrupt(error.to_string());
    let mut value = serde_json::to_value(options).map_err(failed)?;
    let default = serde_json::to_value(Options::default()).map_err(failed)?;
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, field| default.get(name) != Some(field));
    }
    to_json(&value)
}
