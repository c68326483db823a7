//! Promise 1: no stale lock. SIGKILL to a worker, the keeper, the supervisor or several of them, at
//! any moment: the next job of the dispatcher starts without anyone's help.
//!
//! The storm has no hook in the product. It aims by what can be seen from outside, and makes short
//! moments long with what any administrator has: SIGSTOP, and the write lock of the state file.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{
    Frozen, Home, Kind, PATIENCE, Random, Size, eventually, freeze, is_alive, kill, pass, said,
    tag_of, within,
};
use serde_json::{Value, json};

/// Where in an attempt's life the storm strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    /// The row says running, and there is no process.
    Claimed,
    /// There is a process, and the job's code has not begun.
    Starting,
    /// The job's code runs.
    Running,
    /// The job's code has ended, and the supervisor has not read the result.
    ResultSent,
    /// The supervisor has the result, and waits to write it down.
    Recording,
    /// Wherever it happens to be, with several jobs under way.
    Anywhere,
}

const POINTS: [Point; 6] = [
    Point::Claimed,
    Point::Starting,
    Point::Running,
    Point::ResultSent,
    Point::Recording,
    Point::Anywhere,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Keeper,
    Supervisor,
}

struct Storm {
    home: Home,
    random: Random,
    hits: BTreeMap<Point, u32>,
    kills: BTreeMap<String, u32>,
    causes: BTreeMap<&'static str, u32>,
    /// Jobs that came to their end.
    ended: u32,
    /// Rounds in which somebody was submitting when the first one was killed.
    overlaps: u32,
    round: u32,
    /// What the submitters of this round were told.
    acknowledged: Vec<String>,
    submitters: Vec<Submitter>,
    /// Processes killed in this round.
    killed: Vec<i32>,
    /// A job that was running when somebody died, and whose gate is still closed.
    held: Option<String>,
    /// A worker that stands still; whoever runs its job again must have killed it.
    frozen: Option<Frozen>,
}

/// A process that submits one job after the other.
struct Submitter {
    child: Child,
    said: BufReader<ChildStdout>,
    first: String,
}

#[test]
fn no_stale_lock_storm() {
    let rounds = Size::get().pick(48, 1_000);
    let mut storm = Storm {
        home: Home::new(env!("CARGO_BIN_EXE_fixture")),
        random: Random::seeded(),
        hits: BTreeMap::new(),
        kills: BTreeMap::new(),
        causes: BTreeMap::new(),
        ended: 0,
        overlaps: 0,
        round: 0,
        acknowledged: Vec::new(),
        submitters: Vec::new(),
        killed: Vec::new(),
        held: None,
        frozen: None,
    };
    storm.probe();
    let began = Instant::now();
    for round in 0..rounds {
        storm.round = round;
        storm.strike(POINTS[round as usize % POINTS.len()]);
        storm.settle();
    }
    storm.report(began);
    let least = Size::get().pick(1, 10);
    for point in POINTS {
        let hits = storm.hits.get(&point).copied().unwrap_or(0);
        assert!(hits >= least, "{point:?} was hit {hits} times only");
    }
    assert!(storm.overlaps >= rounds / 2, "{}", storm.overlaps);
}

impl Storm {
    fn strike(&mut self, point: Point) {
        // Every round begins with a supervisor and a keeper that are idle.
        let [supervisor] = self.pids(Kind::Supervisor)[..] else {
            panic!("one supervisor, not {:#?}", self.home.processes());
        };
        let [keeper] = self.pids(Kind::Keeper)[..] else {
            panic!("one keeper, not {:#?}", self.home.processes());
        };
        let pids = Pids { supervisor, keeper };
        match point {
            Point::Claimed => self.claimed(pids),
            Point::Starting => self.starting(pids),
            Point::Running => self.running(pids),
            Point::ResultSent => self.result_sent(pids),
            Point::Recording => self.recording(pids),
            Point::Anywhere => self.anywhere(pids),
        }
        self.delay(10_000);
        self.home.open_gate(&self.stop());
    }

    fn claimed(&mut self, pids: Pids) {
        let frozen = freeze(pids.keeper);
        let id = self.submit(&json!({}));
        self.home.wait_running(&id);
        let started = self.home.processes().iter().any(|seen| seen.is_of(&id));
        assert!(!started, "the keeper stands still");
        self.submit_meanwhile();
        self.hit(Point::Claimed);
        let victims = self.some_of(&[Victim::Keeper, Victim::Supervisor]);
        self.kill(&victims, pids, None);
        drop(frozen);
    }

