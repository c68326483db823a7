//! What storms have in common: work of every kind, each job with a kernel lock of its own, so that
//! one that runs beside itself is seen.

use std::fs;

use crate::{Home, workspace};

/// Name of the pool whose workers are of another language.
pub const FOREIGN_POOL: &str = "py";

/// The sections of pools and dispatchers; keys are for both pools.
#[must_use]
pub fn storm_sections(home: &Home, keys: &str) -> String {
    let script = workspace().join("tests/fixtures/goridge/commands.py");
    // The lock's own process may be the one that is killed: that is another end than a lock that is
    // held.
    let shell = "exec 9> $DISPATCHER_JOB.lock; flock -n -E 75 9; \
                 [ $? -eq 75 ] && echo $DISPATCHER_JOB runs twice at once >> violations; \
                 sleep $DISPATCHER_PAYLOAD";
    // A killed worker costs its job a failure, and there are many.
    let options = "max_queue = 0\nconcurrency = 0\nretries = 1000\nbackoff = \"constant(10ms)\"\n";
    format!(
        "[pools.own]\nmode = \"probe\"\nworkers = 2\n{keys}\n\
         [pools.{FOREIGN_POOL}]\ncommand = [\"python3\", {script:?}]\nworkers = 2\n{keys}\n\
         [dispatchers.Storm]\n{options}\
         [dispatchers.PooledStorm]\nisolation = \"pool\"\npool = \"own\"\n{options}\
         [dispatchers.Ask]\npool = \"{FOREIGN_POOL}\"\n{options}\
         [dispatchers.Run]\ncommand = [\"sh\", \"-c\", {shell:?}]\npayload = \"environment\"\n\
         working_directory = {:?}\n{options}",
        home.path()
    )
}

/// Takes away the files of jobs that have ended.
pub fn clear_storm(home: &Home) {
    let own = [".lock", ".running", ".finishing"];
    for file in fs::read_dir(home.path()).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if own.iter().any(|it| name.ends_with(it)) {
            let _ = fs::remove_file(file.path());
        }
    }
}
