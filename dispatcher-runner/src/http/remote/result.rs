//! What came of sending something.

use std::time::Duration;

use dispatcher_core::{JobState, Outcome};
use serde_json::Value;

use super::transport::Sent;
use super::{RemoteDispatcher, state};

/// What came of sending jobs. A network that fails is a failed result like any other.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DispatchResult {
    /// They were accepted: stored durably on the other side.
    pub ok: bool,
    /// They were not, or nobody knows.
    pub failed: bool,
    /// The job, or the batch.
    pub id: Option<String>,
    /// What the other side answered, if it did.
    pub response: Option<RemoteResponse>,
    /// Why it failed.
    pub error: Option<RemoteError>,
    remote: RemoteDispatcher,
}

/// An answer of the other side.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteResponse {
    /// 202, say.
    pub status: u16,
    /// Its JSON; `null` if it had none.
    pub body: Value,
    /// The message had been answered before, and this is the same answer.
    pub replayed: bool,
}

/// Where a job on the other side stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// The job.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// How it ended; `None` before its end.
    pub outcome: Option<Outcome>,
    /// What it stored, if it succeeded.
    pub output: Option<Value>,
    /// Everything that was told.
    pub body: Value,
}

/// Why something could not be done on the other side.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Nothing was sent: it cannot be written.
    #[error("nothing was sent: {0}")]
    Unsent(String),
    /// The other side could not be reached, or the connection broke.
    #[error("the other side cannot be reached: {0}")]
    Network(String),
    /// No answer in time.
    #[error("the other side did not answer in time")]
    Timeout,
    /// The other side said no.
    #[error("the other side answered {}: {}", .0.status, detail(&.0.body))]
    Refused(RemoteResponse),
    /// An answer that makes no sense.
    #[error("the answer cannot be read: {0}")]
    Answer(String),
    /// The job has not ended in the time that was given.
    #[error("the job has not ended yet")]
    NotYet,
}

fn detail(body: &Value) -> &str {
    body["detail"].as_str().unwrap_or("no reason given")
}

impl RemoteError {
    /// Whether the same may succeed later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Network(_) | Self::Timeout => true,
            Self::Refused(answer) => matches!(answer.status, 429 | 502 | 503 | 504),
            Self::Unsent(_) | Self::Answer(_) | Self::NotYet => false,
        }
    }
}

impl RemoteResponse {
    /// A success, or the error that an answer is.
    pub(super) fn of(sent: Sent) -> Result<Self, RemoteError> {
        let body = if sent.body.is_empty() {
            Value::Null
        } else {
            match serde_json::from_slice(&sent.body) {
                Ok(body) => body,
                // A proxy's page is no reason.
                Err(_) if sent.status >= 300 => Value::Null,
                Err(error) => return Err(RemoteError::Answer(error.to_string())),
            }
        };
        let answer = Self {
            status: sent.status,
            body,
            replayed: sent.replayed,
        };
        // A redirect is never followed: the message was signed for this URL.
        if (200..300).contains(&answer.status) {
            Ok(answer)
        } else {
            Err(RemoteError::Refused(answer))
        }
    }
}

impl RemoteStatus {
    pub(super) fn of(body: Value) -> Result<Self, RemoteError> {
        let word = body["status"].as_str().and_then(state);
        let id = body["id"].as_str().map(str::to_owned);
        let (Some(state), Some(id)) = (word, id) else {
            return Err(RemoteError::Answer("it has no id and state".to_owned()));
        };
        let outcome = serde_json::from_value(body["outcome"].clone());
        let output = Some(body["output"].clone()).filter(|it| !it.is_null());
        Ok(Self {
            id,
            state,
            // Causes of a newer version are in the body.
            outcome: outcome.unwrap_or(None),
            output,
            body,
        })
    }
}

impl DispatchResult {
    pub(super) fn of(remote: RemoteDispatcher, sent: Result<RemoteResponse, RemoteError>) -> Self {
        let (ok, response, error) = match sent {
            Ok(answer) => (true, Some(answer), None),
            Err(RemoteError::Refused(answer)) => {
                let error = RemoteError::Refused(answer.clone());
                (false, Some(answer), Some(error))
            }
            Err(error) => (false, None, Some(error)),
        };
        let id = response.as_ref().filter(|_| ok);
        let id = id.and_then(|answer| answer.body["id"].as_str().map(str::to_owned));
        Self {
            ok,
            failed: !ok,
            id,
            response,
            error,
            remote,
        }
    }

    /// Where the job stands.
    ///
    /// # Errors
    /// When it was not accepted, or that cannot be learnt.
    pub async fn job(&self) -> Result<RemoteStatus, RemoteError> {
        self.remote.job(self.known()?).await
    }

    /// Waits for the end of the job.
    ///
    /// # Errors
    /// When it was not accepted, or has not ended in this time.
    pub async fn wait(&self, time: Duration) -> Result<RemoteStatus, RemoteError> {
        self.remote.wait(self.known()?, time).await
    }

    /// What the job stored.
    ///
    /// # Errors
    /// When it was not accepted, or that cannot be learnt.
    pub async fn output(&self) -> Result<Option<Value>, RemoteError> {
        self.remote.output(self.known()?).await
    }

    /// Cancels the job.
    ///
    /// # Errors
    /// When it was not accepted, had ended, or that cannot be done.
    pub async fn cancel(&self) -> Result<RemoteResponse, RemoteError> {
        self.remote.cancel(self.known()?).await
    }

    /// Sends the ended job once more.
    ///
    /// # Errors
    /// When it was not accepted.
    pub async fn retry(&self) -> Result<Self, RemoteError> {
        Ok(self.remote.retry(self.known()?).await)
    }

    /// Where the batch stands.
    ///
    /// # Errors
    /// When it was not accepted, or that cannot be learnt.
    pub async fn batch(&self) -> Result<Value, RemoteError> {
        self.remote.batch_status(self.known()?).await
    }

    pub(super) fn known(&self) -> Result<&str, RemoteError> {
        match (&self.id, &self.error) {
            (Some(id), _) => Ok(id),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Err(RemoteError::Answer("it has no id".to_owned())),
        }
    }
}
