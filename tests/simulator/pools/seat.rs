//! What a supervisor knows of one worker of a pool, and hears from it.

use std::time::Duration;

use dispatcher_core::JobId;
use dispatcher_core::engine::{Assignment, AttemptId, Event, PoolId, RequestId, Word, WorkerId};

use crate::pool::Reply;
use crate::process::CaptureBuffer;
use crate::simulator::runner::RunnerId;
use crate::simulator::world::{Happening, World};
use crate::store::{Capture, ProgressNote, Stream};
use crate::supervisor::hearing::{Heard, Hearing};

/// Largest frame of a worker.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Time for the end of a worker that has said what no worker says.
const END_TIME: Duration = Duration::from_secs(1);

pub(in crate::simulator) struct Seat {
    pub(in crate::simulator) pool: PoolId,
    pub(super) hearing: Hearing,
    foreign: bool,
    posts_until: Duration,
    pub(in crate::simulator) doing: Option<Doing>,
    pub(in crate::simulator) request: Option<RequestId>,
    pub(super) reply: Option<Reply>,
    pub(in crate::simulator) spawned: Option<Duration>,
    pub(in crate::simulator) greeted: bool,
    /// It wrote something before its hello.
    spoke: bool,
    /// Something is wrong with it; its end may say more.
    doubted: bool,
    pub(in crate::simulator) drains: bool,
    /// It was made while a reset was owed.
    pub(in crate::simulator) fresh: bool,
    /// It was there at the end of some reset.
    pub(super) before_reset: bool,
    /// When a reset has replaced it, or ended it as one of its own.
    pub(in crate::simulator) replaced: Option<Duration>,
    /// When it was told to end.
    pub(in crate::simulator) told: Option<Duration>,
    pub(in crate::simulator) killed: bool,
    pub(in crate::simulator) ended: bool,
    /// It could not start, and that is known.
    failed: bool,
    /// It has answered and is not ready again.
    pub(in crate::simulator) settles_since: Option<Duration>,
}

/// A job in a worker of a pool.
pub(in crate::simulator) struct Doing {
    pub(in crate::simulator) attempt: AttemptId,
    pub(in crate::simulator) job: JobId,
    pub(in crate::simulator) number: u32,
    token: u64,
    pub(in crate::simulator) timeout: Option<Duration>,
    pub(in crate::simulator) grace: Duration,
    pub(in crate::simulator) since: Duration,
    limited: bool,
    /// What it writes consists of.
    pub(super) letter: u8,
    stdout: Option<CaptureBuffer>,
    note: Option<ProgressNote>,
}

impl Doing {
    pub(super) fn new(attempt: AttemptId, assignment: &Assignment, since: Duration) -> Self {
        let number = assignment.counters.attempt;
        Self {
            attempt,
            job: assignment.job,
            number,
            token: assignment.counters.token,
            timeout: assignment.options.timeout,
            grace: assignment.options.grace,
            since,
            limited: assignment.options.memory_limit.is_some(),
            letter: letter_of(assignment.job, number),
            stdout: None,
            note: None,
        }
    }
}

