//! How programs end, and everything else that a dispatcher gives its jobs.

use dispatcher_core::{Cause, JobState};
use dispatcher_tests::{
    Home, Job, Kind, PATIENCE, Serving, configure, eventually, is_alive, kill, notify, perform,
    said, tag_of,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{FIXTURE, cause, section, shell};

/// What the waiting command answers: its exit code and the job.
fn wait_for(home: &Home, payload: &Value) -> (Option<i32>, Job) {
    let config = home.file("dispatcher.toml");
    let mut command = home.command(["notifydispatcher", "Run", &payload.to_string(), "--json"]);
    let output = command
        .arg("--config")
        .arg(config)
        .output()
        .expect("it starts");
    let record: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output.stderr)));
    let id = record["id"].as_str().expect("an id");
    (output.status.code(), home.job(id))
}

fn pids(home: &Home, name: &str) -> Vec<i32> {
    let text = home.read(name);
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// With the directory of the test as that of the job.
fn here(script: &str, more: &str) -> Home {
    let home = Home::new(FIXTURE);
    let more = format!("working_directory = {:?}\n{more}", home.path());
    configure(&home, &section(script, "", &more));
    home
}

#[test]
fn an_exit_code_is_the_answer() {
    let home = shell("exit $(cat)", "", "payload = \"stdin\"");
    for code in [0, 1, 3, 70, 255] {
        let (answer, job) = wait_for(&home, &json!(code));
        assert_eq!(answer, Some(code), "{job:?}");
        match code {
            0 => assert!(matches!(cause(&job), Cause::Succeeded), "{job:?}"),
            _ => assert!(matches!(cause(&job), Cause::Exited { code: it } if *it == code)),
        }
    }
}

#[test]
fn a_signal_is_named() {
    let home = shell("kill -$(cat) $$", "", "payload = \"stdin\"");
    for signal in [6, 9, 11, 15] {
        let (answer, job) = wait_for(&home, &json!(signal));
        assert_eq!(answer, Some(128 + signal), "{job:?}");
        let named = matches!(cause(&job), Cause::Signalled { signal: it, .. } if *it == signal);
        assert!(named, "{job:?}");
    }
}

#[test]
fn an_unknown_program_could_not_be_started() {
    let home = Home::new(FIXTURE);
    configure(&home, "[dispatchers.Run]\ncommand = [\"no-such-program\"]");
    let (answer, job) = wait_for(&home, &json!({}));
    assert_eq!(answer, Some(126), "{job:?}");
    assert!(
        matches!(cause(&job), Cause::SpawnFailed { errno: 2 }),
        "{job:?}"
    );
    // Its own home: a supervisor keeps to the configuration that it began with.
    let home = Home::new(FIXTURE);
    let text = home.file("no-program");
    std::fs::write(&text, "words").expect("it can be written");
    configure(&home, &format!("[dispatchers.Run]\ncommand = [{text:?}]"));
    let (answer, job) = wait_for(&home, &json!({}));
    assert_eq!(answer, Some(126), "{job:?}");
    assert!(
        matches!(cause(&job), Cause::SpawnFailed { errno: 13 }),
        "{job:?}"
    );
}

#[test]
fn both_streams_are_captured() {
    let home = shell(
        "echo out; echo err >&2; head -c 400000 /dev/zero | tr '\\0' x",
        "",
        "",
    );
    let job = perform(&home, "Run", &json!({}));
    let attempt = &job.attempts[0];
    assert_eq!(said(&attempt.stderr), "err\n");
    assert!(
        said(&attempt.stdout).starts_with("out\nxxx"),
        "{:?}",
        cause(&job)
    );
    let kept = attempt.stdout.len() + attempt.stdout_tail.len();
    assert_eq!(kept as u64 + attempt.stdout_dropped, 400_004);
}

#[test]
fn surroundings_are_as_configured() {
    let more = "working_directory = \"/usr\"\nenv = { GREETING = \"hello\", PATH = \"/bin:/usr/bin\" }\nnice = 5";
    let home = shell(
        "pwd; echo $GREETING $PATH; nice; ls /proc/self/fd | wc -w",
        "",
        more,
    );
    let job = perform(&home, "Run", &json!({}));
    let out = said(&job.attempts[0].stdout);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["/usr", "hello /bin:/usr/bin", "5"], "{job:?}");
}

