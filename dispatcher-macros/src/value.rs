//! The value after the `=` of an option, before anybody knows what the option wants.
//!
//! Groups without delimiters (what a `macro_rules!` fragment leaves behind) are looked through.

use std::fmt;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Lit, LitInt, LitStr, Path};

/// A value with the tokens that it was read from, for spans.
pub(crate) struct Value {
    pub(crate) tokens: TokenStream,
    pub(crate) kind: ValueKind,
}

/// What kind of value it is.
pub(crate) enum ValueKind {
    /// `key`
    Absent,
    /// `key =`
    Missing,
    /// `key(...)`
    Call,
    /// `key = "text"`
    Text(LitStr),
    /// `key = 5`, `key = -5`
    Integer { negative: bool, digits: LitInt },
    /// `key = 1.5`
    Fraction,
    /// `key = true`
    Bool,
    /// `key = [a, b]`
    List(Vec<Value>),
    /// `key = some::path`
    Path(Path),
    /// Anything else.
    Other,
}

impl Value {
    /// Reads what follows the `=`.
    pub(crate) fn read(tokens: Vec<TokenTree>) -> Self {
        let tokens = look_through(tokens);
        let kind = match tokens.as_slice() {
            [] => ValueKind::Missing,
            [TokenTree::Punct(sign), number] if sign.as_char() == '-' => {
                match literal(&look_through(vec![number.clone()])) {
                    Some(Lit::Int(digits)) => ValueKind::Integer {
                        negative: true,
                        digits,
                    },
                    Some(Lit::Float(_)) => ValueKind::Fraction,
                    Some(_) | None => ValueKind::Other,
                }
            }
            [TokenTree::Group(group)] if group.delimiter() == Delimiter::Bracket => {
                ValueKind::List(
                    split_at_commas(group.stream())
                        .into_iter()
                        .map(|item| Self::read(item.tokens))
                        .collect(),
                )
            }
            tokens => match literal(tokens) {
                Some(literal) => of_literal(literal),
                None => path(tokens).map_or(ValueKind::Other, ValueKind::Path),
            },
        };
        Self {
            tokens: tokens.into_iter().collect(),
            kind,
        }
    }

    /// A value that is not there, located at what should have had one.
    pub(crate) fn without(kind: ValueKind, place: impl ToTokens) -> Self {
        Self {
            tokens: place.into_token_stream(),
            kind,
        }
    }

    /// Where it begins.
    pub(crate) fn span(&self) -> Span {
        self.tokens
            .clone()
            .into_iter()
            .next()
            .map_or_else(Span::call_site, |token| token.span())
    }
}

/// What was found, in words.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ValueKind::Absent | ValueKind::Missing => f.write_str("nothing"),
            ValueKind::Call => f.write_str("parentheses"),
            ValueKind::Text(text) => write!(f, "the text {:?}", text.value()),
            ValueKind::Integer { negative, digits } => {
                write!(f, "the number {}{digits}", if *negative { "-" } else { "" })
            }
            ValueKind::Fraction => write!(f, "the fraction `{}`", self.tokens),
            ValueKind::Bool => write!(f, "`{}`", self.tokens),
            ValueKind::List(_) => f.write_str("a list"),
            ValueKind::Path(path) => {
                write!(
                    f,
                    "the name `{}`",
                    crate::text::source(path.to_token_stream())
                )
            }
            ValueKind::Other => f.write_str("an expression"),
        }
    }
}

/// What stands between two commas.
pub(crate) struct Item {
    pub(crate) tokens: Vec<TokenTree>,
    /// The comma that ended it.
    pub(crate) comma: Option<Span>,
}

/// Splits at the commas that stand outside of every group. A trailing comma ends the last item.
pub(crate) fn split_at_commas(tokens: TokenStream) -> Vec<Item> {
    let mut items = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => items.push(Item {
                tokens: std::mem::take(&mut current),
                comma: Some(punct.span()),
            }),
            token => current.push(token),
        }
    }
    if !current.is_empty() {
        items.push(Item {
            tokens: current,
            comma: None,
        });
    }
    items
}

fn look_through(mut tokens: Vec<TokenTree>) -> Vec<TokenTree> {
    while let [TokenTree::Group(group)] = tokens.as_slice()
        && group.delimiter() == Delimiter::None
    {
        tokens = group.stream().into_iter().collect();
    }
    tokens
}

fn literal(tokens: &[TokenTree]) -> Option<Lit> {
    syn::parse2(tokens.iter().cloned().collect()).ok()
}

fn path(tokens: &[TokenTree]) -> Option<Path> {
    syn::parse::Parser::parse2(Path::parse_mod_style, tokens.iter().cloned().collect()).ok()
}

fn of_literal(literal: Lit) -> ValueKind {
    match literal {
        Lit::Str(text) => ValueKind::Text(text),
        Lit::Int(digits) => ValueKind::Integer {
            negative: false,
            digits,
        },
        Lit::Float(_) => ValueKind::Fraction,
        Lit::Bool(_) => ValueKind::Bool,
        _ => ValueKind::Other,
    }
}
