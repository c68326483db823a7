//! What a dispatcher's row says about it, so that listings work without its program.
//!
//! It is the one source of which fields are secret: a listing that cannot read it shows nothing
//! of a payload.

use dispatcher_core::{Definition, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Shown instead of a secret.
pub(crate) const MASK: &str = "***";

/// A dispatcher as listings show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) documentation: String,
    pub(crate) fields: Vec<AboutField>,
    pub(crate) place: AboutPlace,
    /// Options of its jobs, overrides applied.
    pub(crate) options: Options,
    pub(crate) aliases: Vec<String>,
    /// Whether it has a default payload, and so may be scheduled.
    pub(crate) default: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<Value>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AboutField {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) documentation: String,
    pub(crate) secret: bool,
}

/// Where it stands in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AboutPlace {
    pub(crate) package: String,
    pub(crate) module: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl About {
    /// About a compiled-in dispatcher, whose jobs have these options unless they say otherwise,
    /// and which the configuration gives further aliases.
    pub(crate) fn of(definition: &Definition, options: Options, configured: Vec<String>) -> Self {
        let declared = definition.aliases.iter().map(|alias| (*alias).to_owned());
        let mut aliases: Vec<_> = declared.chain(configured).collect();
        aliases.sort();
        aliases.dedup();
        let fields = definition.fields.iter().map(|field| AboutField {
            name: field.name.to_owned(),
            type_name: field.type_name.to_owned(),
            documentation: field.documentation.to_owned(),
            secret: field.secret,
        });
        let place = definition.place;
        Self {
            documentation: definition.documentation.to_owned(),
            fields: fields.collect(),
            place: AboutPlace {
                package: place.package.to_owned(),
                module: place.module.to_owned(),
                file: place.file.to_owned(),
                line: place.line,
            },
            options,
            aliases,
            default: definition.default_payload.is_some(),
            schema: definition.schema.map(|schema| {
                let mut schema = schema();
                hide_defaults(&mut schema, definition);
                schema
            }),
        }
    }

    /// What a row says; `None` when it was written by somebody else.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// What goes into the row.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: texts, numbers and lists are JSON")
    }

    /// The payload with every secret field hidden.
    pub(crate) fn masked(&self, payload: &str) -> Value {
        // A key that no field has may be serde's alias of a secret one.
        let shown = |name: &str| self.fields.iter().any(|it| !it.secret && it.name == name);
        let Ok(mut value) = serde_json::from_str(payload) else {
            return hidden();
        };
        if !self.fields.iter().any(|field| field.secret) {
            return value;
        }
        match &mut value {
            Value::Object(members) => {
                for (_, value) in members.iter_mut().filter(|(name, _)| !shown(name)) {
                    *value = hidden();
                }
            }
            // A tuple struct: its fields are called by their numbers.
            Value::Array(items) if items.len() == self.fields.len() => {
                for (item, field) in items.iter_mut().zip(&self.fields) {
                    if field.secret {
                        *item = hidden();
                    }
                }
            }
            Value::Null => {}
            Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return hidden();
            }
        }
        value
    }
}

/// The payload as `about` allows to show it; nothing of it when that is unknown.
pub(crate) fn masked(about: Option<&About>, payload: &str) -> Value {
    match about {
        Some(about) => about.masked(payload),
        None => hidden(),
    }
}

/// A schema tells what a field is when it is left out, which of a secret one is a secret.
fn hide_defaults(schema: &mut Value, definition: &Definition) {
    let secret = definition.fields.iter().filter(|field| field.secret);
    for field in secret {
        let mut property = schema
            .get_mut("properties")
            .and_then(|properties| properties.get_mut(field.name));
        for word in ["default", "examples"] {
            if let Some(value) = property.as_deref_mut().and_then(|it| it.get_mut(word)) {
                *value = hidden();
            }
        }
    }
}

fn hidden() -> Value {
    Value::String(MASK.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(fields: &[(&str, bool)]) -> About {
        About {
            documentation: String::new(),
            fields: fields
                .iter()
                .map(|(name, secret)| AboutField {
                    name: (*name).to_owned(),
                    type_name: "String".to_owned(),
                    documentation: String::new(),
                    secret: *secret,
                })
                .collect(),
            place: AboutPlace {
                package: "p".to_owned(),
                module: "m".to_owned(),
                file: "f".to_owned(),
                line: 1,
            },
            options: Options::default(),
            aliases: Vec::new(),
            default: false,
            schema: None,
        }
    }

    #[test]
    fn secrets_are_hidden_whatever_shape_the_payload_has() {
        let user = about(&[("user", false), ("token", true)]);
        let one = about(&[("0", true)]);
        for (about, payload, shown) in [
            (
                &user,
                r#"{"user":"a","token":"x"}"#,
                r#"{"token":"***","user":"a"}"#,
            ),
            (
                &user,
                r#"{"user":"a","token":{"y":[1]}}"#,
                r#"{"token":"***","user":"a"}"#,
            ),
            (
                &user,
                r#"{"user":"a","tok":"x"}"#,
                r#"{"tok":"***","user":"a"}"#,
            ),
            (&user, r#"["a","x"]"#, r#"["a","***"]"#),
            (&user, r#"["a","x","b"]"#, r#""***""#),
            (&user, r#""x""#, r#""***""#),
            (&user, "7", r#""***""#),
            (&user, "null", "null"),
            (&user, "{not json", r#""***""#),
            (&one, r#""x""#, r#""***""#),
        ] {
            assert_eq!(about.masked(payload).to_string(), shown, "{payload}");
        }
        let plain = about(&[("user", false)]);
        assert_eq!(plain.masked("7").to_string(), "7");
        assert_eq!(masked(None, r#"{"user":"a"}"#).to_string(), r#""***""#);
    }

    #[test]
    fn rows_are_read_back() {
        let written = about(&[("user", false), ("token", true)]);
        assert_eq!(About::parse(&written.to_json()), Some(written));
        assert_eq!(About::parse("{}"), None);
    }
}
