//! The env file: values for the variables that a configuration knows, one `NAME=value` a line.
//!
//! It stands below the real environment and above the configuration file. Nothing is expanded, no
//! command is run, and nothing of it reaches the environment of a job.

use std::path::{Path, PathBuf};

use dispatcher_core::suggest;

use super::file::read;
use super::{ConfigError, ConfigProblem, reference};

/// What begins so is meant for Dispatcher.
const OURS: &str = "DISPATCHER_";

/// What an env file says.
#[derive(Debug, Clone, Default)]
pub(super) struct EnvFile {
    pub(super) path: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

impl EnvFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::UnreadableEnvFile {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut file = Self {
            path: path.to_owned(),
            entries: Vec::new(),
        };
        let mut problems = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let known = |entry: Entry| match file.mistake(&entry) {
                None => Ok(Some(entry)),
                Some(mistake) => Err(mistake),
            };
            let read = entry(text, line).and_then(|entry| entry.map_or(Ok(None), known));
            match read {
                Ok(entry) => file.entries.extend(entry),
                Err((what, todo)) => problems.push(ConfigProblem {
                    line: Some(line),
                    what: super::error::one_line(&what),
                    todo: super::error::one_line(&todo),
                }),
            }
        }
        if problems.is_empty() {
            return Ok(file);
        }
        let path = Some(file.path);
        Err(ConfigError::Problems { path, problems })
    }

    /// The folder of the file, where relative paths of its values begin.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A value that is not empty; as in the environment, an empty one counts as unset.
    pub(super) fn value(&self, name: &str) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.name == name && !entry.value.is_empty())
    }

    /// What is wrong with a line in its company.
    fn mistake(&self, entry: &Entry) -> Option<Told> {
        let Entry { name, .. } = entry;
        if let Some(first) = self.entries.iter().find(|other| other.name == *name) {
            let what = format!("{name} stands in line {} already", first.line);
            return Some((what, "keep one of them".to_owned()));
        }
        if name == reference::ENV_FILE_VARIABLE {
            let what = format!("{name} stands in the file that it names");
            return Some((what, "remove the line".to_owned()));
        }
        let known = reference::variables();
        if !name.starts_with(OURS) || known.contains(&name.as_str()) {
            return None;
        }
        // Without what all of them share, or any would be near to any other.
        let short = |name: &'static str| name.strip_prefix(OURS).unwrap_or(name);
        let todo = match suggest(&name[OURS.len()..], known.iter().copied().map(short)) {
            Some(meant) => format!("did you mean {OURS}{meant}?"),
            None => format!("known are {}", known.join(", ")),
        };
        Some((format!("no variable of Dispatcher is called {name}"), todo))
    }
}

/// What is wrong, and what to do.
type Told = (String, String);

/// The entry of a line; none in an empty one and in a comment.
fn entry(text: &str, line: usize) -> Result<Option<Entry>, Told> {
    let told = |what: &str, todo: &str| Err((what.to_owned(), todo.to_owned()));
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let Some((name, value)) = text.split_once('=') else {
        return told(
            "the line is no `NAME=value`",
            "write it so, or make it a comment with #",
        );
    };
    let first = name.chars().next();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !name.chars().all(fits) || first.is_none_or(|letter| letter.is_ascii_digit()) {
        let what = format!("{name:?} is no name of a variable");
        return told(
            &what,
            "it has letters, digits and `_`, and no space before the `=`",
        );
    }
    let value = value_of(value)?;
    if value.contains('\0') {
        return told("the value has a zero byte", "no variable can have one");
    }
    let name = name.to_owned();
    Ok(Some(Entry { name, value, line }))
}

fn value_of(text: &str) -> Result<String, Told> {
    let told = |what: &str, todo: &str| Err((what.to_owned(), todo.to_owned()));
    let text = text.trim();
    let (value, rest) = match text.chars().next() {
        Some('\'') => match text[1..].split_once('\'') {
            Some((value, rest)) => (value.to_owned(), rest),
            None => return told("a quote is not closed", "end the value with '"),
        },
        Some('"') => double_quoted(&text[1..])?,
        Some(_) | None => return plain(text),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    told(
        &format!("{rest:?} stands behind the closing quote"),
        "put the whole value into the quotes",
    )
}

/// A value without quotes: it ends at a comment, and has nothing in it that quotes are for.
fn plain(text: &str) -> Result<String, Told> {
    let comment = if text.starts_with('#') {
        Some(0)
    } else {
        text.find(" #")
    };
    let value = comment.map_or(text, |at| &text[..at]).trim_end();
    let odd = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '\\' | '`');
    match value.chars().find(|letter| odd(*letter)) {
        None => Ok(value.to_owned()),
        Some(letter) => Err((
            format!("a value without quotes has {letter:?}"),
            "put it in single quotes, where everything stands for itself".to_owned(),
        )),
    }
}

/// A value in double quotes, after the first one, and what comes after the second.
fn double_quoted(text: &str) -> Result<(String, &str), Told> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, letter @ ('"' | '\\' | '$'))) => value.push(letter),
                Some((_, letter)) => {
                    let what = format!("`\\{letter}` stands for nothing");
                    let todo = "there are \\n, \\t, \\r, \\\", \\\\ and \\$; write \\ as \\\\";
                    return Err((what, todo.to_owned()));
                }
                None => break,
            },
            letter => value.push(letter),
        }
    }
    let todo = "end the value with \", on the same line".to_owned();
    Err(("a quote is not closed".to_owned(), todo))
}
