//! Which of the messages with a name of their own were taken, so that one that is heard and found
//! in its table, too, is taken once.
//!
//! Only our own publisher gives such names; what has none is always new.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::dispatcherd::{Json, PUBLISHED_ID};

/// Names of messages, and when they were taken.
#[derive(Debug, Default)]
pub(super) struct Seen {
    taken: HashMap<String, Instant>,
    /// Those that were not told of yet.
    fresh: Vec<String>,
}

impl Seen {
    /// Whether it is to be taken; from now on it counts as taken.
    pub(super) fn is_new(&mut self, message: &Json) -> bool {
        let Some(id) = message.get(PUBLISHED_ID).and_then(Json::as_str) else {
            return true;
        };
        // Also of one that comes again: whoever was to be told of it may not have been.
        self.fresh.push(id.to_owned());
        self.taken.insert(id.to_owned(), Instant::now()).is_none()
    }

    /// Those that came since the last call.
    pub(super) fn fresh(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fresh)
    }

    /// Forgets what was taken so long ago.
    pub(super) fn forget(&mut self, age: Duration) {
        self.taken.retain(|_, at| at.elapsed() < age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_a_name_is_new_once() {
        let mut seen = Seen::default();
        let named = |id: &str| Json::object([(PUBLISHED_ID, Json::text(id))]);
        assert!(seen.is_new(&named("a")) && seen.is_new(&named("b")));
        assert!(!seen.is_new(&named("a")));
        assert!(seen.is_new(&Json::empty()) && seen.is_new(&Json::empty()));
        assert_eq!(seen.fresh(), ["a", "b", "a"]);
        assert!(seen.fresh().is_empty());
        seen.forget(Duration::from_secs(3600));
        assert!(!seen.is_new(&named("b")));
        seen.forget(Duration::ZERO);
        assert!(seen.is_new(&named("a")));
    }
}
