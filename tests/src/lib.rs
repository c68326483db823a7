//! What the black-box tests share: a state directory of their own, built programs, polling.
//!
//! Tests see what a user sees: processes, exit codes, text and the state file. The one place that
//! sleeps is [`eventually`]; everything else waits through it.

mod census;
mod configured;
mod crates;
mod disk;
mod group;
mod home;
mod host;
pub mod http;
mod network;
mod peers;
mod postgres;
mod probe;
mod processes;
mod random;
mod record;
mod service;
mod storm;
mod texts;
mod ways;

use std::time::{Duration, Instant};

pub use census::Census;
pub use configured::{configure, notify, perform};
pub use crates::{Crates, TREES, Tree, cargo, crates_of, workspace, write_source};
pub use disk::{Ballast, ReadOnly, SmallDisk, read_only, with_own_mounts};
pub use group::ControlGroup;
pub use home::{Home, Refused, WriteLock, begin, said};
pub use host::{HostService, configure_host, on_host};
pub use network::output_on;
pub use peers::{Measure, PEERS, Peer, PeerKind};
pub use postgres::{Database, Postgres, free_port};
pub use probe::{Probe, exec, probe_section, refusal};
pub use processes::{
    Frozen, Kind, Seen, as_nobody, freeze, hang_up, is_alive, kill, kill_group, limit_open_files,
    tag_of, terminate,
};
pub use random::Random;
pub use record::{Attempt, Job, assert_one_at_a_time};
pub use service::{Serving, control_sockets, page, sample};
pub use storm::{FOREIGN_POOL, clear_storm, storm_sections};
pub use texts::{AWKWARD_TEXTS, awkward_mebibyte};
pub use ways::{Form, Way, stored_and_refused};

/// Long enough for anything that is going to happen at all, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How much a test that has a size does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A minute at most: continuous integration.
    Small,
    /// As the issues name it.
    Long,
}

impl Size {
    /// From `DISPATCHER_TEST_SIZE`; small when absent.
    ///
    /// # Panics
    /// When it says anything but `small` or `long`.
    #[must_use]
    pub fn get() -> Self {
        match std::env::var("DISPATCHER_TEST_SIZE").as_deref() {
            Ok("long") => Self::Long,
            Ok("small") | Err(_) => Self::Small,
            Ok(other) => panic!("DISPATCHER_TEST_SIZE is small or long, not {other:?}"),
        }
    }

    /// One of two numbers.
    #[must_use]
    pub fn pick(self, small: u32, long: u32) -> u32 {
        match self {
            Self::Small => small,
            Self::Long => long,
        }
    }
}

/// What [`eventually`] can wait for.
pub trait Answer {
    /// What it gives once it is there.
    type Value;

    /// The value, once it is there.
    fn value(self) -> Option<Self::Value>;
}

impl Answer for bool {
    type Value = ();

    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Value = T;

    fn value(self) -> Self {
        self
    }
}

/// Looks until there is an answer. The first looks follow each other at once, so that a short
/// moment can be caught.
///
/// # Panics
/// When there is none before the deadline.
pub fn eventually<A: Answer>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> A,
) -> A::Value {
    within(deadline, &mut look)
        .unwrap_or_else(|| panic!("{what}: did not happen within {deadline:?}"))
}

/// [`eventually`] for what may fail to happen.
pub fn within<A: Answer>(deadline: Duration, mut look: impl FnMut() -> A) -> Option<A::Value> {
    const EAGER: u32 = 200;
    let end = Instant::now() + deadline;
    for round in 0_u32.. {
        if let Some(value) = look().value() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        if round < EAGER {
            std::thread::yield_now();
        } else {
            let pause = 200 * u64::from((round - EAGER).min(49) + 1);
            std::thread::sleep(Duration::from_micros(pause));
        }
    }
    None
}

/// Lets time pass where time itself is the matter: a job that runs this long.
pub fn pass(time: Duration) {
    let end = Instant::now() + time;
    let _ = within(time, || Instant::now() >= end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eventually_answers_at_once_or_says_what_did_not_happen() {
        assert_eq!(eventually("seven", PATIENCE, || Some(7)), 7);
        let mut looks = 0;
        eventually("the third look", PATIENCE, || {
            looks += 1;
            looks == 3
        });
        assert_eq!(within(Duration::from_millis(5), || None::<()>), None);
        let failed = std::panic::catch_unwind(|| {
            eventually("a pig flies", Duration::from_millis(5), || false);
        });
        let text = failed.expect_err("nothing flies").downcast::<String>();
        assert!(text.expect("a text").starts_with("a pig flies: did not"));
    }
}
