//! The connection of one store, and the bounded patience with it.
//!
//! Each attempt at a transaction has a deadline, so that a way that swallows everything is noticed;
//! then the connection is thrown away and the next attempt gets another. A transaction whose end is
//! in doubt is only repeated when the caller can tell that it was there.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::{Failure, Remedy};
use super::transaction::{Terms, Tx, transact};
use crate::store::StoreError;
use crate::store::clock::Clock;
use crate::target::{Target, Tls};
use crate::tls::{self, Trust};

/// How long a lock is waited for: somebody's transaction with a job in it may be long.
pub(super) const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// One attempt at a transaction; the server gives up a little earlier.
const ATTEMPT_MAX: Duration = Duration::from_secs(15);
/// Making a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// New attempts are begun for this long: a restart of the server is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same before the first connection: then it is no restart, and a person may be waiting.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(1);
/// Transactions that were in each other's way.
const COLLISIONS_MAX: u32 = 20;
/// Pauses between attempts to connect.
const PAUSES: [u64; 5] = [5, 20, 50, 100, 200];
/// 13 is the oldest with random ids of its own.
const VERSION_MIN: i32 = 130_000;

/// Whether a commit is on disk when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The caller is told something.
    Synced,
    /// A crash of the server may take it back.
    Later,
}

/// What may be done about an end in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Ask again: the second time can be told from the first.
    Always,
    /// Say so: the caller looks for itself.
    NotInDoubt,
}

pub(super) struct Link {
    target: Target,
    config: Config,
    /// Where whoever waits for work listens.
    channel: String,
    place: PathBuf,
    runtime: Runtime,
    tls: MakeRustlsConnect,
    clock: Clock,
    live: Option<Live>,
    /// Whether there has been a connection.
    was_there: bool,
}

/// A connection, and the task that moves its bytes.
struct Live {
    client: Client,
    mover: JoinHandle<()>,
    /// Statement that makes a commit wait for the disk, where the server's default does not.
    sync: &'static str,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

impl Link {
    pub(super) fn new(target: Target, clock: Clock) -> Result<Self, StoreError> {
        let place = target.place();
        let refused = |detail: String| StoreError::Database {
            path: place.clone(),
            detail,
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| refused(error.to_string()))?;
        let tls = connector(&target).map_err(refused)?;
        let config = config_of(&target).map_err(refused)?;
        Ok(Self {
            channel: channel_of(&target),
            target,
            config,
            place,
            runtime,
            tls,
            clock,
            live: None,
            was_there: false,
        })
    }

    pub(super) fn place(&self) -> &PathBuf {
        &self.place
    }

    pub(super) fn schema(&self) -> &str {
        self.target.schema()
    }

    /// One write transaction.
    pub(super) fn write<R>(
        &mut self,
        durability: Durability,
        repeat: Repeat,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let begin = |link: &Self, live: &Live| {
            let sync = match durability {
                Durability::Synced => live.sync,
                Durability::Later => "SET LOCAL synchronous_commit = off;",
            };
            format!("{}{sync}", link.begin("READ COMMITTED"))
        };
        self.patiently(repeat, begin, work)
    }

    /// One statement that only reads.
    pub(super) fn read<R>(
        &mut self,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let begin = |link: &Self, _: &Live| link.begin("READ COMMITTED READ ONLY");
        self.patiently(Repeat::Always, begin, work)
    }

    /// Several that only read, and see one state.
    pub(super) fn read_whole<R>(
        &mut self,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let begin = |link: &Self, _: &Live| link.begin("REPEATABLE READ READ ONLY");
        self.patiently(Repeat::Always, begin, work)
    }

    /// A change of the schema: as long as it takes.
    pub(super) fn migrate<R>(
        &mut self,
        work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let begin = |link: &Self, live: &Live| {
            format!(
                "{}SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;{}",
                link.begin("READ COMMITTED"),
                live.sync
            )
        };
        self.patiently(Repeat::Always, begin, work)
    }

    /// Settings are local to the transaction: the next one may be somebody else's on the same
    /// connection of a pooler. Every table has the index that its statements mean, and what they
    /// join is few rows, so that plans do not depend on how full it was when somebody looked last.
    fn begin(&self, mode: &str) -> String {
        let given = match &self.clock {
            Clock::System => String::new(),
            Clock::Given(_) => format!("SET LOCAL dispatcher.given = '{}';", self.clock.now()),
        };
        format!(
            "BEGIN ISOLATION LEVEL {mode}; SET LOCAL search_path = \"{}\", pg_catalog; \
             SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}; \
             SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
             SET LOCAL enable_mergejoin = off; SET LOCAL jit = off;{given}",
            self.target.schema(),
            (ATTEMPT_MAX - Duration::from_secs(2)).as_millis(),
            LOCK_WAIT_MAX.as_millis(),
            (2 * ATTEMPT_MAX).as_millis(),
        )
    }

