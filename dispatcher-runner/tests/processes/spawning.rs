//! What happens when no process, or no keeper, can be made.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use dispatcher_core::ExitStatus;
use libtest_mimic::Trial;

use crate::bench::{Bench, Way, wait_until};
use crate::once;
use crate::process::{Keeper, KeeperRequest, KeeperSpec, Limits};

/// Makes this program start a thread before it asks for its role.
pub(crate) const WITH_THREADS: &str = "PROCESSES_TEST_WITH_THREADS";
/// Makes this program end without asking for its role.
pub(crate) const WITHOUT_INIT: &str = "PROCESSES_TEST_WITHOUT_INIT";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        once("commands_that_cannot_start", commands_that_cannot_start),
        once("large_commands", large_commands),
        once("no_descriptors_left", no_descriptors_left),
        once("a_worker_twice", a_worker_twice),
        once("unknown_workers", unknown_workers),
        once("a_program_with_threads", a_program_with_threads),
        once("a_program_without_init", a_program_without_init),
    ]
}

fn commands_that_cannot_start() {
    let mut bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "text").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let garbage = dir.path().join("garbage");
    fs::write(&garbage, [0x7f, b'E', b'L', b'F', 0, 0, 0]).unwrap();
    fs::set_permissions(&garbage, fs::Permissions::from_mode(0o755)).unwrap();
    let (plain, garbage) = (plain.display().to_string(), garbage.display().to_string());
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH", path.as_str())];
    let cases: [(&[&str], Option<&str>, i32); 6] = [
        (&["no-such-program"], None, libc::ENOENT),
        (&["/no/such/program"], None, libc::ENOENT),
        (&[&plain], None, libc::EACCES),
        (&["true"], Some("/nowhere"), libc::ENOENT),
        (&[], None, libc::EINVAL),
        (&["true", "a\0b"], None, libc::EINVAL),
    ];
    for (argv, directory, expected) in cases {
        let job = bench.command(argv, &env, directory);
        assert_eq!(bench.spawn_failed(&job), expected, "{argv:?}");
    }
    let job = bench.command(&["true"], &[("PATH", "/nowhere")], None);
    assert_eq!(
        bench.spawn_failed(&job),
        libc::ENOENT,
        "the PATH is the command's"
    );
    // The library hands what is no image to the shell, as every shell does.
    let job = bench.command(&[&garbage], &env, None);
    assert!(matches!(bench.exited(&job).status, ExitStatus::Exited(1..)));
    let job = bench.command(&["false"], &env, None);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(1));
    wait_until(|| bench.children().is_empty());
}

fn large_commands() {
    let mut bench = Bench::new();
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH", path.as_str())];
    let piece = "x".repeat(100_000);
    let mut argv = vec!["sh", "-c", "echo $#"];
    argv.extend([piece.as_str(); 10]);
    let job = bench.command(&argv, &env, None);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    job.printed("9\n");
    let too_long = "x".repeat(200_000);
    let job = bench.command(&["true", &too_long], &env, None);
    assert_eq!(bench.spawn_failed(&job), libc::E2BIG);
}

fn no_descriptors_left() {
    let mut bench = Bench::new();
    let path = std::env::var("PATH").unwrap();
    let env = [("PATH", path.as_str())];
    let piece = "x".repeat(100_000);
    crate::bench::limit_descriptors(bench.keeper.pid(), 10);
    let job = bench.spawn(Way::Fork, Limits::default());
    assert_eq!(bench.spawn_failed(&job), libc::EMFILE);
    let job = bench.command(&["true", &piece], &env, None);
    assert_eq!(
        bench.spawn_failed(&job),
        libc::EMFILE,
        "a large request is named as well"
    );
    crate::bench::limit_descriptors(bench.keeper.pid(), 1024);
    let job = bench.run(Way::Fork, &[]);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
}

fn a_worker_twice() {
    let mut bench = Bench::new();
    let job = bench.spawn(Way::Fork, Limits::default());
    bench.spawned(&job);
    let again = bench.spawn_again(Way::Fork, &job);
    assert_eq!(bench.spawn_failed(&again), libc::EEXIST);
    bench.signal(&job, libc::SIGKILL);
    bench.exited(&job);
}

fn unknown_workers() {
    let mut bench = Bench::new();
    bench.ask(&KeeperRequest::Signal {
        worker: 99,
        signal: libc::SIGKILL,
    });
    let job = bench.run(Way::Fork, &[]);
    bench.exited(&job);
    assert_eq!(bench.bury(&job, true), 0);
}

fn a_program_with_threads() {
    let error = start_with(WITH_THREADS);
    assert!(error.contains("starts threads before init()"), "{error}");
}

fn a_program_without_init() {
    let error = start_with(WITHOUT_INIT);
    assert!(
        error.contains("must be the first line of `main`"),
        "{error}"
    );
}

fn start_with(variable: &str) -> String {
    let mut spec = KeeperSpec::of_this_program();
    spec.environment
        .push((variable.into(), OsString::from("1")));
    Keeper::start(&spec).unwrap_err().to_string()
}
