//! Turns a command line into a command with its options, by the grammar's table.
//!
//! Every mistake says what was probably meant.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use dispatcher_core::suggest;
use lexopt::Arg;

use super::error::CliError;
use super::grammar::{self, Binary, COMMANDS, Command, Flag, GLOBAL, Listed, TOP, Words};

/// A command line, understood.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) command: Option<&'static Command>,
    pub(crate) words: Vec<String>,
    values: BTreeMap<&'static str, String>,
    switches: Vec<&'static str>,
    /// Paths are kept as they came: they need not be Unicode.
    paths: BTreeMap<&'static str, OsString>,
}

impl Arguments {
    /// Understands what follows the program's name.
    pub(crate) fn parse(arguments: Vec<OsString>, binary: Binary) -> Result<Self, CliError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut parsed = Self::default();
        while let Some(argument) = parser.next().map_err(|error| parsed.refused(&error))? {
            match argument {
                Arg::Value(value) => {
                    let word = unicode(value)?;
                    parsed.word(word, binary)?;
                }
                Arg::Short(short) => {
                    let flag = parsed.known_flags().find(|flag| flag.short == Some(short));
                    let flag = flag.ok_or_else(|| parsed.unknown(&format!("-{short}")))?;
                    parsed.flag(flag, &mut parser)?;
                }
                Arg::Long(long) => {
                    let flag = parsed.known_flags().find(|flag| flag.long == long);
                    // `long` borrows the parser, which reads the value next.
                    let Some(flag) = flag else {
                        return Err(parsed.unknown(&format!("--{long}")));
                    };
                    parsed.flag(flag, &mut parser)?;
                }
            }
        }
        if !parsed.has("help") {
            parsed.count()?;
        }
        Ok(parsed)
    }

    /// Whether a switch was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.switches.contains(&long)
    }

    /// The value of an option.
    pub(crate) fn value(&self, long: &str) -> Option<&str> {
        self.values.get(long).map(String::as_str)
    }

    /// The value of an option that is a path.
    pub(crate) fn path(&self, long: &str) -> Option<PathBuf> {
        self.paths.get(long).map(PathBuf::from)
    }

    fn word(&mut self, word: String, binary: Binary) -> Result<(), CliError> {
        let Some(command) = self.command else {
            let found = grammar::command(&word);
            if found.is_none() && word == "help" {
                self.switches.push("help");
                return Ok(());
            }
            self.command = Some(found.ok_or_else(|| unknown_command(&word, binary))?);
            return Ok(());
        };
        if self.words.len() == command.positional.max {
            return Err(self.usage(format!("`{word}` is one argument too many")));
        }
        self.words.push(word);
        Ok(())
    }

    fn flag(&mut self, flag: &'static Flag, parser: &mut lexopt::Parser) -> Result<(), CliError> {
        let twice = self.values.contains_key(flag.long) || self.paths.contains_key(flag.long);
        if twice {
            return Err(self.usage(format!("--{} is given twice", flag.long)));
        }
        let Some(name) = flag.value else {
            self.switches.push(flag.long);
            return Ok(());
        };
        let value = parser
            .value()
            .map_err(|_| self.usage(format!("--{} needs a value: {name}", flag.long)))?;
        if flag.words == Words::Files {
            self.paths.insert(flag.long, value);
        } else {
            self.values.insert(flag.long, unicode(value)?);
        }
        Ok(())
    }

    fn count(&self) -> Result<(), CliError> {
        let Some(command) = self.command else {
            return Ok(());
        };
        if self.words.len() < command.positional.min {
            let what = format!("{} needs {}", command.name, command.arguments);
            return Err(self.usage(what));
        }
        Ok(())
    }

    fn known_flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        let own = match self.command {
            Some(command) => command.flags,
            None => TOP,
        };
        own.iter().chain(GLOBAL)
    }

    fn unknown(&self, written: &str) -> CliError {
        let name = written.trim_start_matches('-');
        let listed = self
            .known_flags()
            .filter(|flag| flag.listed == Listed::Yes)
            .map(|flag| flag.long);
        let owner = match self.command {
            Some(command) => command.name,
            None => "this program",
        };
        let elsewhere = COMMANDS
            .iter()
            .find(|command| command.flags.iter().any(|flag| flag.long == name));
        let why = match (suggest(name, listed), elsewhere) {
            (Some(meant), _) => format!("did you mean --{meant}?"),
            (None, Some(command)) => {
                format!("it is an option of {}, and stands behind it", command.name)
            }
            (None, None) => "it is misspelled, or of another version".to_owned(),
        };
        CliError::usage(
            format!("{owner} has no option {written}"),
            why,
            self.help_advice(),
        )
    }

    fn usage(&self, what: String) -> CliError {
        let why = match self.command {
            Some(command) => format!("the usage is: {} {}", command.name, command.arguments),
            None => "no command was named before it".to_owned(),
        };
        CliError::usage(what, why.trim_end(), self.help_advice())
    }

    fn refused(&self, error: &lexopt::Error) -> CliError {
        self.usage(error.to_string())
    }

    fn help_advice(&self) -> String {
        match self.command {
            Some(command) => format!("`{} --help`", command.name),
            None => "`--help`".to_owned(),
        }
    }
}

