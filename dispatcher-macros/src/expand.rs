//! The output of the derive when nothing was wrong.
//!
//! Every path goes through one `use` of `dispatcher_core::__private`, so that neither the user's
//! own `Option` or `str` nor a renamed dependency matters, and a wrong `crate` is one error.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use crate::ast::Input;
use crate::check::{Checked, Field};
use crate::read::Setting;
use crate::text::Backoff;

/// `impl Dispatcher` and the registration.
pub(crate) fn expand(input: &Input, checked: &Checked) -> TokenStream {
    let ident = &input.ident;
    let name = &checked.name;
    let definition = definition(input, checked);
    inside(
        checked,
        &quote! {
            #[automatically_derived]
            impl __dispatcher::Dispatcher for #ident {
                const NAME: &'static __dispatcher::str = #name;
                fn definition() -> &'static __dispatcher::Definition {
                    static DEFINITION: __dispatcher::Definition = #definition;
                    &DEFINITION
                }
            }
            __dispatcher::inventory::submit! {
                __dispatcher::Registration::of::<#ident>()
            }
        },
    )
}

/// An anonymous item in which `__dispatcher` is what the derive needs of the core.
pub(crate) fn inside(checked: &Checked, items: &TokenStream) -> TokenStream {
    let krate = &checked.krate;
    quote! {
        const _: () = {
            use #krate::__private as __dispatcher;
            #items
        };
    }
}

fn definition(input: &Input, checked: &Checked) -> TokenStream {
    let ident = &input.ident;
    let Checked { name, aliases, .. } = checked;
    let documentation = &input.documentation;
    let payload = checked.fields.iter().map(field);
    let place = place(ident);
    let job = function("options", &changes(&checked.job));
    let mut shared = changes(&checked.dispatcher);
    if let Some(schedule) = &checked.schedule {
        let changes = changes(&schedule.settings);
        let schedule = changed("schedule_options", &changes);
        shared.extend(quote!(__options.schedule = __dispatcher::Some(#schedule);));
    }
    let dispatcher = function("dispatcher_options", &shared);
    // Without a schedule of its own it may get one from a configuration, if it is `Default`.
    let default_payload = match &checked.schedule {
        Some(schedule) => at(schedule.span, ident, "default_payload"),
        None => quote!({
            use __dispatcher::PerhapsDefault as _;
            __dispatcher::Payloads::<#ident>::DEFAULT
        }),
    };
    let schema = match checked.schema {
        Some(span) => at(span, ident, "schema"),
        None => quote!(__dispatcher::None),
    };
    quote! {
        __dispatcher::Definition {
            name: #name,
            aliases: &[#(#aliases),*],
            documentation: #documentation,
            payload: __dispatcher::PayloadKind::Fields,
            fields: &[#(#payload),*],
            place: #place,
            options: #job,
            dispatcher_options: #dispatcher,
            default_payload: #default_payload,
            schema: #schema,
            check: __dispatcher::check::<#ident>,
            run: __dispatcher::run::<#ident>,
        }
    }
}

fn field(field: &Field) -> TokenStream {
    let Field {
        name,
        type_name,
        documentation,
        secret,
    } = field;
    quote! {
        __dispatcher::Field {
            name: #name,
            type_name: #type_name,
            documentation: #documentation,
            secret: #secret,
        }
    }
}

/// The macros carry the struct's place, or they would name the line of the derive.
fn place(ident: &Ident) -> TokenStream {
    let here = ident.span();
    let file = quote_spanned!(here=> ::core::file!());
    let line = quote_spanned!(here=> ::core::line!());
    quote! {
        __dispatcher::Place {
            package: ::core::env!("CARGO_PKG_NAME"),
            module: ::core::module_path!(),
            file: #file,
            line: #line,
        }
    }
}

/// `Some(function::<T>)`, with `T` standing where the option was asked for, so that the compiler
/// reports there what `T` lacks.
fn at(span: Span, ident: &Ident, function: &str) -> TokenStream {
    let function = format_ident!("{function}");
    let mut there = ident.clone();
    there.set_span(ident.span().located_at(span));
    quote!(__dispatcher::Some(__dispatcher::#function::<#there>))
}

/// The function of the defaults, or a closure that changes some of them.
fn function(defaults: &str, changes: &TokenStream) -> TokenStream {
    if changes.is_empty() {
        let defaults = format_ident!("{defaults}");
        quote!(__dispatcher::#defaults)
    } else {
        let changed = changed(defaults, changes);
        quote!(|| #changed)
    }
}

/// Assignments instead of a struct update, which clippy refuses once it changes every field.
fn changed(defaults: &str, changes: &TokenStream) -> TokenStream {
    let defaults = format_ident!("{defaults}");
    quote! {{
        let mut __options = __dispatcher::#defaults();
        #changes
        __options
    }}
}

fn changes(settings: &[(&str, Setting)]) -> TokenStream {
    let changes = settings.iter().map(|(name, setting)| {
        let name = format_ident!("{name}");
        let setting = value(setting);
        quote!(__options.#name = #setting;)
    });
    changes.collect()
}

fn value(setting: &Setting) -> TokenStream {
    match setting {
        Setting::Absent => quote!(__dispatcher::None),
        Setting::Present(inner) => {
            let inner = value(inner);
            quote!(__dispatcher::Some(#inner))
        }
        Setting::Millis(millis) => millis_of(*millis),
        Setting::Unsigned(number) => {
            let number = Literal::u64_unsuffixed(*number);
            quote!(#number)
        }
        Setting::Signed(number) => {
            let sign = (*number < 0).then(|| quote!(-));
            let number = Literal::u32_unsuffixed(number.unsigned_abs());
            quote!(#sign #number)
        }
        Setting::Text(text) => quote!(__dispatcher::text(#text)),
        Setting::Texts(texts) => quote!(__dispatcher::texts(&[#(#texts),*])),
        Setting::Variables(names) => {
            quote!(__dispatcher::EnvPolicy::Only(__dispatcher::texts(&[#(#names),*])))
        }
        Setting::Variant { type_name, variant } => {
            let type_name = format_ident!("{type_name}");
            let variant = format_ident!("{variant}");
            quote!(__dispatcher::#type_name::#variant)
        }
        Setting::Backoff(backoff) => backoff_of(*backoff),
    }
}

fn backoff_of(backoff: Backoff) -> TokenStream {
    match backoff {
        Backoff::Constant { delay } => {
            let delay = millis_of(delay);
            quote!(__dispatcher::Backoff::Constant { delay: #delay })
        }
        Backoff::Linear { step, max } => {
            let (step, max) = (millis_of(step), millis_of(max));
            quote!(__dispatcher::Backoff::Linear { step: #step, max: #max })
        }
        Backoff::Exponential { base, max } => {
            let (base, max) = (millis_of(base), millis_of(max));
            quote!(__dispatcher::Backoff::Exponential { base: #base, max: #max })
        }
    }
}

fn millis_of(millis: u64) -> TokenStream {
    let millis = Literal::u64_unsuffixed(millis);
    quote!(__dispatcher::millis(#millis))
}
