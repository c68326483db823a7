//! The reference: the table of keys as a file of defaults and as a page of the documentation.
//!
//! Whoever adds a key to a table has it in both; a test compares the page with `docs/`.

use super::keys::PLAIN;
use super::surroundings::CONFIG_VARIABLE;

/// Variable that names the env file.
pub(super) const ENV_FILE_VARIABLE: &str = "DISPATCHER_ENV_FILE";

/// What may stand at the top of a file.
pub(super) const ROOT: &[&str] = &[
    "version",
    "app",
    "store",
    "aliases",
    "service",
    "log",
    "pools",
    "dispatchers",
    "sources",
];

/// Every variable that the configuration knows.
pub(super) fn variables() -> Vec<&'static str> {
    let keys = PLAIN.iter().flat_map(|(_, keys)| *keys);
    let of_keys = keys.filter_map(|key| Some(key.variable?.name));
    [CONFIG_VARIABLE, ENV_FILE_VARIABLE]
        .into_iter()
        .chain(of_keys)
        .collect()
}
