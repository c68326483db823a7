//! What happened, as lines: hashed always, kept at the end, printed on request.
//!
//! Two runs of one seed have the same hash; that is what makes a failure replayable.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Lines shown with a failure.
const TAIL: usize = 60;

/// Whether a run is told as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Only its end.
    Quiet,
    /// Every line, on standard error.
    Aloud,
}

pub(super) struct Trace {
    hash: u64,
    telling: Telling,
    tail: VecDeque<String>,
}

impl Trace {
    pub(super) fn new(telling: Telling) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            telling,
            tail: VecDeque::new(),
        }
    }

    pub(super) fn line(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        let mut line = match self.tail.len() {
            TAIL => self.tail.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        line.clear();
        write!(line, "{:>12.6} {what}", now.as_secs_f64()).expect("invariant: a string has room");
        // FNV-1a, 64 bits.
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.telling == Telling::Aloud {
            eprintln!("{line}");
        }
        self.tail.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}
