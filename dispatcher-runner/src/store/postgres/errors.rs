//! What PostgreSQL says, in the words of the seam.
//!
//! Three kinds matter: the connection is gone and another may do; somebody was in the way and the
//! same may work now; anything else, which is told. No text of ours holds a password.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server or the way to it.
    Sql(Error),
    /// No answer within the deadline.
    Late(Duration),
    /// A value that this program could not have written.
    Corrupt(String),
    /// What no connection will change: certificates, an old server.
    Refused(String),
    /// The schema is of a newer program.
    Newer { found: i64, known: i64 },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Another connection.
    Reconnect,
    /// The same once more: transactions were in each other's way.
    Again,
    /// Tell it.
    Tell,
}

impl Failure {
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Late(_) => Remedy::Reconnect,
            Self::Sql(error) => match error.code() {
                None => Remedy::Reconnect,
                Some(code) if is_of_connection(code) => Remedy::Reconnect,
                Some(code)
                    if *code == SqlState::T_R_SERIALIZATION_FAILURE
                        || *code == SqlState::T_R_DEADLOCK_DETECTED =>
                {
                    Remedy::Again
                }
                Some(_) => Remedy::Tell,
            },
            Self::Corrupt(_) | Self::Refused(_) | Self::Newer { .. } => Remedy::Tell,
        }
    }

    /// What a caller is told.
    pub(super) fn explain(&self, place: &Path) -> StoreError {
        let path = place.to_owned();
        match self {
            Self::Late(waited) => StoreError::Unreachable {
                path,
                detail: format!("no answer for {waited:?}"),
            },
            Self::Corrupt(detail) => StoreError::Corrupt {
                path,
                detail: detail.clone(),
            },
            Self::Refused(detail) => StoreError::Database {
                path,
                detail: detail.clone(),
            },
            Self::Newer { found, known } => StoreError::NewerSchema {
                path,
                found: *found,
                known: *known,
            },
            Self::Sql(error) => of_server(path, error),
        }
    }
}

fn of_server(path: std::path::PathBuf, error: &Error) -> StoreError {
    let detail = said(error);
    let Some(code) = error.code() else {
        return if error
            .source()
            .is_some_and(|it| it.is::<serde_json::Error>())
        {
            StoreError::Corrupt { path, detail }
        } else {
            StoreError::Unreachable { path, detail }
        };
    };
    if is_of_connection(code) {
        StoreError::Unreachable { path, detail }
    } else if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::QUERY_CANCELED {
        StoreError::Busy {
            path,
            waited: super::link::LOCK_WAIT_MAX,
        }
    } else if *code == SqlState::DISK_FULL {
        StoreError::Full { path }
    } else {
        StoreError::Database { path, detail }
    }
}

/// The server's own words, or those of the way to it.
fn said(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        let hint = said.hint().map(|hint| format!(" ({hint})"));
        return format!("{}{}", said.message(), hint.unwrap_or_default());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// Codes that say that this connection is over, or that none can be had now.
fn is_of_connection(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::DATABASE_DROPPED,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}
