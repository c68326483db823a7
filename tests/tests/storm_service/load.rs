//! Work of every kind for a service under test: processes, commands, workers of the program and of
//! another language, direct requests. Each job holds a lock, so that one that runs twice is seen.

use std::fs;
use std::path::Path;

use dispatcher_tests::{Home, Probe, probe_section, workspace};
use serde_json::{Value, json};

/// How a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Process,
    Command,
    OwnPool,
    ForeignPool,
}

pub(crate) const WORKS: [Work; 4] = [
    Work::Process,
    Work::Command,
    Work::OwnPool,
    Work::ForeignPool,
];

/// Name of the foreign pool.
pub(crate) const POOL: &str = "py";

impl Work {
    fn dispatcher(self) -> &'static str {
        match self {
            Self::Process => "Storm",
            Self::Command => "Run",
            Self::OwnPool => "PooledStorm",
            Self::ForeignPool => "Ask",
        }
    }

    fn payload(self, home: &Path, ms: u32) -> Value {
        match self {
            Self::Process | Self::OwnPool => json!({ "ms": ms }),
            Self::Command => json!(f64::from(ms) / 1000.0),
            Self::ForeignPool => json!(format!("alone {} {ms}", home.display())),
        }
    }
}

/// The configuration of a service that does all of it; keys are for both pools.
pub(crate) fn config(home: &Home, keys: &str) -> String {
    let script = workspace().join("tests/fixtures/goridge/commands.py");
    let shell = "exec 9> $DISPATCHER_JOB.lock; \
                 flock -n 9 || echo $DISPATCHER_JOB runs twice at once >> violations; \
                 sleep $DISPATCHER_PAYLOAD";
    // A killed worker costs its job a failure, and there are many.
    let options = "max_queue = 0\nconcurrency = 0\nretries = 1000\nbackoff = \"constant(10ms)\"\n";
    format!(
        "[service]\nworkers = 4\ndrain_timeout = \"50s\"\n\
         [pools.own]\nmode = \"probe\"\nworkers = 2\n{keys}\n\
         [pools.{POOL}]\ncommand = [\"python3\", {script:?}]\nworkers = 2\n{keys}\n\
         [dispatchers.Storm]\n{options}\
         [dispatchers.PooledStorm]\nisolation = \"pool\"\npool = \"own\"\n{options}\
         [dispatchers.Ask]\npool = \"{POOL}\"\n{options}\
         [dispatchers.Run]\ncommand = [\"sh\", \"-c\", {shell:?}]\npayload = \"environment\"\n\
         working_directory = {:?}\n{options}{}",
        home.path(),
        probe_section(home)
    )
}

/// Stores a job that takes this long; none when the service is gone before it said that it has.
pub(crate) fn send(home: &Path, probe: &mut Probe, work: Work, ms: u32) -> Option<String> {
    probe.dispatch(work.dispatcher(), &work.payload(home, ms))
}

/// Takes away the files of jobs that have ended.
pub(crate) fn clear(home: &Home) {
    for file in fs::read_dir(home.path()).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if [".lock", ".running", ".finishing"]
            .iter()
            .any(|it| name.ends_with(it))
        {
            let _ = fs::remove_file(file.path());
        }
    }
}
