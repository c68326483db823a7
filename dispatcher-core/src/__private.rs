//! What the derive's output calls. Not part of the public interface; may change in any version.

pub use inventory;
pub use serde_json;

use crate::{Context, Definition, Dispatcher, Failure, Options, PayloadError};

/// One registered dispatcher; collected by the linker.
pub struct Registration(pub fn() -> &'static Definition);

inventory::collect!(Registration);

/// [`Definition::check`] of `T`.
pub fn check<T: Dispatcher>(payload: &str, options: &mut Options) -> Result<(), PayloadError> {
    decode::<T>(payload)?.options(options);
    Ok(())
}

/// [`Definition::run`] of `T`.
pub fn run<T: Dispatcher>(
    payload: &str,
    cx: &mut Context,
) -> Result<Result<(), Failure>, PayloadError> {
    Ok(decode::<T>(payload)?.process(cx))
}

/// [`Definition::default_payload`] of `T`.
pub fn default_payload<T: Dispatcher + Default>() -> Result<String, PayloadError> {
    serde_json::to_string(&T::default()).map_err(|error| refused::<T>(&error))
}

fn decode<T: Dispatcher>(payload: &str) -> Result<T, PayloadError> {
    // `{}` is what the command line sends when no payload was typed; a unit struct takes it as well.
    match serde_json::from_str(payload) {
        Ok(value) => Ok(value),
        Err(_) if payload.trim() == "{}" && T::definition().fields.is_empty() => {
            serde_json::from_str("null").map_err(|error| refused::<T>(&error))
        }
        Err(error) => Err(refused::<T>(&error)),
    }
}

fn refused<T: Dispatcher>(error: &serde_json::Error) -> PayloadError {
    PayloadError {
        dispatcher: T::NAME,
        reason: error.to_string(),
    }
}
