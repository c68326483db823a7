//! The commands and their options, as one table.
//!
//! Parsing, help, suggestions and completions all read it; nothing about a command's shape stands
//! anywhere else.

mod bench;
mod dispatcherd;
mod secret;
#[cfg(test)]
mod tests;

use dispatcherd::{CONTROL_DETAILS, CONTROL_FLAGS, CONTROL_WORDS};

pub(crate) use bench::BENCH_WORDS;
#[cfg(any(feature = "socket", feature = "pg_notify"))]
pub(crate) use dispatcherd::CONTROL_SOURCES;

/// A command, for the one place that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandName {
    NotifyDispatcher,
    List,
    Jobs,
    Show,
    Logs,
    Output,
    Cancel,
    Retry,
    Pause,
    Resume,
    Prune,
    Schedule,
    Serve,
    Workers,
    Reset,
    Stop,
    Control,
    Status,
    Store,
    Config,
    Doctor,
    GenerateSecret,
    Completions,
    Bench,
}

/// What a command looks like.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) id: CommandName,
    pub(crate) name: &'static str,
    /// Its positional arguments as help shows them.
    pub(crate) arguments: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) details: &'static str,
    pub(crate) positional: Positional,
    pub(crate) flags: &'static [Flag],
}

/// How many positional arguments there may be, and what each is.
#[derive(Debug)]
pub(crate) struct Positional {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) words: Words,
}

/// An option.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// Name of its value; `None` for a switch.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
    pub(crate) words: Words,
    pub(crate) listed: Listed,
}

/// Whether help and completions show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    Yes,
    /// For the completion scripts only.
    No,
}

/// Where the words of a completion come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Nothing,
    Dispatchers,
    Jobs,
    Files,
    These(&'static [&'static str]),
}

/// The shells that completions are written for.
pub(crate) const SHELLS: &[&str] = &["bash", "zsh", "fish"];
/// The states of a job.
pub(crate) const STATES: &[&str] = &["queued", "running", "succeeded", "failed", "cancelled"];

/// What `schedule` can do.
pub(crate) const SCHEDULE_WORDS: &[&str] = &["list", "install", "remove", "tick"];

/// What `config` can do.
pub(crate) const CONFIG_WORDS: &[&str] = &["check", "show", "default"];

/// Which program is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    /// `dispatcher-runner`.
    Generic,
    /// One with dispatchers of its own.
    Application,
}

/// The command with this name.
pub(crate) fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The commands that a program has.
pub(crate) fn commands_of(binary: Binary) -> impl Iterator<Item = &'static Command> + Clone {
    let commands = COMMANDS.iter();
    commands.filter(move |command| command.is_of(binary))
}

impl Command {
    /// Whether a program has this command.
    pub(crate) fn is_of(&self, binary: Binary) -> bool {
        match binary {
            Binary::Generic => true,
            Binary::Application => self.id != CommandName::Bench,
        }
    }
}

const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag {
        long,
        short,
        value: None,
        help,
        words: Words::Nothing,
        listed: Listed::Yes,
    }
}

const fn valued(long: &'static str, value: &'static str, words: Words, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: Some(value),
        help,
        words,
        listed: Listed::Yes,
    }
}

const fn hidden(long: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: None,
        help,
        words: Words::Nothing,
        listed: Listed::No,
    }
}

const fn none() -> Positional {
    Positional {
        min: 0,
        max: 0,
        words: Words::Nothing,
    }
}

const fn between(min: usize, max: usize, words: Words) -> Positional {
    Positional { min, max, words }
}

/// For commands that ask services.
const SERVICE: Flag = valued(
    "service",
    "PID",
    Words::Nothing,
    "of this service only, instead of all",
);

/// Options of every command.
pub(crate) const GLOBAL: &[Flag] = &[
    valued(
        "config",
        "PATH",
        Words::Files,
        "read this configuration file",
    ),
    valued(
        "env-file",
        "PATH",
        Words::Files,
        "read variables of Dispatcher from this file",
    ),
    valued(
        "app",
        "PROGRAM",
        Words::Files,
        "hand over to this application (generic binary)",
    ),
    switch("json", None, "write JSON"),
    switch("help", Some('h'), "show help"),
];

/// Options that stand before a command, or without one.
pub(crate) const TOP: &[Flag] = &[switch(
    "version",
    Some('V'),
    "show version, commit and sources",
)];

