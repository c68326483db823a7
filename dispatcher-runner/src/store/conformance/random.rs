//! The same random steps on two stores, which must give the same answers throughout.
//!
//! The memory store counts what the others keep, so a counter that drifts shows here.

use dispatcher_core::OnDuplicate;

use super::*;

/// Numbers from a seed (xorshift64*).
pub(in crate::store) struct Numbers(u64);

impl Numbers {
    pub(in crate::store) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(in crate::store) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    pub(in crate::store) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let limit = from.len() as u64;
        (limit > 0).then(|| &from[self.below(limit) as usize])
    }
}

const NAMES: [&str; 4] = ["A", "B", "C", "D"];

fn random_job(numbers: &mut Numbers) -> NewJob {
    let name = NAMES[numbers.below(4) as usize];
    job_with(name, |job| {
        job.identity = format!("identity {}", numbers.below(3));
        job.options.queue = ["default", "slow"][numbers.below(2) as usize].to_owned();
        job.options.priority = numbers.below(3) as i32 - 1;
        if numbers.below(3) == 0 {
            job.options.delay = Some(seconds(numbers.below(20)));
        }
        if numbers.below(3) == 0 {
            job.options.expires = Some(seconds(1 + numbers.below(30)));
        }
        if numbers.below(8) == 0 {
            job.options.unique_key = Some("key".to_owned());
        }
    })
}

fn random_next(numbers: &mut Numbers) -> Next {
    let after = seconds(numbers.below(10));
    match numbers.below(6) {
        0 => Next::Fail,
        1 => Next::Retry { after },
        2 => Next::Snooze { after },
        3 => Next::Release,
        4 => Next::Cancel,
        _ => Next::Succeed,
    }
}

/// One step on one store, told as text.
type Step<'a> = &'a dyn Fn(&mut dyn Store) -> String;

struct Pair {
    fixtures: [Fixture; 2],
    stores: [Box<dyn Store>; 2],
}

impl Pair {
    fn new(other: Fixture) -> Self {
        let fixtures = [Fixture::memory(), other];
        let stores = [fixtures[0].store(), fixtures[1].store()];
        Self { fixtures, stores }
    }

    fn same(&mut self, what: &str, step: Step<'_>) {
        let [memory, sqlite] = &mut self.stores;
        assert_eq!(step(&mut **memory), step(&mut **sqlite), "{what}");
    }

    fn advance(&self, time: Duration) {
        for fixture in &self.fixtures {
            fixture.advance(time);
        }
    }
}

/// What has happened so far.
struct Walk {
    numbers: Numbers,
    pair: Pair,
    supervisors: Vec<SupervisorId>,
    sent: Vec<JobId>,
    claimed: Vec<Claimed>,
    /// Batches that were sent, whatever became of them.
    batches: Vec<String>,
}

impl Walk {
    fn step(&mut self, what: &str) {
        match self.numbers.below(26) {
            0..8 => self.submit(what),
            8..12 => self.claim(what),
            12..18 => self.record(what),
            18..20 => {
                if let Some(job) = self.numbers.pick(&self.sent).copied() {
                    self.pair
                        .same(what, &|store| format!("{:?}", store.cancel(&[job], "me")));
                }
            }
            20..22 => self.pair.advance(seconds(self.numbers.below(15))),
            22 if self.numbers.below(2) == 0 => {
                if let Some(dead) = self.supervisors.pop() {
                    self.pair
                        .same(what, &|store| format!("{:?}", store.rescue(dead)));
                }
            }
            22 => {
                let shift = self.numbers.below(4) as usize;
                let rows = rows(shift);
                self.pair
                    .same(what, &|store| format!("{:?}", store.register(&rows)));
            }
            23 => self.take_callbacks(what),
            _ => {
                let retention = Retention {
                    age: seconds(60),
                    count_per_dispatcher: 20,
                };
                self.pair.same(what, &|store| {
                    format!("{:?}", store.prune(&retention, usize::MAX))
                });
            }
        }
        self.pair.same(what, &|store| {
            format!("{:?}\n{:#?}", store.dispatchers(), store.jobs(&all()))
        });
        if let Some(id) = self.numbers.pick(&self.batches) {
            self.pair
                .same(what, &|store| format!("{:#?}", store.batch(id)));
        }
    }

    fn submit(&mut self, what: &str) {
        let size = 1 + self.numbers.below(3);
        let jobs: Vec<_> = (0..size).map(|_| random_job(&mut self.numbers)).collect();
        self.sent.extend(jobs.iter().map(|job| job.id));
        let groups = [self.message(group(jobs))];
        self.pair
            .same(what, &|store| format!("{:?}", store.submit(&groups)));
    }

