//! The one table of options: names, what each takes, where it belongs, how it is written.
//!
//! Suggestions, messages and the check all read it, so an option exists once it stands here.

/// An option of `#[dispatcher(...)]` on a struct.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) home: Home,
    pub(crate) takes: Takes,
    /// The value of an example, as source text.
    pub(crate) example: &'static str,
}

/// Which part of the definition an option sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// The definition itself.
    Definition,
    /// `Options`, frozen in each job's row.
    Job,
    /// `DispatcherOptions`, one row for all jobs.
    Dispatcher,
    /// `ScheduleOptions`.
    Schedule,
}

/// What an option takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// A name of the dispatcher.
    Name,
    /// A path to `dispatcher_core`.
    Path,
    /// Nothing.
    Nothing,
    /// Seconds or a duration.
    Duration(Zero),
    /// A `u32`.
    Count,
    /// An `i32` within bounds.
    Number { min: i32, max: i32, optional: Is },
    /// A `u64` that is not zero.
    Amount,
    /// Bytes or a size.
    Size,
    /// A label of a queue.
    Label,
    /// An absolute path.
    Directory,
    /// An IANA zone name.
    Zone,
    /// `hourly`, `daily`, `weekly` or a cron expression.
    Schedule,
    /// One string or a list.
    Names,
    /// A list of environment variables.
    Variables,
    /// One of a few words.
    Choice(&'static Choice),
    /// A back-off.
    Backoff,
}

/// What a duration of zero means, and whether the field of the options may be absent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Zero {
    /// The field is a plain duration; zero is one.
    Plain,
    /// The field may be absent, and zero makes it so.
    Absent,
    /// The field may be absent, and zero is a mistake: leave the option out.
    Refused,
}

/// Whether a field of the options is an `Option`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Is {
    Optional,
    Plain,
}

/// An enum of the options with the spelling of each variant.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) type_name: &'static str,
    pub(crate) variants: &'static [(&'static str, &'static str)],
}

/// Every option, in the order of the documentation.
pub(crate) const TABLE: &[Known] = &[
    known(
        "name",
        Home::Definition,
        Takes::Name,
        "\"RenewCertificate\"",
    ),
    known("alias", Home::Definition, Takes::Name, "\"certs.renew\""),
    known(
        "timeout",
        Home::Job,
        Takes::Duration(Zero::Absent),
        "\"5m\"",
    ),
    known("grace", Home::Job, Takes::Duration(Zero::Plain), "\"10s\""),
    known("max_queue", Home::Dispatcher, Takes::Count, "10"),
    known("concurrency", Home::Dispatcher, Takes::Count, "1"),
    known("queue", Home::Job, Takes::Label, "\"default\""),
    known(
        "expires",
        Home::Job,
        Takes::Duration(Zero::Refused),
        "\"1h\"",
    ),
    known(
        "schedule",
        Home::Schedule,
        Takes::Schedule,
        "\"30 4 * * MON-FRI\"",
    ),
    known("timezone", Home::Schedule, Takes::Zone, "\"Europe/Berlin\""),
    known("missed", Home::Schedule, Takes::Choice(&MISSED), "\"once\""),
    known(
        "overlap",
        Home::Schedule,
        Takes::Choice(&OVERLAP),
        "\"skip\"",
    ),
    known(
        "jitter",
        Home::Schedule,
        Takes::Duration(Zero::Plain),
        "\"30s\"",
    ),
    known(
        "on_duplicate",
        Home::Dispatcher,
        Takes::Choice(&ON_DUPLICATE),
        "\"serial\"",
    ),
    known("retries", Home::Job, Takes::Count, "3"),
    known(
        "backoff",
        Home::Job,
        Takes::Backoff,
        "\"exponential(1s, 1h)\"",
    ),
    known("on_lost", Home::Job, Takes::Choice(&ON_LOST), "\"rerun\""),
    known("priority", Home::Job, PRIORITY, "10"),
    known("delay", Home::Job, Takes::Duration(Zero::Absent), "\"30s\""),
    known(
        "required_packages",
        Home::Job,
        Takes::Names,
        "[\"certbot\"]",
    ),
    known(
        "required_commands",
        Home::Job,
        Takes::Names,
        "[\"rsync\", \"ssh\"]",
    ),
    known(
        "package_includes",
        Home::Job,
        Takes::Names,
        "[\"libssl.so.3\"]",
    ),
    known(
        "isolation",
        Home::Job,
        Takes::Choice(&ISOLATION),
        "\"process\"",
    ),
    known("memory_limit", Home::Job, Takes::Size, "\"512MiB\""),
    known(
        "cpu_limit",
        Home::Job,
        Takes::Duration(Zero::Refused),
        "\"1m\"",
    ),
    known("open_files", Home::Job, Takes::Amount, "1024"),
    known("nice", Home::Job, NICE, "10"),
    known("env", Home::Job, Takes::Variables, "[\"PATH\", \"HOME\"]"),
    known(
        "working_directory",
        Home::Job,
        Takes::Directory,
        "\"/var/lib/myapp\"",
    ),
    known(
        "leftovers",
        Home::Job,
        Takes::Choice(&LEFTOVERS),
        "\"leave\"",
    ),
    known("schema", Home::Definition, Takes::Nothing, ""),
    known("crate", Home::Definition, Takes::Path, "::dispatcher_core"),
];

