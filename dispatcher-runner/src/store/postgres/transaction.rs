//! One transaction: its statements, without names on the server, and how it ends.
//!
//! Statements that do not need each other's answers are given to the connection together.

use std::cell::{Cell, RefCell};

use futures_util::future::join;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::batches::{self, Ends};
use super::errors::Failure;

/// Values with their types.
pub(super) type Values<'v> = &'v [(&'v (dyn ToSql + Sync), Type)];

/// An open transaction.
pub(super) struct Tx<'c> {
    client: &'c Client,
    /// The connection of an earlier attempt at the same died while it committed: what is to be
    /// written may be there.
    pub(super) again: bool,
    /// There is something new to do: whoever listens is told with the commit.
    wake: Cell<bool>,
    /// Ends of jobs of batches that are not counted yet; see [`batches::count`].
    ends: RefCell<Ends>,
    channel: &'c str,
}

impl Tx<'_> {
    /// Wakes whoever listens, after the commit.
    pub(super) fn wake(&self) {
        self.wake.set(true);
    }

    /// Has these ends counted, at the latest with the commit.
    pub(super) fn ended(&self, ends: &Ends) {
        self.ends.borrow_mut().merge(ends);
    }

    /// The ends that are to be counted now.
    pub(super) fn take_ends(&self) -> Ends {
        self.ends.take()
    }

    /// What statements are sent by.
    pub(super) fn client(&self) -> &Client {
        self.client
    }

    /// Rows of a statement.
    pub(super) async fn rows(
        &self,
        statement: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Failure> {
        Ok(self.client.query_typed(statement, values).await?)
    }

    /// The only row of a statement.
    pub(super) async fn row(&self, statement: &str, values: Values<'_>) -> Result<Row, Failure> {
        Ok(self.client.query_typed_one(statement, values).await?)
    }

    /// The only row of a statement, if there is one.
    pub(super) async fn row_or_none(
        &self,
        statement: &str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Failure> {
        Ok(self.client.query_typed_opt(statement, values).await?)
    }

    /// Rows that a statement changed.
    pub(super) async fn run(&self, statement: &str, values: Values<'_>) -> Result<u64, Failure> {
        Ok(self.client.execute_typed(statement, values).await?)
    }

    /// Statements of a migration.
    pub(super) async fn script(&self, statements: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(statements).await?)
    }
}

/// How a transaction is run.
pub(super) struct Terms<'t> {
    /// Statements that begin it.
    pub(super) begin: &'t str,
    pub(super) channel: &'t str,
    /// See [`Tx::again`].
    pub(super) again: bool,
}

/// Runs one transaction to its end. `committing` says whether the end was asked for: from then on
/// a dead connection leaves open which one it was.
pub(super) async fn transact<R>(
    client: &Client,
    terms: &Terms<'_>,
    committing: &Cell<bool>,
    work: &mut impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let tx = Tx {
        client,
        again: terms.again,
        wake: Cell::new(false),
        ends: RefCell::default(),
        channel: terms.channel,
    };
    let (begun, done) = join(client.batch_execute(terms.begin), work(&tx)).await;
    let done = match begun.map_err(Failure::from).and(done) {
        Ok(value) => batches::count(&tx).await.map(|()| value),
        Err(failure) => Err(failure),
    };
    match done {
        Ok(value) => {
            committing.set(true);
            // A transaction of its own: a commit that wakes somebody waits for others that do.
            let waking = async {
                if tx.wake.get() {
                    let values = with![tx.channel => TEXT];
                    let told = client.query_typed(sql!("wake"), values).await;
                    told.map_or_else(|error| tracing::debug!(%error, "nobody was woken"), drop);
                }
            };
            let (committed, ()) = join(client.batch_execute("COMMIT"), waking).await;
            committed?;
            Ok(value)
        }
        Err(failure) => {
            if !client.is_closed() {
                // A connection on which even this fails is not used again.
                let _ = client.batch_execute("ROLLBACK").await;
            }
            Err(failure)
        }
    }
}
