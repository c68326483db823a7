//! The one dispatcher of these tests: it does what its payload lists, in order.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use dispatcher_core::__private::{self, Registration, inventory};
use dispatcher_core::{
    Context, Definition, Dispatcher, DispatcherOptions, Failure, Options, Place, Process,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) acts: Vec<Act>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    Print(String),
    PrintMany {
        bytes: usize,
    },
    Exit(i32),
    Raise(i32),
    Panic(String),
    Fail(String),
    Discard(String),
    Snooze {
        ms: u64,
    },
    RetryAfter {
        ms: u64,
    },
    Progress(f64, String),
    /// Ignores TERM.
    IgnoreTerm,
    /// Waits for ever.
    Park,
    /// Asks again and again whether it was cancelled.
    WaitCancelled,
    /// Runs a shell line and waits for it.
    Shell(String),
    /// A child that never runs another image and never ends, a grandchild of it as well.
    ForkStray,
    BurnCpu,
    /// Outputs a [`Surroundings`].
    Look,
}

/// What a job finds around it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    pub(crate) descriptors: Vec<(i32, String, CloseOnExec)>,
    pub(crate) directory: String,
    pub(crate) environment: Vec<(String, String)>,
    /// `/proc/self/status`.
    pub(crate) status: String,
    /// `/proc/self/limits`.
    pub(crate) limits: String,
    pub(crate) oom_score_adj: String,
    /// `/proc/self/cgroup`.
    pub(crate) groups: String,
    /// `/proc/self/stat`.
    pub(crate) stat: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CloseOnExec {
    Yes,
    No,
}

impl Process for Probe {
    fn process(&mut self, cx: &mut Context) -> Result<(), Failure> {
        for act in &self.acts {
            perform(act, cx)?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "what a job prints is captured")]
fn perform(act: &Act, cx: &mut Context) -> Result<(), Failure> {
    match act {
        Act::Print(text) => print!("{text}"),
        Act::PrintMany { bytes } => {
            let line = [b'x'; 4096];
            let mut stdout = std::io::stdout().lock();
            for _ in 0..bytes / line.len() {
                stdout.write_all(&line)?;
            }
        }
        Act::Exit(code) => std::process::exit(*code),
        Act::Raise(signal) => raise(*signal),
        Act::Panic(text) => panic!("{text}"),
        Act::Fail(text) => return Err(Failure::new(text.clone())),
        Act::Discard(text) => return Err(Failure::discard(text.clone())),
        Act::Snooze { ms } => return Err(Failure::snooze(Duration::from_millis(*ms))),
        Act::RetryAfter { ms } => return Err(Failure::retry_after(Duration::from_millis(*ms))),
        Act::Progress(fraction, text) => cx.progress(*fraction, text)?,
        Act::IgnoreTerm => ignore_term(),
        Act::Park => loop {
            std::thread::park();
        },
        Act::WaitCancelled => {
            while !cx.cancelled() {
                std::thread::yield_now();
            }
        }
        Act::Shell(line) => {
            let status = Command::new("sh").arg("-c").arg(line).status()?;
            assert!(status.success(), "{line}: {status}");
        }
        Act::ForkStray => fork_stray(cx),
        Act::BurnCpu => loop {
            std::hint::spin_loop();
        },
        Act::Look => cx.output(&look()?)?,
    }
    std::io::stdout().flush()?;
    Ok(())
}

fn look() -> std::io::Result<Surroundings> {
    let mut descriptors = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        // The directory that is being read.
        if target.starts_with("/proc/") {
            continue;
        }
        let fd: i32 = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok())
            .unwrap_or(-1);
        descriptors.push((fd, target, close_on_exec(fd)?));
    }
    descriptors.sort_by_key(|(fd, ..)| *fd);
    Ok(Surroundings {
        descriptors,
        directory: std::env::current_dir()?.display().to_string(),
        environment: std::env::vars().collect(),
        status: fs::read_to_string("/proc/self/status")?,
        limits: fs::read_to_string("/proc/self/limits")?,
        oom_score_adj: fs::read_to_string("/proc/self/oom_score_adj")?,
        groups: fs::read_to_string("/proc/self/cgroup")?,
        stat: fs::read_to_string("/proc/self/stat")?,
    })
}

fn close_on_exec(fd: i32) -> std::io::Result<CloseOnExec> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.map(str::trim).unwrap_or_default();
    let flags = i32::from_str_radix(flags, 8).map_err(std::io::Error::other)?;
    Ok(if flags & libc::O_CLOEXEC != 0 {
        CloseOnExec::Yes
    } else {
        CloseOnExec::No
    })
}

#[expect(unsafe_code, reason = "the job of this test raises signals")]
fn raise(signal: i32) {
    // SAFETY: integers only; the default action applies.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

#[expect(unsafe_code, reason = "the job of this test ignores TERM")]
fn ignore_term() {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

#[expect(unsafe_code, reason = "the job of this test forks")]
fn fork_stray(cx: &mut Context) {
    // SAFETY: the worker has one thread.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: as above.
        unsafe { libc::setsid() };
        // It speaks into the void: the channel is its parent's.
        assert!(cx.progress(1.0, "from a child").is_err());
        loop {
            std::thread::park();
        }
    }
}

static DEFINITION: Definition = Definition {
    payload: dispatcher_core::PayloadKind::Fields,
    name: "Probe",
    aliases: &["probe.alias"],
    documentation: "",
    fields: &[],
    place: Place {
        package: "tests",
        module: "jobs",
        file: file!(),
        line: line!(),
    },
    options: Options::default,
    dispatcher_options: DispatcherOptions::default,
    default_payload: None,
    schema: None,
    check: __private::check::<Probe>,
    run: __private::run::<Probe>,
};

impl Dispatcher for Probe {
    const NAME: &'static str = "Probe";

    fn definition() -> &'static Definition {
        &DEFINITION
    }
}

inventory::submit! { Registration(Probe::definition) }
