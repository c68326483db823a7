//! A worker of ours in a pool: one task after another, with shared state put back between them.
//!
//! It is ready again only when everything is as it was; whatever does not go back is said, and the
//! worker is replaced.
#![expect(unsafe_code, reason = "sets the environment while there is one thread")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use dispatcher_core::Usage;
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{PoolOrders, Start, WorkResult, WorkerMessage};

use super::link::{self, NoStart, Order, SharedLink, WorkerLink};
use super::worker::{flush, run, say};
use super::{sys, title};

/// What serves the direct requests of a worker, until it is to end; answers with the exit code.
pub(crate) type PoolMain = fn(PoolChannel) -> i32;

static MAIN: OnceLock<PoolMain> = OnceLock::new();

/// Says what serves the direct requests of workers, before this process may become one.
pub(crate) fn set_pool_main(main: PoolMain) {
    let _ = MAIN.set(main);
}

/// A worker's way to its pool. Jobs are run between two direct requests.
#[derive(Debug)]
pub(crate) struct PoolChannel {
    link: SharedLink,
    orders: PoolOrders,
    /// Where every task begins.
    home: PathBuf,
    /// The supervisor waits to hear that it is ready.
    owes_ready: bool,
    /// What it is told together with that.
    owed: Vec<WorkerMessage>,
    over: bool,
}

/// Serves until it is told to end, or is not fit for another task; answers with the exit code.
pub(super) fn serve(orders: PoolOrders, mut link: WorkerLink) -> i32 {
    link.widen(orders.max_frame);
    let home = match enter(&orders) {
        Ok(home) => home,
        Err(error) => return say(&error),
    };
    let channel = PoolChannel {
        link: SharedLink::new(link),
        orders,
        home,
        owes_ready: false,
        owed: Vec::new(),
        over: false,
    };
    match MAIN.get() {
        Some(main) => main(channel),
        None => say(&"nobody serves pools in this program"),
    }
}

impl PoolChannel {
    /// By which the program may choose what it serves direct requests with.
    pub(crate) fn mode(&self) -> &str {
        &self.orders.mode
    }

    /// Waits for a direct request, and runs the jobs that come before; `None` when it is to end.
    ///
    /// # Errors
    /// When the channel cannot be used any more.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            self.get_ready(None)?;
            if self.over {
                return Ok(None);
            }
            title::name_process(&title::process_name(&self.orders.pool));
            match self.link.order() {
                Ok(Order::Start(start)) => {
                    title::name_process(&title::process_name(&start.dispatcher));
                    let (used, result) = serve_job(&start, &self.link);
                    // What a panic has left half done shall be found by nobody.
                    let spoilt = matches!(result, WorkResult::Panicked(_));
                    let spoilt = spoilt.then(|| "a job panicked in it".to_owned());
                    self.owed = vec![WorkerMessage::Used(used), WorkerMessage::Result(result)];
                    self.owes_ready = true;
                    self.get_ready(spoilt)?;
                }
                Ok(Order::Task(frame)) => return Ok(Some(frame)),
                // What was to be cancelled is over already, or was never begun.
                Err(NoStart::Cancelled) => {}
                Ok(Order::End | Order::Serve(_)) | Err(NoStart::Gone) => self.over = true,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// The next frame about the request in hand, if it has come.
    ///
    /// # Errors
    /// When the channel cannot be used any more.
    pub(crate) fn arrived(&self) -> io::Result<Option<Frame>> {
        self.link.arrived()
    }

    /// Sends an answer, or a piece of one.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub(crate) fn send(&mut self, frame: &Frame) -> io::Result<()> {
        link::send_frame(frame)?;
        // A piece of a stream is no answer yet.
        let more = frame.stream & (Frame::STREAM | Frame::PING | Frame::PONG) != 0;
        self.owes_ready |= !more && !frame.is_control();
        Ok(())
    }

    /// Says that nobody should come after what was served last.
    pub(crate) fn give_up(&mut self, why: String) {
        flush();
        // The supervisor sees the end as well.
        let _ = self.get_ready(Some(why));
    }

    fn get_ready(&mut self, spoilt: Option<String>) -> io::Result<()> {
        if !std::mem::take(&mut self.owes_ready) {
            return Ok(());
        }
        flush();
        let told_to_stop = !self.link.put_back();
        let failure = spoilt.or_else(|| put_back(&self.home));
        self.over |= told_to_stop || failure.is_some();
        self.owed.push(WorkerMessage::Ready { failure });
        link::send_all(&std::mem::take(&mut self.owed))
    }
}

/// What the pool gives every task. Answers with the directory to come back to.
fn enter(orders: &PoolOrders) -> io::Result<PathBuf> {
    for (name, value) in &orders.env {
        // SAFETY: this process has one thread; user code has not run yet.
        unsafe { std::env::set_var(name, value) };
    }
    let home = orders.working_directory.as_deref().unwrap_or("/");
    std::env::set_current_dir(home)?;
    Ok(PathBuf::from(home))
}

/// Answers with what was used, and how it ended.
fn serve_job(start: &Start, link: &SharedLink) -> (Usage, WorkResult) {
    let before = sys::own_usage();
    let result = run(start, Box::new(link.clone()));
    flush();
    (since(&before, sys::own_usage()), result)
}

/// Says what did not go back.
fn put_back(home: &Path) -> Option<String> {
    let result = std::env::set_current_dir(home);
    result
        .err()
        .map(|error| format!("it cannot return to {}: {error}", home.display()))
}

/// What was used between two looks. The largest resident set is that of the whole life.
fn since(before: &Usage, now: Usage) -> Usage {
    Usage {
        user_us: now.user_us.saturating_sub(before.user_us),
        system_us: now.system_us.saturating_sub(before.system_us),
        max_rss_kib: now.max_rss_kib,
        major_faults: now.major_faults.saturating_sub(before.major_faults),
        minor_faults: now.minor_faults.saturating_sub(before.minor_faults),
        context_switches: now.context_switches.saturating_sub(before.context_switches),
        blocks_read: now.blocks_read.saturating_sub(before.blocks_read),
        blocks_written: now.blocks_written.saturating_sub(before.blocks_written),
        tree_peak_kib: None,
    }
}