    /// What belongs to some groups: a receipt, a batch, a callback.
    fn message(&mut self, mut group: Submission) -> Submission {
        if self.numbers.below(4) == 0 {
            group.receipt = Some(NewReceipt {
                sender: "sender".to_owned(),
                id: format!("m{}", self.numbers.below(20)),
                hash: [self.numbers.below(8).min(1) as u8; 32],
                note: "note".to_owned(),
                // Stores may forget it later than that.
                keep: seconds(100_000),
                count_max: 15,
            });
        }
        if self.numbers.below(3) == 0 {
            let id = format!("b{}", self.numbers.below(30));
            if !self.batches.contains(&id) {
                self.batches.push(id.clone());
            }
            let follows = self.numbers.below(2) == 0;
            let on_finished = follows.then(|| random_job(&mut self.numbers));
            self.sent.extend(on_finished.as_ref().map(|job| job.id));
            group.batch = Some(NewBatch { id, on_finished });
        }
        if self.numbers.below(3) == 0 {
            group.callbacks.push(NewCallback {
                job: self.numbers.below(group.jobs.len() as u64) as usize,
                url: format!("url {}", self.numbers.below(10)),
                sender: "sender".to_owned(),
            });
        }
        group
    }

    fn take_callbacks(&mut self, what: &str) {
        let settled = match self.numbers.below(3) {
            0 => Some(Settled::Again(seconds(self.numbers.below(10)))),
            1 => Some(Settled::Done),
            _ => None,
        };
        self.pair.same(what, &|store| {
            let taken = store.take_callbacks(3, seconds(20)).unwrap();
            // Each store has keys of its own.
            let told = taken.iter().map(|it| (it.job, &it.url, it.tries));
            let mut told: Vec<_> = told.collect();
            told.sort();
            for callback in &taken {
                if let Some(settled) = settled {
                    store.settle_callback(callback.key, settled).unwrap();
                }
            }
            format!("{told:?}")
        });
    }

    fn claim(&mut self, what: &str) {
        let Some(supervisor) = self.numbers.pick(&self.supervisors).copied() else {
            let ids = self.pair.stores.each_mut().map(|store| open(&mut **store));
            assert_eq!(ids[0], ids[1], "{what}");
            self.supervisors.push(ids[0]);
            return;
        };
        let mut wanted = request(supervisor, &NAMES, self.numbers.below(5) as u32);
        if self.numbers.below(3) == 0 {
            wanted.serves.queues = vec!["slow".to_owned()];
        }
        self.pair
            .same(what, &|store| format!("{:?}", store.claim(&wanted)));
        self.claimed = running(&mut *self.pair.stores[0], &self.supervisors);
    }

    /// Of a job that was running at the last claim, so that some records are stale.
    fn record(&mut self, what: &str) {
        let Some(one) = self.numbers.pick(&self.claimed).cloned() else {
            return;
        };
        let mut record = ending(&one, random_next(&mut self.numbers));
        record.output = (self.numbers.below(2) == 0).then(|| what.to_owned());
        self.pair.same(what, &|store| {
            format!("{:?}", store.record(std::slice::from_ref(&record)))
        });
    }
}

fn walk(seed: u64, other: Fixture) {
    let mut walk = Walk {
        numbers: Numbers::new(seed),
        pair: Pair::new(other),
        supervisors: Vec::new(),
        sent: Vec::new(),
        claimed: Vec::new(),
        batches: Vec::new(),
    };
    let rows = rows(0);
    walk.pair
        .same("register", &|store| format!("{:?}", store.register(&rows)));
    for number in 0..250 {
        walk.step(&format!("seed {seed}, step {number}"));
    }
    for job in walk.sent {
        walk.pair
            .same("every job", &|store| format!("{:#?}", store.job(job)));
    }
    for id in walk.batches {
        walk.pair
            .same("every batch", &|store| format!("{:#?}", store.batch(&id)));
    }
    for name in NAMES {
        walk.pair.same("outputs", &|store| {
            format!("{:?}", store.latest_output(name))
        });
    }
}

/// Each dispatcher with a policy of its own; another shift gives each another one.
fn rows(shift: usize) -> Vec<DispatcherRow> {
    NAMES
        .iter()
        .zip(OnDuplicate::ALL.iter().cycle().skip(shift))
        .map(|(name, policy)| {
            row(name, |options| {
                options.on_duplicate = *policy;
                options.concurrency = 2;
                options.max_queue = 12;
            })
        })
        .collect()
}

/// What the supervisors hold, as claims; a token equals its attempt in both stores.
fn running(store: &mut dyn Store, supervisors: &[SupervisorId]) -> Vec<Claimed> {
    supervisors
        .iter()
        .flat_map(|supervisor| store.claims_of(*supervisor).unwrap())
        .collect()
}

#[test]
fn both_stores_agree() {
    for seed in 1..=8 {
        walk(seed, Fixture::sqlite());
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_agrees() {
    for seed in 1..=8 {
        walk(seed, Fixture::postgres());
    }
}
