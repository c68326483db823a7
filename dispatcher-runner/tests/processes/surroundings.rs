//! What a job finds around it, and what others see of it.

use dispatcher_core::{EnvPolicy, ExitStatus, Options};
use libtest_mimic::Trial;

use std::time::Duration;

use crate::bench::{Bench, Job, Way, wait_until};
use crate::jobs::{Act, CloseOnExec, Surroundings};
use crate::process::{Limits, TAG_VARIABLE};
use crate::{both, once};

pub(crate) fn trials() -> Vec<Trial> {
    [
        both("descriptors", descriptors),
        both("signals_and_mask", signals_and_mask),
        both("tag_and_title", tag_and_title),
        both("environment_by_list", environment_by_list),
        both("limits", limits),
        both("control_group", control_group),
        both("cpu_limit", cpu_limit),
        vec![once("command_surroundings", command_surroundings)],
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn look(bench: &mut Bench, way: Way, limits: Limits, options: Options) -> (Job, Surroundings) {
    let job = bench.run_with(way, &[Act::Look], limits, options);
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    job.result();
    let seen = serde_json::from_str(&job.output()).unwrap();
    (job, seen)
}

fn descriptors(way: Way) {
    let mut bench = Bench::new();
    let (_job, seen) = look(&mut bench, way, Limits::default(), Options::default());
    let standard: Vec<_> = seen.descriptors.iter().take(3).collect();
    assert_eq!(standard[0].1, "/dev/null");
    for (at, (fd, target, close)) in standard.iter().enumerate() {
        assert_eq!((*fd as usize, *close), (at, CloseOnExec::No));
        assert!(at == 0 || target.starts_with("pipe:"), "{target}");
    }
    let private = &seen.descriptors[3..];
    assert_eq!(private.len(), 2, "{private:?}");
    for (_, target, close) in private {
        assert_eq!(*close, CloseOnExec::Yes);
        assert!(target.starts_with("socket:") || target.ends_with("slot-0.lock"));
    }
    let child = bench.run(way, &[Act::Shell("ls -l /proc/self/fd | wc -l".into())]);
    bench.exited(&child);
    // Three, the directory itself, and the line of the total.
    wait_until(|| child.stdout.text().trim() == "5");
}

fn signals_and_mask(way: Way) {
    let mut bench = Bench::new();
    let (_job, seen) = look(&mut bench, way, Limits::default(), Options::default());
    let field = |name: &str| {
        let mut lines = seen.status.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    assert_eq!(field("SigBlk:"), "0000000000000000");
    // Every Rust program ignores SIGPIPE.
    assert_eq!(ignored(&field("SigIgn:")), 1 << (libc::SIGPIPE - 1));
    assert_eq!(field("Umask:"), "0022");
    assert_eq!(seen.directory, "/");
}

/// The set without the two signals that the C library keeps for itself and lets nobody reset.
fn ignored(set: &str) -> u64 {
    u64::from_str_radix(set, 16).unwrap() & !(0b11 << 31)
}

fn tag_and_title(way: Way) {
    let mut bench = Bench::new();
    let shell = Act::Shell(format!("echo shell ${TAG_VARIABLE}"));
    let job = bench.run(way, &[shell, Act::Print("ready".into()), Act::Park]);
    let pid = bench.spawned(&job);
    job.printed("ready");
    job.printed(&format!("shell {}\n", job.tag));
    assert_eq!(job.tagged(), 1);
    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let entry = format!("{TAG_VARIABLE}={}", job.tag);
    assert!(
        environ
            .split(|byte| *byte == 0)
            .any(|one| one == entry.as_bytes())
    );
    let shown = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let words: Vec<_> = shown
        .split(|byte| *byte == 0)
        .take_while(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    let id = job.tag.job.to_string();
    assert_eq!(
        words[1..],
        ["notifydispatcher", "Probe", "--job", id.as_str()]
    );
    assert_eq!(shown.last(), Some(&0));
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "Probe\n");
    let keeper = std::fs::read(format!("/proc/{}/cmdline", bench.keeper.pid())).unwrap();
    let keeper = String::from_utf8_lossy(&keeper).replace('\0', " ");
    assert!(
        keeper.trim_end().ends_with("dispatcher-keeper"),
        "{keeper:?}"
    );
}

fn environment_by_list(way: Way) {
    let mut bench = Bench::new();
    let options = Options {
        env: EnvPolicy::Only(vec!["PATH".into(), "NOT_THERE".into()]),
        working_directory: Some("/usr".into()),
        ..Options::default()
    };
    let (job, seen) = look(&mut bench, way, Limits::default(), options);
    let mut names: Vec<_> = seen
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, [TAG_VARIABLE, "PATH"]);
    let tag = seen
        .environment
        .iter()
        .find(|(name, _)| name == TAG_VARIABLE);
    assert_eq!(tag.unwrap().1, job.tag.to_string());
    assert_eq!(seen.directory, "/usr");
}

fn limits(way: Way) {
    let mut bench = Bench::new();
    let limits = Limits {
        cpu: Some(Duration::from_millis(2500)),
        open_files: Some(64),
        nice: Some(7),
        core: Some(0),
        oom_score_adj: Some(900),
        group: None,
        identity: None,
    };
    let (_job, seen) = look(&mut bench, way, limits, Options::default());
    let limit = |name: &str| {
        let line = seen.limits.lines().find_map(|line| line.strip_prefix(name));
        let words = line.unwrap().split_ascii_whitespace().take(2);
        words
            .map(|word| word.parse().unwrap())
            .collect::<Vec<u64>>()
    };
    assert_eq!(limit("Max cpu time"), [3, 4]);
    assert_eq!(limit("Max open files"), [64, 64]);
    assert_eq!(limit("Max core file size"), [0, 0]);
    assert_eq!(seen.oom_score_adj.trim(), "900");
    let after_name = seen.stat.rsplit_once(") ").unwrap().1;
    assert_eq!(after_name.split(' ').nth(16), Some("7"));
    let (_job, seen) = look(&mut bench, way, Limits::default(), Options::default());
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let own: i32 = own.trim().parse().unwrap();
    assert_eq!(seen.oom_score_adj.trim(), (own + 500).min(1000).to_string());
}

/// A worker writes to the file that lets it in before anything of the job runs.
fn control_group(way: Way) {
    let mut bench = Bench::new();
    let entrance = |group: &std::path::Path| Limits {
        group: Some(group.join("cgroup.procs")),
        ..Limits::default()
    };
    // What stands for the kernel's file shows what was written.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cgroup.procs"), "").unwrap();
    look(&mut bench, way, entrance(folder.path()), Options::default());
    let written = std::fs::read_to_string(folder.path().join("cgroup.procs")).unwrap();
    assert_eq!(written, "0");
    // One that is gone keeps no job from running, and is told.
    let gone = entrance(&folder.path().join("gone"));
    let (job, _) = look(&mut bench, way, gone, Options::default());
    wait_until(|| {
        let told = job.stderr.text();
        told.starts_with("dispatcher: memory is sampled only")
    });
    match real_group() {
        Ok(group) => {
            let (_job, seen) = look(&mut bench, way, entrance(&group), Options::default());
            let name = group.file_name().unwrap().to_str().unwrap();
            let own = seen.groups.lines().find(|line| line.starts_with("0::"));
            assert!(own.unwrap().ends_with(name), "{}", seen.groups);
            wait_until(|| std::fs::remove_dir(&group).is_ok());
        }
        Err(error) => eprintln!("tested with plain files only: no control group here: {error}"),
    }
}

/// A control group, of any controllers.
fn real_group() -> std::io::Result<std::path::PathBuf> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find(|line| line.contains(" cgroup2 "));
    let mount = mount.and_then(|line| line.split(' ').nth(1));
    let mount = mount.ok_or(std::io::ErrorKind::NotFound)?;
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("dispatcher-test-{}-{count}", std::process::id());
    let group = std::path::Path::new(mount).join(name);
    std::fs::create_dir(&group)?;
    Ok(group)
}

fn cpu_limit(way: Way) {
    let mut bench = Bench::new();
    let limits = Limits {
        cpu: Some(Duration::from_millis(1)),
        core: Some(0),
        ..Limits::default()
    };
    let job = bench.run_with(way, &[Act::BurnCpu], limits, Options::default());
    let exit = bench.exited(&job);
    assert!(matches!(
        exit.status,
        ExitStatus::Signalled {
            signal: libc::SIGXCPU,
            ..
        }
    ));
    assert!(
        exit.usage.user_us + exit.usage.system_us >= 500_000,
        "{:?}",
        exit.usage
    );
}

fn command_surroundings() {
    let mut bench = Bench::new();
    let path = std::env::var("PATH").unwrap();
    let script = "cat; pwd; umask; env | sort; for f in /proc/self/fd/*; do echo fd ${f##*/}; done; \
                  grep Sig /proc/self/status; for a in \"$@\"; do echo \"<$a>\"; done";
    let argv = ["sh", "-c", script, "name", "a b", "*", "", "'\"\n\u{1F600}"];
    let env = [("PATH", path.as_str()), ("X", "1 = 2")];
    let job = bench.command(&argv, &env, Some("/usr"));
    assert_eq!(bench.exited(&job).status, ExitStatus::Exited(0));
    job.printed("<'\"\n\u{1F600}>\n");
    let text = job.stdout.text();
    assert!(text.starts_with("/usr\n0022\n"), "{text}");
    assert!(
        text.contains(&format!("{TAG_VARIABLE}={}\n", job.tag)),
        "{text}"
    );
    assert!(text.contains("\nX=1 = 2\n") && text.contains("\n<a b>\n<*>\n<>\n"));
    assert!(!text.contains("HOME="), "{text}");
    assert!(text.contains("SigBlk:\t0000000000000000"), "{text}");
    // The directory that the shell reads, and the slot lock, out of the way of scripts.
    let numbers: Vec<i32> = text
        .lines()
        .filter_map(|line| line.strip_prefix("fd ")?.parse().ok())
        .collect();
    let small = numbers
        .iter()
        .filter(|number| (3..900).contains(*number))
        .count();
    assert!(small <= 1, "{numbers:?}");
    assert_eq!(job.tagged(), 0);
}
