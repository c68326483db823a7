//! `generate-secret`: a secret that two applications share, into an env file.
//!
//! It reads no configuration, so that the first secret can be had before there is one. Of the file
//! nothing changes but the one line, and that all at once.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::Environment;
use crate::cli::arguments::Arguments;
use crate::cli::error::{CliError, Done, Stop, exit};
use crate::ids;

const VARIABLE: &str = "DISPATCHER_BACKEND_SECRET";
/// Variables that name the kind of place, and the kind that is guarded.
const PLACES: [&str; 2] = ["APP_ENV", "DISPATCHER_ENV"];
const PRODUCTION: &str = "production";
const FILE: &str = ".env";
const LENGTH: usize = 64;
const LENGTHS: (usize, usize) = (32, 128);
/// What stands for 64 bytes at most, which the standard recommends.
const LENGTH_OF_STANDARD: usize = 84;
/// Of a file that is made here: it has a secret in it.
const MODE: u32 = 0o600;

/// What became of the file.
enum Saved {
    Replaced,
    Added,
    /// There was one, and it is left.
    No,
}

pub(crate) fn generate_secret(environment: &mut Environment<'_>, arguments: &Arguments) -> Done {
    let length = arguments.value("length").map_or(Ok(LENGTH), length)?;
    let given = arguments.path("env-file");
    let path = given.unwrap_or_else(|| PathBuf::from(FILE));
    let path = environment.surroundings.directory.join(path);
    let old = read(&path, arguments.has("create"))?;
    let text = old.as_deref().unwrap_or_default();
    if !arguments.has("force")
        && let Some(name) = production(environment, text)
    {
        return Err(Stop::from(CliError::new(
            exit::NEGATIVE,
            format!("{name} is `{PRODUCTION}`: the secret is left as it is"),
            "whoever signs with the old one would be refused from now on",
            "add --force if that is meant; or rotate: [[sources.http.keys]] takes several",
        )));
    }
    let secret = ids::random_letters(length);
    let saved = save(
        &path,
        text,
        old.is_none(),
        &secret,
        arguments.has("no-replace"),
    );
    let saved = saved.map_err(|error| cannot(&path, "write", &error))?;
    let is_saved = !matches!(saved, Saved::No);
    let shown = arguments.has("show");
    let terminal = &mut environment.terminal;
    if length > LENGTH_OF_STANDARD {
        terminal.note(&format!(
            "note: {length} characters are {} bytes; Standard Webhooks says 24 to 64 bytes, and \
             some libraries refuse more",
            length / 4 * 3
        ));
    }
    if arguments.has("json") {
        terminal.json(&json!({
            "file": path,
            "saved": is_saved,
            "length": length,
            "secret": shown.then_some(&secret),
        }))?;
    } else {
        let done = match saved {
            Saved::Replaced => "replaced in",
            Saved::Added => "added to",
            Saved::No => "was there already, and is left as it is in",
        };
        terminal.note(&format!("{VARIABLE} {done} {}", path.display()));
        if shown {
            terminal.line(&secret)?;
        }
    }
    if !is_saved && !shown {
        terminal.note("warning: the new secret was neither saved nor shown, and is gone");
    }
    Ok(0)
}

fn length(text: &str) -> Result<usize, CliError> {
    let (min, max) = LENGTHS;
    match text.parse() {
        Ok(length) if (min..=max).contains(&length) && length % 4 == 0 => Ok(length),
        Ok(_) | Err(_) => Err(CliError::usage(
            format!("--length cannot be `{text}`"),
            format!("it takes {min} to {max} characters of base64, a multiple of 4"),
            format!("leave it out for {LENGTH}"),
        )),
    }
}

/// The variable that says that this is production, if one does.
fn production(environment: &Environment<'_>, file: &[u8]) -> Option<&'static str> {
    let is = |name: &str| {
        let of_process = environment.surroundings.variable(name);
        let of_process = of_process.map(|it| it.to_string_lossy().into_owned());
        let of_file = lines(file)
            .filter_map(|line| value_of(line, name))
            .next_back();
        of_process.as_deref() == Some(PRODUCTION) || of_file.as_deref() == Some(PRODUCTION)
    };
    PLACES.into_iter().find(|name| is(name))
}

/// The value of a line, if it sets the variable; as it is usually written.
fn value_of(line: &[u8], name: &str) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// Each line with its end.
fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// What stands in the file; `None` if there is none and one is to be made.
fn read(path: &Path, may_create: bool) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound && may_create => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(CliError::new(
            exit::CONFIGURATION,
            format!("there is no {}", path.display()),
            "a secret is not put where nobody looks for it",
            "name another file with --env-file, or make this one with --create",
        )),
        Err(error) => Err(cannot(path, "read", &error)),
    }
}

fn cannot(path: &Path, verb: &str, error: &io::Error) -> CliError {
    CliError::new(
        exit::CONFIGURATION,
        format!("cannot {verb} {}", path.display()),
        error.to_string(),
        "name a file that this user may write, with --env-file",
    )
}

fn save(path: &Path, text: &[u8], is_new: bool, secret: &str, keeps: bool) -> io::Result<Saved> {
    let start = format!("{VARIABLE}=");
    let sets_it = |line: &[u8]| line.starts_with(start.as_bytes());
    let is_there = lines(text).any(sets_it);
    if is_there && keeps {
        return Ok(Saved::No);
    }
    let mut new = Vec::with_capacity(text.len() + 160);
    for line in lines(text) {
        if sets_it(line) {
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            let body = body.strip_suffix(b"\r").unwrap_or(body);
            new.extend_from_slice(start.as_bytes());
            new.extend_from_slice(secret.as_bytes());
            new.extend_from_slice(&line[body.len()..]);
        } else {
            new.extend_from_slice(line);
        }
    }
    if !is_there {
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend_from_slice(format!("{start}{secret}\n").as_bytes());
    }
    replace(path, &new, is_new)?;
    Ok(if is_there {
        Saved::Replaced
    } else {
        Saved::Added
    })
}

/// Puts another text in place of a file, whole or not at all; mode and owner stay.
fn replace(path: &Path, text: &[u8], is_new: bool) -> io::Result<()> {
    // Where a link leads, so that it stays one.
    let path = match is_new {
        true => path.to_owned(),
        false => fs::canonicalize(path)?,
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let beside = folder.join(format!(".env-{}", ids::random_hex()));
    let written = write(&beside, text, (!is_new).then_some(&path));
    let done = written.and_then(|()| fs::rename(&beside, &path));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done?;
    File::open(folder)?.sync_all()
}

fn write(beside: &Path, text: &[u8], old: Option<&PathBuf>) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(beside)?;
    if let Some(old) = old {
        let old = fs::metadata(old)?;
        // Only root can give a file away; who may not is its owner already, or makes it his own.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        file.set_permissions(old.permissions())?;
    }
    file.write_all(text)?;
    file.sync_all()
}
