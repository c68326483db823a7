//! A soak: a service at full rate for a long time, while workers are recycled and killed, pools are
//! reset and its source fails. What goes in comes out, and nothing grows.
//!
//! It looks at numbers, never at how fast anything was. `DISPATCHER_TEST_SOAK_SECONDS` says for how
//! long; without it ten seconds, or twenty minutes at full size.

mod figures;
#[path = "../storm_service/load.rs"]
mod load;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dispatcher_tests::{
    Census, FOREIGN_POOL, Home, Kind, PATIENCE, Probe, Random, Serving, Size, clear_storm,
    configure, eventually, exec, kill, pass, said, terminate, within,
};
use figures::{Figures, Sample};
use load::{WORKS, config, send};
use serde_json::json;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");
/// Jobs that may be unfinished before senders pause.
const UNFINISHED_MAX: u64 = 2_000;
const SENDERS: usize = 3;
const ASKERS: usize = 2;

/// What all threads count.
#[derive(Debug, Default)]
struct Counts {
    over: AtomicBool,
    /// Jobs that were acknowledged.
    sent: AtomicU64,
    /// Jobs whose acknowledgement was cut off: they may be there or not.
    unheard: AtomicU64,
    /// Jobs that ended, as the service counts them.
    ended: AtomicU64,
    /// Direct requests with an answer, of whatever kind.
    answered: AtomicU64,
    resets: AtomicU64,
    source_failures: AtomicU64,
    workers_killed: AtomicU64,
    keepers_killed: AtomicU64,
}

impl Counts {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn line(&self) -> String {
        let of = |it: &AtomicU64| it.load(Ordering::Relaxed);
        format!(
            "{} jobs in, {} out, {} requests answered, {} resets, {} failures of the source, \
             {} workers and {} keepers killed",
            of(&self.sent),
            of(&self.ended),
            of(&self.answered),
            of(&self.resets),
            of(&self.source_failures),
            of(&self.workers_killed),
            of(&self.keepers_killed),
        )
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn duration() -> Duration {
    let seconds = match std::env::var("DISPATCHER_TEST_SOAK_SECONDS") {
        Ok(text) => text
            .parse()
            .expect("DISPATCHER_TEST_SOAK_SECONDS is a number"),
        Err(_) => Size::get().pick(10, 20 * 60),
    };
    Duration::from_secs(seconds.into())
}

#[test]
fn soak() {
    let home = Home::new(FIXTURE);
    let keys = "max_jobs = 50\nttl = \"20s\"\nmax_memory = \"200MiB\"";
    configure(
        &home,
        &format!("[store.retention]\ncount = 200\n{}", config(&home, keys)),
    );
    let arguments = ["--config", "dispatcher.toml"];
    let service = Serving::start_with(&home, &arguments, &[("DISPATCHER_LOG", "warn")]);
    let (counts, mut census) = (Counts::default(), Census::new());
    let mut figures = Figures::default();
    std::thread::scope(|scope| {
        let (counts, path) = (&counts, home.path());
        for at in 0..SENDERS {
            scope.spawn(move || send_jobs(path, counts, at));
        }
        for at in 0..ASKERS {
            scope.spawn(move || ask(path, counts, at));
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut watch = Watch {
                home: &home,
                service: &service,
                counts,
                census: &mut census,
            };
            watch.over(&mut figures, duration());
        }));
        counts.over.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    settle(&home, &counts);
    eprintln!("{}, {} processes seen", counts.line(), census.count());
    eprintln!("{}", figures.line());
    assert_eq!(home.read("violations"), "", "no job runs twice at once");
    for dispatcher in ["Storm", "PooledStorm", "Ask", "Run"] {
        assert_eq!(home.unfinished(dispatcher), Some(0), "{dispatcher}");
    }
    census.take(&home);
    terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
    census.nobody_is_left();
    figures.are_flat();
}

fn send_jobs(path: &Path, counts: &Counts, at: usize) {
    let mut probe = Probe::connect_in(path);
    for round in at.. {
        let unfinished = || {
            let sent = counts.sent.load(Ordering::Relaxed);
            sent.saturating_sub(counts.ended.load(Ordering::Relaxed))
        };
        let paused = || counts.is_over() || unfinished() < UNFINISHED_MAX;
        eventually("jobs come to their end", 5 * PATIENCE, paused);
        if counts.is_over() {
            return;
        }
        match send(path, &mut probe, WORKS[round % WORKS.len()], 0) {
            Some(_) => add(&counts.sent),
            None => {
                add(&counts.unheard);
                probe = Probe::connect_in(path);
            }
        }
    }
}

fn ask(path: &Path, counts: &Counts, at: usize) {
    let mut probe = Probe::connect_in(path);
    let pools = ["own", FOREIGN_POOL];
    for round in at.. {
        if counts.is_over() {
            return;
        }
        let question = match round % 100 {
            0 | 50 => "error no luck",
            77 => "exit 3",
            _ => "pid",
        };
        match probe.try_ask(&exec(pools[round % 2], question)) {
            Some(answer) => {
                assert!(
                    answer["reply"].is_object() || answer["error"].is_object(),
                    "{answer}"
                );
                add(&counts.answered);
            }
            None => probe = Probe::connect_in(path),
        }
    }
}

/// Looks, counts and disturbs, once a second.
struct Watch<'a> {
    home: &'a Home,
    service: &'a Serving,
    counts: &'a Counts,
    census: &'a mut Census,
}

impl Watch<'_> {
    fn over(&mut self, figures: &mut Figures, time: Duration) {
        let mut random = Random::seeded();
        let began = Instant::now();
        for second in 1_u32.. {
            pass(Duration::from_secs(1));
            if began.elapsed() >= time {
                return;
            }
            look(self.home, self.counts);
            self.census.take(self.home);
            figures.add(self.sample());
            self.disturb(second, &mut random);
            if second.is_multiple_of(5) {
                clear_storm(self.home);
            }
            if second.is_multiple_of(60) {
                eprintln!("{:?}: {}", began.elapsed(), self.counts.line());
            }
        }
    }

