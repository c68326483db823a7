//! What the user wrote, taken apart but not yet judged.

use proc_macro2::Span;
use quote::ToTokens;
use syn::{Data, DeriveInput, Generics, Ident};

use crate::attr::{self, Entry};
use crate::errors::Errors;
use crate::serde_names::{self, Renaming};
use crate::text;

/// The annotated item.
pub(crate) struct Input {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) shape: Shape,
    pub(crate) documentation: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) fields: Vec<Field>,
}

/// What kind of item it is, with the place of its keyword.
pub(crate) enum Shape {
    Struct,
    Enum(Span),
    Union(Span),
}

/// One field of the struct.
pub(crate) struct Field {
    /// Name in the payload; `None` if serde skips the field.
    pub(crate) name: Option<String>,
    pub(crate) type_name: String,
    pub(crate) documentation: String,
    pub(crate) entries: Vec<Entry>,
}

/// Takes the item apart.
pub(crate) fn read(input: &DeriveInput, errors: &mut Errors) -> Input {
    let entries = attr::entries(&input.attrs, errors);
    let (shape, fields) = match &input.data {
        Data::Struct(data) => (
            Shape::Struct,
            fields(&data.fields, Renaming::of_container(&input.attrs), errors),
        ),
        Data::Enum(data) => (Shape::Enum(data.enum_token.span), Vec::new()),
        Data::Union(data) => (Shape::Union(data.union_token.span), Vec::new()),
    };
    Input {
        ident: input.ident.clone(),
        generics: input.generics.clone(),
        shape,
        documentation: attr::documentation(&input.attrs),
        entries,
        fields,
    }
}

fn fields(fields: &syn::Fields, renaming: Renaming, errors: &mut Errors) -> Vec<Field> {
    let read = |(position, field): (usize, &syn::Field)| Field {
        name: serde_names::name_of(field, position, renaming),
        type_name: text::source(field.ty.to_token_stream()),
        documentation: attr::documentation(&field.attrs),
        entries: attr::entries(&field.attrs, errors),
    };
    fields.iter().enumerate().map(read).collect()
}
