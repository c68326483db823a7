//! A worker of ours in a pool: one task after another, with shared state put back between them.
//!
//! It is ready again only when everything is as it was; whatever does not go back is said, and the
//! worker is replaced.
#![expect(unsafe_code, reason = "sets the environment while there is one thread")]

use std::io;
use std::path::{Path, PathBuf};

use dispatcher_core::Usage;
use dispatcher_core::frame::Frame;
use dispatcher_core::message::{PoolOrders, Start, WorkResult, WorkerMessage};

use super::link::{self, Order, SharedLink, WorkerLink};
use super::worker::{flush, run, say};
use super::{sys, title};

/// Serves until it is told to end, or is not fit for another task; answers with the exit code.
pub(super) fn serve(orders: &PoolOrders, mut link: WorkerLink) -> i32 {
    link.widen(orders.max_frame);
    let home = match enter(orders) {
        Ok(home) => home,
        Err(error) => return say(&error),
    };
    let name = title::process_name(&orders.pool);
    let link = SharedLink::new(link);
    loop {
        title::name_process(&name);
        let served = match link.order() {
            Ok(Order::Start(start)) => {
                title::name_process(&title::process_name(&start.dispatcher));
                serve_job(start, &link)
            }
            Ok(Order::Task(_)) => {
                let refusal = Frame::error("this program serves no direct requests");
                link::send_frame(&refusal).map(|()| None)
            }
            Ok(Order::End) => return 0,
            Ok(Order::Serve(_)) => return say(&"it is in a pool already"),
            Err(error) => return say(&error),
        };
        let told_to_stop = !link.put_back();
        let failure = match served {
            Ok(None) => put_back(&home),
            Ok(spoilt) => spoilt,
            Err(error) => return say(&error),
        };
        let over = told_to_stop || failure.is_some();
        if let Err(error) = link::send(&WorkerMessage::Ready { failure }) {
            return say(&error);
        }
        if over {
            return 0;
        }
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

/// Answers with the reason why nobody should come after this job.
fn serve_job(start: Start, link: &SharedLink) -> io::Result<Option<String>> {
    let before = sys::own_usage();
    let result = run(start, Box::new(link.clone()));
    flush();
    let used = since(&before, sys::own_usage());
    link::send(&WorkerMessage::Used(used))?;
    // What a panic has left half done shall be found by nobody.
    let spoilt = matches!(result, WorkResult::Panicked(_));
    link::send(&WorkerMessage::Result(result))?;
    Ok(spoilt.then(|| "a job panicked in it".to_owned()))
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
