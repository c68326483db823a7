//! What the receiving side is told: keys, tokens, limits.
//!
//! [`HttpConfig`] is as it was written; [`Settings`] is what was checked, and nothing else is ever
//! asked. Without a good secret there are none.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dispatcher_core::Registry;
use serde::Deserialize;

use super::remote::Target;
use super::signature::Secret;
use crate::config::Config;
use crate::sources::Interval;

/// Where the source listens unless it is told.
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8642);
/// Keys at most: each is tried on every message.
const KEYS_MAX: usize = 16;
/// Shortest read token, in characters.
const TOKEN_MIN: usize = 24;
/// The name of the key that `secret` is.
const DEFAULT_KEY: &str = "default";

/// The receiving side of jobs over HTTP: section `[sources.http]`, or made in code for
/// [`router`](super::router).
///
/// ```
/// use dispatcher_runner::http::HttpConfig;
/// let config = HttpConfig::new("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
///     .with_read_token("a-token-for-reading-jobs");
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Deserialize)]
pub struct HttpConfig {
    pub(super) address: Option<SocketAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) is_backend: Option<bool>,
    pub(super) secret: Option<Hidden>,
    #[serde(default)]
    pub(super) keys: Vec<KeyConfig>,
    #[serde(default)]
    pub(super) read_tokens: Vec<Hidden>,
    #[serde(default)]
    pub(super) callbacks: Vec<String>,
    #[serde(default)]
    pub(super) limits: Limits,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub(super) String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Who takes care of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// A proxy in front of it.
    InFront,
}

/// One sender, by the secret that it signs with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    pub(super) id: String,
    pub(super) secret: Hidden,
    pub(super) jobs: Option<Vec<String>>,
    pub(super) queues: Option<Vec<String>>,
    pub(super) rate: Option<f64>,
    pub(super) burst: Option<u32>,
}

impl KeyConfig {
    /// A sender that may send everything.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: Hidden(secret.into()),
            jobs: None,
            queues: None,
            rate: None,
            burst: None,
        }
    }

    /// Only these dispatchers, by name or alias.
    #[must_use]
    pub fn with_jobs<S: Into<String>>(mut self, jobs: impl IntoIterator<Item = S>) -> Self {
        self.jobs = Some(jobs.into_iter().map(Into::into).collect());
        self
    }

    /// Only into these queues.
    #[must_use]
    pub fn with_queues<S: Into<String>>(mut self, queues: impl IntoIterator<Item = S>) -> Self {
        self.queues = Some(queues.into_iter().map(Into::into).collect());
        self
    }

    /// So many messages a second, and so many at once.
    #[must_use]
    pub fn with_rate(mut self, per_second: f64, burst: u32) -> Self {
        self.rate = Some(per_second);
        self.burst = Some(burst);
        self
    }
}

/// Bounds of what is accepted; section `[sources.http.limits]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Jobs of a batch.
    pub batch_jobs: usize,
    /// How deep JSON may be nested.
    pub json_depth: usize,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Time for the head of a request, and for its body.
    pub read_timeout: Interval,
    /// Connections at once.
    pub connections: usize,
    /// Bytes of all bodies together whose sender is not known yet.
    pub unknown_bytes: usize,
    /// How far a message's time may be off.
    pub tolerance: Interval,
    /// How long an answer is kept for the same message; at least a day.
    pub replay_age: Interval,
    /// How many answers are kept; with as many no further message is accepted.
    pub replay_count: u64,
    /// Longest wait for the end of a job with `"async": false`.
    pub max_wait: Interval,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2_359_296,
            batch_jobs: 1000,
            json_depth: 64,
            head_bytes: 16 * 1024,
            read_timeout: Interval::from_secs(10),
            connections: 1024,
            unknown_bytes: 64 * 1024 * 1024,
            tolerance: Interval::from_secs(300),
            replay_age: Interval::from_secs(24 * 3600),
            replay_count: 1_000_000,
            max_wait: Interval::from_secs(30),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct HttpConfigError {
    what: String,
}

impl HttpConfigError {
    pub(super) fn without_service() -> Self {
        Self {
            what: "`callbacks` are told by a service with the source `http`".to_owned(),
        }
    }

