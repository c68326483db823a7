//! The service's part in schedules: it looks when something is due, and at times besides.

use std::time::Duration;

use dispatcher_core::Registry;

use super::stage::{Phase, Stage};
use crate::client::Sender;
use crate::log;
use crate::metrics::Metrics;

/// Longest time between two looks at the schedules: a configuration or a clock may have changed.
const INTERVAL: Duration = Duration::from_secs(30);
/// Time until schedules are looked at again when the store cannot be asked.
const AGAIN: Duration = Duration::from_secs(5);

/// Submits what is due, from the time when jobs are run here until nothing new is to be started.
pub(super) fn follow(sender: &Sender<'_>, registry: &Registry, stage: &Stage, metrics: &Metrics) {
    if stage.wait(Phase::Serving) != Phase::Serving {
        return;
    }
    let mut told = Vec::new();
    loop {
        let wait = match sender.tick_in_service(registry) {
            Ok(report) => {
                for (name, tick) in &report.decided {
                    let fate = tick.fate.as_str();
                    tracing::info!(name, tick = tick.tick, fate, "tick");
                    metrics.ticked(fate);
                }
                if report.problems != told {
                    for problem in &report.problems {
                        tracing::error!(%problem, "a schedule is not followed");
                    }
                    told = report.problems;
                }
                report.next_in.unwrap_or(INTERVAL)
            }
            Err(error) => {
                tracing::error!(error = %log::chain(&error), "schedules cannot be followed now");
                AGAIN
            }
        };
        if stage.wait_for(Phase::Stopping, wait.min(INTERVAL)) >= Phase::Stopping {
            return;
        }
    }
}
