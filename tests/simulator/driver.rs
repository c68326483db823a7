//! The made-up driver: performs what a real engine decides, and tells it what happens.

use std::fmt;
use std::time::Duration;

use dispatcher_core::engine::{Assignment, Effect, Event, Shutdown, WorkerId};

use crate::supervisor::clerk::{Answer, Batch, Clerk};

use super::deaths::DeathAt;
use super::faults::Fault;
use super::invariants;
use super::keeper::{EAGAIN, Request};
use super::leases::LEASE;
use super::links::Link;
use super::process::{Birth, SIGKILL, SIGTERM};
use super::runner::{RunnerId, SECOND};
use super::world::{Happening, World};

impl World {
    /// One event for an engine; it must fit.
    pub(super) fn tell(&mut self, id: RunnerId, event: Event) {
        let Some(now) = self.now_of(id) else { return };
        let Some(runner) = self.runners.get_mut(&id).filter(|it| it.is_alive()) else {
            return;
        };
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        self.trace
            .line(self.now, format_args!("{} <- {}", id.0, Brief(&event)));
        self.coverage.event(&event);
        self.events += 1;
        desk.told_since_pump += 1;
        let answered = desk.open.event(&event);
        let fits = desk
            .engine
            .handle(now, event)
            .map_err(|unfit| unfit.to_string());
        if let Err(detail) = answered.and(fits) {
            self.broken("effects are answered once", detail);
        }
    }