#[test]
fn only_the_slots_lock_is_inherited() {
    let home = shell("for it in /proc/$$/fd/*; do readlink $it; done", "", "");
    let job = perform(&home, "Run", &json!({}));
    let out = said(&job.attempts[0].stdout);
    let state = home.state().to_string_lossy().into_owned();
    let others: Vec<&str> = out
        .lines()
        .filter(|it| !it.starts_with("pipe:") && *it != "/dev/null" && !it.is_empty())
        .collect();
    assert!(others.len() == 1 && others[0].starts_with(&state), "{out}");
}

#[test]
fn a_timeout_ends_the_whole_tree() {
    let script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ >> pids; sleep 1000') & \
                  sh -c 'trap \"\" TERM; echo $$ >> pids; sleep 1000' & echo $$ >> pids; \
                  wait; sleep 1000";
    let home = here(script, "timeout = \"1s\"\ngrace = \"100ms\"");
    let job = perform(&home, "Run", &json!({}));
    assert!(matches!(cause(&job), Cause::TimedOut), "{job:?}");
    let pids = pids(&home, "pids");
    assert_eq!(pids.len(), 3, "{pids:?}");
    eventually("all of them are dead", PATIENCE, || {
        !pids.iter().any(|it| is_alive(*it))
    });
    home.no_tags_left();
}

#[test]
fn a_cancellation_ends_it() {
    let home = here("echo $$ >> pids; sleep 1000", "");
    let job = notify(&home, "Run", &json!({}), &[]);
    let pid = eventually("it runs", PATIENCE, || pids(&home, "pids").first().copied());
    let cancelled = home.output(["cancel", &job], b"");
    assert!(cancelled.status.success(), "{}", said(&cancelled.stderr));
    let job = home.wait(&job);
    assert_eq!(job.state, JobState::Cancelled);
    assert_eq!(
        job.attempts[0].pid,
        Some(pid),
        "the worker became the program"
    );
    eventually("it is dead", PATIENCE, || !is_alive(pid));
}

#[test]
fn limits_hold() {
    let burning = shell("while :; do :; done", "", "cpu_limit = \"1s\"");
    let job = perform(&burning, "Run", &json!({}));
    assert!(matches!(cause(&job), Cause::CpuLimit), "{job:?}");
    let dd = "dd if=/dev/zero of=/dev/null bs=300M count=1000000";
    let large = shell(dd, "", "memory_limit = \"100MiB\"");
    let job = perform(&large, "Run", &json!({}));
    assert!(
        matches!(cause(&job), Cause::MemoryLimit | Cause::OutOfMemory),
        "{job:?}"
    );
}

#[test]
fn what_is_left_behind_is_left_or_killed() {
    for (leftovers, stays) in [("leave", true), ("kill", false)] {
        let script = "sleep 1000 > /dev/null 2>&1 & echo $! > left";
        let home = here(script, &format!("leftovers = {leftovers:?}"));
        let job = perform(&home, "Run", &json!({}));
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        let left = pids(&home, "left")[0];
        assert_eq!(is_alive(left), stays, "{leftovers}");
        let counted = job.outcome.expect("an outcome").left_processes;
        assert_eq!(counted, u32::from(stays));
        // It is no longer a process of the job, as far as the next one is concerned.
        assert_eq!(perform(&home, "Run", &json!({})).state, JobState::Succeeded);
    }
}

#[test]
fn failures_are_tried_again() {
    let script = "echo x >> tries; [ $(wc -l < tries) = 3 ]";
    let home = here(script, "retries = 5\nbackoff = \"constant(10ms)\"");
    let job = perform(&home, "Run", &json!({}));
    assert_eq!(
        (job.state, job.attempt, job.failures),
        (JobState::Succeeded, 3, 2)
    );
    let exits: Vec<&str> = job
        .attempts
        .iter()
        .map(|it| it.outcome.cause.name())
        .collect();
    assert_eq!(exits, ["exited", "exited", "succeeded"]);
}

