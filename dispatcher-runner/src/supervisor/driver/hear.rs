//! What came in: from workers, the keeper, the store and other processes.

use std::io;
use std::time::Instant;

use dispatcher_core::engine::{Event, WorkerId};

use crate::process::{self, Keeper, KeeperReport, KeeperSpec};
use crate::store::{self, ProgressNote};

use super::super::SupervisorError;
use super::super::clerk::Answer;
use super::super::hearing::Heard;
use super::super::link::{READS_AT_END, READS_AT_ONCE};
use super::super::open::lock_slots;
use super::super::upkeep::prove_dead;
use super::memory::MEMORY_INTERVAL;
use super::{Driver, Ready};

impl Driver<'_> {
    /// Takes in everything that has happened.
    pub(super) fn take_in(&mut self, ready: Ready) -> Result<(), SupervisorError> {
        if ready.signals
            && let Some(shutdown) = self.signals.requested()
        {
            self.told_to_end(shutdown);
        }
        if ready.asked {
            self.answer_asks();
        }
        if ready.wake && self.home.wake.clear() {
            self.woken();
        }
        if ready.bell
            && let Some(answer) = self.work.receive()
        {
            self.answered(answer);
        }
        for worker in ready.workers {
            self.hear(worker, READS_AT_ONCE);
        }
        if ready.keeper {
            self.hear_keeper()?;
        }
        self.end_drains();
        self.look_at_memory();
        let now = self.now();
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic)
        {
            self.look_for_cancellations();
            self.engine.handle_timeout(now);
        }
        Ok(())
    }

    fn woken(&mut self) {
        self.look_for_cancellations();
        if let Some(newer) = self.newer.take() {
            self.clerk.superseded_by(newer);
            self.event(Event::Superseded);
        }
        self.event(Event::Woken);
    }

    fn answered(&mut self, answer: Answer) {
        if let Some(metrics) = &self.metrics {
            for (dispatcher, waited) in answer.waits() {
                metrics.claimed(dispatcher, waited);
            }
        }
        let told = self.clerk.answered(answer);
        if told.lets_go {
            *self.elected = None;
        }
        for event in told.events {
            if let Event::Recorded { worker } = &event {
                self.links.remove(worker);
                if let Some(metrics) = &self.metrics {
                    metrics.recorded(worker.0);
                }
            }
            self.event(event);
        }
    }

    fn hear_workers(&mut self) {
        let workers: Vec<WorkerId> = self.links.keys().copied().collect();
        for worker in workers {
            self.hear(worker, READS_AT_END);
        }
    }

    fn hear(&mut self, worker: WorkerId, reads: u32) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        link.flush();
        link.capture(&mut self.scratch);
        for heard in link.hear(&mut self.scratch, reads) {
            match heard {
                Heard::Word(word) => self.event(Event::Said { worker, word }),
                Heard::Broken(what) => self.event(Event::LinkBroken { worker, what }),
                Heard::Progress { fraction, text } => {
                    if let Some(link) = self.links.get_mut(&worker) {
                        let (job, token) = (link.job, link.token);
                        link.note = Some(ProgressNote {
                            job,
                            token,
                            fraction,
                            text,
                        });
                    }
                }
            }
        }
    }

    fn hear_keeper(&mut self) -> Result<(), SupervisorError> {
        if let Err(error) = self.keeper.flush() {
            tracing::debug!(%error, "the keeper takes no requests");
        }
        loop {
            match self.keeper.receive() {
                Ok(Some(report)) => self.reported(report),
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::error!(%error, "the keeper is gone");
                    return self.replace_keeper();
                }
            }
        }
    }

    fn reported(&mut self, report: KeeperReport) {
        match report {
            KeeperReport::Spawned { worker, pid } => {
                let worker = WorkerId(worker);
                if let Some(link) = self.links.get_mut(&worker) {
                    link.pid = Some(pid);
                    if link.memory_limit.is_some() {
                        self.next_memory_look
                            .get_or_insert_with(|| Instant::now() + MEMORY_INTERVAL);
                    }
                }
                self.event(Event::Spawned { worker });
            }
            KeeperReport::SpawnFailed { worker, errno } => {
                self.spawn_failed(WorkerId(worker), errno);
            }
            KeeperReport::Exited {
                worker,
                status,
                usage,
                strays,
            } => {
                let worker = WorkerId(worker);
                // What it said before it died is in the channel already, and counts.
                self.hear(worker, READS_AT_END);
                let mut usage = usage;
                let memory = self.memory_verdict(worker, status, &mut usage);
                self.event(Event::Exited {
                    worker,
                    status,
                    usage,
                    strays,
                    memory,
                });
            }
            KeeperReport::Buried { worker, left } => {
                let worker = WorkerId(worker);
                if left > 0 {
                    self.renew_slot(worker);
                }
                self.event(Event::Buried { worker, left });
            }
        }
    }

    /// Processes that a job left behind may hold the slot's lock; they prove nothing about the
    /// worker, so the next one gets a lock of its own.
    fn renew_slot(&mut self, worker: WorkerId) {
        let Some(link) = self.links.get(&worker) else {
            return;
        };
        match process::renew_slot(&self.home.directory, link.slot) {
            Ok(lock) => self.slots[link.slot as usize] = lock,
            Err(error) => tracing::error!(%error, slot = link.slot, "a slot's lock is not renewed"),
        }
    }

    /// Kills and proves dead what the keeper left, then starts another.
    fn replace_keeper(&mut self) -> Result<(), SupervisorError> {
        self.hear_workers();
        let held: Vec<store::Held> = self
            .links
            .values()
            .map(|link| store::Held {
                job: link.job,
                attempt: link.attempt,
                slot: link.slot,
            })
            .collect();
        self.slots.clear();
        if !prove_dead(&self.home.directory, self.worker_slots, &held) {
            return Err(SupervisorError::Keeper(io::Error::other(
                "its workers do not die",
            )));
        }
        self.slots = lock_slots(self.home, self.worker_slots)?;
        let keeper =
            Keeper::start(&KeeperSpec::of_this_program()).map_err(SupervisorError::Keeper)?;
        std::mem::replace(&mut self.keeper, keeper).kill_and_reap();
        for link in self.links.values_mut() {
            link.drain_until = None;
            link.capture(&mut self.scratch);
        }
        self.event(Event::KeeperLost);
        Ok(())
    }

    pub(super) fn end_drains(&mut self) {
        let now = self.origin.elapsed();
        let mut ended = Vec::new();
        for (worker, link) in &mut self.links {
            let Some(until) = link.drain_until else {
                continue;
            };
            link.capture(&mut self.scratch);
            if link.is_drained() || until <= now {
                ended.push((*worker, !link.is_drained()));
            }
        }
        for (worker, leaked) in ended {
            if let Some(link) = self.links.get_mut(&worker) {
                link.drain_until = None;
            }
            self.event(Event::Drained { worker, leaked });
        }
    }
}