fn unknown_command(word: &str, binary: Binary) -> CliError {
    let names = grammar::commands_of(binary).map(|command| command.name);
    let (why, todo) = match suggest(word, names.clone()) {
        Some(meant) => (
            "commands are written out in full".to_owned(),
            format!("did you mean `{meant}`? `{meant} --help` says more"),
        ),
        None => {
            let names: Vec<_> = names.collect();
            (
                format!("there are {}", names.join(", ")),
                "`--help` says what each does".to_owned(),
            )
        }
    };
    CliError::usage(format!("no command is called `{word}`"), why, todo)
}

fn unicode(value: OsString) -> Result<String, CliError> {
    value.into_string().map_err(|value| {
        CliError::usage(
            format!("the argument {} is not Unicode", value.display()),
            "names, ids and JSON are UTF-8",
            "put the payload into a file and write @file",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::grammar::CommandName;
    use super::*;

    fn parse(line: &[&str]) -> Result<Arguments, CliError> {
        let line = line.iter().map(OsString::from).collect();
        Arguments::parse(line, Binary::Application)
    }

    #[test]
    fn a_full_line_is_understood() {
        let line = [
            "--config",
            "/c",
            "notifydispatcher",
            "-d",
            "Name",
            "--timeout=5m",
            "--json",
            "-",
            "--priority",
            "-5",
        ];
        let parsed = parse(&line).unwrap();
        assert_eq!(parsed.command.unwrap().id, CommandName::NotifyDispatcher);
        assert_eq!(parsed.words, ["Name", "-"]);
        assert_eq!(parsed.path("config"), Some(PathBuf::from("/c")));
        assert_eq!(parsed.value("timeout"), Some("5m"));
        assert_eq!(parsed.value("priority"), Some("-5"));
        assert!(parsed.has("detach") && parsed.has("json") && !parsed.has("help"));
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (line, what, why) in [
            (
                vec!["jbos"],
                "no command is called `jbos`",
                "commands are written out in full",
            ),
            (
                vec!["jobs", "--sate", "x"],
                "jobs has no option --sate",
                "did you mean --state?",
            ),
            (
                vec!["jobs", "-x"],
                "jobs has no option -x",
                "it is misspelled, or of another version",
            ),
            (
                vec!["jobs", "--detach"],
                "jobs has no option --detach",
                "it is an option of notifydispatcher, and stands behind it",
            ),
            (
                vec!["--detach", "notifydispatcher"],
                "this program has no option --detach",
                "it is an option of notifydispatcher, and stands behind it",
            ),
            (
                vec!["jobs", "--state"],
                "--state needs a value: STATE",
                "the usage is: jobs",
            ),
            (
                vec!["jobs", "--state", "queued", "--state", "failed"],
                "--state is given twice",
                "the usage is: jobs",
            ),
            (vec!["show"], "show needs <id>", "the usage is: show <id>"),
            (
                vec!["show", "a", "b"],
                "`b` is one argument too many",
                "the usage is: show <id>",
            ),
            (
                vec!["jobs", "--json=1"],
                "unexpected argument for option '--json': \"1\"",
                "the usage is: jobs",
            ),
        ] {
            let error = parse(&line).unwrap_err();
            assert_eq!(
                (error.what.as_str(), error.why.as_str()),
                (what, why),
                "{line:?}"
            );
            assert_eq!(error.exit, 64);
            assert!(error.todo.contains("--help`"), "{line:?}");
        }
        let unknown = parse(&["jbos"]).unwrap_err();
        assert_eq!(unknown.todo, "did you mean `jobs`? `jobs --help` says more");
        let nothing_near = parse(&["xyzzy"]).unwrap_err();
        assert!(
            nothing_near.why.ends_with("completions"),
            "{nothing_near:?}"
        );
    }

    #[test]
    fn help_is_given_even_to_incomplete_lines() {
        assert!(parse(&["show", "--help"]).unwrap().has("help"));
        let parsed = parse(&["help", "show"]).unwrap();
        assert!(parsed.has("help") && parsed.command.is_some());
    }
}
