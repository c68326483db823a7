//! A configuration made in code: what a program sets itself.
//!
//! Nothing is refused here but an option that no dispatcher has; what does not fit together is told
//! by [`Config::resolve`], all at once, as it is of a file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::location::parse_url;
use super::{Config, ConfigError, Configured, OptionValue, Origin, SourceSection, StoreLocation};
use crate::pool::PoolConfig;

impl Config {
    /// Puts the state file at `file`; its folder holds everything else that belongs to the state.
    #[must_use]
    pub fn with_store(mut self, file: impl Into<PathBuf>) -> Self {
        self.store = Some(StoreLocation::new(file.into(), Origin::Code));
        self.by_code(&["store", "url"])
    }

    /// Remembers jobs where the URL says: `sqlite:/path/state.db` or, with the feature `postgres`,
    /// `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// When it names no store.
    pub fn with_store_url(mut self, url: &str) -> Result<Self, ConfigError> {
        let base = std::path::absolute(".").unwrap_or_default();
        let named = parse_url(url, &base).map_err(|problem| ConfigError::Problems {
            path: None,
            problems: vec![problem],
        })?;
        self.store = Some(StoreLocation::named(named, Origin::Code));
        Ok(self.by_code(&["store", "url"]))
    }

    /// Makes `alias` another exact name of the dispatcher `target`.
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<String>, target: impl Into<String>) -> Self {
        let alias = alias.into();
        self.aliases.insert(alias.clone(), target.into());
        self.by_code(&["aliases", &alias])
    }

    /// Overrides one option of a dispatcher; option and value as in `#[dispatcher(...)]`.
    ///
    /// # Errors
    /// When there is no such option, or the value does not fit it.
    pub fn with_option(
        mut self,
        dispatcher: &str,
        option: &str,
        value: impl Into<OptionValue>,
    ) -> Result<Self, ConfigError> {
        let overrides = self.overrides.entry(dispatcher.to_owned()).or_default();
        overrides
            .set(option, value.into())
            .map_err(|what| ConfigError::Code {
                dispatcher: dispatcher.to_owned(),
                what,
            })?;
        Ok(self.by_code(&["dispatchers", dispatcher, option]))
    }

    /// Adds a dispatcher whose work is a command's or a pool's; its options are set by
    /// [`with_option`](Self::with_option).
    ///
    /// ```
    /// use dispatcher_runner::{CommandConfig, Config, Configured, PayloadBy, WorkOf};
    /// let sync = CommandConfig {
    ///     argv: vec!["/usr/bin/rsync".into(), "-a".into(), "/srv/".into(), "/mnt/".into()],
    ///     payload: PayloadBy::None,
    ///     env: Default::default(),
    /// };
    /// let config = Config::new("myapp")
    ///     .with_dispatcher("Sync", Configured {
    ///         documentation: "Copies the data.".into(),
    ///         work: WorkOf::Command(sync),
    ///         line: None,
    ///     })
    ///     .with_option("Sync", "schedule", "daily")?;
    /// assert!(config.configured().contains_key("Sync"));
    /// # Ok::<(), dispatcher_runner::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_dispatcher(mut self, name: impl Into<String>, configured: Configured) -> Self {
        let name = name.into();
        let configured = Configured {
            line: None,
            ..configured
        };
        self.configured.insert(name.clone(), configured);
        self.overrides.entry(name.clone()).or_default();
        self.origins.set(&["dispatchers", &name], Origin::Code);
        for key in super::work::WORK {
            self.origins
                .set(&["dispatchers", &name, key.name], Origin::Code);
        }
        self
    }

    /// Adds a pool of workers.
    #[must_use]
    pub fn with_pool(mut self, name: impl Into<String>, pool: PoolConfig) -> Self {
        let name = name.into();
        let pool = PoolConfig {
            ttl: pool.ttl.filter(|time| !time.is_zero()),
            idle_ttl: pool.idle_ttl.filter(|time| !time.is_zero()),
            queue_timeout: pool.queue_timeout.filter(|time| !time.is_zero()),
            exec_timeout: pool.exec_timeout.filter(|time| !time.is_zero()),
            max_memory: pool.max_memory.filter(|bytes| *bytes > 0),
            ..pool
        };
        self.pools.insert(name.clone(), pool);
        self.origins.forget(&["pools", &name]);
        self.origins.set(&["pools", &name], Origin::Code);
        for key in super::pools::POOL {
            self.origins.set(&["pools", &name, key.name], Origin::Code);
        }
        self
    }

    /// Adds the section of a source, which switches it on. Its key `pool` names a pool.
    #[must_use]
    pub fn with_source(mut self, name: impl Into<String>, section: toml::Table) -> Self {
        let name = name.into();
        self.origins.forget(&["sources", &name]);
        self.origins.set(&["sources", &name], Origin::Code);
        for key in section.keys() {
            self.origins.set(&["sources", &name, key], Origin::Code);
        }
        let section = SourceSection::of_code(&name, section);
        self.sources.insert(name, section);
        self
    }

    /// Keeps finished jobs for `age`, and at most `count` of them per dispatcher.
    #[must_use]
    pub fn with_retention(mut self, age: Duration, count: u64) -> Self {
        self.retention_age = age;
        self.retention_count = count;
        self.by_code(&["store", "retention", "age"])
            .by_code(&["store", "retention", "count"])
    }

    /// Sets the number of worker slots of a supervisor; at least one.
    #[must_use]
    pub fn with_workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers.max(1));
        self.by_code(&["service", "workers"])
    }

    /// Time that a service gives its running jobs when it is told to end; then they are stopped and
    /// queued again.
    #[must_use]
    pub fn with_drain_timeout(mut self, time: Duration) -> Self {
        self.drain_timeout = time;
        self.by_code(&["service", "drain_timeout"])
    }

    /// Queue labels that a service claims; none is all. [`resolve`](Self::resolve) refuses what is
    /// no label.
    #[must_use]
    pub fn with_queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self.by_code(&["service", "queues"])
    }

    /// Where metrics and health are answered. [`resolve`](Self::resolve) refuses what is no
    /// loopback address.
    #[must_use]
    pub fn with_admin(mut self, address: SocketAddr) -> Self {
        self.admin = Some(address);
        self.by_code(&["service", "admin"])
    }

    fn by_code(mut self, parts: &[&str]) -> Self {
        self.origins.set(parts, Origin::Code);
        self
    }
}
