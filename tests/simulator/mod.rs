//! Drives engines, a store that fails, made-up processes and clocks that differ from one seed.
//!
//! Everything that a supervisor does without I/O is the real code: engine, clerk, hearing, capture
//! and memory store. What does I/O is made up here, and everything that chance decides comes from
//! one seed. After every step the invariants are checked; then faults stop, and everything must
//! come to an end.

mod client;
mod coverage;
mod deaths;
mod dice;
mod driver;
mod faults;
mod invariants;
mod keeper;
mod leases;
mod ledger;
mod links;
mod pools;
mod process;
mod runner;
mod store;
mod trace;
mod truth;
mod upkeep;
mod world;

pub use coverage::Coverage;
pub use trace::Telling;

use world::World;

/// A run without a fault of ours.
#[derive(Debug, Clone)]
pub struct Report {
    /// Of everything that happened: the same for the same seed.
    pub hash: u64,
    /// Events that engines took in.
    pub events: u64,
    /// What was reached.
    pub coverage: Coverage,
}

/// A run in which an invariant did not hold.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which one.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// The last things that happened.
    pub tail: Vec<String>,
}

/// Runs one seed: faults first, then none until everything has ended.
///
/// # Errors
/// When an invariant does not hold.
///
/// # Panics
/// When an assertion of the engine fails.
pub fn run(seed: u64, telling: Telling) -> Result<Report, Box<Broken>> {
    World::new(seed, telling).run()
}
