//! Processes: the keeper, workers, and what belongs to them. Nothing else starts a process.

mod replace;

pub(crate) use replace::replace_with;
