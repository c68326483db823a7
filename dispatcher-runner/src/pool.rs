//! Pools of reused workers: how one is configured, what is asked of it, and what it answers.
//!
//! Plain values, shared by the configuration, the supervisor and whoever asks. Every limit of time
//! has one meaning: no key is used for two things.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Name of the pool that `isolation = "pool"` means; it is there without a section.
pub const DEFAULT_POOL: &str = "default";

/// Name of the pool that the section of a source holds; no section of a pool can have it.
pub(crate) fn pool_of_source(source: &str) -> String {
    format!("sources.{source}")
}

/// A pool of worker processes that are reused.
///
/// ```
/// use dispatcher_runner::PoolConfig;
/// let php = PoolConfig {
///     command: vec!["php".into(), "worker.php".into()],
///     max_workers: 2,
///     ..PoolConfig::default()
/// };
/// assert_eq!(php.spawn_timeout.as_secs(), 60);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// A foreign worker: program and arguments, no shell. Empty: this program.
    pub command: Vec<String>,
    /// What the worker finds in `RR_MODE`.
    pub mode: String,
    /// Workers that are always there.
    pub min_workers: u32,
    /// Workers at most; at least one.
    pub max_workers: u32,
    /// Jobs claimed ahead for each worker at most, while they are short; 0 claims nothing ahead.
    pub prefetch: u32,
    /// A worker is replaced after about so many tasks; 0 is never.
    pub max_jobs: u32,
    /// A worker is replaced at this age, when it is idle.
    pub ttl: Option<Duration>,
    /// A worker above `min_workers` ends, and one below is replaced, after this idle time.
    pub idle_ttl: Option<Duration>,
    /// A worker is replaced, when it is idle, above so many bytes of resident memory.
    pub max_memory: Option<u64>,
    /// Time from the start of a worker to its readiness.
    pub spawn_timeout: Duration,
    /// Longest wait of a request for a free worker.
    pub queue_timeout: Option<Duration>,
    /// Longest time of a request in a worker. A job has its own `timeout`.
    pub exec_timeout: Option<Duration>,
    /// Time from the request to end to KILL.
    pub stop_timeout: Duration,
    /// Time for what runs when the service ends.
    pub drain_timeout: Duration,
    /// Longest frame that a worker may send, in bytes.
    pub max_frame: u64,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Name or number of the user that workers run as.
    pub user: Option<String>,
    /// Where workers begin; `/` when absent.
    pub working_directory: Option<String>,
}

impl Default for PoolConfig {
    /// One worker a CPU, of this program, and the documented limits.
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        Self {
            command: Vec::new(),
            mode: String::new(),
            min_workers: cpus,
            max_workers: cpus,
            prefetch: 100,
            max_jobs: 0,
            ttl: None,
            idle_ttl: None,
            max_memory: None,
            spawn_timeout: Duration::from_secs(60),
            queue_timeout: None,
            exec_timeout: Some(Duration::from_secs(300)),
            stop_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(60),
            max_frame: 64 * 1024 * 1024,
            env: BTreeMap::new(),
            user: None,
            working_directory: None,
        }
    }
}

/// One direct request to a pool; nothing of it is stored.
pub(crate) struct PoolRequest {
    /// Name of the pool.
    pub(crate) pool: String,
    /// What the body is: [`Frame::JSON`](dispatcher_core::frame::Frame::JSON), … or 0.
    pub(crate) flags: u8,
    pub(crate) context: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Called by the supervisor's thread, so it must not wait: chunks in order, then the end.
    pub(crate) answer: Box<dyn FnMut(Part) -> Wish + Send>,
}

/// A piece of what a worker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A piece of a stream that goes on.
    Chunk(Vec<u8>),
    /// The end: nothing comes after it.
    End(Result<Reply, ExecError>),
}

/// What the asker wants after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The rest.
    #[cfg_attr(
        not(any(feature = "service", test)),
        expect(dead_code, reason = "only sources ask pools directly")
    )]
    More,
    /// No more: the stream is cancelled.
    Enough,
}

/// What a worker answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// What the body is: a flag of the frame, or 0.
    pub flags: u8,
    /// The worker's context.
    pub context: Vec<u8>,
    /// The answer.
    pub body: Vec<u8>,
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// There is no such pool.
    #[error("there is no pool `{0}`")]
    NoSuchPool(String),
    /// The worker said that it failed; it lives on.
    #[error("the worker says: {0}")]
    Refused(String),
    /// No worker was free in time.
    #[error("no worker of the pool was free within {0:?}")]
    QueueTimeout(Duration),
    /// The worker took too long and was ended.
    #[error("the worker did not answer within {0:?}; it was replaced")]
    ExecTimeout(Duration),
    /// The worker ended, or was ended, before it answered: the cause by name, then in words.
    #[error("{what}")]
    WorkerDied {
        /// Name of the cause, as in the outcome of a job.
        cause: &'static str,
        /// What happened.
        what: String,
    },
    /// Workers end as soon as they start.
    #[error("the pool is degraded: {0}")]
    Degraded(String),
    /// Every worker that got it asked to be stopped instead.
    #[error("{0} workers asked to be stopped instead of answering")]
    Unwanted(u32),
    /// The service ends.
    #[error("the service is stopping")]
    Stopping,
}
