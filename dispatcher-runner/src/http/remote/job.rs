//! A job for another application.

use std::time::Duration;

use dispatcher_core::Dispatcher;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::RemoteError;

/// A job with options, for [`RemoteDispatcher::dispatch`](super::RemoteDispatcher::dispatch). What
/// is not set is as the other application declares it.
///
/// ```
/// use dispatcher_runner::http::RemoteJob;
/// let job = RemoteJob::named("reports.make", serde_json::json!({ "month": 7 }))
///     .queue("reports")
///     .unique_key("july");
/// # let _ = job;
/// ```
#[derive(Debug, Clone)]
pub struct RemoteJob {
    name: String,
    /// What could not be written as JSON is told when it is sent.
    payload: Result<Value, String>,
    options: Map<String, Value>,
}

impl RemoteJob {
    /// A value, whose type both applications have.
    pub fn of<T: Dispatcher>(job: &T) -> Self {
        Self::named(T::NAME, job)
    }

    /// A name or alias that the other application knows, and its payload.
    pub fn named(name: impl Into<String>, payload: impl Serialize) -> Self {
        Self {
            name: name.into(),
            payload: serde_json::to_value(payload).map_err(|error| error.to_string()),
            options: Map::new(),
        }
    }

    /// Label that a service may be told to serve.
    #[must_use]
    pub fn queue(self, label: impl Into<String>) -> Self {
        self.with("queue", json!(label.into()))
    }

    /// Waiting time before it may start.
    #[must_use]
    pub fn delay(self, time: Duration) -> Self {
        self.with("delay", json!(time.as_secs_f64()))
    }

    /// Higher first.
    #[must_use]
    pub fn priority(self, priority: i32) -> Self {
        self.with("priority", json!(priority))
    }

    /// Run time of one attempt; zero is no limit.
    #[must_use]
    pub fn timeout(self, time: Duration) -> Self {
        self.with("timeout", json!(time.as_secs_f64()))
    }

    /// Further attempts after a failure.
    #[must_use]
    pub fn retries(self, count: u32) -> Self {
        self.with("retries", json!(count))
    }

    /// Replaces the payload as the job's identity among duplicates.
    #[must_use]
    pub fn unique_key(self, key: impl Into<String>) -> Self {
        self.with("unique_key", json!(key.into()))
    }

    /// The answer comes at the end of the job, or after the other side's longest wait.
    #[must_use]
    pub fn wait(self) -> Self {
        self.with("async", json!(false))
    }

    /// Where the other side tells the end of the job; it must know the URL.
    #[must_use]
    pub fn callback_url(self, url: impl Into<String>) -> Self {
        self.with("callback_url", json!(url.into()))
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.options.insert(key.to_owned(), value);
        self
    }

    pub(super) fn to_json(&self) -> Result<Value, RemoteError> {
        let payload = self.payload.clone().map_err(RemoteError::Unsent)?;
        let mut body = self.options.clone();
        body.insert("job".to_owned(), json!(self.name));
        body.insert("payload".to_owned(), payload);
        Ok(Value::Object(body))
    }
}

impl<T: Dispatcher> From<&T> for RemoteJob {
    fn from(job: &T) -> Self {
        Self::of(job)
    }
}

impl<P: Serialize> From<(&str, P)> for RemoteJob {
    fn from((name, payload): (&str, P)) -> Self {
        Self::named(name, payload)
    }
}
