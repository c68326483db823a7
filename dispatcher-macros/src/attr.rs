//! Attributes as lists of keys and values, one broken entry never hiding the next.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Ident, Meta};

use crate::errors::Errors;
use crate::table;
use crate::value::{Item, Value, ValueKind, split_at_commas};

/// One `key = value` of `#[dispatcher(...)]`.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// Reads every `#[dispatcher(...)]` among `attributes`.
pub(crate) fn entries(attributes: &[Attribute], errors: &mut Errors) -> Vec<Entry> {
    let mut entries = Vec::new();
    for attribute in attributes {
        if !attribute.path().is_ident("dispatcher") {
            continue;
        }
        match &attribute.meta {
            Meta::List(list) if matches!(list.delimiter, syn::MacroDelimiter::Paren(_)) => {
                for item in split_at_commas(list.tokens.clone()) {
                    entries.extend(entry(item, errors));
                }
            }
            Meta::Path(_) | Meta::List(_) | Meta::NameValue(_) => errors.over(
                &attribute.meta,
                "options of a dispatcher stand in parentheses; \
                 write `#[dispatcher(timeout = 300)]`, or remove the attribute",
            ),
        }
    }
    entries
}

fn entry(item: Item, errors: &mut Errors) -> Option<Entry> {
    let mut tokens = item.tokens.into_iter();
    let key = match tokens.next() {
        Some(TokenTree::Ident(key)) => key,
        Some(other) => {
            errors.at(
                other.span(),
                format!("expected the name of an option, found `{other}`; write `name = value`"),
            );
            return None;
        }
        None => {
            if let Some(comma) = item.comma {
                errors.at(
                    comma,
                    "there is no option before this comma; remove the comma",
                );
            }
            return None;
        }
    };
    let value = match tokens.next() {
        None => Value::without(ValueKind::Absent, &key),
        Some(TokenTree::Punct(equals)) if equals.as_char() == '=' => {
            let rest: Vec<_> = tokens.collect();
            if let Some(TokenTree::Punct(second)) = rest.first()
                && second.as_char() == '='
            {
                let message = format!(
                    "expected a value after `{key} =`, found a second `=`; write `{key} = value`"
                );
                errors.at(second.span(), message);
                return None;
            }
            if rest.is_empty() {
                Value::without(ValueKind::Missing, equals)
            } else {
                Value::read(rest)
            }
        }
        Some(TokenTree::Punct(dash)) if dash.as_char() == '-' => {
            let before_value = |token: &TokenTree| !matches!(token, TokenTree::Punct(mark) if mark.as_char() == '=');
            let rest: TokenStream = tokens.take_while(before_value).collect();
            let dashed = quote!(#key #dash #rest);
            errors.over(
                &dashed,
                table::unknown(&dashed.to_string().replace(' ', "")),
            );
            return None;
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            Value::without(ValueKind::Call, group)
        }
        Some(other) => {
            errors.at(
                other.span(),
                format!("expected `=` after `{key}`, found `{other}`; write `{key} = value`"),
            );
            return None;
        }
    };
    Some(Entry { key, value })
}

/// The documentation comment: lines joined by newlines, one leading space of each removed.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let syn::Expr::Lit(literal) = &pair.value
            && let syn::Lit::Str(text) = &literal.lit
        {
            lines.extend(
                text.value()
                    .lines()
                    .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()),
            );
            if text.value().is_empty() {
                lines.push(String::new());
            }
        }
    }
    lines
        .join("\n")
        .trim_end()
        .trim_start_matches('\n')
        .to_owned()
}
