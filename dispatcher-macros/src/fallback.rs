//! The output of the derive when something was wrong: the mistakes, and an implementation that
//! never runs but keeps the rest of the program from being reported as well.

use proc_macro2::TokenStream;
use quote::quote;

use crate::ast::{Input, Shape};
use crate::check::Checked;
use crate::errors::Errors;
use crate::expand::inside;

/// Every mistake, and the stub.
pub(crate) fn stub(input: &Input, checked: &Checked, errors: &Errors) -> TokenStream {
    let errors = errors.to_tokens();
    let ident = &input.ident;
    let name = &checked.name;
    let (parameters, arguments, conditions) = input.generics.split_for_impl();
    // An item of the wrong shape may not be able to be what a dispatcher must be; then it simply
    // is none. The unused lifetime keeps the compiler from judging the condition here.
    let conditions = match (&input.shape, input.generics.params.is_empty()) {
        (Shape::Struct, true) => quote!(#conditions),
        (Shape::Struct | Shape::Enum(_) | Shape::Union(_), _) => {
            let written = conditions.map(|clause| &clause.predicates);
            let written = written.map(|written| written.iter().collect::<Vec<_>>());
            let written = written.unwrap_or_default();
            quote!(where #(#written,)* for<'__unjudged> Self: __dispatcher::Payload)
        }
    };
    let stub = inside(
        checked,
        &quote! {
            #[automatically_derived]
            impl #parameters __dispatcher::Dispatcher for #ident #arguments #conditions {
                const NAME: &'static __dispatcher::str = #name;
                fn definition() -> &'static __dispatcher::Definition {
                    __dispatcher::not_expanded()
                }
            }
        },
    );
    quote!(#errors #stub)
}
