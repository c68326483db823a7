//! Fields as serde names them, and documentation.

use quote::quote;

use crate::ast::{self, Input};
use crate::errors::Errors;

#[test]
fn fields_have_the_names_of_the_payload() {
    for (rule, names) in [
        ("lowercase", ["first_name", "type"]),
        ("snake_case", ["first_name", "type"]),
        ("UPPERCASE", ["FIRST_NAME", "TYPE"]),
        ("PascalCase", ["FirstName", "Type"]),
        ("camelCase", ["firstName", "type"]),
        ("SCREAMING_SNAKE_CASE", ["FIRST_NAME", "TYPE"]),
        ("kebab-case", ["first-name", "type"]),
        ("SCREAMING-KEBAB-CASE", ["FIRST-NAME", "TYPE"]),
    ] {
        let input = read(quote! {
            #[serde(deny_unknown_fields, rename_all = #rule)]
            struct S { first_name: String, r#type: u8 }
        });
        assert_eq!(field_names(&input), names.map(Some), "{rule}");
    }
}

#[test]
fn renamed_and_skipped_fields() {
    let input = read(quote! {
        #[serde(rename_all(serialize = "UPPERCASE", deserialize = "camelCase"))]
        struct S {
            #[serde(default, rename = "an other")] renamed: u8,
            #[serde(rename(serialize = "out", deserialize = "in"))] both: u8,
            #[serde(skip)] gone: u8,
            #[serde(skip_deserializing)] written_only: u8,
            #[serde(skip_serializing_if = "Option::is_none", with = "m")] kept_as_is: u8,
        }
    });
    assert_eq!(
        field_names(&input),
        [Some("an other"), Some("in"), None, None, Some("keptAsIs")]
    );
}

#[test]
fn fields_of_tuples_are_numbered() {
    let input = read(quote!(
        struct S(u8, #[serde(skip)] u8, String);
    ));
    assert_eq!(field_names(&input), [Some("0"), None, Some("2")]);
}

#[test]
fn documentation_is_kept_line_by_line() {
    let input = read(quote! {
        /// First.
        ///
        ///   Indented.
        #[doc(hidden)]
        ///Tight.
        struct S;
    });
    assert_eq!(input.documentation, "First.\n\n  Indented.\nTight.");
}

fn read(item: proc_macro2::TokenStream) -> Input {
    let mut errors = Errors::default();
    let input = ast::read(&syn::parse2(item).expect("an item"), &mut errors);
    assert!(errors.is_empty());
    input
}

fn field_names(input: &Input) -> Vec<Option<&str>> {
    input
        .fields
        .iter()
        .map(|field| field.name.as_deref())
        .collect()
}
