//! The same random steps on both stores, which must give the same answers throughout.
//!
//! The memory store counts what SQLite keeps, so a counter that drifts shows here.

use dispatcher_core::OnDuplicate;

use super::*;

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
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
    fn new() -> Self {
        let fixtures = [Fixture::memory(), Fixture::sqlite()];
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

fn walk(seed: u64) {
    let mut numbers = Numbers(seed);
    let mut pair = Pair::new();
    let rows = register_all();
    pair.same("register", &|store| format!("{:?}", store.register(&rows)));
    let mut supervisors = Vec::new();
    let mut sent = Vec::new();
    let mut claimed: Vec<Claimed> = Vec::new();
    for number in 0..250 {
        let what = format!("seed {seed}, step {number}");
        match numbers.below(12) {
            0..=3 => {
                let size = 1 + numbers.below(3);
                let jobs: Vec<_> = (0..size).map(|_| random_job(&mut numbers)).collect();
                sent.extend(jobs.iter().map(|job| job.id));
                let groups = [group(jobs)];
                pair.same(&what, &|store| format!("{:?}", store.submit(&groups)));
            }
            4..=5 => {
                let Some(supervisor) = numbers.pick(&supervisors).copied() else {
                    let id = pair.stores.each_mut().map(|store| open(&mut **store));
                    assert_eq!(id[0], id[1], "{what}");
                    supervisors.push(id[0]);
                    continue;
                };
                let mut wanted = request(supervisor, &NAMES, numbers.below(5) as u32);
                if numbers.below(3) == 0 {
                    wanted.serves.queues = vec!["slow".to_owned()];
                }
                pair.same(&what, &|store| format!("{:?}", store.claim(&wanted)));
                claimed = running(&mut *pair.stores[0], &supervisors);
            }
            6..=8 => {
                let Some(one) = numbers.pick(&claimed).cloned() else {
                    continue;
                };
                let mut record = ending(&one, random_next(&mut numbers));
                record.output = (numbers.below(2) == 0).then(|| number.to_string());
                pair.same(&what, &|store| {
                    format!("{:?}", store.record(std::slice::from_ref(&record)))
                });
            }
            9 => {
                let Some(job) = numbers.pick(&sent).copied() else {
                    continue;
                };
                pair.same(&what, &|store| format!("{:?}", store.cancel(&[job], "me")));
            }
            10 => pair.advance(seconds(numbers.below(15))),
            _ if numbers.below(3) == 0 => {
                if let Some(dead) = supervisors.pop() {
                    pair.same(&what, &|store| format!("{:?}", store.rescue(dead)));
                }
            }
            _ => {
                let retention = Retention {
                    age: seconds(60),
                    count_per_dispatcher: 20,
                };
                pair.same(&what, &|store| {
                    format!("{:?}", store.prune(&retention, usize::MAX))
                });
            }
        }
        pair.same(&what, &|store| {
            format!("{:?}\n{:#?}", store.dispatchers(), store.jobs(&all()))
        });
    }
    for job in sent {
        pair.same("every job", &|store| format!("{:#?}", store.job(job)));
    }
    for name in NAMES {
        pair.same("outputs", &|store| {
            format!("{:?}", store.latest_output(name))
        });
    }
}

fn register_all() -> Vec<DispatcherRow> {
    NAMES
        .iter()
        .zip(OnDuplicate::ALL)
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
    let held = supervisors
        .iter()
        .flat_map(|supervisor| store.claimed_by(*supervisor).unwrap())
        .collect::<Vec<_>>();
    held.into_iter()
        .map(|held| {
            let shown = show(store, held.job);
            Claimed {
                job: held.job,
                slot: held.slot,
                dispatcher: shown.summary.dispatcher,
                payload: shown.summary.payload,
                options: shown.options,
                counters: shown.summary.counters,
                snoozes: shown.snoozes,
            }
        })
        .collect()
}

#[test]
fn both_stores_agree() {
    for seed in 1..=20_u64 {
        walk(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}
