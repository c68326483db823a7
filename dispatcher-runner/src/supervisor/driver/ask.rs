//! What the rest of a service asks of the driver.

use dispatcher_core::engine::{Event, Shutdown};

use super::super::desk::Ask;
use super::Driver;

impl Driver<'_> {
    /// Claiming stops at once.
    pub(super) fn told_to_end(&mut self, shutdown: Shutdown) {
        let running = self.links.values().filter(|link| link.doing.is_some());
        tracing::info!(attempts = running.count(), ?shutdown, "told to end");
        self.announcer.stopping();
        self.event(Event::ShutdownRequested(shutdown));
    }

    pub(super) fn answer_asks(&mut self) {
        let asks = self.inbox.as_ref().map_or_else(Vec::new, |it| it.take());
        for ask in asks {
            match ask {
                Ask::Exec(request) => self.exec(request),
                Ask::Look(answer) => answer(self.look()),
                Ask::Reset { pool, answer } => self.reset(pool.as_deref(), answer),
                Ask::Stop(shutdown) => self.told_to_end(shutdown),
            }
        }
    }
}