    fn starting(&mut self, pids: Pids) {
        self.submit_meanwhile();
        // On a busy machine it may have begun, or be over, before it was seen.
        let mut caught = self.catch_fresh_worker(pids.keeper);
        for _ in 0..5 {
            if matches!(caught, Some((_, _, Point::Starting))) {
                break;
            }
            drop(caught);
            caught = self.catch_fresh_worker(pids.keeper);
        }
        self.hit(
            caught
                .as_ref()
                .map_or(Point::Anywhere, |(_, _, life)| *life),
        );
        let victims = self.some_of(&[Victim::Worker, Victim::Keeper, Victim::Supervisor]);
        let worker = caught.map(|(worker, frozen, _)| {
            self.frozen = Some(frozen);
            worker
        });
        self.kill(&victims, pids, worker);
    }

    /// Submits a job, and freezes the first process that the keeper makes from then on.
    fn catch_fresh_worker(&mut self, keeper: i32) -> Option<(i32, Frozen, Point)> {
        let isolation = self.random.pick(&["exec", "process"]);
        let before = children(keeper);
        let id = self.submit(&json!({ "options": { "isolation": isolation } }));
        let found = within(PATIENCE, || {
            let found = children(keeper);
            let fresh = found.into_iter().find(|pid| !before.contains(pid));
            let over = || self.home.stands(&id).0.is_terminal();
            (fresh.is_some() || over()).then_some(fresh)
        });
        let worker = found.flatten()?;
        let frozen = freeze(worker);
        is_alive(worker).then(|| (worker, frozen, self.life_of(worker)))
    }

    fn running(&mut self, pids: Pids) {
        let (id, worker) = self.submit_behind_gate();
        self.submit_meanwhile();
        self.delay(3_000);
        assert_eq!(self.home.stands(&id).0, JobState::Running);
        self.hit(Point::Running);
        let victims = self.some_of(&[Victim::Worker, Victim::Keeper, Victim::Supervisor]);
        self.kill(&victims, pids, Some(worker));
        self.held = Some(id);
    }

    fn result_sent(&mut self, pids: Pids) {
        let (id, worker) = self.submit_behind_gate();
        // One that stands still in the middle of a write would hold up everybody.
        let frozen = eventually("it is not writing", PATIENCE, || {
            let frozen = freeze(pids.supervisor);
            self.home.is_unlocked().then_some(frozen)
        });
        self.submit_meanwhile();
        self.home.open_gate(&self.gate());
        self.home.wait_for(&format!("{id}.finishing"));
        let mut victims = self.some_of(&[Victim::Worker, Victim::Keeper, Victim::Supervisor]);
        if victims.contains(&Victim::Worker) {
            // Just as it sends its result.
            self.delay(500);
        } else {
            eventually("the worker ends", PATIENCE, || !is_alive(worker));
        }
        assert!(!self.is_about_to_record(&id), "the supervisor stands still");
        assert_eq!(self.home.stands(&id).0, JobState::Running);
        self.hit(Point::ResultSent);
        if victims == [Victim::Worker] {
            victims.push(Victim::Keeper);
        }
        self.kill(&victims, pids, Some(worker));
        drop(frozen);
    }

    fn recording(&mut self, pids: Pids) {
        let (id, worker) = self.submit_behind_gate();
        self.submit_meanwhile();
        let victims = self.some_of(&[Victim::Keeper, Victim::Supervisor]);
        // Most often it has the result and can only wait for the lock; else it is about to get it.
        let patient = self.random.below(4) > 0;
        let lock = self.home.lock();
        self.home.open_gate(&self.gate());
        eventually("the worker ends", PATIENCE, || !is_alive(worker));
        if patient {
            eventually("the supervisor has the result", PATIENCE, || {
                self.is_about_to_record(&id)
            });
        }
        self.delay(2_000);
        self.hit(if self.is_about_to_record(&id) {
            Point::Recording
        } else {
            Point::ResultSent
        });
        let stood = self.home.stands(&id).0;
        assert_eq!(stood, JobState::Running, "nobody could write it down");
        self.kill(&victims, pids, None);
        drop(lock);
    }

    fn anywhere(&mut self, pids: Pids) {
        for _ in 0..2 {
            self.submit_meanwhile();
        }
        let isolation = self.random.pick(&["exec", "process"]);
        let ms = self.random.below(10);
        let payload = json!({ "ms": ms, "options": { "isolation": isolation } });
        self.submit(&payload);
        self.delay(40_000);
        let worker = children(pids.keeper).first().copied();
        self.hit(Point::Anywhere);
        let victims = self.some_of(&[Victim::Worker, Victim::Keeper, Victim::Supervisor]);
        self.kill(&victims, pids, worker);
    }

