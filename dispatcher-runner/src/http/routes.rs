//! The routes, and what each method of them does.
//!
//! One handler for all of them, so that everything that can go wrong is answered by code of ours,
//! a panic included.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::http::{Method, Response};
use axum::response::IntoResponse;
use axum::routing::any;

use super::desk::Desk;
use super::problem::Problem;

/// A route, with what its path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Jobs,
    Batches,
    /// The body shapes of the Laravel package.
    Dispatch,
    DispatchBatch,
    Job(&'a str),
    Output(&'a str),
    Log(&'a str),
    Cancel(&'a str),
    Retry(&'a str),
    Batch(&'a str),
    CancelBatch(&'a str),
    OpenApi,
    Alive,
    Ready,
}

impl<'a> Route<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        if parts.contains(&"") {
            return None;
        }
        Some(match parts[..] {
            ["v1", "jobs"] => Self::Jobs,
            ["v1", "batches"] => Self::Batches,
            ["dispatch"] | ["dispatcher", "dispatch"] => Self::Dispatch,
            ["dispatch", "batch"] | ["dispatcher", "dispatch", "batch"] => Self::DispatchBatch,
            ["v1", "jobs", id] => Self::Job(id),
            ["v1", "jobs", id, "output"] => Self::Output(id),
            ["v1", "jobs", id, "log"] => Self::Log(id),
            ["v1", "jobs", id, "cancel"] => Self::Cancel(id),
            ["v1", "jobs", id, "retry"] => Self::Retry(id),
            ["v1", "batches", id] => Self::Batch(id),
            ["v1", "batches", id, "cancel"] => Self::CancelBatch(id),
            ["openapi.json"] => Self::OpenApi,
            ["healthz"] => Self::Alive,
            ["readyz"] => Self::Ready,
            _ => return None,
        })
    }

    pub(super) fn allow(self) -> &'static str {
        match self {
            Self::Jobs
            | Self::Batches
            | Self::Dispatch
            | Self::DispatchBatch
            | Self::Cancel(_)
            | Self::Retry(_)
            | Self::CancelBatch(_) => "POST",
            Self::Job(_)
            | Self::Output(_)
            | Self::Log(_)
            | Self::Batch(_)
            | Self::OpenApi
            | Self::Alive
            | Self::Ready => "GET, HEAD",
        }
    }

    /// What stands for it in the hash of a message.
    pub(super) fn name(self) -> String {
        match self {
            Self::Jobs => "jobs".to_owned(),
            Self::Batches => "batches".to_owned(),
            Self::Dispatch => "dispatch".to_owned(),
            Self::DispatchBatch => "dispatch/batch".to_owned(),
            Self::Job(id) => format!("jobs/{id}"),
            Self::Output(id) => format!("jobs/{id}/output"),
            Self::Log(id) => format!("jobs/{id}/log"),
            Self::Cancel(id) => format!("jobs/{id}/cancel"),
            Self::Retry(id) => format!("jobs/{id}/retry"),
            Self::Batch(id) => format!("batches/{id}"),
            Self::CancelBatch(id) => format!("batches/{id}/cancel"),
            Self::OpenApi => "openapi.json".to_owned(),
            Self::Alive => "healthz".to_owned(),
            Self::Ready => "readyz".to_owned(),
        }
    }
}

/// The routes over a desk.
pub(super) fn routes(desk: Desk) -> Router {
    let all = [
        "/v1/{*rest}",
        "/dispatch",
        "/dispatch/batch",
        "/dispatcher/dispatch",
        "/dispatcher/dispatch/batch",
        "/openapi.json",
        "/healthz",
        "/readyz",
    ];
    let router = Router::new();
    let router = all
        .into_iter()
        .fold(router, |router, path| router.route(path, any(handle)));
    router.with_state(desk)
}

/// Where no route is.
pub(super) async fn nowhere() -> Problem {
    Problem::not_found("there is nothing here")
}

async fn handle(
    State(desk): State<Desk>,
    OriginalUri(original): OriginalUri,
    request: Request,
) -> Response<Body> {
    match caught(answer(&desk, original.path(), request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => problem.into_response(),
        Err(()) => Problem::failed().into_response(),
    }
}

async fn answer(desk: &Desk, original: &str, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some(route) = Route::of(path) else {
        return Err(Problem::not_found("there is nothing here"));
    };
    let prefix = original.strip_suffix(path).unwrap_or_default();
    let allow = route.allow();
    match (&parts.method, allow) {
        (&Method::POST, "POST") => desk.post(route, prefix, &parts, body).await,
        (&Method::GET | &Method::HEAD, "GET, HEAD") => desk.get(route, prefix, &parts).await,
        _ => Err(Problem::method(allow)),
    }
}

/// What a future comes to, unless it panics; then it is dropped.
async fn caught<F: Future>(future: F) -> Result<F::Output, ()> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            // Its message went to the panic hook.
            Err(_) => Poll::Ready(Err(())),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact() {
        assert_eq!(Route::of("/v1/jobs"), Some(Route::Jobs));
        assert_eq!(Route::of("/v1/jobs/x"), Some(Route::Job("x")));
        assert_eq!(Route::of("/v1/jobs/x/cancel"), Some(Route::Cancel("x")));
        assert_eq!(
            Route::of("/dispatcher/dispatch/batch"),
            Some(Route::DispatchBatch)
        );
        assert_eq!(Route::of("/dispatch"), Some(Route::Dispatch));
        for path in [
            "",
            "/",
            "v1/jobs",
            "/v1/jobs/",
            "/v1/jobs/x/",
            "/v1//jobs",
            "/V1/jobs",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
