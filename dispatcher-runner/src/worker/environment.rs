//! What a host tells its worker before the first frame: variables, as a plain value.

use std::collections::BTreeMap;

/// The environment that a worker was started in.
///
/// ```
/// use dispatcher_runner::worker::Environment;
/// let environment = Environment::from([("RR_MODE", "ticker"), ("RR_RELAY", "pipes")]);
/// assert_eq!(environment.mode, "ticker");
/// assert!(environment.has_host());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `RR_MODE`: which source the worker is for. Empty when absent.
    pub mode: String,
    /// `RR_RELAY`: how the host is spoken to. Empty when absent, which means that there is none.
    pub relay: String,
    /// `RR_VERSION`: the host's version. Empty when absent.
    pub version: String,
    /// All variables that are text, those three included.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }

    /// A variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a host started this process: `RR_RELAY` says how to speak to it.
    #[must_use]
    pub fn has_host(&self) -> bool {
        !self.relay.is_empty()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let value = |name: &str| variables.get(name).cloned().unwrap_or_default();
        Self {
            mode: value("RR_MODE"),
            relay: value("RR_RELAY"),
            version: value("RR_VERSION"),
            variables,
        }
    }
}

impl<N: Into<String>, V: Into<String>, const COUNT: usize> From<[(N, V); COUNT]> for Environment {
    fn from(variables: [(N, V); COUNT]) -> Self {
        variables.into_iter().collect()
    }
}