    pub(super) fn of(error: &dyn std::error::Error) -> Self {
        Self {
            what: crate::log::chain(error),
        }
    }
}

impl HttpConfig {
    /// One sender with this secret, and every limit as by default. It receives.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: Some(Hidden(secret.into())),
            ..Self::without_keys()
        }
    }

    /// No sender yet: see [`with_key`](Self::with_key).
    #[must_use]
    pub fn without_keys() -> Self {
        Self {
            address: None,
            tls: None,
            is_backend: Some(true),
            secret: None,
            keys: Vec::new(),
            read_tokens: Vec::new(),
            callbacks: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// One more sender.
    #[must_use]
    pub fn with_key(mut self, key: KeyConfig) -> Self {
        self.keys.push(key);
        self
    }

    /// Whoever has this bearer token may look at jobs; at least 24 characters.
    #[must_use]
    pub fn with_read_token(mut self, token: impl Into<String>) -> Self {
        self.read_tokens.push(Hidden(token.into()));
        self
    }

    /// Other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Nothing is received: there are no routes, unless `DISPATCHER_IS_BACKEND` says so.
    #[must_use]
    pub fn switched_off(mut self) -> Self {
        self.is_backend = Some(false);
        self
    }

    /// What the surroundings say stands above the section.
    pub(super) fn take_over(&mut self, config: &Config) {
        let remote = config.remote();
        if let Some(secret) = remote.secret_of_surroundings() {
            self.secret = Some(Hidden(secret.to_owned()));
        }
        self.is_backend = remote.is_backend.or(self.is_backend);
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address.unwrap_or(ADDRESS)
    }

    /// Checks all of it.
    pub(super) fn check(&self, registry: &Registry) -> Result<Settings, HttpConfigError> {
        let mut keys = Vec::new();
        let of_secret = self.secret.iter().map(|secret| KeyConfig {
            secret: secret.clone(),
            ..KeyConfig::new(DEFAULT_KEY, "")
        });
        for key in of_secret.chain(self.keys.iter().cloned()) {
            keys.push(checked_key(&key, registry)?);
        }
        if keys.is_empty() {
            return refuse(
                "there is no secret: set `secret`, DISPATCHER_BACKEND_SECRET or [[sources.http.keys]] \
                 (`generate-secret` makes one)",
            );
        }
        if keys.len() > KEYS_MAX {
            return refuse(format!(
                "there are {} keys, more than {KEYS_MAX}",
                keys.len()
            ));
        }
        for (at, key) in keys.iter().enumerate() {
            let others = &keys[..at];
            if others.iter().any(|other| other.id == key.id) {
                return refuse(format!("two keys are called `{}`", key.id));
            }
            if let Some(other) = others.iter().find(|other| other.secret == key.secret) {
                return refuse(format!(
                    "the keys `{}` and `{}` have the same secret: nobody could tell who sent",
                    other.id, key.id
                ));
            }
        }
        let tokens = self.checked_tokens()?;
        self.check_limits()?;
        let callbacks = self.callbacks.iter().map(|url| match Target::parse(url) {
            Ok(target) => Ok((url.clone(), target)),
            Err(why) => refuse(format!("the callback {url:?} cannot be used: {why}")),
        });
        let callbacks = callbacks.collect::<Result<_, _>>()?;
        Ok(Settings {
            callbacks,
            keys,
            tokens,
            limits: self.limits.clone(),
        })
    }

    fn checked_tokens(&self) -> Result<Vec<String>, HttpConfigError> {
        let secrets = self.keys.iter().map(|key| &key.secret).chain(&self.secret);
        let secrets: BTreeSet<_> = secrets.map(|it| bare(&it.0)).collect();
        let mut tokens = Vec::new();
        for Hidden(token) in &self.read_tokens {
            if token.len() < TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return refuse(format!(
                    "a read token has at least {TOKEN_MIN} visible ASCII characters"
                ));
            }
            if secrets.contains(bare(token)) {
                return refuse("a secret is no read token: whoever reads could sign");
            }
            tokens.push(token.clone());
        }
        Ok(tokens)
    }

    fn check_limits(&self) -> Result<(), HttpConfigError> {
        let Limits {
            body_bytes,
            batch_jobs,
            json_depth,
            head_bytes,
            read_timeout: _,
            connections,
            unknown_bytes,
            tolerance,
            replay_age,
            replay_count,
            max_wait: _,
        } = &self.limits;
        let positive = [
            ("body_bytes", *body_bytes),
            ("batch_jobs", *batch_jobs),
            ("connections", *connections),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(format!("`{name}` of [sources.http.limits] is from 1 on"));
        }
        if !(1..=100).contains(json_depth) {
            return refuse("`json_depth` of [sources.http.limits] is from 1 to 100");
        }
        // The least that hyper takes.
        if *head_bytes < 8192 {
            return refuse("`head_bytes` of [sources.http.limits] is from 8192 on");
        }
        if unknown_bytes < body_bytes {
            return refuse("`unknown_bytes` of [sources.http.limits] is at least `body_bytes`");
        }
        if *replay_count == 0 {
            return refuse("`replay_count` of [sources.http.limits] is from 1 on");
        }
        let day = Duration::from_secs(24 * 3600);
        if replay_age.duration() < day.max(tolerance.duration() * 2) {
            return refuse(
                "`replay_age` of [sources.http.limits] is at least a day, and twice the `tolerance`",
            );
        }
        Ok(())
    }
}

