//! What the rest of a service asks of the driver.

use std::time::Duration;

use dispatcher_core::engine::{Event, Shutdown};

use super::Driver;
use crate::pool::{ExecError, Part};
use crate::supervisor::desk::{Ask, Look, WorkerLook};

impl Driver<'_> {
    /// Claiming stops at once.
    pub(super) fn told_to_end(&mut self, shutdown: Shutdown) {
        tracing::info!(attempts = self.links.len(), ?shutdown, "told to end");
        self.stopping = true;
        self.announcer.stopping();
        self.event(Event::ShutdownRequested(shutdown));
    }

    pub(super) fn answer_asks(&mut self) {
        let asks = self.inbox.as_ref().map_or_else(Vec::new, |it| it.take());
        for ask in asks {
            match ask {
                Ask::Look(answer) => answer(self.look()),
                Ask::Stop(shutdown) => self.told_to_end(shutdown),
                Ask::Exec(mut request) => {
                    let error = ExecError::NoSuchPool(request.pool);
                    (request.answer)(Part::End(Err(error)));
                }
                Ask::Reset { pool, answer } => {
                    let name = pool.unwrap_or_default();
                    answer(Err(ExecError::NoSuchPool(name).to_string()));
                }
            }
        }
    }

    fn look(&self) -> Look {
        let workers = self.links.values().map(|link| WorkerLook {
            pool: None,
            pid: link.pid,
            state: "working",
            job: Some((link.job, link.dispatcher.clone())),
            served: 0,
            age: Duration::ZERO,
            idle: None,
            rss_bytes: None,
            cpu: None,
        });
        Look {
            serving: !self.stopping,
            slots: self.worker_slots,
            pools: Vec::new(),
            workers: workers.collect(),
        }
    }
}
