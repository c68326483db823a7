//! How workers end: by themselves, by signals, with their keeper, with their supervisor.

use std::io;

use dispatcher_core::message::{SupervisorMessage, WorkResult};
use dispatcher_core::{ExitStatus, Options};
use libtest_mimic::Trial;

use crate::bench::{Bench, Way, alive, wait_until};
use crate::jobs::Act;
use crate::process::{
    Carriers, KeeperRequest, KeeperSpec, Limits, count_tagged, kill_tagged, lock_slot, renew_slot,
    try_take_slot,
};
use crate::{both, once};

pub(crate) fn trials() -> Vec<Trial> {
    [
        both("a_good_end", a_good_end),
        both("exit_codes", exit_codes),
        both("signals", signals),
        both("term_by_default", term_by_default),
        both("term_ignored_then_kill", term_ignored_then_kill),
        both("term_as_a_flag", term_as_a_flag),
        both("cancel_frame", cancel_frame),
        both("keeper_killed", keeper_killed),
        both("supervisor_gone", supervisor_gone),
        both("deadline", deadline),
        both("slot_is_the_workers", slot_is_the_workers),
        vec![once("keeper_survives_term", keeper_survives_term)],
        vec![once("slot_is_the_commands", slot_is_the_commands)],
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn text(text: &str) -> Act {
    Act::Print(text.into())
}

const KILLED: ExitStatus = ExitStatus::Signalled {
    signal: libc::SIGKILL,
    core: false,
};

fn a_good_end(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[text("hello")]);
    let pid = bench.spawned(&job);
    let exit = bench.exited(&job);
    assert_eq!((exit.status, exit.strays), (ExitStatus::Exited(0), 0));
    assert!(exit.usage.max_rss_kib > 0 && exit.usage.context_switches > 0);
    assert_eq!(job.result(), WorkResult::Succeeded);
    job.printed("hello");
    assert!(!alive(pid));
    wait_until(|| bench.children().is_empty());
}

fn exit_codes(way: Way) {
    let mut bench = Bench::new();
    for code in [0, 3, 255] {
        let job = bench.run(way, &[Act::Exit(code)]);
        assert_eq!(bench.exited(&job).status, ExitStatus::Exited(code));
        assert!(!job.said_result());
    }
}

fn signals(way: Way) {
    let mut bench = Bench::new();
    let limits = Limits {
        core: Some(0),
        ..Limits::default()
    };
    for number in [libc::SIGSEGV, libc::SIGABRT, libc::SIGUSR1] {
        let job = bench.run_with(
            way,
            &[Act::Raise(number)],
            limits.clone(),
            Options::default(),
        );
        let status = bench.exited(&job).status;
        assert!(
            matches!(status, ExitStatus::Signalled { signal, core: false } if signal == number),
            "{status:?}"
        );
    }
}

fn term_by_default(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[text("ready"), Act::Park]);
    job.printed("ready");
    bench.signal(&job, libc::SIGTERM);
    let status = bench.exited(&job).status;
    assert!(matches!(
        status,
        ExitStatus::Signalled {
            signal: libc::SIGTERM,
            ..
        }
    ));
}

fn term_ignored_then_kill(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[Act::IgnoreTerm, text("ready"), Act::Park]);
    let pid = bench.spawned(&job);
    job.printed("ready");
    bench.signal(&job, libc::SIGTERM);
    // A second job goes all the way meanwhile; the first still lives.
    let other = bench.run(way, &[]);
    bench.exited(&other);
    assert!(alive(pid));
    bench.signal(&job, libc::SIGKILL);
    assert_eq!(bench.exited(&job).status, KILLED);
}

fn term_as_a_flag(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[text("a"), Act::WaitCancelled, text("b")]);
    // The handler is in place when the signal shows as caught.
    let pid = bench.spawned(&job);
    job.printed("a");
    wait_until(|| catches_term(pid));
    bench.signal(&job, libc::SIGTERM);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    assert_eq!(job.result(), WorkResult::Succeeded);
    job.printed("ab");
}

fn catches_term(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught >> (libc::SIGTERM - 1) & 1 == 1
}

fn cancel_frame(way: Way) {
    let mut bench = Bench::new();
    let mut job = bench.run(way, &[Act::WaitCancelled, text("stopped")]);
    job.say(&SupervisorMessage::Cancel);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    job.printed("stopped");
}

