//! Random walks: a driver, its workers and its store, all made up, in every order that they allow.
//!
//! One seed makes one walk. What the model checks after each step are the invariants of a
//! supervisor: one living worker per slot, nothing late, nothing early, every claimed job recorded
//! once, nothing after the end. `DISPATCHER_TEST_SEED` replays the one walk that failed.

mod dice;
mod hostile;
mod pools;
mod sim;

use std::collections::{BTreeMap, BTreeSet};

use self::dice::{Dice, walks};
use self::sim::{Process, Reason, Sim, holds};
use super::*;

const STEPS: u32 = 400;
const SLOTS: u32 = 3;
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn every_possible_order_keeps_the_invariants_and_comes_to_an_end() {
    walks(1_000, |dice| {
        let mut world = World::new(dice);
        for _ in 0..STEPS {
            world.step();
        }
        world.come_to_an_end();
    });
}

struct World {
    dice: Dice,
    engine: Engine,
    monotonic: Duration,
    sims: BTreeMap<WorkerId, Sim>,
    claim: Option<Vec<u32>>,
    close: Option<Effect>,
    shutdown: Option<Shutdown>,
    /// When everything is stopped.
    stop_at: Option<Duration>,
    late_claims: u32,
    jobs: u64,
    finished: bool,
    /// Nothing fails any more.
    calm: bool,
}

impl World {
    fn new(dice: Dice) -> Self {
        Self::with_pools(dice, vec![])
    }

    fn with_pools(mut dice: Dice, pools: Vec<PoolSpec>) -> Self {
        let config = EngineConfig {
            slots: SLOTS,
            pools,
            lease: None,
            poll_interval: SECOND,
            linger: Some(5 * SECOND),
            hello_timeout: HELLO_TIMEOUT,
            drain_timeout: Duration::from_millis(200),
            seed: dice.below(u64::MAX),
        };
        let now = Now {
            monotonic: Duration::ZERO,
            wall_ms: 0,
        };
        Self {
            engine: Engine::new(config, now),
            dice,
            monotonic: Duration::ZERO,
            sims: BTreeMap::new(),
            claim: None,
            close: None,
            shutdown: None,
            stop_at: None,
            late_claims: 0,
            jobs: 0,
            finished: false,
            calm: false,
        }
    }

    /// Half of the walks are made with one.
    fn with_a_lease(mut self) -> Self {
        if self.dice.one_in(2) {
            let mut config = self.engine.config.clone();
            config.lease = Some(LeaseSpec {
                length: 15 * SECOND,
                margin: SECOND,
            });
            self.engine = Engine::new(config, self.now());
        }
        self
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.monotonic,
            wall_ms: i64::try_from(self.monotonic.as_millis()).unwrap(),
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.now();
        let said = format!("{event:?}");
        self.engine.handle(now, event).expect(&said);
    }

    fn step(&mut self) {
        if self.finished {
            return;
        }
        // Several things may happen before the driver looks for effects.
        if self.dice.one_in(2) {
            self.perform_all();
        }
        match self.dice.below(16) {
            0..6 => self.answer(),
            6..11 => self.live(),
            11..13 => self.pass(),
            13 => self.tell(Event::Woken),
            14 => self.interfere(),
            _ => {}
        }
        self.check();
    }

    fn check(&self) {
        let live = self.engine.snapshot().live;
        let slots: BTreeSet<u32> = live.iter().map(|(_, slot)| *slot).collect();
        assert_eq!(
            slots.len(),
            live.len(),
            "one worker for each slot: {live:?}"
        );
        assert!(slots.iter().all(|slot| *slot < SLOTS));
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
        let next = self.engine.poll_timeout();
        assert!(
            next.is_none_or(|at| at > self.monotonic),
            "a driver would spin at {:?}: {:?}",
            self.monotonic,
            self.engine
        );
        self.perform_all();
        self.note_stop();
        for (worker, sim) in &self.sims {
            let due = sim.reported.zip(sim.assignment.options.timeout);
            let overdue = due.is_some_and(|(at, timeout)| at + timeout <= self.monotonic);
            let running = sim.process == Process::Alive && sim.result.is_none();
            assert!(
                !(running && overdue && sim.stopped.is_none()),
                "{worker:?} is overdue"
            );
        }
    }

