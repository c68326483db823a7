//! The names that serde gives to fields, because listings show the payload's names.
//!
//! Nothing is ever reported here: a wrong `#[serde(...)]` is serde's to complain about. Where the
//! two directions differ, the name that is read counts.

use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr};

/// `rename_all` of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renaming {
    Unchanged,
    Upper,
    Pascal,
    Camel,
    Kebab,
    UpperKebab,
}

impl Renaming {
    /// The rule of a struct with these attributes.
    pub(crate) fn of_container(attributes: &[Attribute]) -> Self {
        match setting(attributes, "rename_all").as_deref() {
            Some("UPPERCASE" | "SCREAMING_SNAKE_CASE") => Self::Upper,
            Some("PascalCase") => Self::Pascal,
            Some("camelCase") => Self::Camel,
            Some("kebab-case") => Self::Kebab,
            Some("SCREAMING-KEBAB-CASE") => Self::UpperKebab,
            // Fields are taken to be in snake case already, as serde does.
            Some(_) | None => Self::Unchanged,
        }
    }

    fn apply(self, field: &str) -> String {
        match self {
            Self::Unchanged => field.to_owned(),
            Self::Upper => field.to_ascii_uppercase(),
            Self::Pascal => field.split('_').map(capitalized).collect(),
            Self::Camel => {
                let pascal = Self::Pascal.apply(field);
                let mut letters = pascal.chars();
                match letters.next() {
                    Some(first) => first.to_ascii_lowercase().to_string() + letters.as_str(),
                    None => pascal,
                }
            }
            Self::Kebab => field.replace('_', "-"),
            Self::UpperKebab => field.to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// Name of a field in the payload; `None` if serde skips it. Fields of tuples are numbered.
pub(crate) fn name_of(field: &syn::Field, position: usize, renaming: Renaming) -> Option<String> {
    if has(&field.attrs, "skip") || has(&field.attrs, "skip_deserializing") {
        return None;
    }
    let Some(ident) = &field.ident else {
        return Some(position.to_string());
    };
    let renamed = setting(&field.attrs, "rename");
    Some(renamed.unwrap_or_else(|| renaming.apply(&ident.unraw().to_string())))
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + letters.as_str()
    })
}

fn has(attributes: &[Attribute], flag: &str) -> bool {
    let mut found = false;
    visit(attributes, |meta| {
        found |= meta.path.is_ident(flag);
        skip_value(meta)
    });
    found
}

/// `key = "text"` or `key(deserialize = "text")`.
fn setting(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    visit(attributes, |meta| {
        if !meta.path.is_ident(key) {
            return skip_value(meta);
        }
        if !meta.input.peek(syn::token::Paren) {
            found = Some(meta.value()?.parse::<LitStr>()?.value());
            return Ok(());
        }
        meta.parse_nested_meta(|inner| {
            let text = inner.value()?.parse::<LitStr>()?.value();
            if inner.path.is_ident("deserialize") {
                found = Some(text);
            }
            Ok(())
        })
    });
    found
}

fn visit(attributes: &[Attribute], mut each: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>) {
    for attribute in attributes {
        if attribute.path().is_ident("serde") {
            // What cannot be parsed is reported by serde's own derive.
            let _ = attribute.parse_nested_meta(|meta| each(&meta));
        }
    }
}

fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.input.parse::<proc_macro2::Group>()?;
    }
    Ok(())
}
