//! The one table of limits. Documentation repeats it; nothing else defines a bound of its own.

use std::time::Duration;

/// Largest payload of a job, in bytes of JSON text.
pub const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest value passed to [`Context::output`](crate::Context::output), in bytes of JSON text.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Longest text passed to [`Context::progress`](crate::Context::progress), in bytes; more is cut.
pub const PROGRESS_BYTES_MAX: usize = 1024;
/// Captured bytes kept from the start of each of stdout and stderr.
pub const CAPTURE_HEAD_BYTES: usize = 64 * 1024;
/// Captured bytes kept from the end of each of stdout and stderr.
pub const CAPTURE_TAIL_BYTES: usize = 192 * 1024;
/// How long a finished job is kept.
pub const FINISHED_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many finished jobs are kept per dispatcher.
pub const FINISHED_COUNT_MAX: u64 = 10_000;
/// Ticks made up for by `missed = "all"`.
pub const MISSED_TICKS_MAX: usize = 100;
/// Snoozes of one job before it fails.
pub const SNOOZES_MAX: u32 = 1_000;
/// Times a job is re-queued because its supervisor was lost.
pub const LOST_RERUNS_MAX: u32 = 3;
/// Largest frame accepted from a worker of ours, in bytes of payload.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest message of a failure or panic that is kept, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A tick of a schedule that is at most this old is not a missed one.
pub const TICK_LATE_MAX: Duration = Duration::from_secs(120);
