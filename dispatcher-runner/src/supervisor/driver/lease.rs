//! The lease by the clock of the keeper, which goes on while the machine is suspended.
//!
//! Nothing of a job begins after the keeper's deadline: a new keeper may not have heard of it.

use std::time::Duration;

use dispatcher_core::engine::LeaseSpec;
use rustix::time::{ClockId, clock_gettime};

use super::super::Orders;
use super::Driver;
use crate::process::KeeperRequest;

/// Time for kills is this part of a lease.
const MARGIN_PART: u32 = 10;
const MARGIN_MAX: Duration = Duration::from_secs(3);

/// What the driver knows of its lease.
#[derive(Debug)]
pub(super) struct LeaseClock {
    /// `None` where there is none.
    length: Option<Duration>,
    /// When the last renewal was asked for: by the engine's clock, and by the keeper's.
    asked: Option<(Duration, Duration)>,
    /// By the keeper's clock.
    deadline: Option<Duration>,
}

/// What the engine is told of leases.
pub(super) fn spec(orders: &Orders) -> Option<LeaseSpec> {
    let length = Duration::from_millis(orders.lease_ms?);
    Some(LeaseSpec {
        length,
        margin: (length / MARGIN_PART).min(MARGIN_MAX),
    })
}

impl LeaseClock {
    pub(super) fn new(spec: Option<LeaseSpec>) -> Self {
        Self {
            length: spec.map(|spec| spec.length),
            asked: None,
            deadline: None,
        }
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|at| at <= boottime())
    }
}

impl Driver<'_> {
    pub(super) fn renew_lease(&mut self) {
        // The engine counts from a little earlier.
        self.lease.asked = Some((self.origin.elapsed(), boottime()));
        let length = self.lease.length;
        self.clerk
            .renew(length.expect("invariant: an engine without leases renews none"));
    }

    pub(super) fn set_deadline(&mut self, at: Option<Duration>) {
        self.lease.deadline = at.and_then(|at| {
            let (asked, by_keeper) = self.lease.asked?;
            Some(by_keeper + at.saturating_sub(asked))
        });
        self.tell_deadline();
    }

    /// Tells the keeper; a new one has not heard it.
    pub(super) fn tell_deadline(&mut self) {
        let at = self.lease.deadline;
        let ms = at.map(|at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        self.ask_keeper(&KeeperRequest::Deadline { boottime_ms: ms });
    }

    /// A new keeper has nobody yet, and would end at once for a deadline that has passed.
    pub(super) fn tell_new_keeper(&mut self) {
        if self.lease.deadline.is_some() && !self.lease.is_over() {
            self.tell_deadline();
        }
    }

    pub(super) fn lease_is_over(&self) -> bool {
        self.lease.is_over()
    }
}

/// Time since the start of the machine, suspension counted.
fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}
