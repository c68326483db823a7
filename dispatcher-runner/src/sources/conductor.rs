//! Runs the sources of a service on one thread, and keeps each of them alive.
//!
//! A source that fails is started anew after a back-off; one that does not end in the drain time is
//! dropped. Nothing here can hold up the rest of the service.

use std::any::Any;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::registry::{Serve, said};
use super::setup::{Entry, Prepared};
use super::stop::{Stop, StopSwitch};
use super::{Host, SourceError};
use crate::log::chain;

/// Threads on which sources wait for the store, at most.
const BLOCKING_MAX: usize = 16;
/// First time between a failure and the next start.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest time between a failure and the next start.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A source that ran so long begins with the shortest back-off again.
const WELL_AFTER: Duration = Duration::from_secs(60);
/// Longest time that somebody waits for the reset of one source.
const RESET_MAX: Duration = Duration::from_secs(60);

/// Sources that were started.
pub(crate) struct Running {
    orders: UnboundedSender<Order>,
    ended: Receiver<()>,
}

/// Hears whether a reset went well.
pub(crate) type ResetAnswer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Resets sources, from anywhere.
#[derive(Clone)]
pub(crate) struct Resetter(UnboundedSender<Order>);

pub(super) enum Order {
    /// To end, within this time.
    Stop(Duration),
    Reset(ResetAnswer),
}

impl Prepared {
    /// Starts the sources, the heavier first.
    ///
    /// # Errors
    /// When the operating system gives no thread, or no descriptors.
    pub(crate) fn start(self) -> io::Result<Running> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name("sources-store")
            .build()?;
        let (orders, received) = unbounded_channel();
        let (over, ended) = channel();
        thread::Builder::new()
            .name("sources".to_owned())
            .spawn(move || {
                run(runtime, self.entries, received);
                drop(over);
            })?;
        Ok(Running { orders, ended })
    }
}

impl Running {
    /// Tells the sources to end at once, the lighter first. They have `drain` to finish what they
    /// have begun.
    pub(crate) fn stop(&self, drain: Duration) {
        let _ = self.orders.send(Order::Stop(drain));
    }

    /// What resets them while they serve.
    pub(crate) fn resetter(&self) -> Resetter {
        Resetter(self.orders.clone())
    }

    /// Waits until they have ended; says whether they have. A source that blocks the thread it
    /// shares is left behind.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.ended.recv_timeout(time) {
            Ok(()) | Err(Disconnected) => true,
            Err(Timeout) => false,
        }
    }
}

impl Resetter {
    /// Resets all of them; the answer comes on the sources' thread.
    pub(crate) fn reset(&self, answer: ResetAnswer) {
        if let Err(refused) = self.0.send(Order::Reset(answer))
            && let Order::Reset(answer) = refused.0
        {
            answer(Err("the sources have ended".to_owned()));
        }
    }
}

/// From the start of the sources to the end of the last one.
pub(super) async fn conduct(entries: Vec<Entry>, mut orders: UnboundedReceiver<Order>) {
    let mut keepers = JoinSet::new();
    let mut kept = Vec::new();
    for entry in entries {
        let (switch, stop) = StopSwitch::new();
        let current = Arc::new(Mutex::new(Arc::clone(&entry.source)));
        kept.push(Kept {
            host: entry.host.clone(),
            current: Arc::clone(&current),
            switch,
        });
        keepers.spawn(keep(entry, current, stop));
    }
    let drain = loop {
        match orders.recv().await {
            Some(Order::Reset(answer)) => {
                let served = kept.iter().map(|it| (it.host.clone(), it.current()));
                tokio::spawn(reset(served.collect(), answer));
            }
            Some(Order::Stop(drain)) => break drain,
            // Nobody is left who could say more.
            None => break Duration::ZERO,
        }
    };
    for kept in kept.iter().rev() {
        kept.switch.stop();
    }
    let all = async { while keepers.join_next().await.is_some() {} };
    if timeout(drain, all).await.is_err() {
        tracing::warn!(
            sources = keepers.len(),
            "sources did not end in time and are dropped"
        );
    }
}

