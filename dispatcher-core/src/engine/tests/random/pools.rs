//! Random walks of pools: workers that start slowly or never, crash, hang, talk nonsense and want
//! to go; requests, jobs, cancellations, resets, lost keepers and shutdowns in every order.
//!
//! Faults stop in the end, and then everything must be answered, every pool must be staffed, and
//! the supervisor must leave.

pub(super) mod checks;
mod crew;

use self::crew::{Crewman, Process};
use super::*;
use crate::engine::pool::{Pool, Task, WorkerLife};

const STEPS: u32 = 200;
pub(super) const SLOT: u32 = 100;
/// Workers on their way out counted, an engine has at most so many for each that it may have.
const CROWD_MAX: usize = 6;

#[test]
fn every_possible_order_of_pools_keeps_the_invariants_and_comes_to_an_end() {
    walks(2_000, |dice| {
        let mut yard = Yard::new(dice);
        for _ in 0..STEPS {
            yard.step();
        }
        yard.calm_down();
        yard.come_to_an_end();
    });
}

/// A driver of pools, made up.
struct Yard {
    dice: Dice,
    engine: Engine,
    monotonic: Duration,
    crew: BTreeMap<WorkerId, Crewman>,
    gone: BTreeMap<WorkerId, Crewman>,
    requests: BTreeMap<RequestId, Request>,
    /// Requests that are not answered.
    open: BTreeSet<RequestId>,
    jobs: BTreeMap<JobId, Job>,
    /// Open claims: how many are asked for.
    claims: BTreeMap<Lane, usize>,
    records: BTreeMap<AttemptId, JobId>,
    /// Answers about resets that are owed, by pool.
    resets: Vec<u32>,
    close: Option<Effect>,
    shut_down: bool,
    late_claims: u32,
    finished: bool,
    /// Nothing fails any more.
    calm: bool,
}

/// A direct request, as its asker sees it.
#[derive(Debug)]
struct Request {
    pool: usize,
    asked_at: Duration,
    worker: Option<WorkerId>,
    /// What workers have answered, too late or not.
    said: Vec<Answer>,
    unwanted: u32,
}

/// A claimed job, as its store sees it.
#[derive(Debug)]
struct Job {
    worker: Option<WorkerId>,
    /// The first result, if it came before every reason to stop.
    result: Option<WorkResult>,
    /// Somebody asked for its end.
    stopped: bool,
    unwanted: u32,
    verdict: Option<Verdict>,
    recorded: bool,
}