    fn sample(&self) -> Sample {
        let keepers = self.home.of_kind(Kind::Keeper);
        let keeper = keepers
            .iter()
            .find(|it| it.parent == self.service.pid().cast_signed());
        Sample::of(self.service.pid().cast_signed(), keeper.map(|it| it.pid))
    }

    fn disturb(&self, second: u32, random: &mut Random) {
        let counts = self.counts;
        if second.is_multiple_of(3) {
            let keepers: Vec<i32> = self
                .home
                .of_kind(Kind::Keeper)
                .iter()
                .map(|it| it.pid)
                .collect();
            let all = self.home.processes();
            let workers = all.iter().filter(|it| keepers.contains(&it.parent));
            let workers: Vec<i32> = workers
                .map(|it| it.pid)
                .filter(|it| !keepers.contains(it))
                .collect();
            if !workers.is_empty() {
                kill(random.pick(&workers));
                add(&counts.workers_killed);
            }
        }
        if second.is_multiple_of(5) {
            let reset = self.home.output(["reset"], b"");
            // One that a kill has crossed says so.
            let text = said(&reset.stderr);
            assert!(
                reset.status.success() || text.contains("was not reset"),
                "{text}"
            );
            add(&counts.resets);
        }
        // Less often than a source needs to count as well again.
        if second % 75 == 4 {
            let how = if second.is_multiple_of(2) {
                "panic"
            } else {
                "error"
            };
            let mut probe = Probe::connect_in(self.home.path());
            let answer = probe.try_ask(&json!({"fail": how}));
            answer.expect("it says that it fails");
            add(&counts.source_failures);
        }
        if second % 60 == 7 {
            self.home.kill_all(&[Kind::Keeper]);
            add(&counts.keepers_killed);
        }
    }
}

/// Takes over how many jobs have ended, as the service says it.
fn look(home: &Home, counts: &Counts) {
    let output = home.output(["status", "--metrics"], b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    let text = said(&output.stdout);
    let ended = text
        .lines()
        .filter(|it| it.starts_with("dispatcher_jobs_total{"));
    let ended: f64 = ended
        .filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    counts.ended.store(ended as u64, Ordering::Relaxed);
}

/// Waits until everything that went in has come out.
fn settle(home: &Home, counts: &Counts) {
    let sent = counts.sent.load(Ordering::Relaxed);
    let unheard = counts.unheard.load(Ordering::Relaxed);
    let ended = || {
        look(home, counts);
        counts.ended.load(Ordering::Relaxed)
    };
    let unfinished = || {
        let names = ["Storm", "PooledStorm", "Ask", "Run"];
        names
            .iter()
            .filter_map(|name| home.unfinished(name))
            .sum::<u32>()
    };
    let settled = within(2 * PATIENCE, || unfinished() == 0 && ended() >= sent);
    assert!(
        settled.is_some(),
        "{} unfinished: {}",
        unfinished(),
        counts.line()
    );
    assert!(
        ended() <= sent + unheard,
        "more out than in: {}",
        counts.line()
    );
}