const PRIORITY: Takes = Takes::Number {
    min: i32::MIN,
    max: i32::MAX,
    optional: Is::Plain,
};
const NICE: Takes = Takes::Number {
    min: -20,
    max: 19,
    optional: Is::Optional,
};

const MISSED: Choice = Choice {
    type_name: "Missed",
    variants: &[("skip", "Skip"), ("once", "Once"), ("all", "All")],
};
const OVERLAP: Choice = Choice {
    type_name: "Overlap",
    variants: &[("skip", "Skip"), ("queue", "Queue")],
};
const ON_DUPLICATE: Choice = Choice {
    type_name: "OnDuplicate",
    variants: &[
        ("parallel", "Parallel"),
        ("serial", "Serial"),
        ("discard", "Discard"),
        ("queue_one", "QueueOne"),
    ],
};
const ON_LOST: Choice = Choice {
    type_name: "OnLost",
    variants: &[("rerun", "Rerun"), ("fail", "Fail")],
};
const ISOLATION: Choice = Choice {
    type_name: "Isolation",
    variants: &[("process", "Process"), ("exec", "Exec"), ("pool", "Pool")],
};
const LEFTOVERS: Choice = Choice {
    type_name: "Leftovers",
    variants: &[("leave", "Leave"), ("kill", "Kill")],
};

/// Names that other systems give to what we have under another.
const ELSEWHERE: &[(&str, &str)] = &[
    ("aliases", "alias"),
    ("cron", "schedule"),
    ("every", "schedule"),
    ("tz", "timezone"),
    ("max_retries", "retries"),
    ("max_attempts", "retries"),
    ("attempts", "retries"),
    ("time_limit", "timeout"),
    ("ttl", "expires"),
    ("workers", "concurrency"),
    ("parallelism", "concurrency"),
    ("memory", "memory_limit"),
    ("cpu", "cpu_limit"),
    ("cwd", "working_directory"),
    ("dir", "working_directory"),
    ("environment", "env"),
    ("packages", "required_packages"),
    ("commands", "required_commands"),
    ("unique", "on_duplicate"),
];

impl Known {
    /// The option as it would be written.
    pub(crate) fn written(&self) -> String {
        if self.example.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} = {}", self.name, self.example)
        }
    }

    /// Whether it may stand more than once.
    pub(crate) fn repeats(&self) -> bool {
        self.name == "alias"
    }
}

/// Finds an option by its exact name.
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    TABLE.iter().find(|known| known.name == name)
}

/// What to say about an option that does not exist.
pub(crate) fn unknown(name: &str) -> String {
    match nearest(name) {
        Some(meant) => format!("there is no option `{name}`; did you mean `{meant}`?"),
        None => {
            let all: Vec<_> = TABLE.iter().map(|known| known.name).collect();
            format!("there is no option `{name}`; there are {}", all.join(", "))
        }
    }
}

/// The option that was probably meant.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    elsewhere
        .map(|(_, ours)| *ours)
        .or_else(|| nearest_of(name, TABLE.iter().map(|known| known.name)))
}

/// The word that was probably meant: a few typing mistakes away at most.
pub(crate) fn nearest_of<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

const fn known(name: &'static str, home: Home, takes: Takes, example: &'static str) -> Known {
    Known {
        name,
        home,
        takes,
        example,
    }
}
