//! The contract: a value that can be sent to another process and run there.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Definition, Failure, Options};

/// What a dispatcher does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it does",
    label = "`Process` is not implemented",
    note = "write `impl Process for {Self} {{ fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {{ … }} }}`"
)]
pub trait Process {
    /// Does the work, alone in its own process.
    ///
    /// # Errors
    /// Whatever the work could not do; see [`Failure`] for what can be asked for.
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure>;

    /// Adjusts the options of one job from its value, when it is submitted.
    fn options(&self, _options: &mut Options) {}
}

/// A registered kind of work. Written by `#[derive(Dispatcher)]`, not by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a dispatcher",
    note = "write `#[derive(Dispatcher, Serialize, Deserialize)]` above the struct"
)]
pub trait Dispatcher: Process + Serialize + DeserializeOwned + 'static {
    /// The name stored in rows and typed on the command line.
    const NAME: &'static str;

    /// Everything that is known about the dispatcher at compile time.
    fn definition() -> &'static Definition;
}

/// A payload does not fit its dispatcher.
#[derive(Debug, thiserror::Error)]
#[error("the payload does not fit {dispatcher}: {reason}")]
pub struct PayloadError {
    /// Name of the dispatcher.
    pub dispatcher: &'static str,
    /// What serde says, with line and column where it knows them.
    pub reason: String,
}
