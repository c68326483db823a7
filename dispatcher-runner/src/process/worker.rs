//! The main of a worker: hello, then its one job, or the tasks of a pool.
//!
//! It is alone in its process, so it changes environment, directory and signals as it likes.
//! Whatever goes wrong before the job runs is an answer too, or exit code 70.
#![expect(
    unsafe_code,
    reason = "changes the environment while there is one thread"
)]

use std::io::{self, Write as _};
use std::os::fd::{IntoRawFd as _, RawFd};

use dispatcher_core::message::{PROTOCOL_VERSION, Start, WorkResult, WorkerMessage};
use dispatcher_core::{
    Context, Definition, EnvPolicy, Failure, FailureKind, JobId, Library, Link, Options,
};

use super::command::become_command;
use super::link::{self, Order, WorkerLink};
use super::tag::TAG_VARIABLE;
use super::{libraries, panics, pool_worker, spawn, sys, title};

/// Exit code of a worker that has no job, or cannot tell its result.
const PROTOCOL_EXIT: i32 = 70;

/// Makes this process one that can serve a job, or can fork such processes: what is done here
/// need not be done for each of them.
pub(super) fn prepare() {
    link::prepare();
    panics::prepare(|panic| {
        // The process is about to abort; a lost result shows as the signal.
        let _ = link::send(&WorkerMessage::Result(WorkResult::Panicked(panic)));
    });
    flush();
}

/// Serves one job in a process that the keeper forked, which is prepared.
pub(super) fn serve_fork(control: RawFd, lock: RawFd) -> ! {
    link::adopt(control, lock);
    let code = serve(None);
    // What the keeper had registered to run at its own exit is not this process's to run.
    spawn::exit_now(code)
}

/// Serves one job in a fresh image; its control channel is descriptor 0, its slot lock 3.
pub(super) fn serve_exec(dispatcher: &str, job: JobId) -> ! {
    prepare();
    title::name_process(&title::process_name(dispatcher));
    let lock = spawn::PLACE_A;
    let code = match sys::take_stdin().and_then(|control| {
        sys::close_on_exec(lock)?;
        Ok(control.into_raw_fd())
    }) {
        Ok(control) => {
            link::adopt(control, lock);
            serve(Some(job))
        }
        Err(error) => say(&error),
    };
    std::process::exit(code)
}

fn serve(expected: Option<JobId>) -> i32 {
    let hello = WorkerMessage::Hello {
        protocol: PROTOCOL_VERSION,
        pid: std::process::id(),
    };
    let mut link = WorkerLink::new();
    let order = link::send(&hello).map_err(Into::into);
    let start = match order.and_then(|()| link.order()) {
        Ok(Order::Start(start)) => start,
        Ok(Order::Serve(orders)) => return pool_worker::serve(orders, link),
        Ok(Order::End) => return 0,
        Ok(Order::Task(_)) => return say(&"a task, and no word about a pool"),
        Err(error) => return say(&error),
    };
    if expected.is_some_and(|job| job != start.job) {
        return say(&"the supervisor named another job than the arguments");
    }
    let result = run(&start, Box::new(link));
    flush();
    match link::send(&WorkerMessage::Result(result)) {
        Ok(()) => 0,
        Err(error) => say(&error),
    }
}

/// Runs one job, in the surroundings that it asks for.
pub(super) fn run(start: &Start, link: Box<dyn Link>) -> WorkResult {
    let libraries = match surround(&start.options) {
        Ok(libraries) => libraries,
        Err(result) => return result,
    };
    if let Some(command) = &start.command {
        return become_command(command, start);
    }
    let definition = match find(&start.dispatcher) {
        Ok(definition) => definition,
        Err(why) => return WorkResult::MissingRequirement { names: vec![why] },
    };
    let mut cx = Context::new(start.job, start.attempt, start.deadline, libraries, link);
    match panics::catch(|| (definition.run)(&start.payload, &mut cx)) {
        Ok(Ok(Ok(()))) => WorkResult::Succeeded,
        Ok(Ok(Err(failure))) => result_of(&failure),
        Ok(Err(refused)) => WorkResult::Discarded {
            message: refused.to_string(),
        },
        Err(panic) => WorkResult::Panicked(panic),
    }
}

/// Gives the job its surroundings.
fn surround(options: &Options) -> Result<Vec<Library>, WorkResult> {
    match &options.env {
        EnvPolicy::Inherit => {}
        EnvPolicy::Only(names) => keep_only(names),
    }
    if let Some(directory) = &options.working_directory {
        std::env::set_current_dir(directory).map_err(|error| WorkResult::Failed {
            message: format!("cannot enter the working directory {directory}"),
            causes: vec![error.to_string()],
            retry_after_ms: None,
        })?;
    }
    let missing = crate::requirements::missing(options);
    if !missing.is_empty() {
        return Err(WorkResult::MissingRequirement { names: missing });
    }
    libraries::load(&options.package_includes)
        .map_err(|names| WorkResult::MissingRequirement { names })
}

fn keep_only(names: &[String]) {
    let kept = |name: &str| name == TAG_VARIABLE || names.iter().any(|one| one == name);
    for (name, _) in std::env::vars_os() {
        if !name.to_str().is_some_and(kept) {
            // SAFETY: this process has one thread; user code has not run yet.
            unsafe { std::env::remove_var(name) };
        }
    }
}

fn find(name: &str) -> Result<&'static Definition, String> {
    crate::app::registry()
        .resolve(name)
        .map_err(|error| error.to_string())
}

fn result_of(failure: &Failure) -> WorkResult {
    let message = failure.message().to_owned();
    let failed = |retry_after_ms| WorkResult::Failed {
        message: message.clone(),
        causes: failure.causes().to_vec(),
        retry_after_ms,
    };
    let ms = |delay: std::time::Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    match failure.kind() {
        FailureKind::Failed => failed(None),
        FailureKind::RetryAfter(delay) => failed(Some(ms(delay))),
        FailureKind::Discard => WorkResult::Discarded { message },
        FailureKind::Snooze(delay) => WorkResult::Snoozed {
            delay_ms: ms(delay),
        },
    }
}

/// Nobody reads these streams any more if this fails, and the result matters more.
pub(super) fn flush() {
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
    sys::flush_c_streams();
}

pub(super) fn say(error: &dyn std::fmt::Display) -> i32 {
    // Nobody may be left to read it.
    let _ = writeln!(io::stderr(), "dispatcher: {error}");
    PROTOCOL_EXIT
}