/// What an attempt writes consists of this.
pub(in crate::simulator) fn letter_of(job: JobId, number: u32) -> u8 {
    let sum = job.as_str().bytes().fold(number, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    b'a' + u8::try_from(sum % 26).unwrap_or(0)
}

impl Seat {
    pub(super) fn new(pool: PoolId, foreign: bool, fresh: bool) -> Self {
        Self {
            pool,
            hearing: match foreign {
                true => Hearing::of_foreign(FRAME_BYTES_MAX),
                false => Hearing::in_pool(FRAME_BYTES_MAX),
            },
            foreign,
            posts_until: Duration::ZERO,
            doing: None,
            request: None,
            reply: None,
            spawned: None,
            greeted: false,
            spoke: false,
            doubted: false,
            drains: false,
            fresh,
            before_reset: false,
            replaced: None,
            told: None,
            killed: false,
            ended: false,
            failed: false,
            settles_since: None,
        }
    }

    pub(in crate::simulator) fn is_busy(&self) -> bool {
        self.doing.is_some() || self.request.is_some()
    }

    /// Takes what its job wrote out of it.
    fn finish(&mut self) -> Option<(Doing, Capture)> {
        let mut doing = self.doing.take()?;
        let stdout = doing.stdout.take();
        let capture = Capture {
            stdout: stdout.map_or_else(Stream::default, CaptureBuffer::finish),
            stderr: Stream::default(),
        };
        Some((doing, capture))
    }
}

impl World {
    /// A message on its way to a worker: the channel keeps its order.
    pub(super) fn post(&mut self, id: RunnerId, worker: WorkerId, letter: super::Letter) {
        let earliest = self.now + self.moment();
        let Some(seat) = self.seat(id, worker) else {
            return;
        };
        seat.posts_until = seat.posts_until.max(earliest);
        let at = seat.posts_until;
        self.at(at, Happening::Post(id, worker, letter));
    }

    /// Bytes of a worker of a pool.
    pub(in crate::simulator) fn heard_of_pool(
        &mut self,
        id: RunnerId,
        worker: WorkerId,
        bytes: &[u8],
    ) {
        let mut heard = Vec::new();
        let Some(seat) = self.seat(id, worker) else {
            return;
        };
        seat.spoke = true;
        seat.hearing.take(bytes, &mut heard);
        for heard in heard {
            match heard {
                Heard::Word(word) => self.pooled_said(id, worker, word),
                Heard::Broken(what) => self.pooled_broken(id, worker, what),
                Heard::Reply(reply) => {
                    if let Some(seat) = self.seat(id, worker) {
                        seat.reply = Some(reply);
                    }
                }
                Heard::Chunk { body, .. } => self.printed(id, worker, &body),
                Heard::Progress { fraction, text } => {
                    let seat = self.seat(id, worker);
                    if let Some(doing) = seat.and_then(|seat| seat.doing.as_mut()) {
                        doing.note = Some(ProgressNote {
                            job: doing.job,
                            token: doing.token,
                            fraction,
                            text,
                        });
                    }
                }
            }
        }
        self.pump(id);
    }

    fn pooled_said(&mut self, id: RunnerId, worker: WorkerId, word: Word) {
        let now = self.now;
        let Some(pools) = self.pools(id) else { return };
        let Some(seat) = pools.seats.get_mut(&worker) else {
            return;
        };
        let pool = seat.pool;
        match &word {
            Word::Hello => {
                seat.greeted = true;
                pools.get_mut(pool).back_off.succeeded();
            }
            Word::Result(_) | Word::Replied | Word::Refused(_) if seat.is_busy() => {
                seat.settles_since = Some(now);
                pools.get_mut(pool).back_off.succeeded();
            }
            Word::Unwanted => {
                if let Some(request) = seat.request.take()
                    && let Some(asked) = pools.requests.get_mut(&request)
                {
                    asked.handed = None;
                    asked.unwanted += 1;
                }
            }
            Word::Ready { .. } => seat.settles_since = None,
            Word::Output(_)
            | Word::Used(_)
            | Word::Result(_)
            | Word::Replied
            | Word::Refused(_) => {}
        }
        let unwanted = word == Word::Unwanted;
        self.tell(id, Event::Said { worker, word });
        if unwanted {
            self.take_back(id, worker);
        }
    }

    /// A job that its worker did not want is nowhere until it is given to another.
    fn take_back(&mut self, id: RunnerId, worker: WorkerId) {
        let Some(seat) = self.seat(id, worker).filter(|seat| seat.told.is_none()) else {
            return;
        };
        if let Some(doing) = seat.doing.take() {
            self.deeds(doing.job, doing.number).back = true;
            self.let_go_of(id, worker, (doing.job, doing.number));
        }
    }

    /// Something has gone wrong with a worker.
    pub(in crate::simulator) fn note_failure(&mut self, id: RunnerId, worker: WorkerId) {
        let own = self.now_of(id).map(|now| now.monotonic).unwrap_or_default();
        let Some(pools) = self.pools(id) else { return };
        let Some(seat) = pools.seats.get_mut(&worker) else {
            return;
        };
        let pool = &mut pools.list[seat.pool.0 as usize];
        pool.had_failures = true;
        if std::mem::replace(&mut seat.failed, true) {
            return;
        }
        if seat.fresh || seat.greeted {
            // Of a reset it says nothing about the pool, and at work the first one is a mishap.
            pool.back_off.is_unknown(own);
        } else if seat.replaced.is_none() {
            pool.back_off.failed(own);
        }
    }

    /// A foreign program that was no worker at all is about to end, and its end says more.
    fn pooled_broken(&mut self, id: RunnerId, worker: WorkerId, what: String) {
        let Some(seat) = self.seat(id, worker) else {
            return;
        };
        if seat.foreign && !seat.greeted {
            seat.doubted = true;
            return self.after(END_TIME, Happening::Doubted(id, worker, what));
        }
        self.note_failure(id, worker);
        self.tell(id, Event::LinkBroken { worker, what });
    }

    pub(in crate::simulator) fn doubted(&mut self, id: RunnerId, worker: WorkerId, what: String) {
        let Some(seat) = self.seat(id, worker) else {
            return;
        };
        if !std::mem::take(&mut seat.doubted) {
            return;
        }
        self.note_failure(id, worker);
        let text = "stdout says: \"no worker\"".to_owned();
        self.tell(id, Event::LastWords { worker, text });
        self.tell(id, Event::LinkBroken { worker, what });
        self.pump(id);
    }

    /// What a worker writes belongs to the job that it has, and to nobody without one.
    pub(in crate::simulator) fn printed(&mut self, id: RunnerId, worker: WorkerId, bytes: &[u8]) {
        let seat = self.seat(id, worker);
        if let Some(doing) = seat.and_then(|seat| seat.doing.as_mut()) {
            let buffer = doing.stdout.get_or_insert_with(|| CaptureBuffer::new(None));
            buffer.push(bytes);
        }
    }

    /// What is worth knowing of a keeper's report, before the engine is told.
    pub(in crate::simulator) fn note_pooled_report(&mut self, id: RunnerId, event: &Event) {
        let now = self.now;
        let (Event::Spawned { worker }
        | Event::SpawnFailed { worker, .. }
        | Event::Exited { worker, .. }) = event
        else {
            return;
        };
        let Some(pools) = self.pools(id) else { return };
        let Some(seat) = pools.seats.get_mut(worker) else {
            return;
        };
        if let Event::Spawned { .. } = event {
            seat.spawned = Some(now);
            if seat.greeted {
                let pool = seat.pool;
                pools.get_mut(pool).back_off.succeeded();
            }
            return;
        }
        seat.ended = true;
        seat.doubted = false;
        let silent = seat.greeted || !seat.spoke;
        self.note_failure(id, *worker);
        if matches!(event, Event::Exited { .. }) && !silent {
            let (worker, text) = (*worker, "stderr says: \"no\"".to_owned());
            self.tell(id, Event::LastWords { worker, text });
        }
    }

    /// An attempt of a pool has ended: it is taken out of its worker.
    pub(in crate::simulator) fn capture_of_pool(
        &mut self,
        id: RunnerId,
        attempt: AttemptId,
    ) -> Option<Capture> {
        let pools = self.pools(id)?;
        if let Some(capture) = pools.ended.get(&attempt) {
            return Some(capture.clone());
        }
        let its = |seat: &&mut Seat| {
            let doing = seat.doing.as_ref();
            doing.is_some_and(|doing| doing.attempt == attempt)
        };
        let (worker, seat) = pools.seats.iter_mut().find(|(_, seat)| its(seat))?;
        let worker = *worker;
        let (doing, capture) = seat.finish()?;
        pools.ended.insert(attempt, capture.clone());
        self.let_go_of(id, worker, (doing.job, doing.number));
        Some(capture)
    }

    pub(in crate::simulator) fn pooled_over_limit(&mut self, id: RunnerId, worker: WorkerId) {
        let Some(seat) = self.seat(id, worker).filter(|seat| !seat.drains) else {
            return;
        };
        let Some(doing) = seat.doing.as_ref().filter(|doing| doing.limited) else {
            return;
        };
        let (job, number) = (doing.job, doing.number);
        self.deeds(job, number).over_limit = true;
        self.tell(id, Event::LimitExceeded { worker });
        self.pump(id);
    }

    /// Progress that the store does not know.
    pub(in crate::simulator) fn gather_notes(&mut self, id: RunnerId) {
        let Some(desk) = self.desk(id) else { return };
        let doings = desk.pools.seats.values_mut();
        for doing in doings.filter_map(|seat| seat.doing.as_mut()) {
            if let Some(note) = doing.note.take() {
                desk.clerk.note(note);
            }
        }
        let engine = &desk.engine;
        desk.pools.seats.retain(|worker, _| engine.knows(*worker));
    }
}
