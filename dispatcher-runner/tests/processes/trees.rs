//! What becomes of the processes that a job starts.

use dispatcher_core::ExitStatus;
use libtest_mimic::Trial;

use crate::bench::{Bench, Way, alive, wait_until};
use crate::both;
use crate::jobs::Act;
use crate::process::{Carriers, NO_ATTEMPT, TAG_VARIABLE, kill_tagged};

pub(crate) fn trials() -> Vec<Trial> {
    [
        both("new_session_dies", new_session_dies),
        both("unmarked_orphan_dies", unmarked_orphan_dies),
        both("group_mates_die", group_mates_die),
        both("deep_tree_dies", deep_tree_dies),
        both("a_forked_child_dies", a_forked_child_dies),
        both("strays_stay", strays_stay),
        both("other_jobs_are_spared", other_jobs_are_spared),
        both(
            "somebody_elses_process_is_spared",
            somebody_elses_process_is_spared,
        ),
        both("orphans_of_a_running_job", orphans_of_a_running_job),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Starts shell lines in the background, then ends; each prints `away` when it is on its way.
fn strays(lines: &[&str]) -> Vec<Act> {
    lines
        .iter()
        .map(|line| Act::Shell((*line).to_owned()))
        .collect()
}

/// A process that ignores every polite request, in a session of its own.
const FAR: &str = "setsid sh -c 'trap \"\" TERM HUP INT; echo away; exec sleep 1000' &";

fn pid_printed(text: &str) -> u32 {
    text.split_ascii_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap()
}

fn new_session_dies(way: Way) {
    let mut bench = Bench::new();
    let mut acts = strays(&[FAR, FAR]);
    acts.extend([Act::IgnoreTerm, Act::Print("ready".into()), Act::Park]);
    let job = bench.run(way, &acts);
    wait_until(|| job.stdout.text().matches("away").count() == 2);
    job.printed("ready");
    bench.signal(&job, libc::SIGTERM);
    bench.signal(&job, libc::SIGKILL);
    assert_eq!(bench.exited(&job).strays, 2);
    assert_eq!(job.tagged(), 2);
    assert_eq!(bench.bury(&job, true), 0);
    assert_eq!(job.tagged(), 0);
    wait_until(|| bench.children().is_empty());
}

/// Without tag, group, session or parent it is still the only worker's that was there.
fn unmarked_orphan_dies(way: Way) {
    let mut bench = Bench::new();
    let line = "env -i /bin/sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & '";
    let job = bench.run(way, &strays(&[line]));
    let exit = bench.exited(&job);
    assert_eq!((exit.status, exit.strays), (ExitStatus::Exited(0), 1));
    wait_until(|| job.stdout.text().contains('\n'));
    let pid = pid_printed(&job.stdout.text());
    assert!(alive(pid));
    assert_eq!(job.tagged(), 0);
    assert_eq!(bench.bury(&job, true), 0);
    assert!(!alive(pid));
}

fn group_mates_die(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(
        way,
        &strays(&["env -i sleep 1000 & echo $!", "sleep 1000 &"]),
    );
    assert_eq!(bench.exited(&job).strays, 2);
    wait_until(|| job.stdout.text().contains('\n'));
    let pid = pid_printed(&job.stdout.text());
    assert_eq!(bench.bury(&job, true), 0);
    assert!(!alive(pid));
}

fn deep_tree_dies(way: Way) {
    let mut bench = Bench::new();
    let line =
        "setsid sh -c 'setsid sh -c \"setsid sleep 1000 & sleep 1000 & echo away; wait\" & wait' &";
    let mut acts = strays(&[line]);
    acts.push(Act::Park);
    let job = bench.run(way, &acts);
    job.printed("away");
    bench.signal(&job, libc::SIGKILL);
    let exit = bench.exited(&job);
    assert!(exit.strays >= 2, "{exit:?}");
    assert_eq!(bench.bury(&job, true), 0);
    assert_eq!(job.tagged(), 0);
    wait_until(|| bench.children().is_empty());
}

fn a_forked_child_dies(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[Act::ForkStray]);
    assert_eq!(bench.exited(&job).strays, 1);
    assert_eq!(bench.bury(&job, true), 0);
    assert_eq!(job.tagged(), 0);
}

fn strays_stay(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &strays(&[FAR, FAR]));
    wait_until(|| job.stdout.text().matches("away").count() == 2);
    assert_eq!(bench.exited(&job).strays, 2);
    assert_eq!(bench.bury(&job, false), 2);
    assert_eq!(job.tagged(), 2);
    // Others come and go, and are not charged with them.
    let other = bench.run(way, &[]);
    assert_eq!(bench.exited(&other).strays, 0);
    assert_eq!(bench.children().len(), 2);
    // When they end, the keeper reaps them.
    assert_eq!(kill_tagged(Carriers::Of(job.tag)), 2);
    wait_until(|| bench.children().is_empty());
}

fn other_jobs_are_spared(way: Way) {
    let mut bench = Bench::new();
    let mut acts = strays(&[FAR]);
    acts.extend([Act::Print("ready".into()), Act::Park]);
    let (one, two) = (bench.run(way, &acts), bench.run(way, &acts));
    for job in [&one, &two] {
        job.printed("ready");
        job.printed("away");
    }
    bench.signal(&one, libc::SIGKILL);
    assert_eq!(bench.exited(&one).strays, 1);
    // The zombie that is kept hides nobody.
    let three = bench.run(way, &[]);
    assert_eq!(bench.exited(&three).strays, 0);
    assert_eq!(bench.bury(&one, true), 0);
    assert_eq!((one.tagged(), two.tagged()), (0, 2));
    bench.signal(&two, libc::SIGKILL);
    assert_eq!(bench.exited(&two).strays, 1);
    assert_eq!(bench.bury(&two, true), 0);
    wait_until(|| bench.children().is_empty());
}

/// A job may start a supervisor, which marks itself as nobody's.
fn somebody_elses_process_is_spared(way: Way) {
    let mut bench = Bench::new();
    let line =
        format!("{TAG_VARIABLE}={NO_ATTEMPT} setsid sh -c 'echo $$; exec sleep 1000' & {FAR}");
    let mut acts = strays(&[&line]);
    acts.push(Act::Park);
    let job = bench.run(way, &acts);
    job.printed("away");
    wait_until(|| job.stdout.text().chars().any(|c| c.is_ascii_digit()));
    let pid = pid_printed(&job.stdout.text());
    bench.signal(&job, libc::SIGKILL);
    assert_eq!(bench.exited(&job).strays, 1);
    assert_eq!(bench.bury(&job, true), 0);
    assert!(alive(pid));
    crate::bench::kill(pid);
    wait_until(|| bench.children().is_empty());
}

/// Orphans come to the keeper while their job still runs; they are its job's all the same.
fn orphans_of_a_running_job(way: Way) {
    let mut bench = Bench::new();
    let mut acts = strays(&[FAR]);
    acts.extend([Act::Print("ready".into()), Act::Park]);
    let job = bench.run(way, &acts);
    job.printed("ready");
    wait_until(|| bench.children().len() == 2);
    let other = bench.run(way, &[]);
    assert_eq!(bench.exited(&other).strays, 0);
    bench.signal(&job, libc::SIGKILL);
    assert_eq!(bench.exited(&job).strays, 1);
    assert_eq!(bench.bury(&job, true), 0);
    assert_eq!(job.tagged(), 0);
}
