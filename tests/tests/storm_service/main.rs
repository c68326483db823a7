//! Storms: a service is killed under load, with everything that belongs to it, again and again; and
//! it is told to end under load.
//!
//! Whatever was acknowledged ends, nothing runs twice at once, and nobody is left.

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dispatcher_core::JobState;
use dispatcher_tests::{
    Census, FOREIGN_POOL, Home, Job, Kind, PATIENCE, Probe, Random, Serving, Size, clear_storm,
    eventually, exec, kill, pass, terminate, within,
};

use load::{WORKS, config, send};

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// Whom a round kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Service,
    Keeper,
    ServiceThenKeeper,
    KeeperThenService,
    Worker,
    Workers,
}

const VICTIMS: [Victim; 6] = [
    Victim::Service,
    Victim::Keeper,
    Victim::ServiceThenKeeper,
    Victim::KeeperThenService,
    Victim::Worker,
    Victim::Workers,
];

impl Victim {
    fn ends_the_service(self) -> bool {
        match self {
            Self::Service | Self::ServiceThenKeeper | Self::KeeperThenService => true,
            Self::Keeper | Self::Worker | Self::Workers => false,
        }
    }

    fn strike(self, home: &Home, service: &Serving, random: &mut Random) {
        let service = service.pid().cast_signed();
        let keepers: Vec<i32> = home.of_kind(Kind::Keeper).iter().map(|it| it.pid).collect();
        let kill_keepers = || keepers.iter().for_each(|pid| kill(*pid));
        match self {
            Self::Service => kill(service),
            Self::Keeper => kill_keepers(),
            Self::ServiceThenKeeper => {
                kill(service);
                kill_keepers();
            }
            Self::KeeperThenService => {
                kill_keepers();
                kill(service);
            }
            Self::Worker | Self::Workers => {
                let all = home.processes();
                let workers = all.iter().map(|it| it.pid);
                let workers: Vec<i32> = workers
                    .filter(|pid| *pid != service && !keepers.contains(pid))
                    .collect();
                if self == Self::Workers {
                    workers.iter().for_each(|pid| kill(*pid));
                } else if !workers.is_empty() {
                    kill(random.pick(&workers));
                }
            }
        }
    }
}

/// Own workers and foreign ones are recycled meanwhile.
const KEYS: &str = "max_jobs = 7";

struct Storm {
    home: Home,
    random: Random,
    census: Census,
    /// Jobs that somebody was told are stored.
    acknowledged: BTreeSet<String>,
    /// Senders that were cut off.
    cut_off: u32,
    kills: BTreeMap<Victim, u32>,
}

#[test]
fn service_storm() {
    let rounds = Size::get().pick(12, 600);
    let mut storm = Storm {
        home: Home::new(FIXTURE),
        random: Random::seeded(),
        census: Census::new(),
        acknowledged: BTreeSet::new(),
        cut_off: 0,
        kills: BTreeMap::new(),
    };
    let began = Instant::now();
    let mut service = start(&storm.home, KEYS);
    for round in 0..rounds {
        service = storm.strike(service, VICTIMS[round as usize % VICTIMS.len()]);
        if round % 20 == 19 {
            settle(&storm.home);
            clear_storm(&storm.home);
        }
    }
    storm.end(service);
    eprintln!("{rounds} rounds in {:?}", began.elapsed());
}

impl Storm {
    fn strike(&mut self, service: Serving, victim: Victim) -> Serving {
        *self.kills.entry(victim).or_default() += 1;
        let mut probe = Probe::connect(&self.home);
        let path = self.home.path();
        for _ in 0..4 + self.random.below(12) {
            let work = self.random.pick(&WORKS);
            let job = send(path, &mut probe, work, self.random.below(40));
            self.acknowledged
                .insert(job.expect("nobody was killed yet"));
        }
        // A direct request is in a worker, or waits for one.
        let mut asking = Probe::connect(&self.home);
        asking.tell(&exec(FOREIGN_POOL, "pid")).expect("it listens");
        self.census.take(&self.home);
        pass(Duration::from_micros(self.random.below(60_000).into()));
        self.census.take(&self.home);
        let heard = std::thread::scope(|scope| {
            // Somebody submits at the very moment.
            let sending = scope.spawn(move || {
                let send = |at: usize| send(path, &mut probe, WORKS[at % WORKS.len()], 5);
                (0..12).map_while(send).collect::<Vec<String>>()
            });
            victim.strike(&self.home, &service, &mut self.random);
            sending.join().expect("no job is refused")
        });
        self.cut_off += u32::from(heard.len() < 12);
        self.acknowledged.extend(heard);
        if victim.ends_the_service() {
            drop(service);
            return start(&self.home, KEYS);
        }
        let answer = asking.hear().expect("every request is answered");
        let is_one = answer["reply"].is_object() || answer["error"].is_object();
        assert!(is_one, "{answer}");
        service
    }