    /// Everything that was acknowledged comes to its end, and the next job runs.
    fn settle(&mut self) {
        for submitter in std::mem::take(&mut self.submitters) {
            self.acknowledged.extend(submitter.finish());
        }
        // A supervisor that is just dying looks alive to a submitter; the job waits for the next.
        let killed = std::mem::take(&mut self.killed);
        eventually("those that were killed are dead", PATIENCE, || {
            !killed.iter().any(|pid| is_alive(*pid))
        });
        self.probe();
        self.wait_for_the_second_copy();
        for id in std::mem::take(&mut self.acknowledged) {
            let job = self.home.wait(&id);
            assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
            self.ended += 1;
            for attempt in &job.attempts {
                let cause = &attempt.outcome.cause;
                let known = matches!(
                    cause,
                    Cause::Succeeded
                        | Cause::WorkerLost
                        | Cause::ProtocolError { .. }
                        | Cause::Signalled { signal: 9, .. }
                );
                // Claimed by one that died before anybody had begun it.
                let unbegun = *cause == Cause::Shutdown && attempt.started_at.is_none();
                assert!(known || unbegun, "round {}: {job:#?}", self.round);
                *self.causes.entry(cause.name()).or_default() += 1;
            }
        }
        assert_eq!(self.home.read("violations"), "", "round {}", self.round);
        assert!(
            !self.home.log().contains("panicked at"),
            "a supervisor's bug"
        );
        self.frozen = None;
        self.home.no_tags_left();
        eventually("those that were killed are gone", PATIENCE, || {
            self.pids(Kind::Supervisor).len() == 1 && self.pids(Kind::Keeper).len() == 1
        });
    }

    /// The first copy of a job that waits at its gate must be dead when the next one begins; if it
    /// lives, the next one finds its lock taken.
    fn wait_for_the_second_copy(&mut self) {
        if let Some(id) = self.held.take() {
            eventually("it runs again", PATIENCE, || {
                let (state, attempt) = self.home.stands(&id);
                let running = format!("{id}.{attempt}.running");
                state.is_terminal() || attempt > 1 && self.home.file(&running).exists()
            });
        }
        self.home.open_gate(&self.gate());
    }

    /// The next job of the dispatcher starts without anyone's help.
    fn probe(&mut self) {
        let id = self.submit(&json!({}));
        let job = self.home.wait(&id);
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }

    fn gate(&self) -> String {
        format!("gate-{}", self.round)
    }

    fn stop(&self) -> String {
        format!("stop-{}", self.round)
    }

    /// Submits a job and notes what was acknowledged.
    fn submit(&mut self, payload: &Value) -> String {
        let id = self.home.submit("Storm", payload);
        self.acknowledged.push(id.clone());
        id
    }

    /// A job that runs and waits; and its process.
    fn submit_behind_gate(&mut self) -> (String, i32) {
        let isolation = self.random.pick(&["exec", "process"]);
        let payload = json!({ "gate": self.gate(), "options": { "isolation": isolation } });
        let id = self.submit(&payload);
        self.home.wait_for(&format!("{id}.running"));
        let processes = self.home.of_kind(Kind::Worker);
        let worker = processes.iter().find(|seen| seen.is_of(&id));
        let worker = worker.unwrap_or_else(|| panic!("its worker is none of {processes:#?}"));
        (id, worker.pid)
    }

    /// Somebody who has begun to submit and goes on while others die.
    fn submit_meanwhile(&mut self) {
        let ms = self.random.below(5);
        let submitter = Submitter::start(&self.home, &json!({ "ms": ms }), &self.stop());
        self.submitters.push(submitter);
    }

    /// What a worker that stands still has come to.
    fn life_of(&self, worker: i32) -> Point {
        let tag = tag_of(worker).unwrap_or_default();
        let job = tag.split('.').next().unwrap_or_default();
        // One without a tag was forked just now.
        if job.is_empty() || !self.home.file(&format!("{job}.running")).exists() {
            Point::Starting
        } else {
            Point::Running
        }
    }

    /// Whether a supervisor knows how the job ended.
    fn is_about_to_record(&self, id: &str) -> bool {
        let ends = format!("job ends job={id}");
        self.home.log().contains(&ends)
    }

