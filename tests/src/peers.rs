//! Other people's queues on PostgreSQL, which the benchmark `peers` stands beside ours.
//!
//! Each Rust peer is a package of its own below `peers/`, outside of the workspace, so that nobody
//! who builds the project builds or locks what it needs. What they share is `peers/measure.rs`.

use std::path::PathBuf;

use crate::workspace;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Jobs that are sent one after the other, each on disk before the next.
    Enqueue,
    /// Jobs that are there already, until the last end is on disk.
    Drain,
    /// From the first of many that are sent together to the last end, everything warm.
    EndToEnd,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its package, and the folder below `peers/`.
    pub name: &'static str,
    /// The version that is measured.
    pub version: &'static str,
    /// How its program is made.
    pub kind: PeerKind,
    /// What can be asked of it.
    pub measures: &'static [Measure],
}

/// How a peer's program is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// A package with a lock file.
    Rust,
    /// A script for the Python that `scripts/prepare` installs.
    Python,
}

/// All of them.
pub const PEERS: [Peer; 3] = [
    Peer {
        name: "graphile_worker",
        version: "0.14.1",
        kind: PeerKind::Rust,
        measures: &Measure::ALL,
    },
    Peer {
        name: "apalis-postgres",
        version: "1.0.0",
        kind: PeerKind::Rust,
        measures: &Measure::ALL,
    },
    Peer {
        name: "dispatcherd",
        version: "2026.5.27",
        kind: PeerKind::Python,
        // It remembers nothing, so there is nothing to send durably and nothing to find.
        measures: &[Measure::EndToEnd],
    },
];

impl Measure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Enqueue, Self::Drain, Self::EndToEnd];

    /// As programs are asked for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Drain => "drain",
            Self::EndToEnd => "end-to-end",
        }
    }
}

impl Peer {
    /// Where its program is.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        workspace().join("peers").join(self.name)
    }
}
