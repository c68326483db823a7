//! From sources and sections to what can be started: which are on, and what is wrong with them.
//!
//! Every problem is found before anything is served.

use std::sync::Arc;

use super::board::{Board, Seat, SourceStage};
use super::registry::{Kind, Serve};
use super::{Host, Section, Sources, Ways};
use crate::config::ConfigProblem;

/// The sources of a service, before it starts.
pub(crate) struct Prepared {
    pub(super) entries: Vec<Entry>,
    board: Board,
    off: Vec<&'static str>,
}

/// A source that is on.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) section: Section,
    pub(super) host: Host,
    pub(super) seat: Seat,
    pub(super) source: Arc<dyn Serve>,
}

impl Prepared {
    /// Makes every source that has a section.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(crate) fn new(
        sources: &Sources,
        section_of: impl Fn(&str) -> Option<Section>,
        ways: &Ways,
    ) -> Result<Self, Vec<ConfigProblem>> {
        let (mut entries, mut seats, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut off = Vec::new();
        for kind in sources.kinds() {
            let Some(section) = section_of(kind.name) else {
                seats.push(Seat::new(kind.name, kind.weight, SourceStage::Off));
                off.push(kind.name);
                continue;
            };
            let seat = Seat::new(kind.name, kind.weight, SourceStage::Waiting);
            seats.push(seat.clone());
            let host = Host::new(kind.name, section.pool.clone(), ways.clone(), seat.clone());
            match (kind.make)(&section, &host) {
                Ok(source) => entries.push(Entry {
                    kind: *kind,
                    section,
                    host,
                    seat,
                    source,
                }),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            entries,
            board: Board::new(seats),
            off,
        })
    }

    /// Whether there is nothing to start.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known of the sources, from now on.
    pub(crate) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Says which sources are on and which are not.
    pub(crate) fn report(&self) {
        for entry in &self.entries {
            let (source, weight) = (entry.kind.name, entry.kind.weight);
            let pool = entry.host.pool().unwrap_or("none");
            tracing::info!(source, weight, pool, "source is on");
        }
        for source in &self.off {
            tracing::info!(
                source,
                "source is off: it has no section [sources.{source}]"
            );
        }
    }
}
