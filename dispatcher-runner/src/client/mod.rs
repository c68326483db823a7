//! Sends jobs and follows them, from any program that called `init()`.

mod attempts;
mod builder;
mod error;
#[cfg(feature = "http")]
mod gate;
mod handle;
#[cfg(feature = "http")]
mod live;
mod schedule;
mod staff;
mod submit;

use dispatcher_core::Dispatcher;

pub use attempts::{Attempt, Captured};
pub use builder::{JobBuilder, Mode, Started};
pub use error::{SpawnError, StoreFailure};
#[cfg(feature = "http")]
pub(crate) use gate::{
    Accepting, BatchRecord, BatchRequest, CancelReply, DueCallback, Gate, Group, JobRecord,
    NewCallback, NewReceipt, Refused, Settled, Stream, Unserved,
};
pub(crate) use handle::SERVED_EVERY;
#[cfg(feature = "service")]
pub(crate) use handle::cancel_all;
pub use handle::{Ended, JobHandle, JobStatus, latest_job, latest_output};
#[cfg(feature = "http")]
pub(crate) use live::Stage;
pub(crate) use schedule::{ScheduleProblem, Scheduled, TickReport};
pub(crate) use submit::{Request, Sender, Sent, keep_served, submit};

/// What every dispatcher can do.
///
/// ```no_run
/// # use dispatcher_core::{Context, Dispatcher, Failure, Process};
/// # use serde::{Deserialize, Serialize};
/// use dispatcher_runner::Dispatch;
/// # #[derive(Dispatcher, Serialize, Deserialize)]
/// # struct Reload;
/// # impl Process for Reload {
/// #     fn process(&mut self, _: &mut Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// # fn main() -> Result<(), dispatcher_runner::SpawnError> {
/// dispatcher_runner::init();
/// let job = Reload.spawn_process()?;
/// println!("{} is on its way", job.id());
/// # Ok(()) }
/// ```
pub trait Dispatch: Dispatcher {
    /// Stores the job durably, makes sure that somebody runs it, and returns at once.
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    fn spawn_process(self) -> Result<JobHandle<Self>, SpawnError>
    where
        Self: Sized,
    {
        self.dispatch().spawn()
    }

    /// Stores the job and waits for its end, with the same limits as in the background.
    ///
    /// # Errors
    /// When it was refused, or its end could not be read.
    fn run_process(self) -> Result<Ended, SpawnError>
    where
        Self: Sized,
    {
        self.dispatch().run()
    }

    /// Stores the job within a transaction of the program's own; see [`JobBuilder::spawn_in`].
    ///
    /// # Errors
    /// When it was refused; nothing was written then.
    #[cfg(feature = "postgres")]
    fn spawn_in(
        self,
        transaction: &tokio_postgres::Transaction<'_>,
    ) -> impl Future<Output = Result<JobHandle<Self>, SpawnError>>
    where
        Self: Sized,
    {
        self.dispatch().spawn_in(transaction)
    }

    /// A job with options of its own.
    fn dispatch(self) -> JobBuilder<Self>
    where
        Self: Sized,
    {
        JobBuilder::new(self)
    }
}

impl<T: Dispatcher> Dispatch for T {}

/// Stores all of the jobs, or none.
///
/// # Errors
/// When one of them was refused; nothing was written then.
pub fn spawn_all<T: Dispatcher>(
    jobs: impl IntoIterator<Item = T>,
) -> Result<Vec<JobHandle<T>>, SpawnError> {
    let requests = jobs
        .into_iter()
        .map(|job| Request::of(&job))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(submit(requests)?.into_iter().map(JobHandle::new).collect())
}
