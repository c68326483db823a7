//! The sending side: jobs for another application, and what became of them.
//!
//! Whatever happens on the way is a failed result, never a panic; a message is sent again with the
//! same id, so that it is acted on once however often it had to be sent.

mod blocking;
mod job;
mod result;
mod target;
mod transport;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatcher_core::JobState;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

pub use blocking::BlockingRemote;
pub use job::RemoteJob;
pub use result::{DispatchResult, RemoteError, RemoteResponse, RemoteStatus};

#[cfg(feature = "http")]
pub(super) use self::target::Target;
#[cfg(not(feature = "http"))]
use self::target::Target;
#[cfg(feature = "http")]
pub(super) use self::transport::{Sent, Transport};
#[cfg(not(feature = "http"))]
use self::transport::{Sent, Transport};
use super::signature::{Secret, SecretError};
use crate::config::Config;
use crate::{app, ids};

/// Time for one request and its answer.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Further attempts after the first.
const RETRIES: u32 = 4;
/// First and longest time between two attempts, when the other side names none.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// Longest time that is waited because the other side says so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Shortest and longest time between two looks at a job that is waited for.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Sends jobs to another application.
///
/// ```no_run
/// # use dispatcher_core::{Context, Dispatcher, Failure, Process};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Dispatcher, Serialize, Deserialize)]
/// # struct Report { month: u32 }
/// # impl Process for Report {
/// #     fn process(&mut self, _: &mut Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// use std::time::Duration;
///
/// use dispatcher_runner::http::{RemoteDispatcher, RemoteJob};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let remote = RemoteDispatcher::from_env()?;
/// let sent = remote.dispatch(&Report { month: 7 }).await;
/// let by_name = remote.dispatch(("reports.make", serde_json::json!({ "month": 8 }))).await;
/// let later = RemoteJob::of(&Report { month: 9 }).delay(Duration::from_secs(60));
/// let later = remote.dispatch(later).await;
/// if sent.ok {
///     let status = sent.wait(Duration::from_secs(300)).await?;
///     println!("{}: {:?}", status.id, status.state);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RemoteDispatcher(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    target: Target,
    secret: Secret,
    token: Option<String>,
    timeout: Duration,
    retries: u32,
    transport: Transport,
}

/// Why there is nobody to send jobs to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteConfigError {
    /// No URL.
    #[error("no URL: set DISPATCHER_BACKEND_URL, or `url` of [remote]")]
    NoUrl,
    /// No secret.
    #[error("no secret: set DISPATCHER_BACKEND_SECRET, or `secret` of [remote]")]
    NoSecret,
    /// The URL cannot be used.
    #[error("{url:?} cannot be used: {why}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The secret cannot be used.
    #[error("the secret cannot be used: {0}")]
    Secret(SecretError),
    /// The configuration cannot be read.
    #[error("{0}")]
    Config(String),
}

/// Whether jobs that are sent together are a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShouldBatch {
    /// They are counted and cancelled as one.
    Yes,
    /// They are only stored together.
    No,
}

/// A message that is on its way.
struct Message<'a> {
    method: Method,
    path: &'a str,
    body: Vec<u8>,
    /// Of a message that is signed; a look has none.
    id: Option<String>,
}

