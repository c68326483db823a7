//! What a supervisor knows of each of its workers, and hears from it.

use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{Assignment, AttemptId, Event, Verdict, Word, WorkerId};

use crate::process::CaptureBuffer;
use crate::store::{Capture, ProgressNote, Stream};
use crate::supervisor::hearing::{Heard, Hearing};

use super::runner::RunnerId;
use super::world::{Happening, World};

pub(super) struct Link {
    pub(super) job: JobId,
    pub(super) limits: Limits,
    pub(super) attempt: u32,
    pub(super) token: u64,
    pub(super) hearing: Hearing,
    pub(super) stdout: Option<CaptureBuffer>,
    pub(super) captured: Option<Capture>,
    pub(super) note: Option<ProgressNote>,
    pub(super) drains: bool,
}

/// When, by the true clock, a supervisor heard of a worker and told it something.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) job: JobId,
    pub(super) timeout: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) started: Option<Duration>,
    pub(super) hello: bool,
    pub(super) result: Option<Duration>,
    pub(super) stopped: Option<Duration>,
    pub(super) killed: Option<Duration>,
    pub(super) ended: bool,
}

impl Link {
    pub(super) fn new(assignment: &Assignment) -> Self {
        Self {
            job: assignment.job,
            limits: Limits {
                job: assignment.job,
                timeout: assignment.options.timeout,
                grace: assignment.options.grace,
                started: None,
                hello: false,
                result: None,
                stopped: None,
                killed: None,
                ended: false,
            },
            attempt: assignment.counters.attempt,
            token: assignment.counters.token,
            hearing: Hearing::new(),
            stdout: None,
            captured: None,
            note: None,
            drains: false,
        }
    }
}

impl World {
    pub(super) fn link(&mut self, id: RunnerId, worker: WorkerId) -> Option<&mut Link> {
        self.desk(id)?.links.get_mut(&worker)
    }

    pub(super) fn note_report(&mut self, id: RunnerId, event: &Event) {
        let now = self.now;
        if let Event::Spawned { worker } = event
            && let Some(link) = self.link(id, *worker)
        {
            link.limits.started = Some(now);
        }
        if let Event::Exited { worker, .. } = event
            && let Some(link) = self.link(id, *worker)
        {
            link.limits.ended = true;
        }
    }

    pub(super) fn heard(&mut self, id: RunnerId, worker: WorkerId, bytes: &[u8]) {
        let mut heard = Vec::new();
        if self.seat(id, worker).is_some() {
            return self.heard_of_pool(id, worker, bytes);
        }
        let Some(link) = self.link(id, worker) else {
            return;
        };
        link.hearing.take(bytes, &mut heard);
        for heard in heard {
            match heard {
                Heard::Word(word) => {
                    self.note_word(id, worker, &word);
                    self.tell(id, Event::Said { worker, word });
                }
                Heard::Broken(what) => self.tell(id, Event::LinkBroken { worker, what }),
                // Only workers of pools say that.
                Heard::Chunk { .. } | Heard::Reply(_) => {}
                Heard::Progress { fraction, text } => {
                    let Some(link) = self.link(id, worker) else {
                        continue;
                    };
                    link.note = Some(ProgressNote {
                        job: link.job,
                        token: link.token,
                        fraction,
                        text,
                    });
                }
            }
        }
        self.pump(id);
    }

    pub(super) fn note_word(&mut self, id: RunnerId, worker: WorkerId, word: &Word) {
        let now = self.now;
        let Some(link) = self.link(id, worker) else {
            return;
        };
        match word {
            Word::Hello => link.limits.hello = true,
            Word::Output(_)
            | Word::Used(_)
            | Word::Replied
            | Word::Refused(_)
            | Word::Unwanted
            | Word::Ready { .. } => {}
            Word::Result(_) => {
                link.limits.result.get_or_insert(now);
            }
        }
    }

    pub(super) fn flooded(&mut self, id: RunnerId, worker: WorkerId, bytes: usize) {
        let Some(link) = self.link(id, worker).filter(|link| link.captured.is_none()) else {
            return;
        };
        let buffer = link.stdout.get_or_insert_with(|| CaptureBuffer::new(None));
        buffer.push(&vec![b'x'; bytes]);
    }

    pub(super) fn drain(&mut self, id: RunnerId, worker: WorkerId, until: Duration) {
        let Some(runner) = self.runners.get(&id) else {
            return;
        };
        let until = runner.truly(until);
        let soon = self.now + self.moment();
        let leaks = self.crew_leaks(id, worker);
        if let Some(seat) = self.seat(id, worker) {
            seat.drains = true;
            let at = if leaks { until } else { soon };
            return self.at(at, Happening::DrainOver(id, worker, leaks));
        }
        let Some(link) = self.link(id, worker) else {
            return;
        };
        link.drains = true;
        let (job, attempt) = (link.job, link.attempt);
        let mut same = self
            .processes
            .values()
            .filter(|it| it.job == job && it.attempt == attempt);
        let leaked = same.any(|it| it.holds_pipe && it.strays > 0);
        let at = if leaked {
            until
        } else {
            self.now + self.moment()
        };
        self.at(at, Happening::DrainOver(id, worker, leaked));
    }

    pub(super) fn drained(&mut self, id: RunnerId, worker: WorkerId, leaked: bool) {
        let drains = match self.seat(id, worker) {
            Some(seat) => &mut seat.drains,
            None => match self.link(id, worker) {
                Some(link) => &mut link.drains,
                None => return,
            },
        };
        if !std::mem::take(drains) {
            return;
        }
        self.tell(id, Event::Drained { worker, leaked });
        self.pump(id);
    }

    /// Attempts that a supervisor has something to do with.
    pub(super) fn held_by(&mut self, id: RunnerId) -> Vec<(JobId, u32)> {
        let Some(desk) = self.desk(id) else {
            return Vec::new();
        };
        let links = desk.links.values().map(|link| (link.job, link.attempt));
        let seats = desk.pools.seats.values();
        let seats = seats.filter_map(|seat| seat.doing.as_ref());
        let pooled = seats.map(|doing| (doing.job, doing.number));
        links.chain(pooled).collect()
    }

    pub(super) fn over_limit(&mut self, id: RunnerId, worker: WorkerId) {
        if self.seat(id, worker).is_some() {
            return self.pooled_over_limit(id, worker);
        }
        let Some(link) = self.link(id, worker).filter(|link| !link.drains) else {
            return;
        };
        let (job, attempt) = (link.job, link.attempt);
        self.deeds(job, attempt).over_limit = true;
        self.tell(id, Event::LimitExceeded { worker });
        self.pump(id);
    }

    pub(super) fn record(&mut self, id: RunnerId, attempt: AttemptId, verdict: Verdict) {
        let worker = WorkerId(attempt.0);
        let pooled = self.capture_of_pool(id, attempt);
        let Some(desk) = self.desk(id) else { return };
        let mut capture = pooled.unwrap_or_default();
        if let Some(link) = desk.links.get_mut(&worker) {
            let stdout = &mut link.stdout;
            let captured = link.captured.get_or_insert_with(|| Capture {
                stdout: stdout
                    .take()
                    .map_or_else(Stream::default, CaptureBuffer::finish),
                stderr: Stream::default(),
            });
            capture = captured.clone();
        }
        desk.clerk.record(attempt, verdict, None, capture);
    }
}
