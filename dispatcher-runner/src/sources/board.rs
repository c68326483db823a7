//! What is known of each source: stage, health, restarts, counters; read by lists and metrics.
//!
//! One entry a source, written by its keeper and by its host, read as a copy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Different names of counters, or of gauges, that one source may have.
const NAMES_MAX: usize = 64;

/// Where a source is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStage {
    /// It has no section in the configuration.
    Off,
    /// It was not started yet.
    Waiting,
    /// It brings in work.
    Serving,
    /// It failed, and is started again after its back-off.
    Failed,
    /// It said that there will be no more work, or the service has stopped it.
    Ended,
}

impl SourceStage {
    /// As lists show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Serving => "serving",
            Self::Failed => "failed",
            Self::Ended => "ended",
        }
    }
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourceState {
    /// Its name.
    pub name: &'static str,
    /// Heavier sources start earlier.
    pub weight: i32,
    /// Where it is in its life.
    pub stage: SourceStage,
    /// Whether all is well with it, as far as it and its keeper know.
    pub healthy: bool,
    /// Since it serves, for the first time or again; zero while it does not.
    pub uptime: Duration,
    /// How often it was started again.
    pub restarts: u64,
    /// The latest thing that went wrong.
    pub last_error: Option<String>,
    /// What it has counted.
    pub counters: BTreeMap<&'static str, u64>,
    /// What it has measured.
    pub gauges: BTreeMap<&'static str, f64>,
}

/// All sources of a service, the heavier first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Vec<Seat>);

impl Board {
    pub(super) fn new(seats: Vec<Seat>) -> Self {
        Self(seats)
    }

    /// What is known of them now.
    pub(crate) fn look(&self) -> Vec<SourceState> {
        self.0.iter().map(Seat::look).collect()
    }
}

/// One source's entry.
#[derive(Debug, Clone)]
pub(super) struct Seat(Arc<Mutex<Entry>>);

#[derive(Debug)]
struct Entry {
    state: SourceState,
    /// It failed, and has not served long enough since.
    fell: bool,
    /// It says itself that something is wrong.
    complains: bool,
    /// When it began to serve.
    since: Option<Instant>,
}

impl Entry {
    fn judge(&mut self, error: Option<String>) {
        self.state.healthy = !self.fell && !self.complains;
        if error.is_some() {
            self.state.last_error = error;
        }
    }
}

impl Seat {
    pub(super) fn new(name: &'static str, weight: i32, stage: SourceStage) -> Self {
        let state = SourceState {
            name,
            weight,
            stage,
            healthy: true,
            uptime: Duration::ZERO,
            restarts: 0,
            last_error: None,
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(Entry {
            state,
            fell: false,
            complains: false,
            since: None,
        })))
    }

    pub(super) fn look(&self) -> SourceState {
        let entry = self.entry();
        let uptime = match entry.state.stage {
            SourceStage::Serving => entry.since.map(|since| since.elapsed()),
            SourceStage::Off | SourceStage::Waiting | SourceStage::Failed | SourceStage::Ended => {
                None
            }
        };
        SourceState {
            uptime: uptime.unwrap_or_default(),
            ..entry.state.clone()
        }
    }

    /// It serves, for the first time or again; how well will be seen.
    pub(super) fn serving(&self) {
        let mut entry = self.entry();
        entry.state.stage = SourceStage::Serving;
        entry.since = Some(Instant::now());
    }

    /// It has served long enough to be trusted again.
    pub(super) fn steady(&self) {
        let mut entry = self.entry();
        entry.fell = false;
        entry.judge(None);
    }

    pub(super) fn failed(&self, error: &str) {
        let mut entry = self.entry();
        entry.state.stage = SourceStage::Failed;
        entry.fell = true;
        entry.complains = false;
        entry.judge(Some(error.to_owned()));
    }

    pub(super) fn restarted(&self) {
        self.entry().state.restarts += 1;
    }

    pub(super) fn ended(&self, error: Option<&str>) {
        let mut entry = self.entry();
        entry.state.stage = SourceStage::Ended;
        entry.fell |= error.is_some();
        entry.judge(error.map(str::to_owned));
    }

    /// What the source thinks of its health.
    pub(super) fn health(&self, trouble: Option<String>) {
        let mut entry = self.entry();
        entry.complains = trouble.is_some();
        entry.fell &= entry.complains;
        entry.judge(trouble);
    }

    pub(super) fn count(&self, name: &'static str, by: u64) {
        let mut entry = self.entry();
        let counters = &mut entry.state.counters;
        if counters.len() < NAMES_MAX || counters.contains_key(name) {
            let counter = counters.entry(name).or_default();
            *counter = counter.saturating_add(by);
        }
    }

    pub(super) fn gauge(&self, name: &'static str, value: f64) {
        let mut entry = self.entry();
        let gauges = &mut entry.state.gauges;
        if gauges.len() < NAMES_MAX || gauges.contains_key(name) {
            gauges.insert(name, value);
        }
    }

    /// Every change is whole before the lock is let go of, so a panic leaves nothing half done.
    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