impl Yard {
    fn new(mut dice: Dice) -> Self {
        let pools: Vec<PoolSpec> = (0..=dice.count(2))
            .map(|id| any_spec(&mut dice, id))
            .collect();
        let resets = vec![0; pools.len()];
        let config = EngineConfig {
            slots: 1,
            pools,
            lease: None,
            poll_interval: SECOND,
            linger: dice.one_in(3).then_some(5 * SECOND),
            hello_timeout: HELLO_TIMEOUT,
            drain_timeout: Duration::from_millis(200),
            seed: dice.below(u64::MAX),
        };
        let now = Now {
            monotonic: Duration::ZERO,
            wall_ms: 0,
        };
        let mut yard = Self {
            engine: Engine::new(config, now),
            dice,
            monotonic: Duration::ZERO,
            crew: BTreeMap::new(),
            gone: BTreeMap::new(),
            requests: BTreeMap::new(),
            open: BTreeSet::new(),
            jobs: BTreeMap::new(),
            claims: BTreeMap::new(),
            records: BTreeMap::new(),
            resets,
            close: None,
            shut_down: false,
            late_claims: 0,
            finished: false,
            calm: false,
        };
        yard.tell(Event::Woken);
        yard
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.monotonic,
            wall_ms: i64::try_from(self.monotonic.as_millis()).unwrap(),
        }
    }

    fn tell(&mut self, event: Event) {
        let lost = event == Event::KeeperLost;
        let before = self.engine.effects.len();
        let (now, said) = (self.now(), event.clone());
        let fits = self.engine.handle(now, event);
        assert_eq!(fits, Ok(()), "{said:?}");
        self.check_decided(if lost { usize::MAX } else { before });
    }

    fn step(&mut self) {
        if self.finished {
            return;
        }
        // Several things may happen before the driver looks for effects, but for the last.
        if self.engine.phase == Phase::Finished || self.dice.one_in(2) {
            self.perform_all();
        }
        if self.finished {
            return;
        }
        match self.dice.below(16) {
            0..5 => self.answer(),
            5..10 => self.work(),
            10..12 => self.pass(),
            12 => self.tell(Event::Woken),
            13 => self.ask(),
            14 => self.interfere(),
            _ => {}
        }
        self.let_go();
        self.check();
    }

    /// Everybody does what there is to do before time passes.
    fn calm_step(&mut self) {
        self.perform_all();
        let owes = self.crew.values().any(Crewman::is_owed_about);
        let works = self.crew.values().any(Crewman::has_to_work);
        if owes || !self.claims.is_empty() || !self.records.is_empty() || self.close.is_some() {
            self.answer();
        } else if works {
            self.work();
        } else {
            self.pass();
        }
        self.let_go();
        self.check();
    }

    /// Lets time pass, to the next deadline or less far.
    fn pass(&mut self) {
        // A driver does not wait before it has performed everything.
        self.perform_all();
        let due = self.engine.poll_timeout();
        let some = self.monotonic + self.dice.millis(3_000);
        self.monotonic = match due {
            Some(at) if self.calm || self.dice.one_in(2) => at.max(self.monotonic),
            Some(_) | None => some,
        };
        let now = self.now();
        self.engine.handle_timeout(now);
        self.check_decided(0);
        let next = self.engine.poll_timeout();
        assert!(
            next.is_none_or(|at| at > self.monotonic),
            "a driver would spin at {:?}: {:?}",
            self.monotonic,
            self.engine
        );
        self.perform_all();
    }

    fn perform_all(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.perform(effect);
        }
    }

    /// Answers something that is open.
    fn answer(&mut self) {
        match self.dice.below(6) {
            0 => self.answer_claim(),
            1 => self.answer_close(),
            2 => self.answer_record(),
            _ => {
                let owes = |(id, it): (&WorkerId, &Crewman)| it.is_owed_about().then_some(*id);
                let crew: Vec<WorkerId> = self.crew.iter().filter_map(owes).collect();
                if let Some(worker) = self.dice.pick(&crew) {
                    self.answer_about(worker);
                }
            }
        }
    }

    fn answer_claim(&mut self) {
        let lanes: Vec<Lane> = self.claims.keys().copied().collect();
        let Some(lane) = self.dice.pick(&lanes) else {
            return;
        };
        let most = self.claims.remove(&lane).unwrap();
        if !self.calm && self.dice.one_in(5) {
            return self.tell(Event::ClaimFailed { lane });
        }
        let given = match lane {
            Lane::Pool(_) if !self.calm => self.dice.count(most),
            Lane::Process | Lane::Pool(_) => 0,
        };
        let jobs: Vec<Assignment> = (0..given).map(|_| self.job(lane)).collect();
        let next_due = self.dice.one_in(3).then(|| self.dice.millis(2_000));
        self.tell(Event::Claimed {
            lane,
            jobs,
            next_due,
        });
    }

    fn job(&mut self, lane: Lane) -> Assignment {
        let Lane::Pool(PoolId(pool)) = lane else {
            panic!("jobs are for pools here")
        };
        let number = u64::try_from(self.jobs.len()).unwrap();
        let mut id = [0; 10];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let options = Options {
            timeout: [None, Some(SECOND), Some(100 * SECOND)][self.dice.count(2)],
            grace: Duration::from_millis(1) + self.dice.millis(5_000),
            retries: 1,
            ..Options::default()
        };
        let assignment = Assignment {
            job: JobId::from_bytes(id),
            slot: SLOT + pool,
            ..assignment(0, &options)
        };
        let job = Job {
            worker: None,
            result: None,
            stopped: self.shut_down,
            unwanted: 0,
            verdict: None,
            recorded: false,
        };
        self.jobs.insert(assignment.job, job);
        assignment
    }

    fn answer_close(&mut self) {
        let Some(effect) = self.close.take() else {
            return;
        };
        let closed = match effect {
            Effect::CloseIfIdle | Effect::HandOver => !self.calm && self.dice.one_in(4),
            _ => self.calm || self.dice.one_in(2),
        };
        self.shut_down |= closed;
        self.tell(Event::CloseAnswered { closed });
    }

    fn answer_record(&mut self) {
        let open: Vec<AttemptId> = self.records.keys().copied().collect();
        let Some(attempt) = self.dice.pick(&open) else {
            return;
        };
        let job = self.records.remove(&attempt).unwrap();
        if !self.calm && self.dice.one_in(4) {
            return self.tell(Event::RecordFailed { attempt });
        }
        self.jobs.get_mut(&job).unwrap().recorded = true;
        self.tell(Event::Recorded { attempt });
    }

    fn ask(&mut self) {
        if self.calm {
            return;
        }
        let request = RequestId(u64::try_from(self.requests.len()).unwrap());
        let pool = self.dice.count(self.resets.len() - 1);
        let asked = Request {
            pool,
            asked_at: self.monotonic,
            worker: None,
            said: Vec::new(),
            unwanted: 0,
        };
        self.requests.insert(request, asked);
        self.open.insert(request);
        let pool = PoolId(u32::try_from(pool).unwrap());
        self.tell(Event::Requested { request, pool });
    }

    /// Somebody cancels, resets a pool, ends the supervisor, or kills its keeper.
    fn interfere(&mut self) {
        if self.calm {
            return;
        }
        match self.dice.below(8) {
            0 if self.dice.one_in(8) => self.end(),
            1 if self.dice.one_in(2) => self.lose_keeper(),
            2 => self.tell(Event::Superseded),
            3 | 4 => self.reset(),
            _ => {
                let unfinished = self.jobs.iter().filter(|(_, job)| job.verdict.is_none());
                let unfinished: Vec<JobId> = unfinished.map(|(id, _)| *id).collect();
                let Some(job) = self.dice.pick(&unfinished) else {
                    return;
                };
                self.jobs.get_mut(&job).unwrap().stopped = true;
                let (token, by) = (1, "me".to_owned());
                self.tell(Event::CancelRequested { job, token, by });
            }
        }
    }

    fn end(&mut self) {
        let requests = [
            Shutdown::Finish,
            Shutdown::Drain(2 * SECOND),
            Shutdown::Drain(Duration::ZERO),
            Shutdown::Now,
        ];
        let request = self.dice.pick(&requests).expect("there are some");
        self.shut_down = true;
        self.tell(Event::ShutdownRequested(request));
    }

    fn reset(&mut self) {
        let pool = self.dice.count(self.resets.len() - 1);
        self.resets[pool] += u32::from(!self.engine.pools[pool].resetting);
        let pool = PoolId(u32::try_from(pool).unwrap());
        self.tell(Event::ResetRequested { pool });
    }

    fn lose_keeper(&mut self) {
        for crewman in self.crew.values_mut() {
            if crewman.process != Process::Unmade {
                crewman.process = Process::Dead;
            }
            crewman.open.clear();
        }
        self.tell(Event::KeeperLost);
    }

    /// Faults stop: everything is answered, and every pool is staffed.
    fn calm_down(&mut self) {
        self.calm = true;
        let asleep = |yard: &Self| yard.finished || yard.is_well();
        // One pool may wait for half a minute while another replaces its workers every millisecond.
        for _ in 0..200_000 {
            if asleep(self) {
                return;
            }
            self.calm_step();
        }
        panic!("it does not recover: {:?}", self.engine);
    }

    fn is_well(&self) -> bool {
        let answered = self.open.is_empty();
        let recorded = self.jobs.values().all(|job| job.recorded);
        let staffed = self.engine.pools.iter().all(|pool| {
            let ready = pool.workers.values();
            let ready = ready.filter(|worker| worker.life == WorkerLife::Idle);
            let least = pool.spec.min_workers.min(pool.spec.max_workers);
            pool.closed || ready.count() >= least as usize
        });
        let reset = self.resets.iter().all(|owed| *owed == 0);
        answered && recorded && staffed && reset
    }

    /// Everybody ends: the supervisor must leave with nothing undone.
    fn come_to_an_end(&mut self) {
        if !self.finished {
            self.shut_down = true;
            self.tell(Event::ShutdownRequested(Shutdown::Finish));
        }
        for _ in 0..20_000 {
            if self.finished {
                return;
            }
            self.calm_step();
        }
        panic!("it does not come to an end: {:?}", self.engine);
    }
}

pub(super) fn any_spec(dice: &mut Dice, id: usize) -> PoolSpec {
    let max_workers = 1 + u32::try_from(dice.count(2)).unwrap();
    PoolSpec {
        slot: SLOT + u32::try_from(id).unwrap(),
        claims: !dice.one_in(4),
        min_workers: u32::try_from(dice.count(3)).unwrap(),
        max_workers,
        prefetch: [0, 1, 4, 32][dice.count(3)],
        max_jobs: [0, 0, 1, 3, 10][dice.count(4)],
        ttl: dice.one_in(3).then(|| dice.millis(10_000)),
        idle_ttl: dice.one_in(3).then(|| dice.millis(10_000)),
        spawn_timeout: SECOND + dice.millis(5_000),
        queue_timeout: dice.one_in(2).then(|| dice.millis(5_000)),
        exec_timeout: dice.one_in(2).then(|| dice.millis(5_000)),
        stop_timeout: dice.millis(3_000),
        drain_timeout: dice.millis(5_000),
    }
}
