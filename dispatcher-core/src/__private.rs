//! What the derive's output calls. Not part of the public interface; may change in any version.
//!
//! The output names nothing but this module, so everything that it needs stands here, the
//! language's own `Option` and `str` included: the user's module may have others.

use std::time::Duration;

pub use std::option::Option::{None, Some};
pub use std::primitive::str;

pub use inventory;
pub use serde_json;

pub use crate::{
    Backoff, Definition, Dispatcher, DispatcherOptions, EnvPolicy, Field, Isolation, Leftovers,
    Missed, OnDuplicate, OnLost, Options, Overlap, PayloadKind, Place, ScheduleOptions,
};

use crate::definition::EMPTY_PAYLOADS;
use crate::{Context, Failure, PayloadError, Process};

/// One registered dispatcher; collected by the linker.
pub struct Registration(pub fn() -> &'static Definition);

inventory::collect!(Registration);

impl Registration {
    /// The registration of `T`. A function, because a path through the trait would make the
    /// compiler report a second time whatever `T` lacks.
    #[must_use]
    pub const fn of<T: Dispatcher>() -> Self {
        Self(T::definition)
    }
}

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
pub fn default_payload<T: Dispatcher + Scheduled>() -> Result<String, PayloadError> {
    serde_json::to_string(&T::scheduled()).map_err(|error| T::definition().refusal(&error))
}

/// The default payload of a `T` that need not be [`Default`]: its own constant comes before that
/// of the trait, and exists for those that are.
pub struct Payloads<T>(std::marker::PhantomData<T>);

impl<T: Dispatcher + Default> Payloads<T> {
    /// [`Definition::default_payload`].
    pub const DEFAULT: Option<DefaultPayload> = Some(default_payload::<T>);
}

/// Of those that are not.
pub trait PerhapsDefault {
    /// [`Definition::default_payload`].
    const DEFAULT: Option<DefaultPayload> = None;
}

impl<T> PerhapsDefault for Payloads<T> {}

type DefaultPayload = fn() -> Result<String, PayloadError>;

/// What a schedule can start: [`Default`] by another name, for the sake of the message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a schedule, but no default value",
    label = "a schedule submits `{Self}::default()`",
    note = "add `Default` to the derives of `{Self}`, or implement it by hand"
)]
pub trait Scheduled {
    /// The value that a schedule submits.
    fn scheduled() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> Scheduled for T {
    fn scheduled() -> Self {
        Self::default()
    }
}

/// [`Definition::schema`] of `T`.
#[must_use]
pub fn schema<T: Described>() -> serde_json::Value {
    T::described()
}

/// A type with a JSON Schema: `schemars::JsonSchema` by another name, for the sake of the message.
#[cfg_attr(
    feature = "schema",
    diagnostic::on_unimplemented(
        message = "`{Self}` asks for a schema, but does not derive one",
        label = "needs `schemars::JsonSchema`",
        note = "add `schemars::JsonSchema` to the derives of `{Self}`"
    )
)]
#[cfg_attr(
    not(feature = "schema"),
    diagnostic::on_unimplemented(
        message = "`{Self}` asks for a schema, but `dispatcher-core` was built without",
        label = "needs the feature `schema`",
        note = "write `dispatcher-core = {{ version = \"0.1\", features = [\"schema\"] }}` in Cargo.toml"
    )
)]
pub trait Described {
    /// The schema.
    fn described() -> serde_json::Value;
}

#[cfg(feature = "schema")]
#[diagnostic::do_not_recommend]
impl<T: schemars::JsonSchema> Described for T {
    fn described() -> serde_json::Value {
        schemars::schema_for!(T).to_value()
    }
}

/// What a type must be before it can be a dispatcher; asked by the stub of an erroneous one.
pub trait Payload: Process + serde::Serialize + serde::de::DeserializeOwned + 'static {}

impl<T: Process + serde::Serialize + serde::de::DeserializeOwned + 'static> Payload for T {}

/// Body of the stub that stands for an erroneous dispatcher.
pub fn not_expanded() -> ! {
    unreachable!("invariant: a program with a compile error does not run")
}

/// Declared options of a job that declares none.
#[must_use]
pub fn options() -> Options {
    Options::default()
}

/// Declared options of a dispatcher that declares none.
#[must_use]
pub fn dispatcher_options() -> DispatcherOptions {
    DispatcherOptions::default()
}

/// What a schedule leaves undeclared.
#[must_use]
pub fn schedule_options() -> ScheduleOptions {
    ScheduleOptions::default()
}

/// A duration in the one unit that the derive writes.
#[must_use]
pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An owned text.
#[must_use]
pub fn text(text: &str) -> String {
    text.to_owned()
}

/// Owned texts.
#[must_use]
pub fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The value that a stored payload stands for; the testing kit reads it, too.
pub fn decode<T: Dispatcher>(payload: &str) -> Result<T, PayloadError> {
    let error = match serde_json::from_str(payload) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // A struct without fields is `null`, `{}` or `[]` to serde, by how it is written in the source.
    if T::definition().is_empty_payload(payload) {
        let read = |text: &&str| serde_json::from_str(text).ok();
        if let Some(value) = EMPTY_PAYLOADS.iter().find_map(read) {
            return Ok(value);
        }
    }
    Err(T::definition().refusal(&error))
}