    fn delay(&mut self, micros_max: u32) {
        let micros = self.random.below(micros_max);
        pass(Duration::from_micros(micros.into()));
    }

    /// At least one of them, in some order.
    fn some_of(&mut self, victims: &[Victim]) -> Vec<Victim> {
        let first = self.random.pick(victims);
        let mut some = vec![first];
        for victim in victims {
            if *victim != first && self.random.below(2) == 0 {
                some.push(*victim);
            }
        }
        some
    }

    fn kill(&mut self, victims: &[Victim], pids: Pids, worker: Option<i32>) {
        let submitting = self.submitters.iter_mut().any(Submitter::is_at_it);
        self.overlaps += u32::from(submitting);
        for victim in victims {
            if let Some(pid) = pids.of(*victim).or(worker) {
                kill(pid);
                self.killed.push(pid);
            }
            if self.random.below(2) == 0 {
                self.delay(2_000);
            }
        }
        *self.kills.entry(format!("{victims:?}")).or_default() += 1;
    }

    fn hit(&mut self, point: Point) {
        *self.hits.entry(point).or_default() += 1;
    }

    fn pids(&self, kind: Kind) -> Vec<i32> {
        let processes = self.home.of_kind(kind);
        processes.iter().map(|seen| seen.pid).collect()
    }

    fn report(&self, began: Instant) {
        eprintln!(
            "{} rounds in {:.1?}; {} jobs were acknowledged, and all of them succeeded\n\
             somebody was submitting at the kill in {} rounds\n\
             hits: {:?}\nkilled: {:#?}\nattempts: {:?}",
            self.round + 1,
            began.elapsed(),
            self.ended,
            self.overlaps,
            self.hits,
            self.kills,
            self.causes
        );
    }
}

impl Submitter {
    /// Starts it, and waits until its first job is acknowledged.
    fn start(home: &Home, payload: &Value, stop: &str) -> Self {
        let arguments = ["submit-until", "Storm", stop, "30"];
        let mut child = home.begin(arguments, payload.to_string().as_bytes());
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        said.read_line(&mut first).expect("it says an id");
        Self { child, said, first }
    }

    fn is_at_it(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Everything that was acknowledged to it.
    fn finish(mut self) -> Vec<String> {
        let mut all = self.first;
        let rest = self.said.read_to_string(&mut all);
        rest.expect("it says ids");
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output.stderr));
        all.lines().map(str::to_owned).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Pids {
    supervisor: i32,
    keeper: i32,
}

impl Pids {
    fn of(self, victim: Victim) -> Option<i32> {
        match victim {
            Victim::Supervisor => Some(self.supervisor),
            Victim::Keeper => Some(self.keeper),
            Victim::Worker => None,
        }
    }
}

/// The children of a process, read at once: a look at all processes would take too long.
fn children(pid: i32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    let pids = list.split_ascii_whitespace();
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn no_stale_lock_when_all_die_at_once() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let first = home.submit("Exclusive", &json!({ "name": "first", "gate": "gate" }));
    eventually("it runs", PATIENCE, || {
        home.read("order") == "start first\n"
    });
    let second = home.submit("Exclusive", &json!({ "name": "second", "gate": "gate" }));
    home.kill_all(&[Kind::Supervisor, Kind::Keeper, Kind::Worker]);
    eventually("all are dead", PATIENCE, || home.processes().is_empty());
    home.open_gate("gate");
    let third = home.run("Exclusive", &json!({ "name": "third" }));
    assert_eq!(third.state, JobState::Succeeded, "{third:#?}");
    let (first, second) = (home.wait(&first), home.wait(&second));
    assert_eq!((first.state, first.lost), (JobState::Succeeded, 1));
    assert_eq!((second.state, second.lost), (JobState::Succeeded, 0));
    assert_eq!(home.read("violations"), "");
}

#[test]
fn no_stale_lock_after_a_timeout() {
    let home = Home::new(env!("CARGO_BIN_EXE_fixture"));
    let options = json!({ "timeout": 300, "grace": 100 });
    let payload = json!({ "name": "slow", "gate": "never", "options": options });
    let slow = home.submit("Exclusive", &payload);
    let next = home.run("Exclusive", &json!({ "name": "next" }));
    assert_eq!(next.state, JobState::Succeeded, "{next:#?}");
    let slow = home.job(&slow);
    let outcome = slow.outcome.as_ref().expect("it ended first");
    assert_eq!(outcome.cause, Cause::TimedOut, "{slow:#?}");
}
