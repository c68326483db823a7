//! Messages that our publisher leaves in a table beside notifying of them, so that a listener that
//! was away finds them.
//!
//! The table is made by whoever listens first and may make it; without it nothing is kept. A
//! message stands there for a day.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::{Heard, NotifyError, Speaker, in_time};

/// A statement's parameters.
type Given<'a> = [(&'a (dyn ToSql + Sync), Type)];

impl Speaker {
    /// Makes the table, if it is not there; whether it is now.
    pub(crate) async fn keep_published(&self) -> Result<bool, NotifyError> {
        if self.keeps_published().await? {
            return Ok(true);
        }
        let create = include_str!("migrations/0001_published.sql");
        match in_time(self.client.batch_execute(create)).await {
            Ok(()) => Ok(true),
            Err(NotifyError::Postgres(error)) => {
                in_time(self.client.batch_execute("ROLLBACK")).await?;
                match error.code() {
                    Some(
                        &SqlState::INSUFFICIENT_PRIVILEGE | &SqlState::READ_ONLY_SQL_TRANSACTION,
                    ) => Ok(false),
                    Some(_) | None => Err(error.into()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether there is a table for messages.
    async fn keeps_published(&self) -> Result<bool, NotifyError> {
        let statement = include_str!("sql/published_is_there.sql");
        let rows = in_time(self.client.query_typed(statement, &[])).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Leaves a message in the table, where there is one, and notifies of its pieces: both or
    /// neither.
    pub(crate) async fn publish(
        &self,
        id: &str,
        channel: &str,
        message: &str,
        pieces: &[String],
    ) -> Result<(), NotifyError> {
        if !self.keeps_published().await? {
            return self.notify(channel, pieces).await;
        }
        in_time(self.client.batch_execute("BEGIN")).await?;
        let given: &Given<'_> = &[
            (&id, Type::TEXT),
            (&channel, Type::TEXT),
            (&message, Type::TEXT),
        ];
        self.run(include_str!("sql/published_insert.sql"), given)
            .await?;
        self.notify(channel, pieces).await?;
        in_time(self.client.batch_execute("COMMIT")).await
    }

    /// What a listener has missed that heard everything until then; what nobody took.
    pub(crate) async fn missed(
        &self,
        channels: &[String],
        heard_until: Option<f64>,
    ) -> Result<Vec<Heard>, NotifyError> {
        self.run(include_str!("sql/published_prune.sql"), &[])
            .await?;
        let given: &Given<'_> = &[(&channels, Type::TEXT_ARRAY), (&heard_until, Type::FLOAT8)];
        let statement = include_str!("sql/published_missed.sql");
        let rows = in_time(self.client.query_typed(statement, given)).await?;
        let heard = rows.iter().map(|row| Heard {
            channel: row.get(0),
            text: row.get(1),
        });
        Ok(heard.collect())
    }

    /// Notes that messages were taken.
    pub(crate) async fn note_taken(&self, ids: &[String]) -> Result<(), NotifyError> {
        let given: &Given<'_> = &[(&ids, Type::TEXT_ARRAY)];
        self.run(include_str!("sql/published_taken.sql"), given)
            .await
    }

    /// The server's clock.
    pub(crate) async fn seconds(&self) -> Result<f64, NotifyError> {
        let statement = include_str!("sql/seconds.sql");
        let rows = in_time(self.client.query_typed(statement, &[])).await?;
        rows.first().map(|row| row.get(0)).ok_or(NotifyError::Ended)
    }

    async fn run(&self, statement: &str, given: &Given<'_>) -> Result<(), NotifyError> {
        in_time(self.client.query_typed(statement, given)).await?;
        Ok(())
    }
}
