//! A PostgreSQL database and a schema in it, as a URL names them.
//!
//! The URL may hold a password: it is never shown, only handed to the store and to the supervisor
//! that this program starts.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The schema of the store, unless the URL says otherwise.
const SCHEMA: &str = "dispatcher";
/// Names of tables and functions follow it in messages and locks.
const SCHEMA_BYTES_MAX: usize = 40;

/// A database, and the schema in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// For the client library: what it does not understand is taken out.
    url: String,
    schema: String,
    tls: Tls,
    shown: String,
}

/// How the line to the server is protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tls {
    /// Not at all.
    Off,
    /// Encrypted if the server can; whoever it is.
    IfOffered,
    /// Encrypted, whoever is at the other end.
    Encrypted,
    /// The server shows a certificate for its name, of an authority in this file or of the system.
    Verified(Option<PathBuf>),
}

/// Why a text names no database. It is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    /// It names no server.
    #[error("the URL of the store is no postgres://user@host/database")]
    Form,
    /// A bad name.
    #[error("the schema {0:?} is no name of at most 40 small letters, digits and _")]
    Schema(String),
    /// An unknown mode.
    #[error("sslmode {0:?} is not known: there are disable, prefer, require and verify-full")]
    SslMode(String),
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?…`. Besides what PostgreSQL's own
    /// clients understand there is `schema`.
    pub(crate) fn parse(text: &str) -> Result<Self, TargetError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let rest = base
            .strip_prefix("postgres://")
            .or_else(|| base.strip_prefix("postgresql://"))
            .ok_or(TargetError::Form)?;
        let (mut schema, mut mode, mut root) = (SCHEMA.to_owned(), "prefer", None);
        let mut kept = Vec::new();
        let mut host = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("schema", name)) => name.clone_into(&mut schema),
                Some(("sslmode", name)) => mode = name,
                Some(("sslrootcert", path)) => root = Some(PathBuf::from(path)),
                Some(("host", name)) => {
                    host = Some(name);
                    kept.push(pair);
                }
                Some(_) | None => kept.push(pair),
            }
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if schema.is_empty() || schema.len() > SCHEMA_BYTES_MAX || !schema.bytes().all(plain) {
            return Err(TargetError::Schema(schema));
        }
        let tls = match mode {
            "disable" => Tls::Off,
            "allow" | "prefer" => Tls::IfOffered,
            "require" if root.is_none() => Tls::Encrypted,
            "require" | "verify-ca" | "verify-full" => Tls::Verified(root),
            other => return Err(TargetError::SslMode(other.to_owned())),
        };
        let url = match &kept[..] {
            [] => base.to_owned(),
            kept => format!("{base}?{}", kept.join("&")),
        };
        Ok(Self {
            shown: shown(rest, host, &schema),
            url,
            schema,
            tls,
        })
    }

    /// For the client library.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a store of many hosts asks")
    )]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The schema.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a store of many hosts asks")
    )]
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// How the line is protected.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a store of many hosts asks")
    )]
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// As a place in messages.
    pub(crate) fn place(&self) -> PathBuf {
        PathBuf::from(&self.shown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.shown).finish()
    }
}

/// Who, where and which; neither the password nor anything else that the URL says.
fn shown(rest: &str, host: Option<&str>, schema: &str) -> String {
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    // A password may hold an @, a host never does.
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (user.split(':').next().unwrap_or_default(), place),
        None => ("", authority),
    };
    let user = if user.is_empty() {
        String::new()
    } else {
        format!("{user}@")
    };
    let place = if place.is_empty() {
        host.unwrap_or_default()
    } else {
        place
    };
    let schema = if schema == SCHEMA {
        String::new()
    } else {
        format!("?schema={schema}")
    };
    format!("postgres://{user}{place}/{database}{schema}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (text, seen) in [
            ("postgres://u:s3cret@h:5433/db", "postgres://u@h:5433/db"),
            ("postgresql://u:s3c@ret@h/db", "postgres://u@h/db"),
            ("postgres://h/db?password=s3cret", "postgres://h/db"),
            (
                "postgres://u@/db?host=/run/x&schema=jobs&sslmode=disable",
                "postgres://u@/run/x/db?schema=jobs",
            ),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.to_string(), seen);
            assert_eq!(target.place(), PathBuf::from(seen));
            assert!(!format!("{target:?}").contains("s3c"), "{target:?}");
            assert!(!target.url().contains("schema"), "{}", target.url());
        }
    }

    #[test]
    fn what_is_none_is_refused_without_being_repeated() {
        for (text, error) in [
            ("mysql://u:s3cret@h/db", TargetError::Form),
            (
                "postgres://u:s3cret@h/db?schema=A;b",
                TargetError::Schema("A;b".to_owned()),
            ),
            (
                "postgres://u:s3cret@h/db?sslmode=maybe",
                TargetError::SslMode("maybe".to_owned()),
            ),
        ] {
            let found = Target::parse(text).unwrap_err();
            assert!(!found.to_string().contains("s3cret"), "{found}");
            assert_eq!(found, error);
        }
    }
}