    fn end(&mut self, service: Serving) {
        let causes = settle(&self.home);
        let stored: BTreeSet<String> = self.home.ids().into_iter().collect();
        let lost: Vec<&String> = self.acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
        self.census.take(&self.home);
        terminate(service.pid());
        assert_eq!(service.end().code(), Some(0));
        self.census.nobody_is_left();
        assert_eq!(self.home.processes(), []);
        eprintln!(
            "{:?}; {} jobs acknowledged, {} senders cut off; {causes:?}; {} processes seen",
            self.kills,
            self.acknowledged.len(),
            self.cut_off,
            self.census.count(),
        );
    }
}

#[test]
fn told_to_end_storm() {
    let rounds = Size::get().pick(2, 60);
    let mut random = Random::seeded();
    for _ in 0..rounds {
        told_to_end_under_load(&mut random);
    }
}

/// Everything that runs takes longer than the service needs to hear of its end.
fn told_to_end_under_load(random: &mut Random) {
    let home = Home::new(FIXTURE);
    let service = start(&home, "");
    let mut census = Census::new();
    let mut probe = Probe::connect(&home);
    let mut jobs = Vec::new();
    for at in 0..40 {
        let ms = 300 + random.below(700);
        jobs.extend(send(home.path(), &mut probe, WORKS[at % 4], ms));
    }
    let asked: Vec<Probe> = (0..3)
        .map(|_| {
            let mut probe = Probe::connect(&home);
            let question = exec(FOREIGN_POOL, "sleep 1");
            probe.tell(&question).expect("it listens");
            probe
        })
        .collect();
    let running = || {
        let running = |job: &&String| home.stands(job).0 == JobState::Running;
        jobs.iter().filter(running).count()
    };
    eventually("the service is busy", PATIENCE, || running() >= 4);
    pass(Duration::from_micros(random.below(200_000).into()));
    census.take(&home);
    terminate(service.pid());
    assert_eq!(
        service.end().code(),
        Some(0),
        "{}",
        home.read("service.log")
    );
    census.nobody_is_left();
    assert_eq!(home.processes(), []);
    let log = home.read("service.log");
    let (before, after) = log.split_once("told to end").expect("it says so");
    assert!(
        !after.contains("job starts"),
        "claiming stops at once: {after}"
    );
    let started = before.matches("job starts").count();
    let mut ended = 0;
    for job in &jobs {
        let job = home.job(job);
        match job.state {
            JobState::Succeeded => {
                assert_eq!((job.attempt, job.failures), (1, 0), "{job:?}");
                ended += 1;
            }
            // What a pool had claimed, and no worker had begun, went back.
            JobState::Queued => {
                let begun = job.attempts.iter().any(|it| it.started_at.is_some());
                assert!(!begun, "it was cut short: {job:?}");
            }
            JobState::Running | JobState::Failed | JobState::Cancelled => panic!("{job:?}"),
        }
    }
    assert_eq!(ended, started, "what ran has ended, and nothing else");
    for mut probe in asked {
        let answer = probe.hear().expect("an accepted request is answered");
        assert_eq!(answer["reply"]["body"], "slept", "{answer}");
    }
}

fn start(home: &Home, keys: &str) -> Serving {
    Serving::configured(home, &config(home, keys))
}

/// Waits until every job of the home has ended; how, by cause.
fn settle(home: &Home) -> BTreeMap<String, u32> {
    let unfinished = |job: &String| !home.stands(job).0.is_terminal();
    let mut left = home.ids();
    while !left.is_empty() {
        let before = left.len();
        let fewer = within(PATIENCE, || {
            left.retain(unfinished);
            left.len() < before
        });
        if fewer.is_none() {
            let stuck: Vec<Job> = left.iter().take(3).map(|job| home.job(job)).collect();
            panic!(
                "{} jobs do not end: {stuck:#?}\n{:#?}",
                left.len(),
                home.processes()
            );
        }
    }
    let mut causes = BTreeMap::new();
    for job in home.ids() {
        let job = home.job(&job);
        let cause = job.outcome.as_ref().map_or("none", |it| it.cause.name());
        let lost = job.state == JobState::Failed && cause == "worker_lost";
        assert!(job.state == JobState::Succeeded || lost, "{job:#?}");
        *causes.entry(cause.to_owned()).or_insert(0) += 1;
    }
    nobody_runs_twice(home);
    causes
}

fn nobody_runs_twice(home: &Home) {
    let violations = home.read("violations");
    let ids = violations.lines().filter_map(|line| line.split(' ').next());
    let jobs: Vec<Job> = ids.clone().map(|id| home.job(id)).collect();
    let log = home.read("service.log");
    let about =
        |line: &&str| ids.clone().any(|id| line.contains(id)) || line.contains("supervisor");
    let log: Vec<&str> = log.lines().filter(about).collect();
    assert!(violations.is_empty(), "{violations}{jobs:#?}\n{log:#?}");
}
