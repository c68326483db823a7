//! Where the state lies, and who decided that.
//!
//! The path is absolute from here on: a supervisor changes its working directory.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::one_line;
use super::origin::Origin;
use super::{ConfigError, ConfigProblem};

/// Name of the state file in an application's folder.
pub(super) const STATE_FILE: &str = "state.db";

/// The state file, and where the choice came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreLocation {
    file: PathBuf,
    origin: Origin,
}

impl StoreLocation {
    pub(crate) fn new(file: PathBuf, origin: Origin) -> Self {
        Self { file, origin }
    }

    /// The state file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder of the state file: locks, sockets, live output and logs lie there as well.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("/"))
    }

    /// A URL that names the state file, whatever characters it has; `None` if it is not text.
    pub(crate) fn url(&self) -> Option<String> {
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
        write!(f, "{} ({})", self.file.display(), self.origin)
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

/// The state file that a URL names; a relative path begins at `base`.
pub(super) fn parse_url(url: &str, base: &Path) -> Result<PathBuf, ConfigProblem> {
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
            // The URL is not repeated: it may hold a password.
            let what = "a PostgreSQL store is not in this build".to_owned();
            return Err(problem(what, example));
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
    Ok(base.join(decoded))
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
