//! Hears that there is something to do, on a connection and a thread of its own.
//!
//! What is heard carries no authority: it is "look at the store". A poll in uneven steps stands
//! behind it, so that a pooler that swallows notifications, or a connection that has died unnoticed,
//! costs latency and no job.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::errors::Failure;
use super::link::{channel_of, config_of, connector};
use crate::ids;
use crate::target::Target;

/// Mean time between two looks of which nobody was told.
const POLL: Duration = Duration::from_millis(1_000);
/// Notifications within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(1);
/// Looks between two questions whether the connection still answers.
const POLLS_PER_QUESTION: u32 = 10;
/// For an answer of the server.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The listening thread; it ends with this value.
pub(crate) struct Ear {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    something: Notify,
    stop: AtomicBool,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Release);
        self.told.something.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Ear {
    /// Listens until it is dropped, and calls `wake` from its own thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn listen(
        target: &Target,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let told = Arc::new(Told::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (theirs, target) = (Arc::clone(&told), target.clone());
        let thread = std::thread::Builder::new()
            .name("ear".into())
            .spawn(move || runtime.block_on(stay(&target, &theirs, &wake)))?;
        Ok(Self {
            told,
            thread: Some(thread),
        })
    }
}

async fn stay(target: &Target, told: &Arc<Told>, wake: &dyn Fn()) {
    let Ok(tls) = connector(target) else {
        // The store itself has said why.
        return;
    };
    while !told.stop.load(Ordering::Acquire) {
        if let Err(error) = hear(target, &tls, told, wake).await {
            tracing::debug!(?error, "the connection for wake-ups is gone");
        }
        // What was said meanwhile was said to nobody.
        wake();
        let _ = timeout(uneven(), told.something.notified()).await;
    }
}

/// Listens on one connection for as long as it lives.
async fn hear(
    target: &Target,
    tls: &MakeRustlsConnect,
    told: &Arc<Told>,
    wake: &dyn Fn(),
) -> Result<(), Failure> {
    let config = config_of(target).map_err(Failure::Refused)?;
    let late = |_| Failure::Late(ANSWER_MAX);
    let connecting = timeout(ANSWER_MAX, config.connect(tls.clone()));
    let (client, mut connection) = connecting.await.map_err(late)??;
    let theirs = Arc::clone(told);
    let mover = tokio::spawn(poll_fn(move |cx| {
        loop {
            match ready!(connection.poll_message(cx)) {
                Some(Ok(AsyncMessage::Notification(_))) => theirs.something.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    theirs.something.notify_one();
                    return Poll::Ready(());
                }
            }
        }
    }));
    let _ends = AbortOnDrop(&mover);
    let listen = format!("LISTEN \"{}\"", channel_of(target));
    timeout(ANSWER_MAX, client.batch_execute(&listen))
        .await
        .map_err(late)??;
    wake();
    for round in 1_u32.. {
        let _ = timeout(uneven(), told.something.notified()).await;
        if told.stop.load(Ordering::Acquire) || client.is_closed() {
            break;
        }
        wake();
        tokio::time::sleep(DEBOUNCE).await;
        if round.is_multiple_of(POLLS_PER_QUESTION) {
            timeout(ANSWER_MAX, client.batch_execute(""))
                .await
                .map_err(late)??;
        }
    }
    Ok(())
}

struct AbortOnDrop<'t>(&'t tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Between half and one and a half of the mean, so that many hosts do not look together.
fn uneven() -> Duration {
    let share = u32::try_from(ids::random_u64() % 1_000).unwrap_or(500);
    POLL / 2 + POLL * share / 1_000
}
