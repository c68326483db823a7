//! Every answer that is not a success: `application/problem+json`, RFC 9457.
//!
//! What is wrong with a message is told to whoever signed it; to everybody else all failures of
//! authentication look alike.

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::client::{Refused, SpawnError};

/// Seconds after which a sender may ask again when nobody knows better.
const SOON: u64 = 1;

/// An answer that is not a success.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    /// For programs: what it is, in one word.
    code: &'static str,
    detail: String,
    errors: Vec<Misfit>,
    retry_after: Option<u64>,
    challenge: Option<&'static str>,
    allow: Option<&'static str>,
}

/// What is wrong with one value of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where it stands: a JSON pointer.
    pub(super) pointer: String,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            allow: None,
        }
    }

    /// The bytes are no JSON, or no message at all.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// One text for every reason.
    pub(super) fn unsigned() -> Self {
        let detail = "the message is not signed by anybody who is known here";
        Self {
            challenge: Some("StandardWebhooks version=\"v1\""),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
        }
    }

    /// One text for every reason.
    pub(super) fn no_token() -> Self {
        let detail = "looking takes a read token";
        Self {
            challenge: Some("Bearer"),
            ..Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
        }
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                format!("this takes {allow}"),
            )
        }
    }

    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// Something that is sound, but does not fit.
    pub(super) fn misfits(errors: Vec<Misfit>) -> Self {
        let detail = match errors.first() {
            Some(first) if errors.len() == 1 => first.detail.clone(),
            Some(_) | None => format!("{} values do not fit", errors.len()),
        };
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
        }
    }

    pub(super) fn misfit(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::misfits(vec![Misfit {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// Its misfits, if it has some; anything else outweighs them.
    pub(super) fn into_misfits(self) -> Result<Vec<Misfit>, Self> {
        if self.errors.is_empty() {
            return Err(self);
        }
        Ok(self.errors)
    }

    pub(super) fn other_message() -> Self {
        let detail = "another message had this webhook-id: a new message needs a new id";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "id-reused", detail)
    }

    /// Not now, but perhaps later.
    pub(super) fn later(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).after(SOON)
    }

    pub(super) fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// It is our fault, whatever it is; the log has the rest.
    pub(super) fn failed() -> Self {
        let detail = "it failed here, not because of the message; see the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
    }

    /// Why jobs were refused; the first of them stands at `pointer`.
    pub(super) fn refused(refused: &Refused, pointer: &str) -> Self {
        match refused {
            Refused::Spawn(error) => Self::of(error, pointer),
            Refused::OtherMessage => Self::other_message(),
            Refused::BatchExists { id } => {
                Self::conflict("batch-exists", format!("there is a batch `{id}` already"))
            }
            Refused::NoRoom { count_max } => Self::later(
                "replay-store-full",
                format!(
                    "the answers to {count_max} messages are kept, and none may be forgotten yet"
                ),
            )
            .after(60),
        }
    }

    /// Why a job was refused.
    pub(super) fn of(error: &SpawnError, pointer: &str) -> Self {
        let at = |field: &str, detail: String| Self::misfit(format!("{pointer}{field}"), detail);
        match error {
            SpawnError::QueueFull { retry_after, .. } => {
                Self::later("queue-full", error.to_string()).after(retry_after.as_secs())
            }
            SpawnError::MissingRequirement { .. } => Self::new(
                StatusCode::FAILED_DEPENDENCY,
                "missing-requirement",
                error.to_string(),
            ),
            SpawnError::PayloadTooLarge { .. } => Self::too_large(error.to_string()),
            SpawnError::Option { option, why, .. } => at(&format!("/{option}"), why.clone()),
            SpawnError::Payload(refused) => at("/payload", refused.reason.clone()),
            SpawnError::Unknown(unknown) => at(
                "/job",
                format!("{}; {}", first_line(&unknown.to_string()), unknown.advice()),
            ),
            SpawnError::Store(failure) => {
                tracing::error!(error = %crate::log::chain(failure), "a message was not stored");
                Self::later("store", "the store cannot be used at the moment")
            }
            SpawnError::NotInitialised
            | SpawnError::ThreadsBeforeInit { .. }
            | SpawnError::Config(_) => {
                tracing::error!(error = %crate::log::chain(error), "a message was not accepted");
                Self::failed()
            }
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            let errors = self.errors.iter();
            let errors = errors.map(|it| json!({ "pointer": it.pointer, "detail": it.detail }));
            body["errors"] = errors.collect();
        }
        body
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut answer = Response::new(Body::from(self.body().to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        let text = HeaderValue::from_static;
        headers.insert(CONTENT_TYPE, text("application/problem+json"));
        headers.insert(CACHE_CONTROL, text("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, text(challenge));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, text(allow));
        }
        answer
    }
}
