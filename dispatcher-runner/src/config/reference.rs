//! The reference: the tables of keys as a file of defaults and as a page of the documentation.
//!
//! Whoever adds a key to a table has it in both; a test compares the page with `docs/`, and another
//! one reads the file of defaults.

use super::keys::{APP, Key, LOG, PLAIN, Preset, RETENTION, SERVICE, STORE};
use super::options::OPTIONS;
use super::pools::POOL;
use super::remote::REMOTE;
use super::surroundings::CONFIG_VARIABLE;
use super::work::WORK;

/// Variable that names the env file.
pub(super) const ENV_FILE_VARIABLE: &str = "DISPATCHER_ENV_FILE";
/// What makes the page anew.
pub(super) const RENEW: &str =
    "cargo run -p dispatcher-runner -- config default --markdown > docs/configuration.md";

/// What may stand at the top of a file.
pub(super) const ROOT: &[&str] = &[
    "version",
    "app",
    "store",
    "aliases",
    "service",
    "log",
    "remote",
    "pools",
    "dispatchers",
    "sources",
];

/// Columns of a comment in the file of defaults.
const COLUMNS: usize = 96;

/// Every variable that the configuration knows.
pub(super) fn variables() -> Vec<&'static str> {
    let keys = PLAIN.iter().flat_map(|(_, keys)| *keys);
    let of_keys = keys.filter_map(|key| Some(key.variable?.name));
    let named = [CONFIG_VARIABLE, ENV_FILE_VARIABLE];
    named.into_iter().chain(of_keys).collect()
}

/// A section, or a part of one.
pub(super) struct Chapter {
    /// As headings have it: `[pools.NAME]`.
    pub(super) title: &'static str,
    /// As a file may have it: `[pools.php]`; empty for what stands before all sections.
    sample: &'static str,
    about: &'static str,
    pub(super) rows: Vec<Row>,
}

/// A key.
pub(super) struct Row {
    pub(super) name: &'static str,
    takes: &'static str,
    pub(super) preset: Preset,
    variable: Option<&'static str>,
    meaning: &'static str,
}

impl Row {
    fn of<T, S>(key: &Key<T, S>) -> Self {
        Self {
            name: key.name,
            takes: key.takes,
            preset: key.preset,
            variable: key.variable.map(|variable| variable.name),
            meaning: key.meaning,
        }
    }

    fn all<T, S>(keys: &[Key<T, S>]) -> Vec<Self> {
        keys.iter().map(Self::of).collect()
    }

    /// A key whose reader is no table.
    fn alone(
        name: &'static str,
        takes: &'static str,
        preset: Preset,
        meaning: &'static str,
    ) -> Vec<Self> {
        let variable = None;
        vec![Self {
            name,
            takes,
            preset,
            variable,
            meaning,
        }]
    }
}

/// Everything that may be written.
pub(super) fn chapters() -> Vec<Chapter> {
    let mut all = single_sections();
    all.extend(named_sections());
    all
}

/// Sections that a file has once.
fn single_sections() -> Vec<Chapter> {
    let chapter = |title, about, rows| Chapter {
        title,
        sample: title,
        about,
        rows,
    };
    vec![
        Chapter {
            title: "The first line",
            sample: "",
            about: "A file says in which version of the format it is written.",
            rows: Row::alone("version", "`1`", Preset::Is("1"), "must be there"),
        },
        chapter("[app]", "The application whose file it is.", Row::all(APP)),
        chapter("[store]", "Where jobs are remembered.", Row::all(STORE)),
        chapter(
            "[store.retention]",
            "How long finished jobs are kept. The newest output of each dispatcher always is.",
            Row::all(RETENTION),
        ),
        chapter(
            "[aliases]",
            "Further exact names of dispatchers, as many as you like.",
            Row::alone(
                "\"certs.renew\"",
                "the name of a dispatcher",
                Preset::Words {
                    words: "none",
                    example: "\"RenewCertificate\"",
                },
                "the key is the alias, its value the name that it stands for",
            ),
        ),
        chapter(
            "[service]",
            "The service, and supervisors.",
            Row::all(SERVICE),
        ),
        chapter(
            "[log]",
            "What a service writes to standard error.",
            Row::all(LOG),
        ),
        chapter(
            "[remote]",
            "The application that jobs are sent to over HTTP.",
            Row::all(REMOTE),
        ),
    ]
}

/// Sections of which there may be many.
fn named_sections() -> Vec<Chapter> {
    let options = OPTIONS.iter().map(|option| Row {
        name: option.name,
        takes: option.takes,
        preset: option.preset,
        variable: None,
        meaning: option.meaning,
    });
    vec![
        Chapter {
            title: "[pools.NAME]",
            sample: "[pools.php]",
            about: "A pool of workers that are reused. NAME has letters, digits, `-` and `_`. \
                    `default` is there without a section: it is what `isolation = \"pool\"` means. \
                    A source may hold a pool of its own: [sources.NAME.pool].",
            rows: Row::all(POOL),
        },
        Chapter {
            title: "[dispatchers.NAME], a dispatcher of the configuration",
            sample: "[dispatchers.Dump]",
            about: "A section with `command` or `pool` makes a dispatcher. Its payload is any JSON, \
                    that of a schedule is `{}`. Every option may stand in it, too.",
            rows: Row::all(WORK),
        },
        Chapter {
            title: "[dispatchers.NAME], options",
            sample: "[dispatchers.SendMail]",
            about: "Options of a dispatcher; they count more than those that its type declares. \
                    The defaults are those of a type that declares nothing.",
            rows: options.collect(),
        },
        Chapter {
            title: "[sources.NAME]",
            sample: "[sources.ticker]",
            about: "A section switches a source on. Its keys are those of the source.",
            rows: Row::alone(
                "pool",
                "the name of a pool",
                Preset::Words {
                    words: "none",
                    example: "\"php\"",
                },
                "the pool that the source asks; or a section [sources.NAME.pool] with one of its own",
            ),
        },
    ]
}