    fn perform_all(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        assert!(!self.finished, "nothing after the end: {effect:?}");
        match effect {
            Effect::Claim { slots, .. } => {
                // One may have been decided before the shutdown was.
                self.late_claims += u32::from(self.shutdown.is_some());
                assert!(self.late_claims <= 1, "it takes nothing new");
                let offered = matches!(self.close, Some(Effect::CloseIfIdle));
                assert!(!offered, "it offered to leave");
                let free = |slot: &u32| !self.sims.values().any(|sim| holds(sim, *slot));
                assert!(slots.iter().all(free), "{slots:?}");
                assert!(self.claim.replace(slots).is_none(), "one claim at a time");
            }
            Effect::Spawn {
                worker, assignment, ..
            } => {
                let taken = |sim: &Sim| sim.may_live() && sim.assignment.slot == assignment.slot;
                assert!(!self.sims.values().any(taken), "a slot has one worker");
                let sim = self.sim(worker);
                sim.process = Process::Asked;
                sim.spawns += 1;
            }
            Effect::Stop { worker } => {
                self.check_stop(worker);
                self.tell(Event::Signalled { worker });
            }
            Effect::Kill { worker } => {
                self.check_kill(worker);
                self.tell(Event::Signalled { worker });
            }
            Effect::Boot { .. }
            | Effect::Assign { .. }
            | Effect::Hand { .. }
            | Effect::Answer { .. }
            | Effect::ResetOver { .. }
            | Effect::Retire { .. }
            | Effect::Renew
            | Effect::Deadline { .. }
            | Effect::Reopen => panic!("there are no pools and no leases: {effect:?}"),
            Effect::Bury { worker, .. } => {
                let dead = matches!(self.sim(worker).process, Process::Dead { strays: 1.. });
                assert!(dead, "who is buried has ended and left somebody");
                assert!(self.sim(worker).open.insert("bury"), "once");
            }
            Effect::Drain { worker, .. } => {
                let dead = matches!(self.sim(worker).process, Process::Dead { .. });
                assert!(dead, "it is drained after its end");
                assert!(self.sim(worker).open.insert("drain"), "once");
            }
            Effect::Record { attempt, verdict } => {
                self.check_record(WorkerId(attempt.0), *verdict);
            }
            Effect::CloseIfIdle => {
                assert!(self.claim.is_none(), "no claim is under way");
                assert!(self.sims.values().all(|sim| sim.recorded), "it is idle");
                assert!(self.close.replace(effect).is_none(), "once");
            }
            Effect::HandOver | Effect::Close => {
                assert!(self.close.replace(effect).is_none(), "once");
            }
            Effect::Finish => {
                assert!(self.sims.values().all(|sim| sim.recorded), "all is done");
                self.finished = true;
            }
        }
    }

    fn sim(&mut self, worker: WorkerId) -> &mut Sim {
        let sim = self.sims.get_mut(&worker).expect("a worker of this engine");
        assert!(!sim.recorded, "{worker:?} is over");
        sim
    }

    fn check_stop(&mut self, worker: WorkerId) {
        let now = self.monotonic;
        let stop_at = self.stop_at;
        let sim = self.sim(worker);
        if matches!(sim.process, Process::Dead { .. }) {
            return; // It ended between the decision and the deed.
        }
        assert_eq!(sim.process, Process::Alive, "the living are stopped");
        assert_eq!(sim.stopped, None, "once");
        assert_eq!(sim.result, None, "a result counts more");
        sim.stopped = Some(now);
        let since = now - sim.reported.expect("it lives");
        let timed_out = sim.assignment.options.timeout.is_some_and(|it| since >= it);
        let mute = !sim.hello && since >= HELLO_TIMEOUT;
        let shut_down = stop_at.is_some_and(|at| at <= now);
        assert!(
            sim.reason.is_some() || timed_out || mute || shut_down,
            "no reason to stop {worker:?} after {since:?}"
        );
        sim.hurried |= mute;
    }

    fn check_kill(&mut self, worker: WorkerId) {
        let now = self.monotonic;
        let hurry = self.shutdown == Some(Shutdown::Now);
        let sim = self.sim(worker);
        if matches!(sim.process, Process::Dead { .. }) {
            return;
        }
        assert_eq!(sim.process, Process::Alive, "the living are killed");
        let grace = sim.assignment.options.grace;
        let waited = |at: Duration| now >= at + grace;
        let patient = sim.stopped.is_some_and(waited);
        let over = sim.result.as_ref().is_some_and(|(at, _)| waited(*at));
        assert!(
            hurry || sim.hurried || patient || over,
            "{worker:?} was killed within its grace at {now:?}: {sim:?}"
        );
    }

