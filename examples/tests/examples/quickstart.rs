//! The first command of the README: five jobs, told live, and a table of what became of them.

use std::time::{Duration, Instant};

use crate::support::{Program, text};

#[test]
fn it_tells_what_became_of_five_jobs_in_a_few_seconds() {
    let program = Program::new(env!("CARGO_BIN_EXE_quickstart"));
    let start = Instant::now();
    let output = program.run(&[]);
    let took = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(text(output.stderr), "");
    let said = text(output.stdout);
    assert!(!said.contains('\u{1b}'), "no colours in a pipe: {said}");

    let row = |job: &str, state: &str| -> Vec<String> {
        let mut lines = said.lines();
        let row = lines.find(|line| line.starts_with(job) && line.contains(state));
        let row = row.unwrap_or_else(|| panic!("{job} {state}: {said}"));
        let explained = lines.next().unwrap_or_default().trim();
        let cells = row.split_whitespace().map(str::to_owned);
        cells.chain([explained.to_owned()]).collect()
    };
    // job, state, attempts, run time, "s", process …
    let backup = row("Backup", "succeeded");
    assert_eq!((&*backup[2], &*backup[5], &*backup[6]), ("1", "exit", "0"));
    assert!(said.contains("Its output: {\"files\":3}"), "{said}");
    assert!(
        said.contains("67 %  copying taxes.ods"),
        "told live: {said}"
    );
    let upload = row("Upload", "succeeded");
    assert_eq!(upload[2], "2", "attempts");
    assert!(
        said.contains("attempt 1 failed: the mirror answered 503"),
        "{said}"
    );
    let stuck = row("Stuck", "failed");
    assert_eq!((&*stuck[2], &*stuck[5]), ("1", "SIGKILL"));
    assert!(stuck[7].contains("timeout of 1s"), "{stuck:?}");
    assert!(said.contains("5 processes so far"), "{said}");
    let crash = row("Crash", "failed");
    assert_eq!((&*crash[2], &*crash[5]), ("1", "SIGSEGV"));
    let refused = row("Backup", "refused");
    assert!(
        refused.last().is_some_and(|why| why.contains("full")),
        "{refused:?}"
    );
    assert!(said.contains("No process is left"), "{said}");

    // What it advises to do next works.
    let url = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("export DISPATCHER_DATABASE_URL="));
    let mut jobs = program.command(&["jobs"]);
    jobs.env("DISPATCHER_DATABASE_URL", url.expect("it says where"));
    let jobs = text(jobs.output().expect("it is a command line too").stdout);
    for name in ["Backup", "Upload", "Stuck", "Crash"] {
        assert!(jobs.contains(name), "{jobs}");
    }
}