/// The supervisor lives: it finds the workers by their tags.
fn keeper_killed(way: Way) {
    let bench = &mut Bench::new();
    let line = "setsid sh -c 'echo away; exec sleep 1000' &";
    let job = bench.run(way, &[Act::Shell(line.into()), text("ready"), Act::Park]);
    let pid = bench.spawned(&job);
    job.printed("ready");
    job.printed("away");
    crate::bench::kill(bench.keeper.pid());
    bench.expect_end();
    assert!(alive(pid));
    assert_eq!(job.tagged(), 2);
    assert_eq!(kill_tagged(Carriers::Of(job.tag)), 2);
    assert_eq!(count_tagged(Carriers::Of(job.tag)), 0);
    wait_until(|| !alive(pid));
}

fn supervisor_gone(way: Way) {
    let mut bench = Bench::new();
    let line = "setsid sh -c 'trap \"\" TERM HUP; echo away; exec sleep 1000' &";
    let stays = bench.run(way, &[Act::Shell(line.into())]);
    assert_eq!(bench.exited(&stays).strays, 1);
    assert_eq!(bench.bury(&stays, false), 1);
    let running = bench.run(way, &[Act::Shell(line.into()), text("ready"), Act::Park]);
    let undecided = bench.run(way, &[Act::Shell(line.into())]);
    assert_eq!(bench.exited(&undecided).strays, 1);
    let waiting = bench.spawn(way, Limits::default());
    bench.spawned(&waiting);
    running.printed("ready");
    running.printed("away");
    let status = bench.keeper.finish().unwrap();
    assert!(status.success());
    assert_eq!(running.tagged(), 0);
    assert_eq!(undecided.tagged(), 0);
    assert_eq!(waiting.tagged(), 0);
    assert_eq!(stays.tagged(), 1, "what was left deliberately lives on");
}

fn deadline(way: Way) {
    let mut bench = Bench::new();
    let job = bench.run(way, &[text("ready"), Act::Park]);
    job.printed("ready");
    for boottime_ms in [Some(u64::MAX), None, Some(boottime_ms() + 100_000)] {
        bench.ask(&KeeperRequest::Deadline { boottime_ms });
    }
    let other = bench.run(way, &[]);
    bench.exited(&other);
    assert_eq!(job.tagged(), 1, "no deadline has passed");
    let boottime_ms = Some(boottime_ms() + 20);
    bench.ask(&KeeperRequest::Deadline { boottime_ms });
    bench.expect_end();
    assert_eq!(job.tagged(), 0);
}

fn boottime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    (seconds * 1000.0) as u64
}

fn slot_is_the_workers(way: Way) {
    let mut bench = Bench::new();
    let line = "setsid sh -c 'echo away; exec sleep 1000' &";
    let acts = [
        Act::Shell(line.into()),
        Act::ForkStray,
        text("ready"),
        Act::Park,
    ];
    let job = bench.run(way, &acts);
    let pid = bench.spawned(&job);
    job.printed("ready");
    job.printed("away");
    crate::bench::kill(bench.keeper.pid());
    bench.expect_end();
    let Bench { dir, lock, .. } = bench;
    drop(lock);
    assert!(
        !try_take_slot(dir.path(), 0).unwrap(),
        "the worker holds it"
    );
    crate::bench::kill(pid);
    wait_until(|| try_take_slot(dir.path(), 0).unwrap());
    assert_eq!(job.tagged(), 2, "neither grandchild held it");
}

fn slot_is_the_commands() {
    let mut bench = Bench::new();
    let path = std::env::var("PATH").unwrap();
    let job = bench.command(&["sleep", "1000"], &[("PATH", &path)], None);
    let pid = bench.spawned(&job);
    crate::bench::kill(bench.keeper.pid());
    bench.expect_end();
    let Bench { dir, lock, .. } = bench;
    let held = lock_slot(dir.path(), 0).unwrap_err();
    assert_eq!(held.kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    assert!(!try_take_slot(dir.path(), 0).unwrap());
    let fresh = renew_slot(dir.path(), 0).unwrap();
    drop(fresh);
    assert!(
        try_take_slot(dir.path(), 0).unwrap(),
        "a renewed slot is another one"
    );
    assert_eq!(kill_tagged(Carriers::Of(job.tag)), 1);
    assert!(!alive(pid));
}

fn keeper_survives_term() {
    let mut bench = Bench::with(&KeeperSpec::of_this_program());
    let job = bench.run(Way::Fork, &[text("ready"), Act::Park]);
    job.printed("ready");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        crate::bench::send_signal(bench.keeper.pid(), signal);
    }
    let other = bench.run(Way::Fork, &[]);
    assert_eq!(bench.exited(&other).status, ExitStatus::Exited(0));
    assert_eq!(job.tagged(), 1);
}
