//! Pools, driven by hand through virtual time.
//!
//! The desk of a pool answers by itself whatever has one possible answer; a test sees what was
//! asked, in its order, and makes workers live and die.

mod ahead;
mod ends;
mod failing;
mod leaving;
mod odd;
mod resets;
mod staff;
mod tasks;

use super::*;

const POOL: PoolId = PoolId(0);
const SLOT: u32 = 100;

/// One worker that is always there, and no limit that a test has not set.
fn spec() -> PoolSpec {
    PoolSpec {
        slot: SLOT,
        claims: true,
        min_workers: 1,
        max_workers: 1,
        prefetch: 0,
        max_jobs: 0,
        ttl: None,
        idle_ttl: None,
        spawn_timeout: 60 * SECOND,
        queue_timeout: None,
        exec_timeout: None,
        stop_timeout: 10 * SECOND,
        drain_timeout: 60 * SECOND,
    }
}

fn up_to(max_workers: u32) -> PoolSpec {
    PoolSpec {
        min_workers: 0,
        max_workers,
        ..spec()
    }
}

fn fixed(workers: u32) -> PoolSpec {
    PoolSpec {
        min_workers: workers,
        max_workers: workers,
        ..spec()
    }
}

/// A pool and its driver.
struct Floor {
    desk: Desk,
    /// What was asked and is not looked at yet.
    told: VecDeque<Effect>,
    /// What the store has for the pool.
    stored: VecDeque<Assignment>,
    /// How many were asked for by each claim of the pool.
    claims: Vec<usize>,
    /// Ends that the store was told.
    recorded: Vec<Verdict>,
    jobs: u8,
    requests: u64,
}

impl Floor {
    /// Of a service: it stays.
    fn new(spec: PoolSpec) -> Self {
        Self::with_linger(spec, None)
    }

    fn with_linger(spec: PoolSpec, linger: Option<Duration>) -> Self {
        let mut floor = Self {
            desk: Desk::with_pools(1, vec![spec], linger),
            told: VecDeque::new(),
            stored: VecDeque::new(),
            claims: Vec::new(),
            recorded: Vec::new(),
            jobs: 0,
            requests: 0,
        };
        floor.perform();
        floor
    }

    /// A pool whose workers are ready.
    fn ready(spec: PoolSpec) -> (Self, Vec<WorkerId>) {
        let mut floor = Self::new(spec);
        let workers = floor.boots();
        for worker in &workers {
            floor.greet(*worker);
        }
        floor.quiet();
        (floor, workers)
    }

    /// A pool whose only worker is ready.
    fn one(spec: PoolSpec) -> (Self, WorkerId) {
        let (floor, workers) = Self::ready(spec);
        assert_eq!(workers.len(), 1);
        (floor, workers[0])
    }

    fn tell(&mut self, event: Event) {
        self.desk.tell(event);
        self.perform();
    }

    fn say(&mut self, worker: WorkerId, word: Word) {
        self.tell(Event::Said { worker, word });
    }

    /// Answers what has one possible answer, and notes what a test may want to see.
    fn perform(&mut self) {
        while let Some(effect) = self.desk.effects.pop_front() {
            let answer = match &effect {
                Effect::Claim { lane, slots } => {
                    let (lane, most) = (*lane, slots.len());
                    let mut jobs = vec![];
                    if let Lane::Pool(_) = lane {
                        assert!(slots.iter().all(|slot| *slot == SLOT), "its one slot");
                        self.claims.push(most);
                        let some = most.min(self.stored.len());
                        jobs = self.stored.drain(..some).collect();
                    }
                    let next_due = None;
                    self.desk.tell(Event::Claimed {
                        lane,
                        jobs,
                        next_due,
                    });
                    continue;
                }
                Effect::Stop { worker } | Effect::Kill { worker } | Effect::Retire { worker } => {
                    Some(Event::Signalled { worker: *worker })
                }
                Effect::Assign { worker, .. } | Effect::Hand { worker, .. } => {
                    Some(Event::Handed { worker: *worker })
                }
                Effect::Record { attempt, verdict } => {
                    self.recorded.push((**verdict).clone());
                    self.desk.tell(Event::Recorded { attempt: *attempt });
                    continue;
                }
                Effect::Drain { worker, .. } => {
                    let (worker, leaked) = (*worker, false);
                    self.desk.tell(Event::Drained { worker, leaked });
                    continue;
                }
                Effect::Close => {
                    self.desk.tell(Event::CloseAnswered { closed: true });
                    continue;
                }
                Effect::Boot { .. }
                | Effect::Bury { .. }
                | Effect::Answer { .. }
                | Effect::ResetOver { .. }
                | Effect::CloseIfIdle
                | Effect::HandOver
                | Effect::Finish => None,
                Effect::Spawn { .. } | Effect::Renew | Effect::Deadline { .. } | Effect::Reopen => {
                    panic!("there is no such work: {effect:?}")
                }
            };
            self.told.push_back(effect);
            if let Some(answer) = answer {
                self.desk.tell(answer);
            }
        }
    }

    fn next(&mut self) -> Effect {
        self.told.pop_front().expect("something was asked")
    }

