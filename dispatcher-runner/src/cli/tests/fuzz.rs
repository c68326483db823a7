//! Command lines that nobody would type: understood, or refused in three parts.

use std::os::unix::ffi::OsStringExt as _;

use super::*;
use crate::fuzzing::{Seen, fuzz};

/// Arguments of a corpus end with a null byte, as the kernel has them.
#[test]
fn command_lines() {
    fuzz("command_lines", |bytes| {
        let arguments = bytes.split(|byte| *byte == 0);
        let arguments = arguments.map(|one| OsString::from_vec(one.to_vec()));
        match Arguments::parse(arguments.collect(), Binary::Generic) {
            Ok(arguments) => {
                let command = arguments.command.map(|command| command.name);
                Seen::of((command, arguments.words.len(), arguments.has("json")))
            }
            Err(error) => {
                assert_eq!(error.exit, exit::USAGE);
                is_readable(&error);
                Seen::message(&error.what)
            }
        }
    });
}

/// One line for each part, and nothing that a terminal would obey.
fn is_readable(error: &CliError) {
    let (mut terminal, _, err) = buffers();
    terminal.error(error);
    let text = err.text();
    let lines: Vec<_> = text.lines().collect();
    let starts = ["error: ", "because: ", "try: "];
    assert_eq!(lines.len(), starts.len(), "{text:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(
            line.starts_with(start) && line.len() > start.len(),
            "{text:?}"
        );
        assert!(!line.contains(char::is_control), "{text:?}");
    }
}
