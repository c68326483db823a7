//! Tells other applications that their jobs have ended: signed with the key of who sent the job,
//! and only to URLs that the configuration names.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Request;
use hyper::header::CONTENT_TYPE;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answers::job_json;
use super::config::Settings;
use super::remote::{Sent, Transport};
use crate::client::{DueCallback, Gate, Settled};
use crate::ids;
use crate::sources::{Host, Stop};

/// Time between two looks for callbacks that are due.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Callbacks that are told at once.
const AT_ONCE: usize = 8;
/// Time for one of them.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long one is held by who takes it; longer than telling it takes.
const HOLD: Duration = Duration::from_secs(60);
/// How often one is told before nobody tries any more: for about a day.
const TRIES_MAX: u32 = 30;
/// First and longest time between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

const TOLD: &str = "callbacks";
const FAILED: &str = "failed_callbacks";

/// Tells what is due until it is told to stop.
pub(super) async fn tell(gate: Gate, settings: Settings, host: Host, stop: Stop) {
    if settings.callbacks.is_empty() {
        return;
    }
    let teller = Arc::new(Teller {
        gate,
        settings,
        host,
        transport: Transport::default(),
    });
    while stop.or(sleep(LOOK_EVERY)).await.is_some() {
        let mut told = JoinSet::new();
        for callback in teller.take().await {
            let teller = Arc::clone(&teller);
            told.spawn(async move { teller.settle(callback).await });
        }
        while told.join_next().await.is_some() {}
    }
}

struct Teller {
    gate: Gate,
    settings: Settings,
    host: Host,
    transport: Transport,
}

impl Teller {
    async fn take(&self) -> Vec<DueCallback> {
        let gate = self.gate.clone();
        let taken = tokio::task::spawn_blocking(move || gate.take_callbacks(AT_ONCE, HOLD)).await;
        match taken {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                tracing::warn!(error = %crate::log::chain(&error), "no callbacks can be looked for");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    async fn settle(&self, callback: DueCallback) {
        let settled = match self.told(&callback).await {
            Ok(()) => {
                self.host.count(TOLD);
                Settled::Done
            }
            Err((why, after)) => {
                self.host.count(FAILED);
                let (job, url) = (callback.job, &callback.url);
                if callback.tries >= TRIES_MAX {
                    tracing::error!(%job, url, why, "a callback is given up");
                    Settled::Done
                } else {
                    tracing::warn!(%job, url, why, "a callback was not heard");
                    Settled::Again(after.unwrap_or_else(|| pause(callback.tries)))
                }
            }
        };
        let (gate, key) = (self.gate.clone(), callback.key);
        let _ = tokio::task::spawn_blocking(move || gate.settle_callback(key, settled)).await;
    }

    /// Whether it was heard; or why not, and when the other side wants to hear it.
    async fn told(&self, callback: &DueCallback) -> Result<(), (String, Option<Duration>)> {
        let failed = |why: &str| (why.to_owned(), None);
        let allowed = self.settings.callbacks.iter();
        let target = allowed
            .filter(|(url, _)| *url == callback.url)
            .map(|it| &it.1)
            .next();
        let target = target.ok_or_else(|| failed("the configuration does not name its URL"))?;
        let key = self
            .settings
            .keys
            .iter()
            .find(|key| key.id == callback.sender);
        let key = key.ok_or_else(|| failed("the key of who sent the job is gone"))?;
        let (gate, job) = (self.gate.clone(), callback.job);
        let record = tokio::task::spawn_blocking(move || gate.job(job)).await;
        let record = match record {
            Ok(Ok(Some(record))) => record,
            // It was pruned: there is nothing left to tell.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(_)) | Err(_) => return Err(failed("the job cannot be read")),
        };
        let body = job_json(&record, "").to_string();
        // The same for every try, so that who hears it twice can tell.
        let id = format!("callback_{}_{}", callback.job, callback.key);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let request = Request::post(if target.prefix.is_empty() {
            "/"
        } else {
            &target.prefix
        })
        .header("host", &target.authority)
        .header("user-agent", "dispatcher")
        .header(CONTENT_TYPE, "application/json")
        .header(
            "webhook-signature",
            key.secret.sign(&id, now, body.as_bytes()),
        )
        .header("webhook-id", id)
        .header("webhook-timestamp", now)
        .body(body.into_bytes().into())
        .map_err(|error| failed(&error.to_string()))?;
        match timeout(TIMEOUT, self.transport.send(target, request)).await {
            Ok(Ok(Sent {
                status: 200..=299, ..
            })) => Ok(()),
            Ok(Ok(sent)) => {
                let after = sent.retry_after.map(|after| after.min(BACKOFF.1));
                Err((format!("it answered {}", sent.status), after))
            }
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(failed("no answer in time")),
        }
    }
}

/// Twice as long as before, and some more, so that not all of them come back at once.
fn pause(tries: u32) -> Duration {
    let wait = BACKOFF.0.saturating_mul(1 << tries.min(16)).min(BACKOFF.1);
    let part = u32::try_from(ids::random_u64() % 256).unwrap_or(0);
    wait / 2 + wait * part / 512
}
