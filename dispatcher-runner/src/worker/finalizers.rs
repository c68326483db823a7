//! Functions that put shared state back between the tasks of a reused worker.
//!
//! Each of them runs, whatever became of those before it.

use super::ServeError;
use crate::process;

type Finalizer = Box<dyn FnMut(bool) -> Result<(), ServeError> + Send>;

/// All of a worker's finalizers, in the order in which they were added.
#[derive(Default)]
pub(super) struct Finalizers(Vec<Finalizer>);

/// Which run of the finalizers it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Another task may follow.
    Between,
    /// The worker ends.
    Last,
}

impl Finalizers {
    pub(super) fn add(&mut self, finalizer: Finalizer) {
        self.0.push(finalizer);
    }

    /// Runs each of them; what went wrong.
    pub(super) fn run(&mut self, round: Round) -> Vec<String> {
        let last = round == Round::Last;
        let run = |finalizer: &mut Finalizer| match process::catch_panic(|| finalizer(last)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(crate::log::chain(error.as_ref())),
            Err(panic) => Some(super::panic_text(&panic)),
        };
        self.0.iter_mut().filter_map(run).collect()
    }
}