/// A whole file that changes nothing: every key as a comment, with its default or an example.
pub(crate) fn default_file() -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "The configuration of Dispatcher: every key there is, with its default, or else an \
         example. Take away the # before what you change.",
    );
    comment(&mut text, NOTATION);
    for chapter in chapters() {
        text.push('\n');
        comment(&mut text, chapter.about);
        // The sections that are there once are no examples.
        let is_one = chapter.sample == chapter.title;
        if !chapter.sample.is_empty() {
            text.push_str(if is_one { "" } else { "#" });
            text.push_str(chapter.sample);
            text.push('\n');
        }
        for row in chapter.rows {
            row_of_file(&mut text, &row);
        }
    }
    text
}

fn row_of_file(text: &mut String, row: &Row) {
    let Row {
        name,
        takes,
        meaning,
        ..
    } = row;
    if *name == "version" {
        text.push_str("version = 1\n");
        return;
    }
    let variable = match row.variable {
        Some(variable) => format!(" Variable: {variable}."),
        None => String::new(),
    };
    let (default, line) = match row.preset {
        Preset::Is(value) => (String::new(), format!("#{name} = {value}")),
        Preset::Words { words, example } => (
            format!(" Default: {words}."),
            format!("#{name} = {example}"),
        ),
        Preset::Instead { of, example } => (
            String::new(),
            format!("# Instead of {of}: {name} = {example}"),
        ),
    };
    text.push('\n');
    comment(
        text,
        &format!("{name}: {meaning}. Takes {takes}.{default}{variable}"),
    );
    text.push_str(&line);
    text.push('\n');
}

fn comment(text: &mut String, words: &str) {
    let mut line = "#".to_owned();
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text.push_str(&line);
            text.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The page of the documentation.
pub(crate) fn page() -> String {
    let mut text = format!(
        "<!-- Made from the table of keys in the code: {RENEW} -->\n\n# Configuration\n\n{INTRODUCTION}\n\
         {NOTATION}\n\n`config default` prints a file with all of this as comments, `config check` \
         says what is wrong with a configuration, and `config show` where each value came from.\n"
    );
    for chapter in chapters() {
        let title = match chapter.title.split_once(']') {
            Some((section, rest)) => format!("`{section}]`{rest}"),
            None => chapter.title.to_owned(),
        };
        text.push_str(&format!("\n## {title}\n\n{}\n\n", in_code(chapter.about)));
        text.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
        for row in chapter.rows {
            let default = match row.preset {
                Preset::Is(value) => format!("`{value}`"),
                Preset::Words { words, example } => format!("{words}; as in `{example}`"),
                Preset::Instead { of, example } => format!("instead of `{of}`: `{example}`"),
            };
            let variable = match row.variable {
                Some(variable) => format!(" (variable `{variable}`)"),
                None => String::new(),
            };
            let Row {
                name,
                takes,
                meaning,
                ..
            } = row;
            text.push_str(&format!(
                "| `{name}` | {takes} | {default} | {}{variable} |\n",
                in_code(meaning)
            ));
        }
    }
    text
}

/// Names of sections are links in Markdown unless they are code.
fn in_code(words: &str) -> String {
    let word = |word: &str| match word.split_once(']') {
        Some((section, rest)) if section.starts_with('[') => format!("`{section}]`{rest}"),
        Some(_) | None => word.to_owned(),
    };
    words.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

const NOTATION: &str = "Durations are seconds (`300`) or text (`\"5m\"`, `\"1h30m\"`), sizes are \
    bytes or text (`\"512MiB\"`).";

const INTRODUCTION: &str = "\
A configuration file is the first of these that exists: `--config PATH`, `$DISPATCHER_CONFIG`, \
`$XDG_CONFIG_HOME/<app>/dispatcher.toml`, `/etc/<app>/dispatcher.toml`; the generic \
`dispatcher-runner` also looks for `./dispatcher.toml`, before the last two. None is fine.

It is read strictly. An unknown key, a value of another kind, a name that nothing has: every \
problem is told at once, with its line and with what was probably meant, and the exit code is 78.

A value is taken from the last of these layers that has it: default, configuration file, env file, \
environment, flag. The env file is named by `--env-file PATH` or `$DISPATCHER_ENV_FILE`. It has \
one `NAME=value` a line, for the variables below and for `DISPATCHER_CONFIG`; `# comments`, `export` \
before a name, single quotes (everything stands for itself) and double quotes (with `\\n`, `\\t`, \
`\\r`, `\\\"`, `\\\\`, `\\$`) are understood. Nothing is expanded in it, relative paths begin at its \
folder, and jobs do not see it. Names that do not begin with `DISPATCHER_` are somebody else's. \
A program that makes its `Config` in code asks neither files nor variables.
";