fn run(runtime: Runtime, entries: Vec<Entry>, orders: UnboundedReceiver<Order>) {
    runtime.block_on(conduct(entries, orders));
    // What blocks is not waited for: the job that it stores is stored or not.
    runtime.shutdown_background();
}

/// A source that its keeper has the rest of.
struct Kept {
    host: Host,
    current: Arc<Mutex<Arc<dyn Serve>>>,
    switch: StopSwitch,
}

impl Kept {
    fn current(&self) -> Arc<dyn Serve> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn reset(served: Vec<(Host, Arc<dyn Serve>)>, answer: ResetAnswer) {
    let mut failed = Vec::new();
    for (host, source) in served {
        let name = host.name();
        let reset = timeout(RESET_MAX, tokio::spawn(source.reset(host))).await;
        let error = match reset {
            Ok(answer) => trouble(answer),
            Err(_) => Some(format!("it takes longer than {RESET_MAX:?}")),
        };
        if let Some(error) = error {
            tracing::error!(source = name, error, "source was not reset");
            failed.push(format!("source {name}: {error}"));
        }
    }
    answer(match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("; ")),
    });
}

/// Serves a source until it says that it is done, or the service stops.
async fn keep(entry: Entry, current: Arc<Mutex<Arc<dyn Serve>>>, stop: Stop) {
    let name = entry.kind.name;
    let mut source = Arc::clone(&entry.source);
    let mut backoff = BACKOFF_MIN;
    loop {
        let began = Instant::now();
        entry.seat.serving();
        let mut serving = JoinSet::new();
        // A task of its own, so that a panic is an answer, too; dropped with this one.
        serving.spawn(source.serve(entry.host.clone(), stop.clone()));
        let early = timeout(WELL_AFTER, serving.join_next()).await;
        let answer = match early {
            Ok(answer) => answer,
            Err(_) => {
                entry.seat.steady();
                serving.join_next().await
            }
        };
        let error = answer.and_then(trouble);
        let Some(error) = error else {
            entry.seat.ended(None);
            if !stop.is_requested() {
                tracing::info!(source = name, "source has ended: it has no more work");
            }
            return;
        };
        if began.elapsed() >= WELL_AFTER {
            backoff = BACKOFF_MIN;
        }
        match again(&entry, &stop, error, &mut backoff).await {
            Some(anew) => source = anew,
            None => return,
        }
        *current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&source);
    }
}

/// A new source in place of a failed one, when its time has come; `None` once the service stops.
async fn again(
    entry: &Entry,
    stop: &Stop,
    mut error: String,
    backoff: &mut Duration,
) -> Option<Arc<dyn Serve>> {
    let source = entry.kind.name;
    loop {
        if stop.is_requested() {
            tracing::error!(source, error, "source failed while it was stopped");
            entry.seat.ended(Some(&error));
            return None;
        }
        entry.seat.failed(&error);
        tracing::error!(source, error, again_in = ?*backoff, "source failed");
        if stop.or(sleep(*backoff)).await.is_none() {
            entry.seat.ended(None);
            return None;
        }
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
        entry.seat.restarted();
        match (entry.kind.make)(&entry.section, &entry.host) {
            Ok(anew) => {
                tracing::info!(source, "source is started again");
                return Some(anew);
            }
            Err(problems) => {
                let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
                error = told.join("; ");
            }
        }
    }
}

/// What went wrong, if anything did.
fn trouble(answer: Result<Result<(), SourceError>, JoinError>) -> Option<String> {
    match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain(error.as_ref())),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Some(said(panic.as_ref() as &(dyn Any + Send))),
            Err(_) => Some("it was dropped".to_owned()),
        },
    }
}
