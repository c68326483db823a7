//! The generic binary: it has no dispatchers of its own and hands over to an application.
//!
//! Types are linked into programs; so the application's binary answers, about its dispatchers as
//! well as about where its state lies.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Environment;
use super::arguments::Arguments;
use super::error::{CliError, exit};
use crate::config::{CONFIG_VARIABLE, Config};

/// Replaces this process by the application's, if one is named. Returns when none is.
pub(crate) fn hand_over(
    arguments: &[OsString],
    parsed: &Arguments,
    config: &Config,
    environment: &Environment<'_>,
) -> Result<(), CliError> {
    let flag = parsed.path("app");
    if !environment.registry.is_empty() {
        return match flag {
            None => Ok(()),
            Some(_) => Err(CliError::usage(
                "--app is for the generic dispatcher-runner",
                format!("{} has dispatchers of its own", environment.program),
                "run the other program directly",
            )),
        };
    }
    let Some(program) = flag.or_else(|| config.program().map(PathBuf::from)) else {
        return Ok(());
    };
    if crate::process::is_this_image(&program) {
        return Err(CliError::new(
            exit::CONFIGURATION,
            format!("{} cannot be the application", program.display()),
            "it is this very program",
            "name the binary that has the dispatchers with --app or [app] program",
        ));
    }
    // The file that names the application also configures it.
    let file = config
        .file()
        .map(|file| (CONFIG_VARIABLE, file.as_os_str()));
    let variables = file.as_slice();
    let error = crate::process::replace_with(&program, &without_app(arguments), variables);
    Err(CliError::new(
        exit::CONFIGURATION,
        format!("cannot run the application {}", program.display()),
        error.to_string(),
        "correct the path given with --app or [app] program, and build the application",
    ))
}

/// Why a command needs an application's binary.
pub(crate) fn needs_app(program: &str, name: &str) -> CliError {
    CliError::usage(
        format!("{program} does not know the dispatcher `{name}`"),
        "it is the generic binary: dispatchers are linked into applications",
        "name the application with --app ./myapp, or with [app] program in dispatcher.toml",
    )
}

/// Why a command is refused by an application's binary.
pub(crate) fn only_there(command: &str, program: &str) -> CliError {
    CliError::usage(
        format!("`{command}` is a command of the generic dispatcher-runner"),
        format!("it concerns Dispatcher itself, and {program} is an application of it"),
        format!("`dispatcher-runner {command}`; it is built from the package dispatcher-runner"),
    )
}

/// The arguments less `--app` and its value.
fn without_app(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            kept.push(argument.clone());
            kept.extend(rest.cloned());
            break;
        }
        if argument == "--app" {
            rest.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--app=") {
            kept.push(argument.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_application_is_taken_out() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for (given, kept) in [
            (vec!["--app", "./a", "list"], vec!["list"]),
            (vec!["list", "--app=./a", "X"], vec!["list", "X"]),
            (
                vec!["list", "--", "--app", "X"],
                vec!["list", "--", "--app", "X"],
            ),
        ] {
            assert_eq!(without_app(&line(&given)), line(&kept));
        }
    }
}