impl RemoteDispatcher {
    /// For the application at this URL (`https://b.example`, `http://127.0.0.1:8642/prefix`), with
    /// the secret that it shares.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(url: &str, secret: &str) -> Result<Self, RemoteConfigError> {
        Ok(Self(Arc::new(Inner {
            target: Target::parse(url).map_err(|why| RemoteConfigError::Url {
                url: url.to_owned(),
                why,
            })?,
            secret: Secret::parse(secret).map_err(RemoteConfigError::Secret)?,
            token: None,
            timeout: TIMEOUT,
            retries: RETRIES,
            transport: Transport::default(),
        })))
    }

    /// As the configuration of this process says: `DISPATCHER_BACKEND_URL`,
    /// `DISPATCHER_BACKEND_SECRET` and `DISPATCHER_BACKEND_TOKEN`, or section `[remote]`.
    ///
    /// # Errors
    /// When it names nobody.
    pub fn from_env() -> Result<Self, RemoteConfigError> {
        let config = app::config();
        let config = config.map_err(|error| RemoteConfigError::Config(error.to_string()))?;
        Self::from_config(config)
    }

    /// As section `[remote]` of a configuration says.
    ///
    /// # Errors
    /// When it names nobody.
    pub fn from_config(config: &Config) -> Result<Self, RemoteConfigError> {
        let remote = config.remote();
        let url = remote.url.as_deref().ok_or(RemoteConfigError::NoUrl)?;
        let secret = remote.secret.as_deref();
        let secret = secret.ok_or(RemoteConfigError::NoSecret)?;
        let dispatcher = Self::new(url, secret)?;
        Ok(match &remote.token {
            Some(token) => dispatcher.with_token(token),
            None => dispatcher,
        })
    }

    /// With the token that lets it look at jobs.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        let token = Some(token.into());
        self.changed(|inner| inner.token = token)
    }

    /// With another time for one request and its answer.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        self.changed(|inner| inner.timeout = timeout)
    }

    /// With so many further attempts after the first.
    #[must_use]
    pub fn with_retries(self, retries: u32) -> Self {
        self.changed(|inner| inner.retries = retries)
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The same for code without an async runtime.
    #[must_use]
    pub fn blocking(&self) -> BlockingRemote {
        BlockingRemote::new(self.clone())
    }

    /// Sends a job: a value (`&job`), a name with a payload (`("Name", payload)`), or a
    /// [`RemoteJob`] with options.
    pub async fn dispatch(&self, job: impl Into<RemoteJob>) -> DispatchResult {
        let sent = match job.into().to_json() {
            Ok(body) => self.post("/v1/jobs", &body).await,
            Err(error) => Err(error),
        };
        DispatchResult::of(self.clone(), sent)
    }

    /// Sends jobs, all or nothing. With [`ShouldBatch::Yes`] they are followed as one, by
    /// [`batch_status`](Self::batch_status).
    pub async fn batch(
        &self,
        jobs: impl IntoIterator<Item = RemoteJob>,
        queue: Option<&str>,
        should_batch: ShouldBatch,
    ) -> DispatchResult {
        let jobs: Result<Vec<Value>, _> = jobs.into_iter().map(|job| job.to_json()).collect();
        let sent = match jobs {
            Ok(jobs) => {
                let should_batch = should_batch == ShouldBatch::Yes;
                let body = json!({ "jobs": jobs, "queue": queue, "should_batch": should_batch });
                self.post("/v1/batches", &body).await
            }
            Err(error) => Err(error),
        };
        DispatchResult::of(self.clone(), sent)
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub async fn job(&self, id: &str) -> Result<RemoteStatus, RemoteError> {
        let answer = self
            .get(&format!("/v1/jobs/{}", target::escape(id)))
            .await?;
        RemoteStatus::of(answer.body)
    }

    /// Waits for the end of a job, also while the other side is away for a while.
    ///
    /// # Errors
    /// When it has not ended in this time, or the other side says that there is no such job.
    pub async fn wait(&self, id: &str, time: Duration) -> Result<RemoteStatus, RemoteError> {
        let deadline = Instant::now() + time;
        let mut pause = LOOK_AGAIN.0;
        loop {
            match self.job(id).await {
                Ok(status) if status.state.is_terminal() => return Ok(status),
                Ok(_) => {}
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RemoteError::NotYet);
            }
            sleep(pause.min(left)).await;
            pause = (pause * 3 / 2).min(LOOK_AGAIN.1);
        }
    }

    /// What a job stored; `None` if it stored nothing, or has not succeeded.
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub async fn output(&self, id: &str) -> Result<Option<Value>, RemoteError> {
        Ok(self.job(id).await?.output)
    }

    /// Cancels a job: it will not succeed any more.
    ///
    /// # Errors
    /// When it had ended, or that cannot be done.
    pub async fn cancel(&self, id: &str) -> Result<RemoteResponse, RemoteError> {
        self.act("jobs", id, "cancel").await
    }

    /// Sends an ended job once more; the answer has the new one.
    pub async fn retry(&self, id: &str) -> DispatchResult {
        let sent = self.act("jobs", id, "retry").await;
        DispatchResult::of(self.clone(), sent)
    }

    /// Where a batch stands, as it was answered.
    ///
    /// # Errors
    /// When that cannot be learnt.
    pub async fn batch_status(&self, id: &str) -> Result<Value, RemoteError> {
        let path = format!("/v1/batches/{}", target::escape(id));
        Ok(self.get(&path).await?.body)
    }

    /// Cancels what has not ended of a batch.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn cancel_batch(&self, id: &str) -> Result<RemoteResponse, RemoteError> {
        self.act("batches", id, "cancel").await
    }

    async fn act(&self, kind: &str, id: &str, action: &str) -> Result<RemoteResponse, RemoteError> {
        let path = format!("/v1/{kind}/{}/{action}", target::escape(id));
        self.post(&path, &json!({ "action": action, "id": id }))
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<RemoteResponse, RemoteError> {
        self.send(&Message {
            method: Method::POST,
            path,
            body: body.to_string().into_bytes(),
            id: Some(format!("msg_{}", ids::new_job_id())),
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<RemoteResponse, RemoteError> {
        self.send(&Message {
            method: Method::GET,
            path,
            body: Vec::new(),
            id: None,
        })
        .await
    }

    /// Sends a message until it is answered for good.
    async fn send(&self, message: &Message<'_>) -> Result<RemoteResponse, RemoteError> {
        let mut attempt = 0;
        loop {
            let answered = self.attempt(message).await;
            let wait = match &answered {
                Ok(sent) if is_temporary(sent) => sent.retry_after,
                Ok(_) => None,
                Err(error) if error.may_pass() => None,
                Err(_) => return self.judged(answered),
            };
            let again = match &answered {
                Ok(sent) => is_temporary(sent),
                Err(_) => true,
            };
            if !again || attempt >= self.0.retries {
                return self.judged(answered);
            }
            sleep(pause(attempt, wait)).await;
            attempt += 1;
        }
    }

    fn judged(&self, answered: Result<Sent, RemoteError>) -> Result<RemoteResponse, RemoteError> {
        RemoteResponse::of(answered?)
    }

    async fn attempt(&self, message: &Message<'_>) -> Result<Sent, RemoteError> {
        let target = &self.0.target;
        let mut request = Request::builder()
            .method(message.method.clone())
            .uri(format!("{}{}", target.prefix, message.path))
            .header("host", &target.authority)
            .header("user-agent", "dispatcher");
        if let Some(id) = &message.id {
            let now = now();
            request = request
                .header(CONTENT_TYPE, "application/json")
                .header("webhook-id", id)
                .header("webhook-timestamp", now)
                .header(
                    "webhook-signature",
                    self.0.secret.sign(id, now, &message.body),
                );
        } else if let Some(token) = &self.0.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(message.body.clone().into())
            .map_err(|error| RemoteError::Unsent(error.to_string()))?;
        let sent = self.0.transport.send(target, request);
        match tokio::time::timeout(self.0.timeout, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(RemoteError::Timeout),
        }
    }
}

/// Whether the same message may be answered otherwise later.
fn is_temporary(sent: &Sent) -> bool {
    // A conflict with a time is a twin that is being acted on.
    matches!(sent.status, 429 | 502 | 503 | 504)
        || (sent.status == 409 && sent.retry_after.is_some())
}

/// Time before the next attempt: what the other side says, or twice as long as before; and some
/// more, so that not everybody comes back at once.
fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let own = BACKOFF
        .0
        .saturating_mul(1 << attempt.min(16))
        .min(BACKOFF.1);
    let wait = asked.map_or(own, |asked| asked.min(RETRY_AFTER_MAX));
    let part = u32::try_from(ids::random_u64() % 256).unwrap_or(0);
    wait + own * part / 512
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// The state of a word.
fn state(word: &str) -> Option<JobState> {
    word.parse().ok()
}
