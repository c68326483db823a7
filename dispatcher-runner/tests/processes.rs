//! Keeper and workers, as real processes: this program is re-executed in every role.
//!
//! It is built from the runner's own sources, so that nothing of them has to be public for it.
#![expect(
    dead_code,
    unused_imports,
    reason = "the runner's modules are compiled into this program whole"
)]

#[path = "processes/bench.rs"]
mod bench;
#[path = "processes/endings.rs"]
mod endings;
#[path = "processes/jobs.rs"]
mod jobs;
#[path = "processes/load.rs"]
mod load;
#[path = "../src/process/mod.rs"]
mod process;
#[path = "../src/requirements.rs"]
mod requirements;
#[path = "processes/results.rs"]
mod results;
#[path = "processes/spawning.rs"]
mod spawning;
#[path = "processes/surroundings.rs"]
mod surroundings;
#[path = "processes/trees.rs"]
mod trees;

/// The two shapes of the store's seam that processes know.
mod store {
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct Stream {
        pub(crate) head: Vec<u8>,
        pub(crate) tail: Vec<u8>,
        pub(crate) dropped: u64,
    }

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Build {
        pub(crate) modified_ns: i64,
        pub(crate) id: String,
    }
}

/// The dispatchers of this program.
mod app {
    use std::sync::OnceLock;

    use dispatcher_core::Registry;

    pub(crate) fn registry() -> &'static Registry {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        REGISTRY.get_or_init(|| Registry::collect().expect("the dispatchers of this test"))
    }
}

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    if std::env::var_os(spawning::WITHOUT_INIT).is_some() {
        return;
    }
    if std::env::var_os(spawning::WITH_THREADS).is_some() {
        std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        });
    }
    process::become_role_if_asked();
    let arguments = Arguments::from_args();
    let trials = [
        endings::trials(),
        load::trials(),
        results::trials(),
        spawning::trials(),
        surroundings::trials(),
        trees::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A test that panics when it fails.
fn once(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}

/// A test of both ways to make a worker of ours.
fn both(name: &str, test: fn(bench::Way)) -> Vec<Trial> {
    bench::Way::ALL
        .into_iter()
        .map(|way| {
            Trial::test(format!("{name}::{way:?}"), move || {
                test(way);
                Ok::<(), Failed>(())
            })
        })
        .collect()
}
