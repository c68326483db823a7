//! Pools of workers that are reused, of any language, as their users see them.
//!
//! Every sentence of the promise is a test with a service and real workers; nothing is looked at
//! from inside.

mod ahead;
mod foreign;
mod jobs;
mod life;
mod own;
mod own_outcomes;
mod reset;
mod trouble;

use std::fs;
use std::path::PathBuf;

use dispatcher_tests::{Home, PATIENCE, Serving, eventually, probe_section, said, workspace};
use serde_json::Value;

const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// A language in which a worker is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    program: &'static str,
    /// The worker to be copied.
    worker: &'static str,
    /// The same with commands for the tests.
    file: &'static str,
}

pub(crate) const PHP: Language = Language {
    program: "php",
    worker: "worker.php",
    file: "commands.php",
};
pub(crate) const PYTHON: Language = Language {
    program: "python3",
    worker: "worker.py",
    file: "commands.py",
};

/// Each of these tests once for every language.
macro_rules! in_every_language {
    ($($test:ident),* $(,)?) => {
        mod php {
            $(#[test] fn $test() { super::$test(crate::PHP); })*
        }
        mod python {
            $(#[test] fn $test() { super::$test(crate::PYTHON); })*
        }
    };
}
pub(crate) use in_every_language;

impl Language {
    fn script(self) -> PathBuf {
        self.beside(self.file)
    }

    fn beside(self, name: &str) -> PathBuf {
        workspace().join("tests/fixtures/goridge").join(name)
    }

    /// Writes the worker to this file of the test's directory, with these lines before it.
    pub(crate) fn write(self, home: &Home, name: &str, before: &str) -> PathBuf {
        fs::copy(self.beside(self.worker), home.file(self.worker)).expect("it can be copied");
        let text = fs::read_to_string(self.script()).expect("it is there");
        let script = home.file(name);
        fs::write(&script, format!("{before}{text}")).expect("it can be written");
        script
    }

    /// The command of a pool, as the configuration has it.
    fn command(self) -> String {
        format!("command = [{:?}, {:?}]", self.program, self.script())
    }

    /// A pool `w` of this language's worker, with more keys.
    fn pool(self, keys: &str) -> String {
        format!("[pools.w]\n{}\n{keys}\n", self.command())
    }
}

/// A service with pools, and the source that asks them.
pub(crate) fn serve(home: &Home, config: &str) -> Serving {
    Serving::configured(home, &format!("{config}\n{}", probe_section(home)))
}

/// What a command with `--json` prints.
pub(crate) fn asked(home: &Home, arguments: &[&str]) -> Value {
    let output = home.output(arguments.iter().copied(), b"");
    assert!(output.status.success(), "{}", said(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The service as `workers` shows it.
pub(crate) fn look(home: &Home) -> Value {
    asked(home, &["workers", "--json"])["services"][0].take()
}

/// A pool as `workers` shows it.
pub(crate) fn pool(home: &Home, name: &str) -> Value {
    let seen = look(home);
    let pools = seen["pools"].as_array().expect("a list");
    let found = pools.iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no pool: {seen}")).clone()
}

/// The workers of a pool that live, by what they do.
pub(crate) fn workers(home: &Home, name: &str) -> Vec<Value> {
    let seen = look(home);
    let workers = seen["workers"].as_array().expect("a list");
    let of_pool = workers.iter().filter(|it| it["pool"] == name);
    of_pool.cloned().collect()
}

/// How many workers of a pool were replaced for a reason.
pub(crate) fn replaced(home: &Home, name: &str, why: &str) -> u64 {
    pool(home, name)["restarts"][why].as_u64().unwrap_or(0)
}

/// Waits until one more was replaced for that reason.
pub(crate) fn wait_replaced(home: &Home, name: &str, why: &str) {
    eventually(&format!("a worker is replaced: {why}"), PATIENCE, || {
        replaced(home, name, why) > 0
    });
}
