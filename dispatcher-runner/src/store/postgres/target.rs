//! Which database and which schema, as a URL says it; never shown with its password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The schema of the store, unless the URL says otherwise.
pub(crate) const SCHEMA: &str = "dispatcher";

/// A database, and the schema in it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(super) config: Config,
    pub(super) schema: String,
    pub(super) trust: Trust,
    shown: String,
}

/// Whose certificate a server may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Anybody's: what goes over the line is hidden, who is at its end is not known.
    Anybody,
    /// Of an authority in this file, or in the system's list; and it names the host.
    Known(Option<PathBuf>),
}

/// Why a URL is no target. Its text is never repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("it is no PostgreSQL URL: {0}")]
    Url(String),
    #[error("the schema {0:?} is no name of at most 40 small letters, digits and _")]
    Schema(String),
    #[error("sslmode {0:?} is not known; use disable, prefer, require or verify-full")]
    SslMode(String),
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?…`. Besides what PostgreSQL's own
    /// clients understand there is `schema`.
    pub(crate) fn parse(url: &str) -> Result<Self, TargetError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = SCHEMA.to_owned();
        let mut mode = "prefer".to_owned();
        let mut root = None;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("schema", name)) => schema = name.to_owned(),
                Some(("sslmode", name)) => mode = name.to_owned(),
                Some(("sslrootcert", path)) => root = Some(decoded(path)?),
                Some(_) | None => rest.push(pair),
            }
        }
        let plain = schema
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !plain || schema.is_empty() || schema.len() > 40 {
            return Err(TargetError::Schema(schema));
        }
        let url = match &rest[..] {
            [] => base.to_owned(),
            rest => format!("{base}?{}", rest.join("&")),
        };
        let mut config = Config::from_str(&url).map_err(|error| TargetError::Url(why(&error)))?;
        let (ssl, trust) = match mode.as_str() {
            "disable" => (SslMode::Disable, Trust::Anybody),
            "allow" | "prefer" => (SslMode::Prefer, Trust::Anybody),
            "require" if root.is_none() => (SslMode::Require, Trust::Anybody),
            "require" | "verify-ca" | "verify-full" => (SslMode::Require, Trust::Known(root)),
            other => return Err(TargetError::SslMode(other.to_owned())),
        };
        config.ssl_mode(ssl);
        if config.get_application_name().is_none() {
            config.application_name("dispatcher");
        }
        let shown = shown(&config, &schema);
        Ok(Self {
            config,
            schema,
            trust,
            shown,
        })
    }

    /// As a place in messages.
    pub(crate) fn place(&self) -> PathBuf {
        PathBuf::from(&self.shown)
    }

    /// The schema.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
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

/// Everything but the password.
fn shown(config: &Config, schema: &str) -> String {
    let user = config.get_user().map(|user| format!("{user}@"));
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let hosts: Vec<_> = hosts.collect();
    let schema = if schema == SCHEMA {
        String::new()
    } else {
        format!("?schema={schema}")
    };
    format!(
        "postgres://{}{}/{}{schema}",
        user.unwrap_or_default(),
        hosts.join(","),
        config.get_dbname().unwrap_or_default(),
    )
}

/// What is wrong, without the text that is.
fn why(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => source.to_string(),
        None => "it cannot be read".to_owned(),
    }
}

fn decoded(text: &str) -> Result<PathBuf, TargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => digit(rest.next())
                .zip(digit(rest.next()))
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
                .ok_or_else(|| TargetError::Url("a bad % escape".to_owned()))?,
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes);
    text.map(PathBuf::from)
        .map_err(|_| TargetError::Url("sslrootcert is no text".to_owned()))
}
