//! SIGINT and SIGTERM of a waiting command, as counts that a loop asks for.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Where interruptions come from.
pub(crate) enum Interrupts {
    /// The process's signals, from the first question on.
    Process(Option<Signals>),
    /// A test's.
    #[cfg(test)]
    Scripted(std::collections::VecDeque<u32>),
}

impl Interrupts {
    /// Those of this process; until [`Self::watch`] its signals keep their meaning.
    pub(crate) fn of_process() -> Self {
        Self::Process(None)
    }

    /// From now on the signals are counted instead of ending the process.
    pub(crate) fn watch(&mut self) {
        match self {
            Self::Process(signals @ None) => *signals = Signals::new([SIGINT, SIGTERM]).ok(),
            Self::Process(Some(_)) => {}
            #[cfg(test)]
            Self::Scripted(_) => {}
        }
    }

    /// How many arrived since the last question.
    pub(crate) fn pending(&mut self) -> u32 {
        match self {
            Self::Process(Some(signals)) => {
                u32::try_from(signals.pending().count()).unwrap_or(u32::MAX)
            }
            Self::Process(None) => 0,
            #[cfg(test)]
            Self::Scripted(script) => script.pop_front().unwrap_or(0),
        }
    }
}