    pub(super) fn timeout(&mut self, due: Duration, id: RunnerId) {
        self.now = self.now.max(due);
        let late = match self.strikes(Fault::TimerLate) {
            true => self.dice.millis(500),
            false => Duration::ZERO,
        };
        let Some(now) = self.now_of(id) else { return };
        let true_now = self.now;
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        runner.late = late;
        let looks = runner.next_look <= true_now;
        if looks {
            runner.next_look = true_now + SECOND;
        }
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        let due = desk
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic);
        if (looks || due) && desk.has_jobs() {
            desk.clerk.look_for_cancellations();
        }
        if due {
            desk.told_since_pump += 1;
            desk.engine.handle_timeout(now);
            if desk
                .engine
                .poll_timeout()
                .is_some_and(|at| at <= now.monotonic)
            {
                let detail = format!("{id:?} would spin");
                self.broken("time passes", detail);
            }
        }
        self.pump(id);
    }

    /// Performs what the engine asks, then sends what has gathered.
    pub(super) fn pump(&mut self, id: RunnerId) {
        while let Some(effect) = self.desk(id).and_then(|desk| desk.engine.poll_effect()) {
            self.coverage.effect(&effect);
            self.trace
                .line(self.now, format_args!("{} -> {}", id.0, Brief(&effect)));
            if let Some(desk) = self.desk(id) {
                desk.open.effect(&effect);
            }
            invariants::of_effect(self, id, &effect);
            let death = self.dies_at(&effect);
            if death == Some(DeathAt::Before) {
                return self.runner_dies(id);
            }
            self.perform(id, effect);
            match death {
                Some(DeathAt::After) => return self.runner_dies(id),
                Some(DeathAt::Committed) => {
                    if let Some(desk) = self.desk(id) {
                        desk.dies_with_batch = true;
                    }
                }
                Some(DeathAt::Before) | None => {}
            }
        }
        invariants::of_rest(self, id);
        self.gather_notes(id);
        let Some(desk) = self.desk(id) else { return };
        desk.told_since_pump = 0;
        if desk.finished {
            return self.leave(id);
        }
        for link in desk.links.values_mut() {
            if let Some(note) = link.note.take() {
                desk.clerk.note(note);
            }
        }
        if !desk.under_way
            && let Some(batch) = desk.clerk.take_batch()
        {
            desk.under_way = true;
            desk.dies_committed = desk.dies_with_batch;
            let moment = self.moment();
            self.after(moment, Happening::Commit(id, Box::new(batch)));
        }
    }

    pub(super) fn perform(&mut self, id: RunnerId, effect: Effect) {
        let now_ms = self.store_ms();
        match effect {
            Effect::Claim { lane, slots } => {
                self.count_ahead(id, lane, slots.len());
                self.with_clerk(id, |clerk| clerk.claim(lane, slots));
            }
            Effect::Spawn {
                worker, assignment, ..
            } => {
                self.note_begun(id, &assignment);
                self.spawn(id, worker, &assignment);
            }
            Effect::Stop { worker } => self.send_signal(id, worker, SIGTERM),
            Effect::Kill { worker } => self.send_signal(id, worker, SIGKILL),
            Effect::Bury { worker, strays } => self.ask(id, Request::Bury(worker, strays)),
            Effect::Drain { worker, until } => self.drain(id, worker, until),
            Effect::Record { attempt, verdict } => {
                self.note_loss(id, &verdict);
                self.record(id, attempt, *verdict);
            }
            Effect::Boot { .. }
            | Effect::Assign { .. }
            | Effect::Hand { .. }
            | Effect::Answer { .. }
            | Effect::ResetOver { .. }
            | Effect::Retire { .. } => self.perform_of_pool(id, effect),
            Effect::Renew => self.with_clerk(id, |clerk| clerk.renew(LEASE.length)),
            Effect::Deadline { at } => self.set_deadline(id, at),
            Effect::Reopen => self.reopen(id),
            Effect::CloseIfIdle => self.with_clerk(id, |clerk| clerk.close_if_idle(now_ms)),
            Effect::HandOver => self.with_clerk(id, |clerk| clerk.hand_over(now_ms)),
            Effect::Close => self.with_clerk(id, |clerk| clerk.close(now_ms)),
            Effect::Finish => {
                if let Some(desk) = self.desk(id) {
                    desk.finished = true;
                }
            }
        }
    }

    /// Before anybody could begin it.
    pub(super) fn note_begun(&mut self, id: RunnerId, assignment: &Assignment) {
        if let Some(runner) = self.runners.get_mut(&id) {
            let claim = (assignment.job, assignment.counters.token);
            runner.begun.insert(claim);
        }
    }

    pub(super) fn with_clerk(&mut self, id: RunnerId, ask: impl FnOnce(&mut Clerk)) {
        if let Some(desk) = self.desk(id) {
            ask(&mut desk.clerk);
        }
    }

    pub(super) fn spawn(&mut self, id: RunnerId, worker: WorkerId, assignment: &Assignment) {
        let link = Link::new(assignment);
        let now = self.now;
        let Some(runner) = self.runners.get_mut(&id) else {
            return;
        };
        if runner.holding.is_over(now) {
            self.deeds(assignment.job, assignment.counters.attempt)
                .spawn_failed = true;
            return self.tell(
                id,
                Event::SpawnFailed {
                    worker,
                    errno: EAGAIN,
                    transient: true,
                },
            );
        }
        let (Some(keeper), Some(desk)) = (runner.keeper, runner.desk.as_mut()) else {
            return;
        };
        desk.links.insert(worker, link);
        let birth = Birth {
            job: assignment.job,
            attempt: assignment.counters.attempt,
            runner: id,
            keeper,
            worker,
            slot: assignment.slot,
            timeout: assignment.options.timeout,
            memory_limit: assignment.options.memory_limit.is_some(),
        };
        self.ask(id, Request::Fork(Box::new(birth)));
    }

    pub(super) fn send_signal(&mut self, id: RunnerId, worker: WorkerId, signal: i32) {
        let now = self.now;
        let lost = self.lease_is_over(id);
        if let Some(link) = self.link(id, worker) {
            let told = match signal {
                SIGTERM => &mut link.limits.stopped,
                _ => &mut link.limits.killed,
            };
            told.get_or_insert(now);
            let (job, attempt) = (link.job, link.attempt);
            let deeds = self.deeds(job, attempt);
            deeds.signalled = true;
            deeds.lost |= lost;
        }
        if let Some(seat) = self.seat(id, worker) {
            seat.told.get_or_insert(now);
            seat.killed |= signal == SIGKILL;
            if let Some((job, number)) = seat.doing.as_ref().map(|it| (it.job, it.number)) {
                let deeds = self.deeds(job, number);
                deeds.signalled = true;
                deeds.lost |= lost;
            }
        }
        if signal == SIGKILL {
            self.note_failure(id, worker);
        }
        self.ask(id, Request::Signal(worker, signal));
        self.tell(id, Event::Signalled { worker });
    }

    pub(super) fn reported(&mut self, id: RunnerId, event: Event) {
        if let Event::SpawnFailed { worker, .. } = &event {
            let worker = *worker;
            if let Some(desk) = self.desk(id) {
                desk.links.remove(&worker);
            }
        }
        self.note_pooled_report(id, &event);
        self.note_report(id, &event);
        self.tell(id, event);
        self.pump(id);
    }

    pub(super) fn commit(&mut self, id: RunnerId, batch: Batch) {
        if self.desk(id).is_none() {
            return;
        }
        let slow = self.strikes(Fault::StoreSlow);
        let answer = batch.perform(&mut self.store_of(id));
        if self.desk(id).is_some_and(|desk| desk.dies_committed) {
            return self.runner_dies(id);
        }
        let wait = if slow {
            self.dice.millis(3_000)
        } else {
            self.moment()
        };
        self.after(wait, Happening::Answer(id, Box::new(answer)));
    }

    pub(super) fn answered(&mut self, id: RunnerId, answer: Answer) {
        let Some(desk) = self.desk(id) else { return };
        desk.under_way = false;
        let told = desk.clerk.answered(answer);
        if told.lets_go {
            self.let_go(id);
        }
        self.note_lease(id, &told.events);
        for event in told.events {
            if let Event::Recorded { attempt } = &event {
                let worker = WorkerId(attempt.0);
                if let Some(desk) = self.desk(id) {
                    desk.links.remove(&worker);
                    desk.pools.ended.remove(attempt);
                }
            }
            if let Event::CloseAnswered { closed: true } = &event
                && let Some(runner) = self.runners.get_mut(&id)
            {
                runner.told_to_end = true;
                runner.row_is_closed = true;
            }
            self.tell(id, event);
        }
        self.pump(id);
    }

    pub(super) fn woken(&mut self, id: RunnerId) {
        let Some(runner) = self.runners.get_mut(&id).filter(|it| it.is_alive()) else {
            return;
        };
        let newer = runner.newer.take();
        let Some(desk) = runner.desk.as_mut() else {
            return;
        };
        if desk.has_jobs() {
            desk.clerk.look_for_cancellations();
        }
        if let Some(newer) = newer {
            desk.clerk.superseded_by(newer);
            self.tell(id, Event::Superseded);
        }
        self.tell(id, Event::Woken);
        self.pump(id);
    }

    pub(super) fn shut_down(&mut self, id: RunnerId, how: Shutdown) {
        if self.desk(id).is_none() {
            return;
        }
        self.ledger.shutdowns += 1;
        let wait = match how {
            Shutdown::Finish => None,
            Shutdown::Drain(time) => Some(time),
            Shutdown::Now => Some(Duration::ZERO),
        };
        let now = self.now;
        if let Some(runner) = self.runners.get_mut(&id) {
            // Its clock may be slow.
            let at = wait.map(|wait| now + wait + wait / 8);
            let earlier = runner.stop_at;
            runner.stop_at = [earlier, at].into_iter().flatten().min();
            runner.told_to_end = true;
        }
        self.close_pools(id, wait);
        self.tell(id, Event::ShutdownRequested(how));
        self.pump(id);
    }
}

/// An event or an effect in few words.
struct Brief<'a, T>(&'a T);

impl fmt::Display for Brief<'_, Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Claimed { jobs, next_due, .. } => {
                let jobs: Vec<_> = jobs
                    .iter()
                    .map(|it| (it.job, it.counters, it.slot))
                    .collect();
                write!(f, "Claimed {jobs:?} {next_due:?}")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Brief<'_, Effect> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Spawn {
                worker, assignment, ..
            } => write!(f, "Spawn {worker:?} {}", assignment.job),
            Effect::Record { attempt, verdict } => write!(
                f,
                "Record {attempt:?} {}.{} {:?} {:?}",
                verdict.job, verdict.attempt, verdict.outcome.cause, verdict.next
            ),
            other => write!(f, "{other:?}"),
        }
    }
}