    fn quiet(&self) {
        assert_eq!(self.told, [], "nothing more was asked");
    }

    /// Everything that was asked, and nothing else, in this order.
    fn expect(&mut self, effects: &[Effect]) {
        let told: Vec<Effect> = self.told.drain(..).collect();
        assert_eq!(told, effects);
    }

    /// Takes out the workers that were asked for.
    fn boots(&mut self) -> Vec<WorkerId> {
        let boot = |effect: &Effect| match effect {
            Effect::Boot { worker, pool } => {
                assert_eq!(*pool, POOL);
                Some(*worker)
            }
            _ => None,
        };
        let boots = self.told.iter().filter_map(boot).collect();
        self.told.retain(|effect| boot(effect).is_none());
        boots
    }

    /// The one worker that was asked for.
    fn boot(&mut self) -> WorkerId {
        let boots = self.boots();
        assert_eq!(boots.len(), 1, "one is made: {boots:?}");
        boots[0]
    }

    fn greet(&mut self, worker: WorkerId) {
        self.tell(Event::Spawned { worker });
        self.say(worker, Word::Hello);
    }

    /// Lets time pass up to an instant, deadline by deadline.
    fn until(&mut self, end: Duration) {
        for _ in 0..100_000 {
            let due = self.desk.engine.poll_timeout();
            let at = due.filter(|at| *at <= end).unwrap_or(end);
            self.desk.monotonic = self.desk.monotonic.max(at);
            let now = self.desk.now();
            self.desk.engine.handle_timeout(now);
            let next = self.desk.engine.poll_timeout();
            let spins = next.is_some_and(|next| next <= self.desk.monotonic);
            assert!(!spins, "a driver would spin: {:?}", self.desk.engine);
            self.desk.collect();
            self.perform();
            if at == end {
                return;
            }
        }
        panic!("time does not pass");
    }

    fn pass(&mut self, time: Duration) {
        self.until(self.desk.monotonic + time);
    }

    /// A job for the pool arrives in the store.
    fn job(&mut self, options: &Options) -> Assignment {
        self.jobs += 1;
        let job = Assignment {
            job: JobId::from_bytes([self.jobs; 10]),
            ..assignment(SLOT.min(7), options)
        };
        let job = Assignment { slot: SLOT, ..job };
        self.stored.push_back(job.clone());
        self.tell(Event::Woken);
        job
    }

    /// A job that a worker gets at once.
    fn run(&mut self, options: &Options) -> (WorkerId, Assignment) {
        let job = self.job(options);
        let (worker, assigned) = self.assigned();
        assert_eq!(assigned, job.job);
        (worker, job)
    }

    fn assigned(&mut self) -> (WorkerId, JobId) {
        match self.next() {
            Effect::Assign {
                worker, assignment, ..
            } => (worker, assignment.job),
            other => panic!("a job is given to a worker: {other:?}"),
        }
    }

    fn ask(&mut self) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.tell(Event::Requested {
            request,
            pool: POOL,
        });
        request
    }

    /// A request that a worker gets at once.
    fn exec(&mut self) -> (WorkerId, RequestId) {
        let request = self.ask();
        let (worker, handed) = self.handed();
        assert_eq!(handed, request);
        (worker, request)
    }

    fn handed(&mut self) -> (WorkerId, RequestId) {
        match self.next() {
            Effect::Hand { worker, request } => (worker, request),
            other => panic!("a request is given to a worker: {other:?}"),
        }
    }

    /// A worker answers its request, and is ready again.
    fn reply(&mut self, worker: WorkerId, request: RequestId) {
        self.say(worker, Word::Replied);
        let answer = Answer::Replied;
        assert_eq!(self.next(), Effect::Answer { request, answer });
        self.say(worker, Word::Ready { failure: None });
    }

    /// A worker does its job, and is ready again.
    fn succeed(&mut self, worker: WorkerId) {
        self.say(worker, Word::Result(WorkResult::Succeeded));
        self.say(worker, Word::Ready { failure: None });
    }

    fn exit(&mut self, worker: WorkerId, status: ExitStatus) {
        self.desk.exit(worker, status, 0);
        self.perform();
    }

    fn cancel(&mut self, job: &Assignment) {
        let (job, token) = (job.job, job.counters.token);
        let by = "me".to_owned();
        self.tell(Event::CancelRequested { job, token, by });
    }

    fn reset(&mut self) {
        self.tell(Event::ResetRequested { pool: POOL });
    }

    /// The only end that the store was told since.
    fn verdict(&mut self) -> Verdict {
        assert_eq!(self.recorded.len(), 1, "{:?}", self.recorded);
        self.recorded.remove(0)
    }

    fn snapshot(&self) -> PoolSnapshot {
        self.desk.engine.snapshot().pools[0].clone()
    }

    fn ends(&self) -> Vec<(&'static str, u64)> {
        self.snapshot().ends
    }
}

fn answer(request: RequestId, answer: Answer) -> Effect {
    Effect::Answer { request, answer }
}

fn reset_over(failure: Option<&str>) -> Effect {
    Effect::ResetOver {
        pool: POOL,
        failure: failure.map(str::to_owned),
    }
}
