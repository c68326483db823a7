//! Jobs between applications over HTTP: signed in both directions, stored before they are answered.
//!
//! What comes from outside is believed only once its signature holds; until then it is bytes.

#[cfg(feature = "http")]
mod acts;
#[cfg(feature = "http")]
mod answers;
#[cfg(feature = "http")]
mod callbacks;
#[cfg(feature = "http")]
mod config;
#[cfg(feature = "http")]
mod desk;
#[cfg(feature = "http")]
mod follow;
#[cfg(feature = "http")]
mod intake;
#[cfg(feature = "http")]
mod laravel;
#[cfg(feature = "http")]
mod openapi;
#[cfg(feature = "http")]
mod orders;
#[cfg(feature = "http")]
mod problem;
mod remote;
#[cfg(feature = "http")]
mod routes;
mod signature;
#[cfg(feature = "http")]
mod source;
#[cfg(feature = "http")]
mod twins;

#[cfg(feature = "http")]
pub use config::{Hidden, HttpConfig, HttpConfigError, KeyConfig, Limits, Tls};
pub use remote::{
    BlockingRemote, DispatchResult, RemoteConfigError, RemoteDispatcher, RemoteError, RemoteJob,
    RemoteResponse, RemoteStatus, ShouldBatch,
};
pub use signature::{Secret, SecretError};
#[cfg(feature = "http")]
pub use source::Http;

/// The receiving side as routes for a server of the user's own, with every check. Mount it at the
/// root with `merge`, or below a path with `nest`.
///
/// [`init`](crate::init) must have been the first line of `main`; jobs go to the state that the
/// process's configuration names. Without `is_backend` there are no routes.
///
/// # Errors
/// When a key or a limit does not fit, or the program or its configuration is not as it must be.
#[cfg(feature = "http")]
pub fn router(mut config: HttpConfig) -> Result<axum::Router, HttpConfigError> {
    let gate =
        crate::client::Gate::of_this_process().map_err(|error| HttpConfigError::of(&error))?;
    config.take_over(gate.config());
    if !config.is_backend.unwrap_or(false) {
        return Ok(axum::Router::new());
    }
    let settings = config.check(gate.registry())?;
    if !settings.callbacks.is_empty() {
        return Err(HttpConfigError::without_service());
    }
    Ok(routes::routes(desk::Desk::new(gate, settings)))
}
