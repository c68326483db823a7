//! Every option of `#[dispatcher(...)]` as data.
//!
//! [`Options`] belong to one job and are frozen in its row; [`DispatcherOptions`] belong to the
//! dispatcher, stand in one row per name, and the newest build of the program wins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Options of one job. [`Default`] is the documented default of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Run time of one attempt, waiting not included; `None` is no limit.
    #[serde(with = "duration_ms::option")]
    pub timeout: Option<Duration>,
    /// Time between TERM and KILL.
    #[serde(with = "duration_ms")]
    pub grace: Duration,
    /// Label that a supervisor may be told to serve.
    pub queue: String,
    /// A job that has waited longer than this is ended as `expired`.
    #[serde(with = "duration_ms::option")]
    pub expires: Option<Duration>,
    /// Replaces the payload as the job's identity among duplicates.
    pub unique_key: Option<String>,
    /// What happens to this job if its identity is already unfinished; `None` is as its dispatcher
    /// has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_duplicate: Option<OnDuplicate>,
    /// Further attempts after a failure, crash or timeout.
    pub retries: u32,
    /// Waiting time before each further attempt.
    pub backoff: Backoff,
    /// What happens when the supervisor was lost while the job ran.
    pub on_lost: OnLost,
    /// Higher first; first in, first out inside one priority.
    pub priority: i32,
    /// Waiting time before the job may start for the first time.
    #[serde(with = "duration_ms::option")]
    pub delay: Option<Duration>,
    /// Operating-system packages that must be installed.
    pub required_packages: Vec<String>,
    /// Programs that must be on `PATH`.
    pub required_commands: Vec<String>,
    /// Shared libraries loaded with global symbols before `process()`.
    pub package_includes: Vec<String>,
    /// How the job's process comes to be.
    pub isolation: Isolation,
    /// Resident memory of the whole tree, in bytes.
    pub memory_limit: Option<u64>,
    /// CPU time of one process of the job.
    #[serde(with = "duration_ms::option")]
    pub cpu_limit: Option<Duration>,
    /// Open descriptors of one process of the job.
    pub open_files: Option<u64>,
    /// Niceness, -20 to 19.
    pub nice: Option<i32>,
    /// Which variables of the supervisor's start environment the job sees.
    pub env: EnvPolicy,
    /// Working directory; `/` when absent.
    pub working_directory: Option<String>,
    /// What happens to processes that a successful job leaves behind.
    pub leftovers: Leftovers,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(300)),
            grace: Duration::from_secs(10),
            queue: "default".into(),
            expires: None,
            unique_key: None,
            on_duplicate: None,
            retries: 0,
            backoff: Backoff::default(),
            on_lost: OnLost::default(),
            priority: 0,
            delay: None,
            required_packages: Vec::new(),
            required_commands: Vec::new(),
            package_includes: Vec::new(),
            isolation: Isolation::default(),
            memory_limit: None,
            cpu_limit: None,
            open_files: None,
            nice: None,
            env: EnvPolicy::default(),
            working_directory: None,
            leftovers: Leftovers::default(),
        }
    }
}

/// Options of a dispatcher as a whole, shared by all of its jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DispatcherOptions {
    /// Unfinished jobs accepted at once; 0 is unbounded.
    pub max_queue: u32,
    /// Attempts running at once over all supervisors; 0 is as many as there are worker slots.
    pub concurrency: u32,
    /// What happens to a job whose identity is already unfinished.
    pub on_duplicate: OnDuplicate,
    /// When the dispatcher runs by itself.
    pub schedule: Option<ScheduleOptions>,
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            max_queue: 10,
            concurrency: 1,
            on_duplicate: OnDuplicate::default(),
            schedule: None,
        }
    }
}

/// A recurring start of a dispatcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleOptions {
    /// `hourly`, `daily`, `weekly` or a cron expression of five fields.
    pub expression: String,
    /// IANA name of the zone in which the expression is read.
    pub timezone: String,
    /// What happens to ticks that passed while nobody ran.
    pub missed: Missed,
    /// What happens to a tick while the last scheduled run is unfinished.
    pub overlap: Overlap,
    /// Spread of scheduled starts.
    #[serde(with = "duration_ms")]
    pub jitter: Duration,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self {
            expression: String::new(),
            timezone: "UTC".into(),
            missed: Missed::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
        }
    }
}

/// Declares an enum whose variants have one spelling each, used in attributes, rows and listings.
macro_rules! spelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The spelling used in attributes, configuration and listings.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

spelled! {
    /// What happens to a submission whose identity is already unfinished.
    OnDuplicate {
        /// Accept it.
        #[default]
        Parallel = "parallel",
        /// Hold it until the other ends, in order.
        Serial = "serial",
        /// Drop it and answer with the surviving job.
        Discard = "discard",
        /// Accept while fewer than two are unfinished, the second held until the first ends.
        QueueOne = "queue_one",
    }
}
spelled! {
    /// What happens to a job whose supervisor was lost while it ran.
    OnLost {
        /// Run it again without using a retry, at most three times.
        #[default]
        Rerun = "rerun",
        /// End it as failed.
        Fail = "fail",
    }
}
spelled! {
    /// How the job's process comes to be.
    Isolation {
        /// Forked by the keeper.
        #[default]
        Process = "process",
        /// A fresh image of the program.
        Exec = "exec",
        /// A reused worker of the service's pool.
        Pool = "pool",
    }
}
spelled! {
    /// What happens to processes that a successful job leaves behind.
    Leftovers {
        /// They stay, and are recorded.
        #[default]
        Leave = "leave",
        /// They are killed.
        Kill = "kill",
    }
}
spelled! {
    /// What happens to ticks that passed while nobody ran.
    Missed {
        /// They are forgotten.
        Skip = "skip",
        /// One run makes up for all of them.
        #[default]
        Once = "once",
        /// Each is made up for, at most a hundred.
        All = "all",
    }
}
spelled! {
    /// What happens to a tick while the last scheduled run is unfinished.
    Overlap {
        /// It is dropped.
        #[default]
        Skip = "skip",
        /// It waits its turn.
        Queue = "queue",
    }
}

/// Waiting time before a further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Backoff {
    /// The same time before each.
    Constant {
        /// That time.
        #[serde(with = "duration_ms")]
        delay: Duration,
    },
    /// Grows by `step` with each failure, up to `max`.
    Linear {
        /// First delay, and growth.
        #[serde(with = "duration_ms")]
        step: Duration,
        /// Longest delay.
        #[serde(with = "duration_ms")]
        max: Duration,
    },
    /// Doubles with each failure, from `base` up to `max`.
    Exponential {
        /// First delay.
        #[serde(with = "duration_ms")]
        base: Duration,
        /// Longest delay.
        #[serde(with = "duration_ms")]
        max: Duration,
    },
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential {
            base: Duration::from_secs(1),
            max: Duration::from_secs(3600),
        }
    }
}

/// Which variables of the supervisor's start environment a job sees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvPolicy {
    /// All of them.
    #[default]
    Inherit,
    /// Only the named ones.
    Only(Vec<String>),
}

/// Durations as whole milliseconds, so that rows and messages have one unit. They are rounded up:
/// the shortest limit is no zero, which would mean none.
pub(crate) mod duration_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let millis = value.as_nanos().div_ceil(1_000_000);
        to.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            value: &Option<Duration>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, to),
                None => to.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
        }
    }
}