/// The table.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        id: CommandName::NotifyDispatcher,
        name: "notifydispatcher",
        arguments: "<Name> [JSON | @file | -]",
        summary: "submit a job and wait for its end",
        details: "The payload is JSON, a file (@file) or standard input (-); none is {}.\n\
            The job's output is passed through and its cause becomes the exit code:\n\
            0 succeeded, 1 failed, 124 timed out, 130 cancelled, 128+n killed by signal n,\n\
            69 queue full, 64 unknown name or bad JSON, 78 missing requirement, 74 store.\n\
            The first SIGINT or SIGTERM cancels the job, the second stops waiting;\n\
            SIGHUP leaves the job running.",
        positional: between(1, 2, Words::Dispatchers),
        flags: &[
            switch("detach", Some('d'), "print the job's id and return at once"),
            valued(
                "timeout",
                "TIME",
                Words::Nothing,
                "longest run time of an attempt (300, 5m; 0 is none)",
            ),
            valued(
                "delay",
                "TIME",
                Words::Nothing,
                "wait before the job may start",
            ),
            valued("priority", "N", Words::Nothing, "higher starts first"),
            valued("queue", "LABEL", Words::Nothing, "label of the queue"),
            valued(
                "retries",
                "N",
                Words::Nothing,
                "further attempts after a failure",
            ),
            valued(
                "unique-key",
                "KEY",
                Words::Nothing,
                "identity of the job among duplicates",
            ),
            valued(
                "expires",
                "TIME",
                Words::Nothing,
                "give up when the job waited longer",
            ),
        ],
    },
    Command {
        id: CommandName::List,
        name: "list",
        arguments: "[Name]",
        summary: "show dispatchers, their fields, options and queues",
        details: "",
        positional: between(0, 1, Words::Dispatchers),
        flags: &[
            switch("markdown", None, "write a reference page"),
            hidden("names", "names only"),
        ],
    },
    Command {
        id: CommandName::Jobs,
        name: "jobs",
        arguments: "",
        summary: "show jobs, newest first",
        details: "",
        positional: none(),
        flags: &[
            valued(
                "state",
                "STATE",
                Words::These(STATES),
                "queued, running, succeeded, failed or cancelled",
            ),
            valued(
                "dispatcher",
                "NAME",
                Words::Dispatchers,
                "of this dispatcher",
            ),
            valued("queue", "LABEL", Words::Nothing, "with this label"),
            valued(
                "search",
                "PATH=VALUE",
                Words::Nothing,
                "whose payload has this value, as in user.id=7",
            ),
            valued("limit", "N", Words::Nothing, "at most this many (50)"),
            hidden("ids", "ids only"),
        ],
    },
    Command {
        id: CommandName::Show,
        name: "show",
        arguments: "<id>",
        summary: "show one job with everything on record",
        details: "An id may be shortened as long as it is unique.",
        positional: between(1, 1, Words::Jobs),
        flags: &[],
    },
    Command {
        id: CommandName::Logs,
        name: "logs",
        arguments: "<id>",
        summary: "show what a job wrote",
        details: "What the job wrote to standard output and error goes to the same streams here.",
        positional: between(1, 1, Words::Jobs),
        flags: &[
            switch("follow", Some('f'), "go on until the job ends"),
            valued(
                "attempt",
                "N",
                Words::Nothing,
                "of this attempt instead of the last",
            ),
        ],
    },
    Command {
        id: CommandName::Output,
        name: "output",
        arguments: "<id> | --latest <Name>",
        summary: "show the value that a job stored",
        details: "Without a value on record the exit code is 1.",
        positional: between(0, 1, Words::Jobs),
        flags: &[valued(
            "latest",
            "NAME",
            Words::Dispatchers,
            "of the newest success of this dispatcher",
        )],
    },
    Command {
        id: CommandName::Cancel,
        name: "cancel",
        arguments: "<id…>",
        summary: "cancel jobs, waiting or running",
        details: "The exit code is 1 when a job had already ended otherwise.",
        positional: between(1, usize::MAX, Words::Jobs),
        flags: &[],
    },
    Command {
        id: CommandName::Retry,
        name: "retry",
        arguments: "<id…>",
        summary: "submit ended jobs again, as new jobs",
        details: "The new job has the payload and options of the old one, which stays as it is.\n\
                  A delay is not waited for a second time.",
        positional: between(1, usize::MAX, Words::Jobs),
        flags: &[],
    },
    Command {
        id: CommandName::Pause,
        name: "pause",
        arguments: "<Name>",
        summary: "start no further jobs of a dispatcher",
        details: "Running jobs end as usual; submissions are still accepted up to max_queue.",
        positional: between(1, 1, Words::Dispatchers),
        flags: &[],
    },
    Command {
        id: CommandName::Resume,
        name: "resume",
        arguments: "<Name>",
        summary: "start jobs of a paused dispatcher again",
        details: "",
        positional: between(1, 1, Words::Dispatchers),
        flags: &[],
    },
    Command {
        id: CommandName::Prune,
        name: "prune",
        arguments: "",
        summary: "remove finished jobs over the limits",
        details: "The limits are [store.retention] age (7 days) and count (10,000 per dispatcher).\n\
            The newest output of each dispatcher is always kept.",
        positional: none(),
        flags: &[],
    },
    Command {
        id: CommandName::Schedule,
        name: "schedule",
        arguments: "<list | install | remove | tick>",
        summary: "show schedules, and have the host's timer follow them",
        details: "list     every schedule in words, its last tick and its next five times\n\
            install  one entry for the host's timer, every minute and at boot; may be\n         \
                     repeated. It calls `PROGRAM schedule tick`.\n\
            remove   takes the entry out; everything else stays as it is\n\
            tick     submits what is due. However many do, each tick runs once.\n\
            Exit codes of tick: 69 a queue was full, 78 a schedule cannot be followed.",
        positional: between(1, 1, Words::These(SCHEDULE_WORDS)),
        flags: &[
            switch("systemd", None, "install: with a timer of systemd"),
            switch("crontab", None, "install: with the crontab"),
            switch("print", None, "install: show the entry, and write nothing"),
        ],
    },
    Command {
        id: CommandName::Serve,
        name: "serve",
        arguments: "",
        summary: "run jobs and follow schedules until told to end",
        details: "SIGTERM or SIGINT: nothing new is started; what runs has drain_timeout (60s) of\n\
            [service] to end and is queued again after that. A second one does not wait.\n\
            The exit code is 0. What happens is written to standard error, a line each;\n\
            DISPATCHER_LOG names the level: error, warn, info or debug.",
        positional: none(),
        flags: &[
            valued(
                "queues",
                "LABELS",
                Words::Nothing,
                "claim jobs with these labels only, as in a,b",
            ),
            valued(
                "workers",
                "N",
                Words::Nothing,
                "jobs that run at once (twice the number of CPUs)",
            ),
        ],
    },
    Command {
        id: CommandName::Workers,
        name: "workers",
        arguments: "",
        summary: "show the workers and pools of a running service",
        details: "Exit code 1: no service is running, or it does not answer.",
        positional: none(),
        flags: &[SERVICE],
    },
    Command {
        id: CommandName::Reset,
        name: "reset",
        arguments: "[POOL]",
        summary: "give a pool of a running service, or all, new workers",
        details: "New workers are started first, then the old ones are stopped. It is waited for;\n\
            when the new ones fail, the old ones stay, and the exit code is 1.",
        positional: between(0, 1, Words::Nothing),
        flags: &[SERVICE],
    },
    Command {
        id: CommandName::Stop,
        name: "stop",
        arguments: "",
        summary: "end a running service, and wait until it is gone",
        details: "Nothing new is started; what runs has drain_timeout (60s) of [service] to\n\
            end, and is queued again after that. Exit code 0: the service has ended.\n\
            Of several services on one state all end, unless --service names one.",
        positional: none(),
        flags: &[
            switch("now", None, "do not wait for what runs; it is queued again"),
            SERVICE,
        ],
    },
    Command {
        id: CommandName::Control,
        name: "control",
        arguments: "<command> [JSON]",
        summary: "send a control command of dispatcherd, and show the replies",
        details: CONTROL_DETAILS,
        positional: between(1, 2, Words::These(CONTROL_WORDS)),
        flags: CONTROL_FLAGS,
    },
    Command {
        id: CommandName::Status,
        name: "status",
        arguments: "",
        summary: "show the state file, supervisors, services and queues",
        details: "--metrics writes what one service counts, as Prometheus reads it (text 0.0.4).",
        positional: none(),
        flags: &[
            switch("metrics", None, "write a service's metrics instead"),
            SERVICE,
        ],
    },
    Command {
        id: CommandName::Store,
        name: "store",
        arguments: "<status | migrate>",
        summary: "show how far the store's schema is, or bring it up to date",
        details: "A store is brought up to date by whoever opens it; `migrate` is for a database\n\
            whose schema other programs may not change.",
        positional: between(1, 1, Words::These(&["status", "migrate"])),
        flags: &[],
    },
    Command {
        id: CommandName::Config,
        name: "config",
        arguments: "<check | show | default>",
        summary: "check the configuration, show it, or write one of defaults",
        details: "check    every problem at once, with its line; exit code 78 when there is one\n\
            show     every value, and where it came from: default, file, env file,\n         \
                     environment, flag or the program; secrets are masked\n\
            default  a file with every key as a comment",
        positional: between(1, 1, Words::These(CONFIG_WORDS)),
        flags: &[
            valued(
                "write",
                "PATH",
                Words::Files,
                "default: write it to this file, which must be new",
            ),
            switch("markdown", None, "default: the reference as a page"),
        ],
    },
    Command {
        id: CommandName::Doctor,
        name: "doctor",
        arguments: "",
        summary: "check this machine and the state file",
        details: "The exit code is 1 when a check fails.",
        positional: none(),
        flags: &[],
    },
    secret::GENERATE_SECRET,
    Command {
        id: CommandName::Completions,
        name: "completions",
        arguments: "<bash | zsh | fish>",
        summary: "write a shell's completion script",
        details: "bash: source <(PROGRAM completions bash)\n\
            zsh:  PROGRAM completions zsh > \"${fpath[1]}/_PROGRAM\"\n\
            fish: PROGRAM completions fish | source",
        positional: between(1, 1, Words::These(SHELLS)),
        flags: &[],
    },
    bench::BENCH,
];
