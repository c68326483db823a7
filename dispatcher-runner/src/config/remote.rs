//! `[remote]`: the application that jobs are sent to over HTTP, and whether this one is such a one.
//!
//! Secrets of the surroundings count for both directions, those of a file only for sending: the
//! other direction has `[sources.http]`.

use serde_json::json;

use super::keys::{Holds, Key, Mistake, Preset, Variable};
use super::{Config, OptionValue, Origin};

/// What is known of the other side.
#[derive(Debug, Clone, Default)]
pub(crate) struct RemoteConfig {
    pub(crate) url: Option<String>,
    pub(crate) secret: Option<String>,
    pub(crate) token: Option<String>,
    /// Whether this application receives jobs.
    pub(crate) is_backend: Option<bool>,
    /// Whether the secret comes from the environment or an env file.
    is_of_surroundings: bool,
}

impl RemoteConfig {
    /// The secret that the environment or an env file names: it signs in both directions.
    #[cfg(feature = "http")]
    pub(crate) fn secret_of_surroundings(&self) -> Option<&str> {
        let secret = self.secret.as_deref();
        secret.filter(|_| self.is_of_surroundings)
    }
}

/// `[remote]`.
pub(super) static REMOTE: &[Key<Config>] = &[
    Key {
        name: "url",
        takes: "a URL",
        preset: Preset::Words {
            words: "none",
            example: "\"https://b.example\"",
        },
        variable: Some(Variable {
            name: "DISPATCHER_BACKEND_URL",
            holds: Holds::One,
        }),
        meaning: "the application that jobs are sent to over HTTP",
        set: |config, value, _| {
            config.remote.url = Some(value.quoted_text()?);
            Ok(())
        },
        show: |config| json!(config.remote.url),
    },
    Key {
        name: "secret",
        takes: "base64 of 24 to 96 bytes, with or without `whsec_`",
        preset: Preset::Words {
            words: "none",
            example: "\"C2FVsBQIhrscChlQIMV+b5sSYspob7oD\"",
        },
        variable: Some(Variable {
            name: "DISPATCHER_BACKEND_SECRET",
            holds: Holds::One,
        }),
        meaning: "what messages are signed with; the variable is also the secret of [sources.http]",
        set: |config, value, site| {
            // A number in the variable is a text here, and no secret: it is told at the use.
            config.remote.secret = Some(value.text("a text")?);
            config.remote.is_of_surroundings = match site.origin {
                Origin::Variable(_) | Origin::EnvFile { .. } => true,
                Origin::Default | Origin::Code | Origin::File { .. } | Origin::Flag(_) => false,
            };
            Ok(())
        },
        show: |config| json!(config.remote.secret),
    },
    Key {
        name: "token",
        takes: "a text",
        preset: Preset::Words {
            words: "none",
            example: "\"a-token-for-reading-jobs\"",
        },
        variable: Some(Variable {
            name: "DISPATCHER_BACKEND_TOKEN",
            holds: Holds::One,
        }),
        meaning: "the read token with which jobs are looked at there",
        set: |config, value, _| {
            config.remote.token = Some(value.text("a text")?);
            Ok(())
        },
        show: |config| json!(config.remote.token),
    },
    Key {
        name: "is_backend",
        takes: "`true` or `false`",
        preset: Preset::Words {
            words: "what [sources.http] says",
            example: "true",
        },
        variable: Some(Variable {
            name: "DISPATCHER_IS_BACKEND",
            holds: Holds::One,
        }),
        meaning: "whether this application itself receives jobs over HTTP; stands above the same key \
                  of [sources.http]",
        set: |config, value, _| {
            config.remote.is_backend = Some(switch(value)?);
            Ok(())
        },
        show: |config| json!(config.remote.is_backend),
    },
];

fn switch(value: &OptionValue) -> Result<bool, Mistake> {
    match value {
        OptionValue::Boolean(value) => Ok(*value),
        OptionValue::Integer(1) => Ok(true),
        OptionValue::Integer(0) => Ok(false),
        OptionValue::Text(text) if text == "true" => Ok(true),
        OptionValue::Text(text) if text == "false" => Ok(false),
        OptionValue::Text(_)
        | OptionValue::Integer(_)
        | OptionValue::List(_)
        | OptionValue::Table(_) => Err(Mistake::Value("takes `true` or `false`".to_owned())),
    }
}
