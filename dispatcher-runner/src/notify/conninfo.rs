//! Where a server is, and who asks: `key=value` words or a URL, as PostgreSQL's own clients read
//! them. Never shown: it may hold a password.
//!
//! What says how the line is kept safe (`sslmode`, `sslrootcert`) is read here; the rest is the
//! library's.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::{NotifyError, PATIENCE};
use crate::tls::Trust;

/// A dead other side is noticed after about this time, and three questions more.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where a server is, and who asks.
#[derive(Clone)]
pub(crate) struct Conninfo {
    config: Config,
    trust: Trust,
}

impl Conninfo {
    pub(crate) fn read(text: &str) -> Result<Self, NotifyError> {
        let mut safety = Safety::default();
        let rest = match text.split_once("://") {
            Some(_) => safety.taken_out_of_url(text),
            None => safety.taken_out_of_words(text),
        };
        // The library's words name keys, and no values.
        let mut config: Config = rest.parse().map_err(|error| told(&error))?;
        let (ssl, trust) = safety.meant()?;
        config.ssl_mode(ssl);
        if config.get_application_name().is_none() {
            config.application_name("dispatcher");
        }
        config.connect_timeout(PATIENCE).keepalives_idle(KEEPALIVE);
        Ok(Self { config, trust })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }
}

fn told(error: &tokio_postgres::Error) -> NotifyError {
    NotifyError::Conninfo(match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// What a text says about the line.
#[derive(Debug, Default)]
struct Safety {
    mode: Option<String>,
    root: Option<PathBuf>,
}

impl Safety {
    /// Takes a word if it is about the line.
    fn is_about(&mut self, word: &str) -> bool {
        match word.split_once('=') {
            Some(("sslmode", mode)) => self.mode = Some(mode.to_owned()),
            Some(("sslrootcert", path)) => self.root = Some(path.replace("%2F", "/").into()),
            Some(_) | None => return false,
        }
        true
    }

    fn taken_out_of_url(&mut self, text: &str) -> String {
        let Some((base, query)) = text.split_once('?') else {
            return text.to_owned();
        };
        let mut rest: Vec<&str> = query.split('&').collect();
        rest.retain(|pair| !pair.is_empty() && !self.is_about(pair));
        match rest.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", rest.join("&")),
        }
    }

    fn taken_out_of_words(&mut self, text: &str) -> String {
        let mut rest: Vec<&str> = text.split(' ').collect();
        rest.retain(|word| !self.is_about(word));
        rest.join(" ")
    }

    fn meant(self) -> Result<(SslMode, Trust), NotifyError> {
        Ok(match self.mode.as_deref().unwrap_or("prefer") {
            "disable" => (SslMode::Disable, Trust::Anybody),
            "allow" | "prefer" => (SslMode::Prefer, Trust::Anybody),
            "require" if self.root.is_none() => (SslMode::Require, Trust::Anybody),
            "require" | "verify-ca" | "verify-full" => (SslMode::Require, Trust::Known(self.root)),
            _ => {
                let what = "`sslmode` is none of disable, prefer, require and verify-full";
                return Err(NotifyError::Conninfo(what.to_owned()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_how_the_line_is_kept_safe() {
        let ca = || Trust::Known(Some("/ca.pem".into()));
        for (text, ssl, trust) in [
            ("host=a user=b", SslMode::Prefer, Trust::Anybody),
            ("postgres://b@a/c", SslMode::Prefer, Trust::Anybody),
            ("host=a sslmode=disable", SslMode::Disable, Trust::Anybody),
            (
                "postgres://b@a/c?sslmode=require",
                SslMode::Require,
                Trust::Anybody,
            ),
            (
                "host=a sslmode=verify-full sslrootcert=/ca.pem",
                SslMode::Require,
                ca(),
            ),
            (
                "postgres://a/c?sslmode=verify-full&application_name=x&sslrootcert=%2Fca.pem",
                SslMode::Require,
                ca(),
            ),
            (
                "postgresql://a/c?sslmode=verify-full",
                SslMode::Require,
                Trust::Known(None),
            ),
        ] {
            let conninfo = Conninfo::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(conninfo.config.get_ssl_mode(), ssl, "{text}");
            assert_eq!(conninfo.trust, trust, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_without_values() {
        for text in [
            "host=a prot=geheim",
            "host=a sslmode=geheim",
            "postgres://b:geheim@a:x/c",
        ] {
            let error = Conninfo::read(text).err().expect("a mistake").to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
