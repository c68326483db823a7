//! Many workers, much output, and a supervisor that does not listen.

use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use dispatcher_core::ExitStatus;
use dispatcher_core::limits::{CAPTURE_HEAD_BYTES, CAPTURE_TAIL_BYTES};
use dispatcher_core::message::{SupervisorMessage, WorkResult};
use libtest_mimic::Trial;

use crate::bench::{Bench, Way, wait_until};
use crate::jobs::Act;
use crate::process::{CaptureBuffer, KeeperReport, KeeperRequest, Limits, job_title};
use crate::{both, once};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        once("a_thousand_workers_in_a_row", a_thousand_workers_in_a_row),
        once(
            "a_supervisor_that_does_not_listen",
            a_supervisor_that_does_not_listen,
        ),
    ];
    trials.extend(both("huge_output", huge_output));
    trials.extend(both("many_at_once", many_at_once));
    trials
}

#[expect(
    clippy::print_stdout,
    reason = "says what a job costs; nothing depends on it"
)]
fn a_thousand_workers_in_a_row() {
    let mut bench = Bench::new();
    let keeper = bench.keeper.pid();
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{keeper}/fd"))
            .unwrap()
            .count()
    };
    let cpu = || {
        let stat = std::fs::read_to_string(format!("/proc/{keeper}/schedstat")).unwrap();
        stat.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    bare_job(&mut bench, 100_000);
    let (before, cpu_before, began) = (descriptors(), cpu(), Instant::now());
    const JOBS: u32 = 1000;
    for worker in 0..JOBS {
        bare_job(&mut bench, worker);
    }
    let wall = began.elapsed() / JOBS;
    let cpu = (cpu() - cpu_before) / u64::from(JOBS) / 1000;
    println!(
        "forked no-op job: {} µs end to end, {cpu} µs of the keeper",
        wall.as_micros()
    );
    assert_eq!(descriptors(), before);
    wait_until(|| bench.children().is_empty());
}

/// One no-op job, with as little work around it as possible.
fn bare_job(bench: &mut Bench, worker: u32) {
    let job = bench.tag();
    let (mut control, theirs) = UnixStream::pair().unwrap();
    let (mut out, err) = (io::pipe().unwrap(), io::pipe().unwrap());
    let request = KeeperRequest::Fork {
        worker,
        tag: job,
        title: job_title("app", "Probe", job.job),
        limits: Limits::default(),
    };
    let start = crate::bench::start(job, "Probe", "{\"acts\":[]}".into());
    crate::bench::say(&mut control, &SupervisorMessage::Start(Box::new(start)));
    let fds = [
        theirs.as_fd(),
        out.1.as_fd(),
        err.1.as_fd(),
        bench.lock.as_fd(),
    ];
    bench.keeper.send(&request, &fds).unwrap();
    drop((theirs, out.1, err.1));
    let mut said = Vec::new();
    control.read_to_end(&mut said).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("\"result\":\"succeeded\""));
    let exit = bench.expect(|report| match report {
        KeeperReport::Exited { status, strays, .. } => Some((*status, *strays)),
        _ => None,
    });
    assert_eq!(exit, (ExitStatus::Exited(0), 0));
    bench.expect(|report| matches!(report, KeeperReport::Spawned { .. }).then_some(()));
    out.0.read_to_end(&mut said).unwrap();
}

/// Neither side may wait for the other when sockets are full.
fn a_supervisor_that_does_not_listen() {
    let mut bench = Bench::new();
    let job = bench.run(Way::Fork, &[Act::Print("ready".into()), Act::Park]);
    job.printed("ready");
    const MANY: u32 = 20_000;
    for worker in 0..MANY {
        // Unknown workers, each answered.
        bench.ask(&KeeperRequest::Bury {
            worker: 1_000_000 + worker,
            kill: true,
        });
    }
    for worker in 0..MANY {
        bench.expect(|report| match report {
            KeeperReport::Buried { worker: w, left: 0 } if *w == 1_000_000 + worker => Some(()),
            _ => None,
        });
    }
    assert!(!bench.keeper.wants_write());
    bench.signal(&job, libc::SIGKILL);
    bench.exited(&job);
}

fn huge_output(way: Way) {
    let mut bench = Bench::new();
    const BYTES: usize = 64 * 1024 * 1024;
    let (acts, end) = (
        [
            Act::PrintMany { bytes: BYTES },
            Act::Print("the end".into()),
        ],
        7,
    );
    let job = bench.run(way, &acts);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    wait_until(|| job.stdout.len() == BYTES + end);
    let mut capture = CaptureBuffer::new(None);
    for piece in job.stdout.bytes().chunks(60_000) {
        capture.push(piece);
    }
    let stream = capture.finish();
    assert_eq!(stream.head.len(), CAPTURE_HEAD_BYTES);
    assert_eq!(stream.tail.len(), CAPTURE_TAIL_BYTES);
    assert!(stream.tail.ends_with(b"the end"));
    let kept = stream.head.len() + stream.tail.len();
    assert_eq!(stream.dropped as usize, BYTES + end - kept);
}

fn many_at_once(way: Way) {
    let mut bench = Bench::new();
    let jobs: Vec<_> = (0..40)
        .map(|_| bench.run(way, &[Act::WaitCancelled]))
        .collect();
    for job in &jobs {
        bench.spawned(job);
    }
    assert_eq!(bench.children().len(), 40);
    for mut job in jobs {
        job.say(&SupervisorMessage::Cancel);
        assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
        assert_eq!(job.result(), WorkResult::Succeeded);
    }
    wait_until(|| bench.children().is_empty());
}
