//! The one place that reads the environment, as a value that tests can make up.
//!
//! A variable that is set but empty counts as unset, and a relative XDG path is ignored, as the
//! XDG base directory specification asks.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::location::{self, StoreLocation};
use super::origin::Origin;
use super::{ConfigError, FILE_NAME, Search, WorkingDirectory};

/// Variable that says where the state lies.
pub(crate) const STORE_VARIABLE: &str = "DISPATCHER_DATABASE_URL";
/// Variable that names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "DISPATCHER_CONFIG";

/// What a process finds around itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) variables: BTreeMap<OsString, OsString>,
    pub(crate) uid: u32,
    /// Text of `/etc/passwd`; users known to a directory service only must have HOME.
    pub(crate) passwd: String,
    /// Working directory.
    pub(crate) directory: PathBuf,
    /// Where system-wide configuration lies; `/etc`.
    pub(crate) system_config: PathBuf,
    /// Where root's state lies; `/var/lib`.
    pub(crate) system_state: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            uid: rustix::process::geteuid().as_raw(),
            passwd: std::fs::read_to_string("/etc/passwd").unwrap_or_default(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            system_config: PathBuf::from("/etc"),
            system_state: PathBuf::from("/var/lib"),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// The configuration file to read: one that was named, whether it exists or not, or else the
    /// first existing one of the known places.
    pub(super) fn config_file(&self, app: &str, search: Search<'_>) -> Option<PathBuf> {
        let named = search
            .explicit
            .or_else(|| self.variable(CONFIG_VARIABLE).map(Path::new));
        if let Some(path) = named {
            return Some(self.directory.join(path));
        }
        let mut places = Vec::new();
        if search.working_directory == WorkingDirectory::Searched {
            places.push(self.directory.join(FILE_NAME));
        }
        if let Some(base) = self.config_home() {
            places.push(base.join(app).join(FILE_NAME));
        }
        places.push(self.system_config.join(app).join(FILE_NAME));
        places.into_iter().find(|place| place.exists())
    }

    /// The place of an application's state when nobody said otherwise.
    pub(super) fn default_store(&self, app: &str) -> Result<StoreLocation, ConfigError> {
        location::check_app(app)?;
        let base = if let Some(base) = self.absolute("XDG_STATE_HOME") {
            base
        } else if self.uid == 0 {
            self.system_state.clone()
        } else if let Some(home) = self.home() {
            home.join(".local/state")
        } else {
            let app = app.to_owned();
            return Err(ConfigError::NoHome { app, uid: self.uid });
        };
        let file = base.join(app).join(location::STATE_FILE);
        Ok(StoreLocation::new(file, Origin::Default))
    }

    /// The variables that another process of this user needs to come to the same places; not those
    /// that name them outright.
    pub(crate) fn places(&self) -> Vec<(&'static str, PathBuf)> {
        let base = ["XDG_CONFIG_HOME", "XDG_STATE_HOME"];
        let base = base.into_iter().map(|name| (name, self.absolute(name)));
        let home = self
            .absolute("HOME")
            .filter(|home| self.passwd_home().as_ref() != Some(home));
        base.chain([("HOME", home)])
            .filter_map(|(name, path)| Some((name, path?)))
            .collect()
    }

    /// Where this user's configuration lies.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        let home = || self.home().map(|home| home.join(".config"));
        self.absolute("XDG_CONFIG_HOME").or_else(home)
    }

    fn absolute(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.variable(name)?);
        path.is_absolute().then_some(path)
    }

    fn home(&self) -> Option<PathBuf> {
        self.absolute("HOME").or_else(|| self.passwd_home())
    }

    fn passwd_home(&self) -> Option<PathBuf> {
        let uid = self.uid.to_string();
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let home = (fields.nth(2)? == uid).then(|| fields.nth(2))??;
            home.starts_with('/').then(|| PathBuf::from(home))
        })
    }
}