    fn check_record(&mut self, worker: WorkerId, verdict: Verdict) {
        let sim = self.sim(worker);
        assert!(!sim.may_live(), "it is recorded when it is dead");
        assert!(sim.open.insert("record"), "once at a time");
        assert!(sim.open.len() == 1, "all else was answered: {:?}", sim.open);
        assert_eq!(verdict.token, sim.assignment.counters.token);
        let cause = &verdict.outcome.cause;
        match (&sim.result, sim.reason) {
            (Some((_, WorkResult::Succeeded)), _) => assert_eq!(*cause, Cause::Succeeded),
            (Some(_), _) => assert!(matches!(cause, Cause::Failed { .. }), "{cause:?}"),
            (None, Some(Reason::Cancelled)) => {
                assert!(matches!(cause, Cause::Cancelled { .. }), "{cause:?}");
                assert_eq!(verdict.next, Next::Cancel);
            }
            (None, Some(Reason::Broken | Reason::OverLimit | Reason::Shutdown) | None) => {
                assert_ne!(*cause, Cause::Succeeded);
            }
        }
        if let Some(before) = sim.verdict.replace(verdict) {
            assert_eq!(Some(before), sim.verdict, "it is told again as it was");
        }
    }

    /// Answers something that is open.
    fn answer(&mut self) {
        let workers: Vec<WorkerId> = self.sims.keys().copied().collect();
        match self.dice.below(4) {
            0 => self.answer_claim(),
            1 => self.answer_close(),
            _ => {
                if let Some(worker) = self.dice.pick(&workers) {
                    self.answer_about(worker);
                }
            }
        }
    }

    fn answer_claim(&mut self) {
        let Some(slots) = self.claim.take() else {
            return;
        };
        if !self.calm && self.dice.one_in(5) {
            return self.tell(Event::ClaimFailed {
                lane: Lane::Process,
            });
        }
        let given = if self.calm {
            0
        } else {
            self.dice.below(u64::from(SLOTS) + 1)
        };
        let slots: Vec<u32> = slots
            .into_iter()
            .take(usize::try_from(given).unwrap())
            .collect();
        let jobs: Vec<Assignment> = slots.iter().map(|slot| self.job(*slot)).collect();
        // An engine names its workers in the order of its jobs.
        let first = self.sims.len();
        for (index, assignment) in jobs.iter().enumerate() {
            let worker = WorkerId(u32::try_from(first + index).unwrap());
            self.sims.insert(worker, Sim::new(assignment.clone()));
            if self.shutdown.is_some() {
                self.sims.get_mut(&worker).unwrap().reason = Some(Reason::Shutdown);
            }
        }
        let next_due = self.dice.one_in(3).then(|| self.dice.millis(2_000));
        self.tell(claimed(jobs, next_due));
    }

    fn job(&mut self, slot: u32) -> Assignment {
        self.jobs += 1;
        let mut id = [0; 10];
        id[..8].copy_from_slice(&self.jobs.to_le_bytes());
        let options = Options {
            timeout: [None, Some(SECOND), Some(100 * SECOND)][self.dice.below(3) as usize],
            grace: Duration::from_millis(1) + self.dice.millis(5_000),
            retries: 1,
            ..Options::default()
        };
        Assignment {
            job: JobId::from_bytes(id),
            ..assignment(slot, &options)
        }
    }

    fn answer_close(&mut self) {
        let Some(effect) = self.close.take() else {
            return;
        };
        let closed = match effect {
            Effect::CloseIfIdle | Effect::HandOver => self.dice.one_in(4),
            _ => self.calm || self.dice.one_in(2),
        };
        if closed && self.shutdown.is_none() {
            self.shutdown = Some(Shutdown::Finish);
        }
        self.tell(Event::CloseAnswered { closed });
    }

    fn answer_about(&mut self, worker: WorkerId) {
        let fails = !self.calm && self.dice.one_in(4);
        let sim = self.sims.get_mut(&worker).expect("it was picked");
        if sim.process == Process::Asked {
            // Who says hello has a process.
            if fails && !sim.hello {
                let (transient, errno) = (self.dice.one_in(2), 11);
                let again = transient && sim.reason.is_none() && sim.spawns < 5;
                sim.process = if again {
                    Process::None
                } else {
                    Process::Dead { strays: 0 }
                };
                return self.tell(Event::SpawnFailed {
                    worker,
                    errno,
                    transient,
                });
            }
            sim.process = Process::Alive;
            sim.reported = Some(self.monotonic);
            return self.tell(Event::Spawned { worker });
        }
        let open: Vec<&'static str> = sim.open.iter().copied().collect();
        let Some(one) = self.dice.pick(&open) else {
            return;
        };
        sim.open.remove(one);
        let event = match one {
            "bury" => Event::Buried { worker, left: 0 },
            "drain" => Event::Drained {
                worker,
                leaked: fails,
            },
            _ if fails => Event::RecordFailed {
                attempt: of(worker),
            },
            _ => {
                sim.recorded = true;
                Event::Recorded {
                    attempt: of(worker),
                }
            }
        };
        self.tell(event);
    }

