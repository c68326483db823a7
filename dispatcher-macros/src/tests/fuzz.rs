//! Attributes that nobody would write: expanded, or refused by compile errors, never by a panic.
//!
//! What is written out is Rust in any case, or the user would be told of a mistake in code that
//! nobody can see.

use std::str::FromStr as _;

use proc_macro2::TokenStream;

use crate::fuzzing::{Seen, fuzz};
use crate::text;

/// An input is a struct with its attributes, as source.
#[test]
fn attributes() {
    fuzz("attributes", |bytes| {
        let source = String::from_utf8_lossy(bytes);
        let Ok(input) = TokenStream::from_str(&source) else {
            return Seen::of("no tokens");
        };
        let output = crate::derive(input);
        let said = output.to_string();
        let file = syn::parse2::<syn::File>(output);
        let file = file.unwrap_or_else(|error| panic!("{error} in {said}"));
        let is_refused = said.contains("compile_error");
        assert!(is_refused || said.contains("DEFINITION"), "{said}");
        if !is_refused {
            // Readable by a person, too.
            assert!(!prettyplease::unparse(&file).is_empty());
            return Seen::of(("expanded", said.len() / 32));
        }
        Seen::message(&said)
    });
}

/// Values in quotes, read by the derive.
#[test]
fn attribute_values() {
    fuzz("attribute_values", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Seen::of("no text");
        };
        let duration = text::duration(text);
        let size = text::bytes(text);
        let backoff = text::backoff(text);
        let schedule = crate::cron::check(text);
        let mistakes = [
            duration.as_ref().err(),
            size.as_ref().err(),
            backoff.as_ref().err(),
            schedule.as_ref().err(),
        ];
        for mistake in mistakes.into_iter().flatten() {
            assert!(!mistake.is_empty());
        }
        let said: Vec<_> = mistakes
            .iter()
            .map(|mistake| mistake.map(|said| Seen::message(said)))
            .collect();
        Seen::of(said)
    });
}
