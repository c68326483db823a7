//! Sources: plug-ins that bring work to a service, and what every one of them gets for free.
//!
//! A source sees its [`Host`] and nothing else: it stores durable jobs, asks a pool of workers,
//! counts, and is told to stop. Whatever happens to one, the rest of the service runs on.

mod board;
mod conductor;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
mod dispatcherd;
mod exec;
mod host;
mod interval;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
mod own_tasks;
#[cfg(feature = "pg_notify")]
mod pg_notify;
mod registry;
mod section;
mod setup;
#[cfg(feature = "socket")]
mod socket;
mod stop;
#[cfg(test)]
mod tests;
#[cfg(feature = "ticker")]
mod ticker;
mod view;

use std::future::{Future, ready};

use serde::de::DeserializeOwned;

pub use board::{SourceStage, SourceState};
pub use exec::{Chunks, PoolTask};
pub use host::{DispatchOptions, Dispatched, Host};
pub use interval::Interval;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub use own_tasks::{OnStart, Scheduled};
#[cfg(feature = "pg_notify")]
pub use pg_notify::{Delivery, PgNotify};
pub use registry::{Sources, SourcesBuilder, SourcesError};
#[cfg(feature = "socket")]
pub use socket::Socket;
pub use stop::Stop;
#[cfg(feature = "ticker")]
pub use ticker::{Overrun, Ticker};

pub(crate) use board::Board;
pub(crate) use conductor::Resetter;
pub(crate) use host::{Fit, Job, TellView, Twins, Ways};
pub use registry::Linked;
pub(crate) use section::Section;
pub(crate) use setup::Prepared;
pub use view::{JobWait, ServiceView, UnfinishedJob, WorkerView};

/// Why a source failed: any error, through `?`, or a text, through `.into()`.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A plug-in that brings work to a service. The value is its section of the configuration.
///
/// A program has it with [`register_source!`](crate::register_source), or by
/// [`Sources::builder`]; a service runs it if the configuration has a section `[sources.NAME]`.
/// A key that the struct does not have, or a value that does not fit, is an error at start.
///
/// ```
/// use std::time::Duration;
///
/// use dispatcher_runner::{DispatchOptions, Host, Source, SourceError, Stop, register_source};
/// use serde::Deserialize;
///
/// /// Sends a letter once in an hour.
/// #[derive(Deserialize)]
/// struct Hourly {
///     to: String,
/// }
///
/// impl Source for Hourly {
///     const NAME: &'static str = "hourly";
///
///     async fn serve(&self, host: &Host, stop: Stop) -> Result<(), SourceError> {
///         let hour = || tokio::time::sleep(Duration::from_secs(3600));
///         while stop.or(hour()).await.is_some() {
///             let letter = serde_json::json!({ "to": self.to });
///             host.dispatch("Letter", letter, DispatchOptions::default()).await?;
///         }
///         Ok(())
///     }
/// }
/// register_source!(Hourly);
/// ```
pub trait Source: DeserializeOwned + Send + Sync + 'static {
    /// Its name: that of its section, and in logs and lists.
    const NAME: &'static str;

    /// Heavier sources start earlier and are told to stop later.
    const WEIGHT: i32 = 10;

    /// Checks what the configuration says, before anything is served, and before each restart.
    ///
    /// # Errors
    /// What is wrong; the service does not start then.
    fn init(&mut self, _host: &Host) -> Result<(), SourceError> {
        Ok(())
    }

    /// Brings in work until it is told to stop; then it has the drain time to finish what it has
    /// begun. `Ok` before that means that there will be no more work. It shares its thread with
    /// other sources, so what blocks belongs into `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// Whatever it cannot go on with: it is started again, after a while. So it is after a panic.
    fn serve(
        &self,
        host: &Host,
        stop: Stop,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Renews what it has taken from outside, a certificate say, while it serves.
    ///
    /// # Errors
    /// When that failed; it serves on with what it had.
    fn reset(&self, _host: &Host) -> impl Future<Output = Result<(), SourceError>> + Send {
        ready(Ok(()))
    }
}
