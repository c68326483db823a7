//! What `config show` shows: every value, and where it came from.
//!
//! Nothing secret leaves this file: values of variables, passwords in URLs, and whatever is called
//! like a secret are masked.

use serde_json::{Map, Value, json};

use super::keys::{Key, PLAIN, Preset};
use super::origin::{Origin, key, key_path, quoted};
use super::pools::POOL;
use super::work::WORK;
use super::{Config, OptionValue, PoolOf, StoreLocation};
use crate::pool::PoolConfig;

/// Shown instead of a secret.
const MASK: &str = "***";
/// A key with one of these in its name holds a secret.
const SECRETS: [&str; 5] = ["secret", "password", "passwd", "token", "private_key"];

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// Its path in a file: `pools.php.workers`.
    pub(crate) key: String,
    /// `null` where nobody decided it.
    pub(crate) value: Value,
    /// What holds then.
    words: Option<&'static str>,
    pub(crate) origin: Origin,
}

impl Shown {
    /// The value as TOML has it, or what holds without one.
    pub(crate) fn text(&self) -> String {
        let is_nothing = match &self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        match self.words {
            Some(words) if is_nothing => format!("({})", words.replace('`', "")),
            Some(_) | None => in_toml(&self.value),
        }
    }
}

impl Config {
    /// Every value of the configuration, in the order of the reference; the state lies at
    /// `location`.
    pub(crate) fn shown(&self, location: &StoreLocation) -> Vec<Shown> {
        let mut known = self.clone();
        known.store = Some(location.clone());
        let mut all = Vec::new();
        for (section, keys) in PLAIN {
            known.of_keys(&mut all, section, keys, &known);
        }
        for (alias, target) in &self.aliases {
            all.push(self.entry(&["aliases", alias], json!(target), None));
        }
        for (name, pool) in &self.pools {
            self.of_pool(&mut all, &["pools", name], pool);
        }
        for (name, overrides) in &self.overrides {
            if let Some(configured) = self.configured.get(name) {
                let section = ["dispatchers", name];
                let keys = WORK.iter().filter(|key| !(key.show)(configured).is_null());
                for key in keys {
                    let value = (key.show)(configured);
                    let parts = [&section[..], &[key.name]].concat();
                    all.push(self.entry(&parts, value, words(key.preset)));
                }
            }
            for (option, value) in overrides.given() {
                let parts = ["dispatchers", name, option];
                all.push(self.entry(&parts, of_option(value), None));
            }
        }
        for (name, section) in &self.sources {
            for (key, value) in section.table() {
                all.push(self.entry(&["sources", name, key], of_toml(value), None));
            }
            match section.pool() {
                Some(PoolOf::Named(pool)) => {
                    all.push(self.entry(&["sources", name, "pool"], json!(pool), None));
                }
                Some(PoolOf::Inline(pool)) => {
                    self.of_pool(&mut all, &["sources", name, "pool"], pool);
                }
                None if section.table().is_empty() => {
                    all.push(self.entry(&["sources", name], json!({}), Some("its defaults")));
                }
                None => {}
            }
        }
        all
    }

    fn of_keys<T, S>(&self, all: &mut Vec<Shown>, section: &[&str], keys: &[Key<T, S>], of: &S) {
        for key in keys {
            let parts = [section, &[key.name]].concat();
            all.push(self.entry(&parts, (key.show)(of), words(key.preset)));
        }
    }

    /// A fixed number of workers is one key, one that changes is two.
    fn of_pool(&self, all: &mut Vec<Shown>, section: &[&str], pool: &PoolConfig) {
        let is_fixed = pool.min_workers == pool.max_workers;
        for key in POOL {
            let is_shown = match key.name {
                "num_workers" => false,
                "workers" => is_fixed,
                "min_workers" | "max_workers" => !is_fixed,
                _ => true,
            };
            if !is_shown {
                continue;
            }
            let parts = [section, &[key.name]].concat();
            let mut shown = self.entry(&parts, (key.show)(pool), words(key.preset));
            let others = ["num_workers", "min_workers", "max_workers"];
            if key.name == "workers" && shown.origin == Origin::Default {
                let mut origins = others
                    .map(|name| self.origins.of(&[section, &[name]].concat()))
                    .into_iter();
                let other = origins.find(|origin| *origin != Origin::Default);
                shown.origin = other.unwrap_or(Origin::Default);
            }
            all.push(shown);
        }
    }

    fn entry(&self, parts: &[&str], value: Value, words: Option<&'static str>) -> Shown {
        let name = parts.last().copied().unwrap_or_default();
        Shown {
            key: key_path(parts),
            value: masked(name, value),
            words,
            origin: self.origin_of(parts),
        }
    }

    fn origin_of(&self, parts: &[&str]) -> Origin {
        match (parts, &self.store) {
            (["store", "url"], Some(location)) => location.origin().clone(),
            _ => self.origins.of(parts),
        }
    }
}

fn words(preset: Preset) -> Option<&'static str> {
    match preset {
        Preset::Words { words, .. } => Some(words),
        Preset::Is(_) => Some("none"),
        Preset::Instead { .. } => None,
    }
}

/// A value without what must not be shown.
fn masked(name: &str, value: Value) -> Value {
    if is_secret(name) {
        return json!(MASK);
    }
    match value {
        Value::String(text) => Value::String(without_password(&text)),
        Value::Array(items) => {
            let items = items.into_iter().map(|item| masked("", item));
            Value::Array(items.collect())
        }
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| match name {
                "env" => (key, json!(MASK)),
                _ => {
                    let value = masked(&key, value);
                    (key, value)
                }
            });
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// A URL without the password of its user, and without secrets in its query.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let Some((path, query)) = path.split_once('?') else {
        return format!("{scheme}://{authority}{path}");
    };
    let parameters = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
            Some(_) | None => parameter.to_owned(),
        });
    let query = parameters.collect::<Vec<_>>().join("&");
    format!("{scheme}://{authority}{path}?{query}")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

fn of_option(value: &OptionValue) -> Value {
    match value {
        OptionValue::Text(text) => json!(text),
        OptionValue::Integer(number) => json!(number),
        OptionValue::Boolean(value) => json!(value),
        OptionValue::List(items) => json!(items),
        OptionValue::Table(members) => json!(members),
    }
}

fn of_toml(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(value) => json!(value),
        toml::Value::Datetime(date) => json!(date.to_string()),
        toml::Value::Array(items) => Value::Array(items.iter().map(of_toml).collect()),
        toml::Value::Table(table) => {
            let members = table
                .iter()
                .map(|(key, value)| (key.clone(), of_toml(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn in_toml(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(in_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members: Vec<_> = members
                .map(|(name, value)| format!("{} = {}", key(name), in_toml(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
    }
}