fn bare(secret: &str) -> &str {
    secret.strip_prefix("whsec_").unwrap_or(secret)
}

fn refuse<T>(what: impl Into<String>) -> Result<T, HttpConfigError> {
    Err(HttpConfigError { what: what.into() })
}

fn checked_key(key: &KeyConfig, registry: &Registry) -> Result<Key, HttpConfigError> {
    let id = key.id.clone();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 64 || !id.bytes().all(fits) {
        return refuse(format!(
            "{id:?} is no name of a key: 1 to 64 letters, digits, `-`, `_` and `.`"
        ));
    }
    let secret = Secret::parse(&key.secret.0).map_err(|error| HttpConfigError {
        what: format!(
            "the secret of the key `{id}` cannot be used: {error}; {}",
            error.advice()
        ),
    })?;
    let mut jobs = None;
    for name in key.jobs.iter().flatten() {
        let definition = registry.resolve(name).map_err(|error| HttpConfigError {
            what: format!("the key `{id}` names a job that is not there: {error}"),
        })?;
        jobs.get_or_insert_with(BTreeSet::new)
            .insert(definition.name);
    }
    // An empty list is a list: nothing is allowed.
    let jobs = key.jobs.as_ref().map(|_| jobs.unwrap_or_default());
    let rate = match (key.rate, key.burst) {
        (None, None) => None,
        (None, Some(_)) => return refuse(format!("the key `{id}` has a `burst` and no `rate`")),
        (Some(rate), burst) if rate.is_finite() && rate > 0.0 => {
            Some((rate, f64::from(burst.unwrap_or(1).max(1))))
        }
        (Some(_), _) => return refuse(format!("`rate` of the key `{id}` is more than 0")),
    };
    Ok(Key {
        id,
        secret,
        jobs,
        queues: key.queues.as_ref().map(|it| it.iter().cloned().collect()),
        rate,
    })
}

/// What was checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) keys: Vec<Key>,
    pub(super) tokens: Vec<String>,
    pub(super) limits: Limits,
    /// URLs that may be told of the ends of jobs.
    pub(super) callbacks: Vec<(String, Target)>,
}

/// A sender.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: Secret,
    /// Names of dispatchers; all without.
    jobs: Option<BTreeSet<&'static str>>,
    queues: Option<BTreeSet<String>>,
    /// Messages a second, and at once.
    pub(super) rate: Option<(f64, f64)>,
}

impl Key {
    /// Whether it may send everything there is.
    pub(super) fn may_all(&self) -> bool {
        self.jobs.is_none()
    }

    pub(super) fn may(&self, dispatcher: &str) -> bool {
        let jobs = self.jobs.as_ref();
        jobs.is_none_or(|jobs| jobs.contains(dispatcher))
    }

    pub(super) fn may_into(&self, queue: &str) -> bool {
        let queues = self.queues.as_ref();
        queues.is_none_or(|queues| queues.contains(queue))
    }
}
