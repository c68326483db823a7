//! `memory_limit`, `cpu_limit`, `open_files`, `leftovers`: at their ends, and for whole trees.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{Home, Job};
use serde_json::{Value, json};

use crate::{WAYS, fixture};

fn with_way(way: &str, mut options: Value) -> Value {
    options["isolation"] = json!(way);
    options
}

fn shell(home: &Home, line: &str, options: &Value) -> Job {
    home.run("Shell", &json!({ "line": line, "options": options }))
}

fn cause(job: &Job) -> &Cause {
    &job.outcome.as_ref().expect("it ended").cause
}

fn open_files(job: &Job) -> [String; 2] {
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    let seen: Value = serde_json::from_str(job.output.as_deref().expect("one")).expect("JSON");
    let limits = seen["limits"].as_str().expect("a text");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.expect("a line").split_ascii_whitespace();
    [words.next(), words.next()].map(|word| word.expect("a number").to_owned())
}

#[test]
fn memory_limit_of_one_byte_and_of_everything() {
    let home = fixture();
    for way in WAYS {
        let options = with_way(way, json!({ "memory_limit": 1 }));
        let job = home.run(
            "Act",
            &json!({ "deed": { "run": 60_000 }, "options": options }),
        );
        assert_eq!(*cause(&job), Cause::MemoryLimit, "{job:#?}");
        let options = with_way(way, json!({ "memory_limit": u64::MAX }));
        let job = home.run(
            "Act",
            &json!({ "deed": { "run": 300 }, "options": options }),
        );
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }
}

/// The tree counts: `tail` keeps what it may have to print.
#[test]
fn memory_limit_counts_children() {
    let home = fixture();
    let line = "head -c 200000000 /dev/zero | (tail -c 200000000; sleep 100) | sleep 100";
    let job = shell(
        &home,
        line,
        &json!({ "memory_limit": 100 << 20, "grace": 100 }),
    );
    assert_eq!(*cause(&job), Cause::MemoryLimit, "{job:#?}");
    home.no_tags_left();
}

/// The limit is each process's own: a child that is stopped by it leaves its parent to judge.
#[test]
fn cpu_limit_is_each_processes_own() {
    let home = fixture();
    let line = "sh -c 'while :; do :; done'; test $? -gt 128";
    let job = shell(&home, line, &json!({ "cpu_limit": 1_000 }));
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    assert_eq!(job.output.as_deref(), Some("0"));
}

#[test]
fn cpu_limit_from_the_shortest_to_the_longest() {
    let home = fixture();
    for way in WAYS {
        // Rounded up to what the system can count.
        let options = with_way(way, json!({ "cpu_limit": 1 }));
        let job = home.run("Act", &json!({ "deed": "burn", "options": options }));
        assert_eq!(*cause(&job), Cause::CpuLimit, "{job:#?}");
        let options = with_way(way, json!({ "cpu_limit": u64::MAX }));
        let job = home.run("Act", &json!({ "deed": "succeed", "options": options }));
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
        // Zero is no limit, as in an attribute that is left out.
        let options = with_way(way, json!({ "cpu_limit": 0 }));
        let job = home.run("Act", &json!({ "deed": "succeed", "options": options }));
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
        assert_eq!(job.options.cpu_limit, None);
    }
}

#[test]
fn open_files_from_few_to_all() {
    let home = fixture();
    let most = open_files(&home.run("Look", &json!({})));
    for way in WAYS {
        let look = |count: u64| {
            let options = with_way(way, json!({ "open_files": count }));
            open_files(&home.run("Look", &json!({ "options": options })))
        };
        assert_eq!(look(64), ["64", "64"]);
        // More than the system allows is what it allows.
        let [_, hard] = &most;
        assert_eq!(look(u64::MAX), [hard.clone(), hard.clone()]);
    }
}

/// With one descriptor nothing can be opened; the job ends, and nobody else is held up.
#[test]
fn open_files_of_one_ends_the_job_and_nothing_else() {
    let home = fixture();
    for way in WAYS {
        let options = with_way(way, json!({ "open_files": 1, "timeout": 30_000 }));
        let job = home.run("Look", &json!({ "options": options }));
        assert_eq!(job.state, JobState::Failed, "{job:#?}");
        assert!(!matches!(cause(&job), Cause::TimedOut), "{job:#?}");
        let next = home.run("Act", &json!({ "deed": "succeed" }));
        assert_eq!(next.state, JobState::Succeeded, "{next:#?}");
    }
}

/// Those that a success leaves live on or die as the option says; after a failure they always die.
#[test]
fn leftovers_in_every_case() {
    let home = fixture();
    for way in WAYS {
        for (leftovers, exit, stays) in [
            ("leave", 0, true),
            ("kill", 0, false),
            ("leave", 3, false),
            ("kill", 3, false),
        ] {
            let name = format!("{way}-{leftovers}-{exit}");
            let file = home.file(&name);
            // A daemon: a session and a parent of its own, its streams closed.
            let daemon = format!(
                "echo $$ > '{}.new'; mv '{0}.new' '{0}'; sleep 1000",
                file.display()
            );
            let line = format!(
                "setsid sh -c \"{}\" >/dev/null 2>&1 &\nwhile ! test -e '{}'; do :; done\n",
                daemon.replace('$', "\\$"),
                file.display()
            );
            let options = with_way(way, json!({ "leftovers": leftovers }));
            let line = if exit == 0 {
                line
            } else {
                // The job dies with its shell.
                format!("{line}kill -9 $PPID")
            };
            let job = shell(&home, &line, &options);
            let pid: i32 = home.read(&name).trim().parse().expect("a number");
            assert_eq!(
                job.state == JobState::Succeeded,
                exit == 0,
                "{name}: {job:#?}"
            );
            assert_eq!(dispatcher_tests::is_alive(pid), stays, "{name}");
            let left = job.outcome.as_ref().expect("it ended").left_processes;
            assert_eq!(left > 0, stays, "{name}: {job:#?}");
            if stays {
                // Its own session is its group.
                dispatcher_tests::kill_group(pid.unsigned_abs());
            }
        }
    }
}
