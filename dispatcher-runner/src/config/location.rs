//! Where the state lies, and who decided that.
//!
//! For jobs in a database there is a folder of this host all the same, for locks, sockets and live
//! output. A path is absolute from here on: a supervisor changes its working directory.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::error::one_line;
use super::origin::Origin;
use super::{ConfigError, ConfigProblem};
use crate::target::Target;

/// Name of the state file in an application's folder.
pub(super) const STATE_FILE: &str = "state.db";
/// Name of the file that stands for a database in its folder on this host.
const ANCHOR_FILE: &str = "database";

/// Where jobs are remembered, and where the choice came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    file: PathBuf,
    target: Option<Target>,
    origin: Origin,
}

/// What a URL names.
pub(super) enum Named {
    /// A state file.
    File(PathBuf),
    /// A database.
    Target(Target),
}

impl StoreLocation {
    pub(crate) fn new(file: PathBuf, origin: Origin) -> Self {
        Self {
            file,
            target: None,
            origin,
        }
    }

    /// What a URL names. For a database the folder of this host follows: [`Self::in_folder`].
    pub(super) fn named(named: Named, origin: Origin) -> Self {
        match named {
            Named::File(file) => Self::new(file, origin),
            Named::Target(target) => Self {
                file: PathBuf::new(),
                target: Some(target),
                origin,
            },
        }
    }

    /// Gives the store of a database its folder on this host, below that for states of the
    /// application. Each database has one of its own, since a program may know several.
    pub(super) fn in_folder(mut self, states: &Path) -> Self {
        if let Some(target) = &self.target {
            let mut name = String::from("postgres-");
            for char in target.to_string().chars().skip("postgres://".len()) {
                name.push(if char.is_ascii_alphanumeric() {
                    char
                } else {
                    '-'
                });
            }
            name.truncate(80);
            let mut hasher = DefaultHasher::new();
            target.to_string().hash(&mut hasher);
            let mark = hasher.finish() & 0xffff_ffff;
            self.file = states.join(format!("{name}-{mark:08x}")).join(ANCHOR_FILE);
        }
        self
    }

    /// The database, if the jobs are in one.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// What a person knows it by: the state file, or the database without its password.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match &self.target {
            None => self.file.clone(),
            Some(target) => target.place(),
        }
    }

    /// The state file; for jobs in a database, the file that stands for it on this host.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder of the state file: locks, sockets, live output and logs lie there as well.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// A URL that names the store, whatever characters it has; `None` if it is not text. That of a
    /// database lacks its password.
    pub(crate) fn url(&self) -> Option<String> {
        if let Some(target) = &self.target {
            return Some(target.to_string());
        }
        let path = self.file.to_str()?;
        Some(format!(
            "sqlite:{}",
            path.replace('%', "%25").replace('?', "%3F")
        ))
    }

    /// Who decided it.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place().display(), self.origin)
    }
}

/// Refuses names that cannot be a folder's.
pub(super) fn check_app(app: &str) -> Result<(), ConfigError> {
    let unfit = app.is_empty()
        || app.starts_with('.')
        || app
            .chars()
            .any(|char| char == '/' || char == '\\' || char.is_control());
    if unfit {
        let app = app.to_owned();
        return Err(ConfigError::AppName { app });
    }
    Ok(())
}

/// What a URL names; a relative path begins at `base`.
pub(super) fn parse_url(url: &str, base: &Path) -> Result<Named, ConfigProblem> {
    let problem = |what: String, todo: &str| ConfigProblem {
        line: None,
        what: one_line(&what),
        todo: todo.to_owned(),
    };
    let example = "write sqlite:/path/state.db";
    let (scheme, rest) = url
        .split_once(':')
        .ok_or_else(|| problem(format!("`{url}` is no URL"), example))?;
    match scheme {
        "sqlite" => {}
        "postgres" | "postgresql" => {
            let example = "write postgres://user@host/database";
            // The URL is not repeated: it may hold a password.
            if !cfg!(feature = "postgres") {
                let what = "a PostgreSQL store is not in this build".to_owned();
                let todo = "build the program with the feature `postgres` of dispatcher-runner";
                return Err(problem(what, todo));
            }
            return match Target::parse(url) {
                Ok(target) => Ok(Named::Target(target)),
                Err(error) => Err(problem(error.to_string(), example)),
            };
        }
        other => {
            let what = format!("there is no store for `{other}:` URLs");
            return Err(problem(what, example));
        }
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path == ":memory:" {
        let what = "a state in memory cannot be shared with the processes of jobs".to_owned();
        return Err(problem(what, example));
    }
    if let Some((_, query)) = path.split_once('?') {
        let what = format!("`?{query}` is not understood");
        return Err(problem(what, "leave it out"));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(problem(format!("`{url}` names no file"), example));
    }
    let decoded = percent_decoded(path)
        .ok_or_else(|| problem(format!("`{url}` has a bad % escape"), "write % as %25"))?;
    Ok(Named::File(base.join(decoded)))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}