    fn patiently<R>(
        &mut self,
        repeat: Repeat,
        begin: impl Fn(&Self, &Live) -> String,
        mut work: impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, StoreError> {
        let patience = if self.was_there {
            PATIENCE
        } else {
            PATIENCE_AT_FIRST
        };
        let deadline = Instant::now() + patience;
        let mut again = false;
        let mut collisions = 0;
        for attempt in 0.. {
            let (failure, in_doubt) = match self.attempt(again, &begin, &mut work) {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            again |= in_doubt;
            match failure.remedy() {
                Remedy::Tell => return Err(failure.explain(&self.place)),
                Remedy::Again if collisions < COLLISIONS_MAX => collisions += 1,
                Remedy::Again => return Err(failure.explain(&self.place)),
                Remedy::Reconnect => {
                    self.live = None;
                    let hopeless = in_doubt && repeat == Repeat::NotInDoubt;
                    if hopeless || Instant::now() >= deadline {
                        return Err(failure.explain(&self.place));
                    }
                    let pause = PAUSES.get(attempt).or(PAUSES.last());
                    std::thread::sleep(Duration::from_millis(pause.copied().unwrap_or(0)));
                }
            }
        }
        unreachable!("invariant: the loop ends by returning")
    }

    /// One attempt; a failure with whether the transaction may have been committed all the same.
    fn attempt<R>(
        &mut self,
        again: bool,
        begin: &impl Fn(&Self, &Live) -> String,
        work: &mut impl AsyncFnMut(&Tx<'_>) -> Result<R, Failure>,
    ) -> Result<R, (Failure, bool)> {
        let live = match self.live.take() {
            Some(live) if !live.client.is_closed() => live,
            Some(_) | None => self.connect().map_err(|failure| (failure, false))?,
        };
        self.was_there = true;
        let begin = begin(self, &live);
        let terms = Terms {
            begin: &begin,
            channel: &self.channel,
            again,
        };
        let committing = Cell::new(false);
        let transaction = transact(&live.client, &terms, &committing, work);
        let done = self
            .runtime
            .block_on(async { timeout(ATTEMPT_MAX, transaction).await });
        let done = done.unwrap_or(Err(Failure::Late(ATTEMPT_MAX)));
        let done = done.map_err(|failure| (failure, committing.get()));
        if !matches!(&done, Err((failure, _)) if failure.remedy() == Remedy::Reconnect) {
            self.live = Some(live);
        }
        done
    }

    fn connect(&self) -> Result<Live, Failure> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            let mover = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            let settings = client
                .query_typed_one(sql!("settings"), with![])
                .await
                .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            Ok::<_, Failure>((client, mover, settings))
        };
        let connected = self
            .runtime
            .block_on(async { timeout(CONNECT_MAX, connecting).await });
        let (client, mover, settings) = connected.unwrap_or(Err(Failure::Late(CONNECT_MAX)))?;
        let mut live = Live {
            client,
            mover,
            sync: "",
        };
        let (asynchronous, version): (bool, i32) = settings?;
        if version < VERSION_MIN {
            return Err(Failure::Refused(format!(
                "the server is PostgreSQL {}, and 13 or newer is needed",
                version / 10_000
            )));
        }
        if asynchronous {
            live.sync = "SET LOCAL synchronous_commit = on;";
        }
        Ok(live)
    }
}

/// The channel of a store's wake-ups.
pub(super) fn channel_of(target: &Target) -> String {
    format!("dispatcher_{}", target.schema())
}

/// What its connections use; or why there is none.
pub(super) fn connector(target: &Target) -> Result<MakeRustlsConnect, String> {
    tls::connector(&match target.tls() {
        Tls::Off | Tls::IfOffered | Tls::Encrypted => Trust::Anybody,
        Tls::Verified(file) => Trust::Known(file.clone()),
    })
}

/// What the client library is told; or why it does not read the URL.
pub(super) fn config_of(target: &Target) -> Result<Config, String> {
    let mut config: Config = target
        .url()
        .parse()
        .map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("its URL cannot be read: {}", cause.unwrap_or_default())
        })?;
    config.ssl_mode(match target.tls() {
        Tls::Off => SslMode::Disable,
        Tls::IfOffered => SslMode::Prefer,
        Tls::Encrypted | Tls::Verified(_) => SslMode::Require,
    });
    if config.get_application_name().is_none() {
        config.application_name("dispatcher");
    }
    config
        .connect_timeout(CONNECT_MAX)
        .tcp_user_timeout(ATTEMPT_MAX)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3);
    Ok(config)
}