#[test]
fn a_schedule_runs_it_with_an_empty_payload() {
    let home = here(
        "cat > payload",
        "payload = \"stdin\"\nschedule = \"0 0 1 1 *\"",
    );
    let config = home.file("dispatcher.toml");
    let tick = || {
        let mut command = home.command(["schedule", "tick"]);
        let output = command
            .arg("--config")
            .arg(&config)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", said(&output.stderr));
    };
    tick();
    // As if nobody had looked for more than a year.
    let connection = Connection::open(home.database()).expect("there is a state file");
    connection.busy_timeout(PATIENCE).expect("a time");
    let changed = connection.execute(
        "UPDATE schedules SET record = json_set(record, '$.settled', json('[[1000, 1000]]'))
         WHERE dispatcher = (SELECT id FROM dispatchers WHERE name = 'Run')",
        (),
    );
    assert_eq!(changed, Ok(1));
    tick();
    let job = home.wait(&home.stored(0));
    assert_eq!(
        (job.state, &*home.read("payload")),
        (JobState::Succeeded, "{}"),
        "{job:?}"
    );
}

#[test]
fn what_is_missing_is_told_before_it_runs() {
    let home = here("touch ran", "required_commands = [\"no-such-program\"]");
    let config = home.file("dispatcher.toml");
    let mut command = home.command(["notifydispatcher", "Run", "{}"]);
    let output = command
        .arg("--config")
        .arg(&config)
        .output()
        .expect("it starts");
    let text = said(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("no-such-program"), "{text}");
    assert!(!home.file("ran").exists());
}

#[test]
fn a_service_serves_it_too() {
    let home = Home::new(FIXTURE);
    let service = Serving::configured(&home, &section("echo $PPID", "", ""));
    let job = perform(&home, "Run", &json!({}));
    let keeper = home.of_kind(Kind::Keeper).remove(0);
    assert_eq!(said(&job.attempts[0].stdout).trim(), keeper.pid.to_string());
    dispatcher_tests::terminate(service.pid());
    assert_eq!(service.end().code(), Some(0));
}

/// Runs for ever at its first attempt, and says if that is still there when the next one starts.
const LONG: &str = "first=$(cat $DISPATCHER_JOB.pid); \
                    grep -qs '^State:[[:space:]]*[RSDTtI]' /proc/$first/status && echo $first >> violations; \
                    [ -n \"$first\" ] && exit 0; \
                    echo $$ > $DISPATCHER_JOB.pid; sleep 1000";

/// The process of a job's first attempt.
fn first_pid(home: &Home, job: &str) -> i32 {
    let name = format!("{job}.pid");
    eventually("it runs", PATIENCE, || pids(home, &name).first().copied())
}

#[test]
fn a_lost_one_is_dead_before_it_runs_again() {
    let supervisor: &[Kind] = &[Kind::Supervisor];
    for killed in [supervisor, &[Kind::Supervisor, Kind::Keeper]] {
        let home = here(LONG, "");
        let job = notify(&home, "Run", &json!({}), &[]);
        let pid = first_pid(&home, &job);
        assert!(tag_of(pid).is_some(), "it carries the tag");
        home.kill_at_once(killed);
        if killed.contains(&Kind::Keeper) {
            assert!(is_alive(pid), "nobody is left to end it");
        }
        // Whoever comes next takes care of it.
        notify(&home, "Run", &json!({}), &[]);
        let job = home.wait(&job);
        assert_eq!(
            (job.state, job.failures),
            (JobState::Succeeded, 0),
            "{job:?}"
        );
        assert_eq!((job.attempt, job.lost), (2, 1), "{job:?}");
        assert!(!is_alive(pid));
        assert_eq!(home.read("violations"), "");
    }
}

#[test]
fn one_of_a_lost_keeper_runs_again() {
    let home = Home::new(FIXTURE);
    let more = format!("working_directory = {:?}\n", home.path());
    let _service = Serving::configured(&home, &section(LONG, "", &more));
    let job = notify(&home, "Run", &json!({}), &[]);
    let pid = first_pid(&home, &job);
    home.kill_all(&[Kind::Keeper]);
    let job = home.wait(&job);
    assert_eq!(
        (job.state, job.attempt),
        (JobState::Succeeded, 2),
        "{job:?}"
    );
    assert!(!is_alive(pid));
    assert_eq!(home.read("violations"), "");
}

#[test]
fn one_that_is_killed_itself_has_failed() {
    let home = here("echo $$ >> pids; sleep 1000", "");
    let job = notify(&home, "Run", &json!({}), &[]);
    let pid = eventually("it runs", PATIENCE, || pids(&home, "pids").first().copied());
    kill(pid);
    let job = home.wait(&job);
    assert!(
        matches!(cause(&job), Cause::Signalled { signal: 9, .. }),
        "{job:?}"
    );
    // Its child goes with it.
    home.no_tags_left();
}
