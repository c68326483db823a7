//! Turns a panic of the job into data.
//!
//! The hook that was there before still prints to stderr. Only panics of the thread that runs the
//! job count; others are that thread's affair until the job joins it.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Mutex;
use std::thread;

use dispatcher_core::Panic;
use dispatcher_core::limits::MESSAGE_BYTES_MAX;

/// Longest backtrace that is kept.
const BACKTRACE_BYTES_MAX: usize = 64 * 1024;

static LAST: Mutex<Option<Panic>> = Mutex::new(None);

/// Has panics of this thread, and of those forked from it, noted; once, before [`catch`].
/// `before_abort` is called with the panic where the program is built to abort.
pub(crate) fn prepare(before_abort: fn(Panic)) {
    let worker = thread::current().id();
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == worker {
            let caught = describe(info);
            if cfg!(panic = "abort") {
                before_abort(caught);
            } else if let Ok(mut last) = LAST.lock() {
                *last = Some(caught);
            }
        }
        previous(info);
    }));
}

/// Runs the job.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let last = LAST.lock().ok().and_then(|mut last| last.take());
        last.unwrap_or_else(|| Panic {
            message: message(payload.as_ref()),
            location: String::new(),
            backtrace: String::new(),
        })
    })
}

fn describe(info: &PanicHookInfo<'_>) -> Panic {
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let backtrace = if wanted {
        Backtrace::force_capture().to_string()
    } else {
        String::new()
    };
    Panic {
        message: message(info.payload()),
        location: info.location().map(ToString::to_string).unwrap_or_default(),
        backtrace: cut(backtrace, BACKTRACE_BYTES_MAX),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a value that is no text".to_owned(),
    };
    cut(text, MESSAGE_BYTES_MAX)
}

fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}