    /// A worker does something.
    fn live(&mut self) {
        let living = |(worker, sim): (&WorkerId, &Sim)| {
            let heard = sim.process == Process::Alive || sim.process == Process::Asked;
            heard.then_some(*worker)
        };
        let workers: Vec<WorkerId> = self.sims.iter().filter_map(living).collect();
        let Some(worker) = self.dice.pick(&workers) else {
            return;
        };
        let now = self.monotonic;
        let failed = self.dice.one_in(3);
        let strays = if self.dice.one_in(3) { 2 } else { 0 };
        let act = self.dice.below(8);
        let sim = self.sims.get_mut(&worker).expect("it was picked");
        let alive = sim.process == Process::Alive;
        let event = match act {
            0..3 if !sim.hello => {
                sim.hello = true;
                said(worker, Word::Hello)
            }
            3 => said(worker, Word::Output("1".into())),
            4 if sim.hello => {
                let result = if failed {
                    a_failure()
                } else {
                    WorkResult::Succeeded
                };
                if sim.reason.is_none() && sim.stopped.is_none() && sim.result.is_none() {
                    sim.result = Some((now, result.clone()));
                }
                said(worker, Word::Result(result))
            }
            5 if self.dice.one_in(3) => {
                sim.because(Reason::Broken);
                sim.hurried |= sim.result.is_none();
                Event::LinkBroken {
                    worker,
                    what: "garbage".into(),
                }
            }
            6 if self.dice.one_in(3) => {
                sim.because(Reason::OverLimit);
                sim.hurried = true;
                Event::LimitExceeded { worker }
            }
            7 if alive => {
                sim.process = Process::Dead { strays };
                Event::Exited {
                    worker,
                    status: ExitStatus::Exited(0),
                    usage: Usage::default(),
                    strays,
                    memory: MemoryVerdict::Silent,
                }
            }
            _ => return,
        };
        self.tell(event);
    }

    /// Somebody cancels, ends the supervisor, or kills its keeper.
    fn interfere(&mut self) {
        let workers: Vec<WorkerId> = self.sims.keys().copied().collect();
        match self.dice.below(8) {
            0 if self.dice.one_in(8) => {
                let requests = [
                    Shutdown::Finish,
                    Shutdown::Drain(2 * SECOND),
                    Shutdown::Drain(Duration::ZERO),
                    Shutdown::Now,
                ];
                let request = self.dice.pick(&requests).expect("there are some");
                self.shut_down(request);
            }
            1 => self.lose_keeper(),
            2 => self.tell(Event::Superseded),
            _ => {
                let Some(worker) = self.dice.pick(&workers) else {
                    return;
                };
                let sim = &self.sims[&worker];
                let (job, token) = (sim.assignment.job, sim.assignment.counters.token);
                if !matches!(sim.process, Process::Dead { .. }) && sim.verdict.is_none() {
                    self.sims
                        .get_mut(&worker)
                        .expect("it was picked")
                        .because(Reason::Cancelled);
                }
                let by = "me".into();
                self.tell(Event::CancelRequested { job, token, by });
            }
        }
    }

    fn shut_down(&mut self, request: Shutdown) {
        let merged = self
            .shutdown
            .map_or(request, |earlier| earlier.max_haste(request));
        self.shutdown = Some(merged);
        let at = match merged {
            Shutdown::Finish => None,
            Shutdown::Drain(time) => Some(self.monotonic + time),
            Shutdown::Now => Some(self.monotonic),
        };
        self.stop_at = match (self.stop_at, at) {
            (Some(earlier), Some(at)) => Some(earlier.min(at)),
            (earlier, at) => earlier.or(at),
        };
        self.tell(Event::ShutdownRequested(request));
        self.note_stop();
    }

    /// Everybody without another reason is stopped for the shutdown from its instant on.
    fn note_stop(&mut self) {
        if self.stop_at.is_some_and(|at| at <= self.monotonic) {
            let living = |sim: &&mut Sim| !matches!(sim.process, Process::Dead { .. });
            for sim in self.sims.values_mut().filter(living) {
                sim.because(Reason::Shutdown);
            }
        }
    }

    fn lose_keeper(&mut self) {
        for sim in self.sims.values_mut() {
            sim.open.retain(|open| *open == "record");
            if sim.may_live() {
                sim.process = Process::Dead { strays: 0 };
            }
        }
        self.tell(Event::KeeperLost);
    }

    /// Faults stop, everybody ends: the supervisor must leave with nothing undone.
    fn come_to_an_end(&mut self) {
        self.calm = true;
        if !self.finished {
            self.shut_down(Shutdown::Finish);
        }
        for _ in 0..20_000 {
            if self.finished {
                return;
            }
            self.step();
        }
        panic!("it does not come to an end: {:?}", self.engine);
    }
}

fn said(worker: WorkerId, word: Word) -> Event {
    Event::Said { worker, word }
}

fn a_failure() -> WorkResult {
    WorkResult::Failed {
        message: "no".into(),
        causes: vec![],
        retry_after_ms: None,
    }
}
