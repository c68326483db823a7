//! What came in: from workers, the keeper, the store and other processes.

use std::io;
use std::time::{Duration, Instant};

use dispatcher_core::engine::{Event, Word, WorkerId};
use dispatcher_core::frame::Frame;

use crate::pool::Wish;
use crate::process::{self, Keeper, KeeperReport, KeeperSpec, Tag};
use crate::store::ProgressNote;

use super::super::SupervisorError;
use super::super::clerk::Answer;
use super::super::hearing::Heard;
use super::super::link::{Link, READS_AT_END, READS_AT_ONCE};
use super::super::open::lock_slots;
use super::super::upkeep::prove_dead;
use super::{Driver, Ready, Streams};

/// Time for the end of a worker that has fallen silent, or said what no worker says.
const END_TIME: Duration = Duration::from_secs(1);
/// Time for the rest of a frame that has begun.
const FRAME_TIME_MAX: Duration = Duration::from_secs(30);

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
        for (worker, streams) in ready.workers {
            self.hear(worker, streams, READS_AT_ONCE);
        }
        if ready.keeper {
            self.hear_keeper()?;
        }
        self.end_drains();
        self.believe_doubts();
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
        self.count_waits(&answer);
        let told = self.clerk.answered(answer);
        if told.lets_go {
            *self.elected = None;
        }
        self.row.is_now(self.clerk.supervisor());
        for event in told.events {
            if let Event::Recorded { attempt } = &event {
                self.ended.remove(attempt);
                self.begun.over(*attempt);
                self.count_recorded(*attempt);
            }
            self.event(event);
        }
    }

    fn hear_workers(&mut self) {
        let workers: Vec<WorkerId> = self.links.keys().copied().collect();
        for worker in workers {
            self.hear(worker, Streams::Written, READS_AT_END);
        }
    }

    /// What it wrote before its result is read when that counts: nothing is lost by reading only
    /// what the poller has found.
    fn hear(&mut self, worker: WorkerId, streams: Streams, reads: u32) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        link.flush();
        match streams {
            Streams::Quiet => {}
            Streams::Written => link.capture(&mut self.scratch),
        }
        for heard in link.hear(&mut self.scratch, reads) {
            match heard {
                Heard::Word(word) => self.said(worker, word),
                Heard::Broken(what) => self.broken(worker, what),
                Heard::Chunk { body, ping } => self.chunk(worker, body, ping),
                Heard::Reply(reply) => {
                    if let Some(link) = self.links.get_mut(&worker) {
                        link.reply = Some(reply);
                    }
                }
                Heard::Progress { fraction, text } => self.progress(worker, fraction, text),
            }
        }
        if let Some(link) = self.links.get_mut(&worker) {
            note_silence(link);
        }
    }

    fn said(&mut self, worker: WorkerId, word: Word) {
        match &word {
            Word::Hello => {
                if let Some(link) = self.links.get_mut(&worker) {
                    link.greeted = true;
                }
            }
            Word::Ready { failure: Some(why) } => {
                tracing::warn!(
                    worker = worker.0,
                    why,
                    "a worker is fit for no other task; it is replaced"
                );
            }
            Word::Output(_)
            | Word::Used(_)
            | Word::Result(_)
            | Word::Replied
            | Word::Refused(_)
            | Word::Ready { failure: None } => {}
            // Whoever gets it now is the only one that serves it.
            Word::Unwanted => {
                if let Some(link) = self.links.get_mut(&worker) {
                    link.request = None;
                }
            }
        }
        self.event(Event::Said { worker, word });
    }

    /// A foreign program that was no worker at all is about to end, and its end says more.
    fn broken(&mut self, worker: WorkerId, what: String) {
        if let Some(link) = self.links.get_mut(&worker)
            && !link.greeted
            && !link.is_ours()
        {
            link.doubt = Some((Instant::now() + END_TIME, what));
            return;
        }
        self.event(Event::LinkBroken { worker, what });
    }

    fn chunk(&mut self, worker: WorkerId, body: Vec<u8>, ping: bool) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        if ping {
            link.send(&Frame::pong());
        }
        match link.request {
            Some(request) => {
                if self.pools.chunk(request, body) == Wish::Enough {
                    link.send(&Frame::stream_cancel());
                }
            }
            // What a job streams is what it prints.
            None => link.keep_as_output(&body),
        }
    }

    fn progress(&mut self, worker: WorkerId, fraction: f64, text: String) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        if let Some(doing) = &link.doing {
            link.note = Some(ProgressNote {
                job: doing.job,
                token: doing.token,
                fraction,
                text,
            });
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
                    let doing = link.doing.as_ref();
                    if doing.is_some_and(|doing| doing.memory_limit.is_some()) {
                        self.look_at_memory_soon();
                    }
                }
                self.event(Event::Spawned { worker });
            }
            KeeperReport::SpawnFailed { worker, errno } => {
                let worker = WorkerId(worker);
                self.note_unmade(worker, errno);
                self.spawn_failed(worker, errno);
            }
            KeeperReport::Exited {
                worker,
                status,
                usage,
                strays,
            } => {
                let worker = WorkerId(worker);
                // What it said before it died is in the channel already, and counts.
                self.hear(worker, Streams::Written, READS_AT_END);
                self.note_last_words(worker);
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

    /// Whoever ends before its hello has said why, if at all, on its streams.
    fn note_last_words(&mut self, worker: WorkerId) {
        let Some(link) = self.links.get_mut(&worker) else {
            return;
        };
        link.doubt = None;
        if link.pool.is_none() || link.greeted {
            return;
        }
        link.capture(&mut self.scratch);
        if let Some(text) = link.last_words() {
            self.event(Event::LastWords { worker, text });
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
        let held = self.links.values().filter_map(|link| {
            let doing = link.doing.as_ref()?;
            Some(Tag {
                job: doing.job,
                attempt: doing.number,
            })
        });
        let held: Vec<Tag> = held.collect();
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.clear();
        if !prove_dead(&self.home.directory, &held) {
            return Err(SupervisorError::Keeper(io::Error::other(
                "its workers do not die",
            )));
        }
        self.slots = lock_slots(self.home, slots)?;
        self.pools
            .mark_slots(&self.slots)
            .map_err(SupervisorError::Keeper)?;
        let keeper =
            Keeper::start(&KeeperSpec::of_this_program()).map_err(SupervisorError::Keeper)?;
        std::mem::replace(&mut self.keeper, keeper).kill_and_reap();
        self.tell_new_keeper();
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

/// A worker of a pool that says nothing more, or half of something, cannot be used any more.
fn note_silence(link: &mut Link) {
    if link.pool.is_none() || link.drain_until.is_some() {
        return;
    }
    if link.is_silent() {
        if link.doubt.is_none() {
            let what = "it closed the stream on which it answers".to_owned();
            link.doubt = Some((Instant::now() + END_TIME, what));
        }
        return;
    }
    match link.half_received() {
        Some(bytes) => {
            let what = format!("{bytes} bytes of a frame, and then nothing");
            if link.greeted {
                link.doubt = Some((Instant::now() + FRAME_TIME_MAX, what));
            }
        }
        None if link.greeted => link.doubt = None,
        None => {}
    }
}
